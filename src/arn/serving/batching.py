"""Maps of pictures that come one by one: those that came while the network was busy go through it together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from arn.inference.methods import Map, Method, Picture

Waiting = tuple[Picture, "asyncio.Future[Map]"]


class Batcher:
    """A queue in front of `method`, which runs in a thread of its own on up to `size` pictures; nothing waits for more.

    An async context manager. `observe` is told of the number of pictures of each batch.
    """

    def __init__(self, method: Method, size: int, observe: Callable[[int], object] = lambda count: None) -> None:
        self.method, self.size, self.observe = method, size, observe

    async def __aenter__(self) -> Self:
        self.queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self.thread = ThreadPoolExecutor(1, "arn-network")
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        self.thread.shutdown(cancel_futures=True)

    async def map_of(self, picture: Picture) -> Map:
        """uint8 RGB H x W x 3 -> float32 H x W in 0..1. Raises what the method raises of this picture."""
        future: asyncio.Future[Map] = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((picture, future))
        return await future

    async def _run(self) -> None:
        while True:
            await self._make(await self.queue.get())  # a call, so that while idle nothing of the last batch is held

    async def _make(self, first: Waiting) -> None:
        batch = [first]
        while len(batch) < self.size and not self.queue.empty():
            batch.append(self.queue.get_nowait())
        batch = [one for one in batch if not one[1].done()]  # who asked may have run out of time
        if not batch:
            return
        self.observe(len(batch))
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self.thread, self._maps, [picture for picture, _ in batch])
        for (_, future), saliency in zip(batch, made, strict=True):
            if future.done():
                continue
            if isinstance(saliency, Exception):
                future.set_exception(saliency)
            else:
                future.set_result(saliency)

    def _maps(self, pictures: Sequence[Picture]) -> Sequence[Map | Exception]:
        """A map or an error for each: a picture that fails spoils none that came with it."""
        try:
            return self.method.maps(pictures)
        except Exception as error:
            if len(pictures) == 1:
                return [error]
            return [one for picture in pictures for one in self._maps([picture])]
