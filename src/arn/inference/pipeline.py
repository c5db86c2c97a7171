"""Work beside the network, on threads: decoding, encoding and writing let the interpreter go meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """``work`` of each item, in order, begun up to ``depth`` items early; its errors come where its result would."""
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > depth:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()


class BackgroundWriter:
    """Work on other threads while the caller goes on; ``submit`` waits when ``depth`` pieces are begun.

    The first error comes out of a later ``submit`` or of the end of the ``with`` block, which waits for all.
    """

    def __init__(self, threads: int, depth: int = 16) -> None:
        self.pool, self.depth = ThreadPoolExecutor(threads), depth
        self.begun: deque[Future[Any]] = deque()

    def submit(self, work: Callable[..., object], *arguments: Any) -> None:
        self.begun.append(self.pool.submit(work, *arguments))
        while self.begun and (len(self.begun) > self.depth or self.begun[0].done()):
            self.begun.popleft().result()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self.begun and kind is None:
                self.begun.popleft().result()
        finally:
            # What is begun is finished, so that no file is left half-written; after an error the rest is not begun.
            self.pool.shutdown(wait=True, cancel_futures=True)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
