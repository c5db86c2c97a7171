"""Fetching: from a server on this machine, whole or not at all, and going on where a connection broke."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import threading
import zipfile
from typing import ClassVar

import pytest

from arn.cli import main
from arn.data import fetch as module
from arn.data.catalogue import CATALOGUE
from arn.data.fetch import fetch
from arn.errors import ArnError


@pytest.fixture
def served():
    """{path: bytes} that a local server hands out, with ranges; `broken` breaks each answer off in the middle."""

    class Handler(http.server.BaseHTTPRequestHandler):
        files: ClassVar[dict[str, bytes]] = {}
        asked: ClassVar[list[str | None]] = []
        broken = False

        def do_GET(self):
            data = self.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            given = self.headers.get("Range")
            self.asked.append(given)
            start = int(given.removeprefix("bytes=").rstrip("-")) if given else 0
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if given else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            left = data[start:]
            self.wfile.write(left[: len(left) // 2] if self.broken else left)

        def log_message(self, *_):
            pass

    Handler.files, Handler.asked = {}, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.address = f"http://127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def archive(tiny_dataset):
    """A ZIP file of six pairs in ECSSD's released layout, with the litter that a Mac leaves."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for place, released in (("images", "images"), ("masks", "ground_truth_mask")):
            for path in sorted((tiny_dataset / place).iterdir()):
                file.write(path, f"{released}/{path.name}")
        file.writestr("__MACOSX/images/._0000.png", "litter")
        file.writestr("images/._0000.png", "litter")
    return data.getvalue()


@pytest.fixture
def small(monkeypatch):
    """ECSSD as if it were published with six pairs."""
    monkeypatch.setitem(CATALOGUE, "ECSSD", dataclasses.replace(CATALOGUE["ECSSD"], count=6))


def test_fetched_and_checked(served, archive, small, tmp_path, monkeypatch, capsys):
    served.files["/e.zip"] = archive
    monkeypatch.setenv("ARN_DATA_DIR", str(tmp_path / "data"))
    assert main(["data", "fetch", "ecssd", f"from={served.address}/e.zip"]) == 0
    told = capsys.readouterr().out
    assert "6 pairs" in told
    assert hashlib.sha256(archive).hexdigest() in told
    assert CATALOGUE["ECSSD"].citation in told
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ECSSD"]
    assert main(["data", "verify", "ECSSD"]) == 0
    assert main(["data", "fetch", "ECSSD", f"from={served.address}/e.zip"]) == 2
    assert "there already" in capsys.readouterr().err


def test_the_catalogues_own_archives_are_taken(served, archive, tmp_path, monkeypatch):
    served.files |= {"/images.zip": archive}
    ours = dataclasses.replace(CATALOGUE["ECSSD"], count=6, archives=(f"{served.address}/images.zip",))
    monkeypatch.setitem(CATALOGUE, "ECSSD", ours)
    pairs, sums = fetch("ECSSD", root=tmp_path)
    assert pairs == 6
    assert list(sums) == ["images.zip"]


def test_a_broken_connection_is_gone_on_from(served, archive, small, tmp_path):
    served.files["/e.zip"] = archive
    served.broken = True
    for _ in range(2):
        with pytest.raises(ArnError, match="Start again to go on"):
            fetch("ECSSD", [f"{served.address}/e.zip"], tmp_path)
    assert not (tmp_path / "ECSSD").exists()
    served.broken = False
    seen = []
    pairs, sums = fetch("ECSSD", [f"{served.address}/e.zip"], tmp_path, lambda *at: seen.append(at))
    assert pairs == 6
    assert sums["e.zip"] == hashlib.sha256(archive).hexdigest()
    first, second, third = served.asked
    assert first is None
    assert 0 < int(second[6:-1]) < int(third[6:-1])
    assert seen[-1] == ("e.zip", len(archive), len(archive))
    assert [path.name for path in tmp_path.iterdir() if path.name != "TINY"] == ["ECSSD"]


def test_what_cannot_be_fetched_is_said_and_nothing_is_laid(served, archive, small, tmp_path, monkeypatch):
    served.files |= {"/e.zip": archive, "/page.zip": b"<html>moved</html>", "/half.zip": archive[: len(archive) // 2]}
    root = tmp_path / "root"
    for name, addresses, told in (
        ("ECSD", [], "catalogue"),
        ("HKU-IS", [], "from=ADDRESS"),
        ("ECSSD", ["ftp://127.0.0.1/e.zip"], "http"),
        ("ECSSD", [f"{served.address}/none.zip"], "404"),
        ("ECSSD", [f"{served.address}/page.zip"], "ZIP"),
        ("ECSSD", [f"{served.address}/half.zip"], "ZIP"),
        ("ECSSD", ["http://127.0.0.1:9/e.zip"], "cannot be reached"),
        ("SOD", [f"{served.address}/e.zip"], "No pictures with masks"),
    ):
        with pytest.raises(ArnError, match=told):
            fetch(name, addresses, root)
        assert not (root / name).exists()
    monkeypatch.setitem(CATALOGUE, "ECSSD", dataclasses.replace(CATALOGUE["ECSSD"], count=7))
    with pytest.raises(ArnError, match="6 pairs, where ECSSD is published with 7"):
        fetch("ECSSD", [f"{served.address}/e.zip"], root)
    assert not (root / "ECSSD").exists()


def test_an_archive_cannot_write_outside(served, small, tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("../../escaped.png", "x")
    served.files["/evil.zip"] = data.getvalue()
    with pytest.raises(ArnError):
        fetch("ECSSD", [f"{served.address}/evil.zip"], tmp_path / "deep" / "root")
    assert not list(tmp_path.rglob("../escaped.png"))
    assert [path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("escaped.png")] == [
        ("deep", "root", ".ECSSD.fetch")
    ]


def test_no_space_left(served, archive, small, tmp_path, monkeypatch):
    served.files["/e.zip"] = archive

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.zipfile.ZipFile, "extractall", full)
    with pytest.raises(ArnError, match="No space left"):
        fetch("ECSSD", [f"{served.address}/e.zip"], tmp_path)
    assert not (tmp_path / "ECSSD").exists()
