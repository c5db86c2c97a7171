"""The ASGI application. Starlette, not FastAPI: the one route that matters takes raw bytes under limits of its own, for
which FastAPI's models do nothing but bring pydantic along.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arn.data.images import read_picture
from arn.errors import ArnError
from arn.inference.methods import Map, Method, Picture
from arn.inference.render import Kind, encode, render
from arn.serving.batching import Batcher
from arn.serving.limits import Budget, Limits, count_pixels, read_body
from arn.serving.pages import FORMATS, KINDS, describe, docs_page, main_page

THREADS = 2  # of decoding and encoding, beside the network's own
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # bounds of the histogram
LINGER = 5.0  # seconds for the rest of a body that was refused
PATHS = ("/", "/healthz", "/metrics", "/openapi.json", "/docs")

Result = TypeVar("Result")


def draw(picture: Picture, saliency: Map, kind: Kind, format: str) -> bytes:
    """The file that is sent back."""
    return encode(render(picture, saliency, kind), f".{format}")


class JSON(Response):
    """One line."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"


async def tell(request: Request, error: Exception) -> Response:
    """Errors of the request's, and ours, as ``{"error": ...}``."""
    if isinstance(error, ArnError):  # of the method, as the picture was read by then
        return JSON({"error": error.told}, 500)
    if isinstance(error, HTTPException):
        return JSON({"error": error.detail}, error.status_code, error.headers)
    return JSON({"error": f"a defect of this server's ({type(error).__name__}); its log has the rest"}, 500)


async def gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nginx's number for a client that left; nobody is there to read it


def wanted(query: QueryParams) -> tuple[Kind, str]:
    """Kind and format of the image that is asked for. Raises HTTPException 400."""
    if unknown := sorted(set(query) - {"as", "format"}):
        raise HTTPException(400, f"there is no {unknown[0]}= ; there are as= and format=")
    kind = query.get("as", "cutout")
    if kind not in KINDS:
        raise HTTPException(400, f"as={kind}: must be one of {', '.join(KINDS)}")
    format = query.get("format", KINDS[kind][0])
    if format not in FORMATS:
        raise HTTPException(400, f"format={format}: must be one of {', '.join(FORMATS)}")
    if format not in KINDS[kind]:
        raise HTTPException(400, f"format={format} has no transparency for as={kind}; take {' or '.join(KINDS[kind])}")
    return cast(Kind, kind), format


class Service:
    """What one running `arn serve` holds."""

    def __init__(self, method: Method, limits: Limits, batch_size: int) -> None:
        self.limits, self.in_flight = limits, 0
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory and processor time, on Linux
        self.answers = Counter("arn_requests", "Requests answered", ["path", "status"], registry=registry)
        self.seconds = Histogram("arn_request_seconds", "From POST to answer", buckets=SECONDS, registry=registry)
        self.pixels = Counter("arn_pixels", "Pixels of the pictures that were decoded", registry=registry)
        sizes = [2**power for power in range(8)]
        batches = Histogram("arn_batch_pictures", "Pictures that went together", buckets=sizes, registry=registry)
        self.batcher = Batcher(method, batch_size, batches.observe)
        of_now = Gauge("arn_in_flight", "Pictures being received or made", registry=registry)
        of_now.set_function(lambda: self.in_flight)
        of_queue = Gauge("arn_queue_length", "Pictures that wait for the network", registry=registry)
        of_queue.set_function(lambda: self.batcher.queue.qsize())
        self.page, self.page_headers = main_page(f"{method.name} on {method.device}")
        self.description = describe(limits)
        self.docs, self.docs_headers = docs_page(self.description)

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        # All pictures that are decoded at a time have no more pixels than the largest one alone.
        self.budget = Budget(self.limits.megapixels * 1e6)
        with ThreadPoolExecutor(THREADS, "arn-codec") as self.threads:
            async with self.batcher:
                yield

    async def root(self, request: Request) -> Response:
        if request.method != "POST":
            return HTMLResponse(self.page, headers=self.page_headers)
        kind, format = wanted(request.query_params)
        if self.in_flight >= self.limits.requests:
            told = f"{self.in_flight} pictures are being made; try again in a second"
            raise HTTPException(503, told, {"Retry-After": "1"})
        self.in_flight += 1
        data = None
        try:
            with self.seconds.time():
                async with asyncio.timeout(self.limits.seconds):
                    data = await read_body(request, self.limits)
                    image = await self.make(data, kind, format)
        except TimeoutError as error:
            told = "the picture did not arrive" if data is None else "the image was not done"
            within = f"{told} within {self.limits.seconds:g} seconds (timeout)"
            raise HTTPException(408 if data is None else 504, within) from error
        finally:
            self.in_flight -= 1
        return Response(image, media_type=f"image/{format}", headers={"Cache-Control": "no-store"})

    async def make(self, data: bytes, kind: Kind, format: str) -> bytes:
        pixels = await self.in_thread([], count_pixels, data, self.limits)
        async with self.budget.take(pixels) as begun:
            try:
                picture = await self.in_thread(begun, read_picture, Path("the picture"), None, data)
            except ArnError as error:
                raise HTTPException(422, error.told) from error
            self.pixels.inc(pixels)
            saliency = await self.batcher.map_of(picture)
            return await self.in_thread(begun, draw, picture, saliency, kind, format)

    async def in_thread(self, begun: list[Future[Any]], work: Callable[..., Result], *arguments: Any) -> Result:
        begun.append(future := self.threads.submit(work, *arguments))
        return await asyncio.wrap_future(future)

    async def health(self, request: Request) -> Response:
        return JSON({"status": "ok"})

    async def measures(self, request: Request) -> Response:
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def openapi(self, request: Request) -> Response:
        return JSON(self.description)

    async def read_docs(self, request: Request) -> Response:
        return HTMLResponse(self.docs, headers=self.docs_headers)


class Front:
    """Around everything: turns away what other web sites send through a visitor's browser, adds headers, counts.

    A page of another site can make a browser send requests to this machine. Those carry an Origin, which must be this
    service's own. A site that lets its own name point to this machine (DNS rebinding) is known by the Host, which must
    be localhost, an address in numbers, or one of `names`. Programs other than browsers send no Origin.
    """

    def __init__(self, app: ASGIApp, answers: Counter, names: Collection[str]) -> None:
        self.app, self.answers = app, answers
        self.names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, asked = scope["path"] if scope["path"] in PATHS else "other", Headers(scope=scope)
        unread = "transfer-encoding" in asked or asked.get("content-length", "0") != "0"

        async def receiving() -> Message:
            nonlocal unread
            message = await receive()
            unread = bool(message.get("more_body"))
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
                if unread:
                    headers["Connection"] = "close"
                self.answers.labels(path, message["status"]).inc()
            elif unread:
                # Who still sends reads no answer, and loses it with a connection that is closed at once: the rest is
                # thrown away as it comes, for a while.
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER):
                        while unread:
                            await receiving()
                message = {"type": "http.response.body"}
            await send(message)

        refusal = self.refusal(asked)
        app = self.app if refusal is None else JSON({"error": refusal}, 403)
        await app(scope, receiving, sending)

    def refusal(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.is_ours(host):
            return f"Host: {host} is not this service's; start it with hosts=[NAME] if it is meant to be"
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"Origin: {origin} is another site's, and this service is for its own page and for programs"
        return None

    def is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def make_app(method: Method, limits: Limits, batch_size: int = 8, names: Collection[str] = ()) -> ASGIApp:
    """The service by a method; `names`: by which it may be called besides localhost and addresses in numbers."""
    service = Service(method, limits, batch_size)
    routes = [
        Route("/", service.root, methods=["GET", "POST"]),
        Route("/healthz", service.health),
        Route("/metrics", service.measures),
        Route("/openapi.json", service.openapi),
        Route("/docs", service.read_docs),
    ]
    handlers: dict[Any, Any] = {HTTPException: tell, ArnError: tell, ClientDisconnect: gone, Exception: tell}
    return Front(
        Starlette(routes=routes, lifespan=service.running, exception_handlers=handlers), service.answers, names
    )
