"""Fetching a data set from where its authors put it: resumed where a connection broke, whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import urllib.error
import urllib.parse
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from arn.data.catalogue import CATALOGUE, by_name, data_root
from arn.data.layout import find_dataset
from arn.data.web import open_address
from arn.errors import ArnError

Progress = Callable[[str, int, int | None], None]
_BLOCK = 1 << 20  # bytes
LARGEST = 64 << 30  # bytes of an archive, packed and unpacked; the largest set of the catalogue has half a gigabyte
LARGEST_MEMBER = 256 << 20
_OF_NAMES = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


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
            name = _name(address)
            # Of this address alone: another one's half, or its file of the same name, is another archive.
            archive = passing / hashlib.sha256(address.encode()).hexdigest()[:8] / name
            archive.parent.mkdir(exist_ok=True)
            sums[name if name not in sums else address] = _download(address, archive, progress)
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
        headers = {"Range": f"bytes={done}-"} if done else {}
        try:
            with open_address(address, headers, timeout=60) as answer:
                if answer.status != 206:  # the server began at the beginning again
                    done = 0
                length = answer.headers.get("Content-Length", "")
                total = done + int(length) if length.isdecimal() else None
                with part.open("ab" if done else "wb") as file:
                    while block := answer.read(_BLOCK):
                        file.write(block)
                        done += len(block)
                        if done > LARGEST:
                            raise ArnError(f"{address}: more than {LARGEST >> 30} GiB; no data set here is as large")
                        progress(archive.name, done, total)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not done:
                raise ArnError(f"{address}: the server answers {error.code} {error.reason}") from error
            total = done  # nothing beyond what is there: it was whole
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ArnError(
                f"{address} cannot be reached: {reason}. Start again to go on; or name a mirror: from=ADDRESS"
            ) from error
        if total is not None and done != total:
            raise ArnError(f"{address}: the connection broke after {done:,} of {total:,} bytes. Start again to go on.")
        part.rename(archive)
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(address: str) -> str:
    """The last part of an address, as the name of a file."""
    try:
        last = urllib.parse.unquote(urllib.parse.urlsplit(address).path).rpartition("/")[2]
    except ValueError as error:
        raise ArnError(f"from={address}: is no address ({error})") from error
    return "".join(sign if sign.isalnum() or sign in "-_. ()" else "_" for sign in last).strip(". ") or "archive.zip"


def _unpack(archive: Path, folder: Path, address: str) -> None:
    """Raises ArnError for what is no archive of pictures, and removes it: the next start is to have another."""
    try:
        with zipfile.ZipFile(archive) as content:
            names = [one for one in content.namelist() if not one.startswith("__MACOSX/") and "/._" not in f"/{one}"]
            wrong = _refused([content.getinfo(name) for name in names], archive.parent)
            if wrong is None:
                # Takes leading slashes and .. out of names by itself, and makes files of links.
                content.extractall(folder, names)
                return
    except OSError as error:
        if error.errno not in (None, *_OF_NAMES):  # of the disk: the archive may well be whole
            raise
        wrong = f"no whole ZIP file, or none with names of files ({error})"
    except Exception as error:  # zipfile, zlib and lzma raise whatever comes of damaged ones
        wrong = f"no whole ZIP file ({str(error) or type(error).__name__})"
    archive.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    raise ArnError(f"{address}: what came is {wrong}. Start again, or name a mirror: from=ADDRESS")


def _refused(members: Sequence[zipfile.ZipInfo], place: Path) -> str | None:
    """What is wrong with an archive, by what it says of itself; `zipfile` writes no more than that."""
    for member in members:
        if member.flag_bits & 1:
            return f"encrypted ({member.filename})"
        if member.file_size > LARGEST_MEMBER:
            return f"no set of pictures: {member.filename} has {member.file_size:,} bytes"
    total = sum(member.file_size for member in members)
    if total > min(LARGEST, shutil.disk_usage(place).free):
        return f"too large to unpack here ({total:,} bytes)"
    return None
