"""What a request may cost: bytes, pixels, time and company. Each limit is kept before the cost arises."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from arn.data.images import PICTURE_SUFFIXES

# Besides pictures: what `curl --data-binary` says of whatever it sends, and what nobody has named.
RAW_TYPES = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Limits:
    megabytes: float = 32.0  # of a request's body, 10^6 bytes
    megapixels: float = 50.0  # of a picture, 10^6; all pictures that are decoded at a time share as many
    requests: int = 32  # at a time, those that wait included
    seconds: float = 30.0  # from the first byte of the body to the whole answer


class Budget:
    """So many of something at a time; who wants more waits, in the order of asking. Alone, one may have more."""

    def __init__(self, limit: float) -> None:
        self.limit, self.used = limit, 0.0
        self.turn, self.freed = asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def take(self, amount: float) -> AsyncIterator[list[Future[Any]]]:
        """For the block, and beyond it until what it notes in the list is done.

        A thread cannot be stopped when its request has run out of time, and keeps what it works on.
        """
        loop, begun = asyncio.get_running_loop(), list[Future[Any]]()
        async with self.turn:
            while self.used and self.used + amount > self.limit:
                self.freed.clear()
                await self.freed.wait()
            self.used += amount
        try:
            yield begun
        finally:
            if running := next((one for one in begun if not one.done()), None):
                running.add_done_callback(lambda _: loop.call_soon_threadsafe(self.give_back, amount))
            else:
                self.give_back(amount)

    def give_back(self, amount: float) -> None:
        self.used -= amount
        self.freed.set()


async def read_body(request: Request, limits: Limits) -> bytes:
    """The picture's bytes: the body as it is, or the form's `file`.

    Raises HTTPException: 413 as soon as more comes than is allowed, whether announced or not; 415 for another type;
    400 for a form that is damaged or holds something else.
    """
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type_ and type_ != MULTIPART and not type_.startswith(RAW_TYPES):
        raise HTTPException(415, f"Content-Type: {type_} is no picture; send image/* as the body, or {MULTIPART}")
    if (coding := request.headers.get("content-encoding", "identity")) != "identity":
        raise HTTPException(415, f"Content-Encoding: {coding} is not decoded; send the picture as it is")
    most, came = limits.megabytes * 1e6, 0
    too_large = HTTPException(413, f"the body is larger than {limits.megabytes:g} MB (max_megabytes)")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large

    async def counted() -> Message:
        nonlocal came
        message = await request.receive()
        came += len(message.get("body", b""))
        if came > most:
            raise too_large
        return message

    counting = Request(request.scope, counted)
    if type_ != MULTIPART:
        return await counting.body()
    async with counting.form(max_files=1, max_fields=0) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(400, "the form has no file of the name `file`")
        return await file.read()


@cache
def readable() -> tuple[str, ...]:
    """The formats of pictures, as PIL calls them. No others are tried: to read some, PIL starts other programs."""
    known = Image.registered_extensions()
    return tuple(sorted({known[suffix] for suffix in PICTURE_SUFFIXES if suffix in known}))


def count_pixels(data: bytes, limits: Limits) -> int:
    """Width x height by the picture's header; nothing is decoded.

    Raises HTTPException: 422 if this is no picture, 413 if it has more pixels than allowed.
    """
    try:
        with Image.open(io.BytesIO(data), formats=readable()) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        raise HTTPException(413, f"the picture is too large: {error}") from error
    except Exception as error:  # of hostile bytes the formats' readers raise whatever comes
        known = ", ".join(readable())
        raise HTTPException(422, f"the body ({len(data)} bytes) is no picture of {known}") from error
    if pixels > limits.megapixels * 1e6:
        told = f"the picture has {pixels / 1e6:.1f} megapixels; {limits.megapixels:g} are allowed (max_megapixels)"
        raise HTTPException(413, told)
    return pixels
