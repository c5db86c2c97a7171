"""Reading web addresses: http and https, and nothing that they lead elsewhere to."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Any


def is_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


class _OnlyWeb(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web addresses alone, not to files or other protocols."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if not is_address(newurl):
            raise urllib.error.URLError(f"it redirects to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_address(address: str, headers: dict[str, str], timeout: float) -> Any:
    """The answer of a server, a context manager. Raises OSError, ValueError or HTTPException for what goes wrong."""
    request = urllib.request.Request(_quoted(address), headers={"User-Agent": "arn", **headers})
    return urllib.request.build_opener(_OnlyWeb).open(request, timeout=timeout)


def _quoted(address: str) -> str:
    """With spaces and letters beyond ASCII as an address may hold them."""
    parts = urllib.parse.urlsplit(address)
    path, query = (urllib.parse.quote(part, safe="%/:=&?~#+!$,;'@()*[]") for part in (parts.path, parts.query))
    host = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))
