"""Fetching a data set from where its authors put it: resumed where a connection broke, whole or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from arn.data.catalogue import CATALOGUE, by_name, data_root
from arn.data.layout import find_dataset
from arn.errors import ArnError

Progress = Callable[[str, int, int | None], None]
_BLOCK = 1 << 20  # bytes


def fetch(
    name: str, archives: Sequence[str] = (), root: Path | None = None, progress: Progress = lambda *at: None
) -> tuple[int, dict[str, str]]:
    """Download a data set's archives, unpack them and lay them below the data root once they are complete.

    `name` is of the catalogue, and `archives` are addresses of ZIP files to take instead of the catalogue's (a mirror).
    `root` is `data_root()` unless given. `progress` is called with (file name, bytes so far, all bytes or None).

    Returns the number of pairs, and the SHA-256 of each archive by file name. Raises ArnError where there is no such
    set, no address is known for it, something already lies in its place, the address cannot be read, or what came is no
    ZIP file or not the data set. What was downloaded is kept for the next try.
    """
    dataset = by_name(name)
    if dataset is None:
        raise ArnError(f"No data set '{name}' in the catalogue; there are {', '.join(CATALOGUE)}")
    addresses = tuple(archives) or dataset.archives
    if not addresses:
        raise ArnError(
            f"{dataset.name} cannot be fetched by a program. Get it from {dataset.source}; "
            "or name a mirror's ZIP file: from=ADDRESS"
        )
    for address in addresses:
        if not address.lower().startswith(("http://", "https://")):
            raise ArnError(f"from={address}: an address that begins with http:// or https://, please")
    root = data_root() if root is None else root
    target, passing = root / dataset.name, root / f".{dataset.name}.fetch"
    if target.exists():
        raise ArnError(
            f"{target} is there already. Check it with arn data verify {dataset.name}, or move it away first."
        )
    try:
        passing.mkdir(parents=True, exist_ok=True)
        sums = {}
        unpacked = passing / dataset.name
        shutil.rmtree(unpacked, ignore_errors=True)
        for address in addresses:
            archive = passing / (Path(urllib.parse.urlparse(address).path).name or "archive.zip")
            sums[archive.name] = _download(address, archive, progress)
            _unpack(archive, unpacked, address)
        pairs = find_dataset(dataset.name, passing)
        if len(pairs) != dataset.count:
            raise ArnError(
                f"{addresses[0]}: {len(pairs)} pairs, where {dataset.name} is published with {dataset.count}. They lie "
                f"in {unpacked}; move them to {target} if they are what you want."
            )
        unpacked.rename(target)
        shutil.rmtree(passing)
    except OSError as error:
        raise ArnError(
            f"Cannot write below {root}: {error.strerror or error}. Free the disk or set ARN_DATA_DIR."
        ) from error
    return len(pairs), sums


def _download(address: str, archive: Path, progress: Progress) -> str:
    """Into `archive`, going on with what an earlier try left in `<archive>.part`. Returns the SHA-256."""
    part = archive.with_name(archive.name + ".part")
    if not archive.is_file():
        done = part.stat().st_size if part.is_file() else 0
        headers = {"User-Agent": "arn"} | ({"Range": f"bytes={done}-"} if done else {})
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
                if answer.status != 206:  # the server began at the beginning again
                    done = 0
                length = answer.headers.get("Content-Length")
                total = done + int(length) if length else None
                with part.open("ab" if done else "wb") as file:
                    while block := answer.read(_BLOCK):
                        file.write(block)
                        done += len(block)
                        progress(archive.name, done, total)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not done:
                raise ArnError(f"{address}: the server answers {error.code} {error.reason}") from error
            total = done  # nothing beyond what is there: it was whole
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            raise ArnError(
                f"{address} cannot be reached: {reason}. Start again to go on; or name a mirror: from=ADDRESS"
            ) from error
        if total is not None and done != total:
            raise ArnError(f"{address}: the connection broke after {done:,} of {total:,} bytes. Start again to go on.")
        part.rename(archive)
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(archive: Path, folder: Path, address: str) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            names = [one for one in content.namelist() if not one.startswith("__MACOSX/") and "/._" not in f"/{one}"]
            content.extractall(folder, names)  # takes leading slashes and .. out of names by itself
    except (zipfile.BadZipFile, EOFError) as error:
        archive.unlink()
        raise ArnError(
            f"{address}: what came is no whole ZIP file ({error}). Start again, or name a mirror: from=ADDRESS"
        ) from error
