"""Signals that end a training: between two steps, written down, and with a word on how to go on.

The first one is waited with until the step that runs is over. Ctrl-C twice ends at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from arn.errors import Interrupted

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
"""Ctrl-C; what a system that shuts down, a sweep or SLURM sends; what SLURM sends where a job asked to be warned."""

PATIENCE = 20  # seconds that a loader process outlives SIGTERM, where its parent does not end it before


class Signals:
    """Hears of ending signals while it is held.

    Attributes:
        asked: the signal that came while a training was at work.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._waits = False
        self._owner = os.getpid()

    @contextlib.contextmanager
    def held(self) -> Iterator[Signals]:
        """The handlers of this process are ours inside; in another thread than the main one nothing is done."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in ENDING}
        self._take()
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def wait_for_step(self) -> None:
        """From here on the training looks at `asked` after every step. Lightning has set handlers of its own."""
        self._waits = True
        if threading.current_thread() is threading.main_thread():
            self._take()

    def at_once(self) -> None:
        """Nothing looks at `asked` any more."""
        self._waits = False

    def _take(self) -> None:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and a shell's background have it
                signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a loader process, which has this handler from the fork
            if number == signal.SIGTERM:
                signal.alarm(
                    PATIENCE
                )  # whose end is the process's: SLURM means its parent too, which wants the step's end
            return  # of the rest its parent hears, too
        if not self._waits:
            raise Interrupted(number)
        if self.asked is None:
            self.asked = number
            os.write(2, b"arn train: stopping after this step; Ctrl-C once more stops at once\n")
        elif number == signal.SIGINT:
            raise Interrupted(number)
