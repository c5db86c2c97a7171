"""The exceptions that the command line knows: what a user can mend, and what was stopped by a signal."""

from __future__ import annotations

import signal


class ArnError(Exception):
    """Something the user can mend: a bad file, key or folder.

    The message is one sentence or a short list; it names the file or key and says what to do. The command line prints
    it without a traceback and exits with status 2. Anything else that escapes is a defect of ours and keeps its
    traceback.
    """

    @property
    def told(self) -> str:
        """The message alone: a loader process hands its exceptions on with their whole traceback as text.

        Control characters, as names of files may hold, are escaped: a terminal would obey them.
        """
        message = str(self).rpartition(f"{type(self).__module__}.{type(self).__name__}: ")[2].strip()
        return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in message)


class Interrupted(BaseException):
    """A signal ended the command. ``status`` is the exit status that shells give it, ``told`` the word to end with.

    Not an `Exception`, as little as KeyboardInterrupt is one: nothing that expects errors may take it for one.
    """

    def __init__(self, number: int, told: str | None = None) -> None:
        super().__init__(number)
        self.number, self.status = number, 128 + number
        self.told = told or ("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")
