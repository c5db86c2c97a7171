"""The one exception that a user is meant to read."""

from __future__ import annotations


class ArnError(Exception):
    """Something the user can mend: a bad file, key or folder.

    The message is one sentence or a short list; it names the file or key and says what to do. The command line prints
    it without a traceback and exits with status 2. Anything else that escapes is a defect of ours and keeps its
    traceback.
    """

    @property
    def told(self) -> str:
        """The message alone: a loader process hands its exceptions on with their whole traceback as text."""
        return str(self).rpartition(f"{type(self).__module__}.{type(self).__name__}: ")[2].strip()
