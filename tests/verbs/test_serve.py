"""`arn serve`: the app in this process, the command in one of its own, and the page in a real browser."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from arn.cli import main
from arn.data.scenes import draw_scene
from arn.errors import ArnError
from arn.inference.methods import Classical
from arn.verbs import serve

pytest.importorskip("starlette")
import uvicorn
from starlette.testclient import TestClient

from arn.serving import app as app_module
from arn.serving.app import make_app
from arn.serving.limits import Budget, Limits

HOST = "127.0.0.1:8000"


class Held(Classical):
    """`mb`, which can be held up, and remembers how many pictures it was given at a time."""

    def __init__(self):
        super().__init__("mb")
        self.goes, self.began, self.sizes = threading.Event(), threading.Event(), []
        self.goes.set()

    def maps(self, pictures):
        self.sizes.append(len(pictures))
        self.began.set()
        assert self.goes.wait(60)
        return super().maps(pictures)


@contextmanager
def client(method=None, limits=None, **options):
    app = make_app(method or Classical("mb"), limits or Limits(), **options)
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def asking():
    with client() as opened:
        yield opened


def encoded(index=0, size=(40, 60), format="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(draw_scene(0, index, size)[0]).save(out, format, **options)
    return out.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


def refused(answer, status):
    """The error's text, once it is seen to be one line of JSON."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.text.count("\n") == 1
    told = answer.json()
    assert set(told) == {"error"}
    return told["error"]


def metric(opened, line):
    found = re.search(rf"^{re.escape(line)} (\S+)$", opened.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


# ------------------------------------------------------------------------------------------------------------ images


@pytest.mark.parametrize(("kind", "suffix"), [("map", "png"), ("cutout", "png"), ("overlay", "jpg")])
def test_it_is_the_file_that_predict_writes(asking, tmp_path, kind, suffix):
    (tmp_path / "one.png").write_bytes(encoded())
    arguments = [f"input={tmp_path / 'one.png'}", f"output={tmp_path / 'out'}", "method=mb", f"as={kind}"]
    assert main(["predict", *arguments]) == 0
    answer = asking.post(f"/?as={kind}", content=encoded())
    sent, written = Image.open(io.BytesIO(answer.content)), Image.open(tmp_path / "out" / f"one.{suffix}")
    assert (sent.format, sent.mode) == (written.format, written.mode)
    assert np.array_equal(np.asarray(sent), np.asarray(written))
    assert answer.headers["content-type"] == f"image/{suffix.replace('jpg', 'jpeg')}"


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("kind", ["map", "cutout", "overlay"])
def test_kinds_and_formats(asking, kind, format):
    answer = asking.post(f"/?as={kind}&format={format}", content=encoded())
    if (kind, format) == ("cutout", "jpeg"):
        assert "transparency" in refused(answer, 400)
        return
    image = opened(answer.content)
    assert image.format == format.upper()
    assert image.size == (60, 40)
    assert ("A" in image.mode) == (kind == "cutout")


def test_a_turned_picture_comes_back_upright(asking):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(format="JPEG", exif=exif)
    assert opened(asking.post("/", content=turned).content).size == (40, 60)


def test_a_form_is_as_good_as_a_body(asking):
    for picture in (encoded(), encoded(size=(700, 700))):  # the second is held on disk meanwhile
        sent = asking.post("/?as=map", files={"file": ("any name", picture)})
        assert sent.content == asking.post("/?as=map", content=picture).content


# ----------------------------------------------------------------------------------------------------------- batches


def test_pictures_that_come_while_the_network_is_busy_go_together():
    method = Held()
    pictures = [encoded(index, (30 + index, 40)) for index in range(6)]
    with client(method, batch_size=4) as opened, ThreadPoolExecutor(6) as threads:
        alone = [opened.post("/?as=map", content=picture).content for picture in pictures]
        method.goes.clear()
        method.began.clear()
        method.sizes.clear()
        first = threads.submit(opened.post, "/?as=map", content=pictures[0])
        assert method.began.wait(60)
        others = [threads.submit(opened.post, "/?as=map", content=picture) for picture in pictures[1:]]
        until = time.monotonic() + 60
        while metric(opened, "arn_queue_length") < 5 and time.monotonic() < until:
            time.sleep(0.01)
        assert metric(opened, "arn_in_flight") == 6
        method.goes.set()
        assert [one.result().content for one in (first, *others)] == alone
        assert method.sizes == [1, 4, 1]
        assert metric(opened, 'arn_batch_pictures_bucket{le="4.0"}') == metric(opened, "arn_batch_pictures_count")


def test_a_picture_that_fails_spoils_none_that_came_with_it():
    class Failing(Held):
        def maps(self, pictures):
            made = super().maps(pictures)
            if any(picture.shape[0] == 31 for picture in pictures):
                raise ArnError("31 is no height")
            return made

    method = Failing()
    with client(method) as opened, ThreadPoolExecutor(4) as threads:
        method.goes.clear()
        waiting = [threads.submit(opened.post, "/", content=encoded(size=(height, 40))) for height in (30, 31, 32, 33)]
        until = time.monotonic() + 60
        while metric(opened, "arn_queue_length") < 3 and time.monotonic() < until:
            time.sleep(0.01)
        method.goes.set()
        answers = [one.result() for one in waiting]
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200]
    assert refused(answers[1], 500) == "31 is no height"


# ------------------------------------------------------------------------------------------------------------ limits


def driven(limits, receive, *headers):
    """The answer to a POST / whose body comes from `receive`: Starlette's own client reads all of it beforehand.

    Status, error, headers, and how often `receive` was called before them.
    """
    sent, calls = [], []

    async def counted():
        calls.append(0)
        return await receive()

    async def send(message):
        sent.append({**message, "calls": len(calls)})

    given = [(b"host", HOST.encode()), *headers]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": given}
    asyncio.run(make_app(Classical("mb"), limits)(scope, counted, send))
    assert not sent[-1].get("more_body")
    return sent[0]["status"], json.loads(sent[1]["body"])["error"], dict(sent[0]["headers"]), sent[0]["calls"]


@pytest.mark.parametrize("type_", [b"image/png", b"multipart/form-data; boundary=x"])
def test_an_endless_body_is_refused_at_the_limit_and_ended_a_while_later(type_, monkeypatch):
    monkeypatch.setattr(app_module, "LINGER", 0.05)
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(1000)

    async def endless():
        nonlocal part
        body, part = part, bytes(1000)
        await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": True}

    given = (b"content-type", type_), (b"transfer-encoding", b"chunked")
    status, error, headers, calls = driven(Limits(megabytes=0.01), endless, *given)
    assert status == 413
    assert "0.01 MB" in error
    assert headers[b"connection"] == b"close"
    assert calls <= 11


def test_a_body_announced_beyond_the_limit_is_refused_unread(monkeypatch):
    monkeypatch.setattr(app_module, "LINGER", 0.05)
    status, *_, calls = driven(Limits(megabytes=0.01), silent, (b"content-length", b"10001"))
    assert (status, calls) == (413, 0)


async def silent():
    await asyncio.sleep(3600)


def png_of(width, height):
    """The beginning of a PNG, up to where its pixels would follow."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + bytes(4)
        + b"IDAT"
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])  # PIL warns of the second, and refuses the third itself
def test_too_many_pixels_are_not_decoded(asking, monkeypatch, side):
    monkeypatch.setattr(app_module, "read_picture", lambda *_: pytest.fail("it was decoded"))
    assert "too large" in (told := refused(asking.post("/", content=png_of(side, side)), 413)) or "megapixels" in told


def test_no_more_requests_than_allowed_at_a_time():
    method = Held()
    with client(method, Limits(requests=1)) as opened, ThreadPoolExecutor(1) as threads:
        method.goes.clear()
        first = threads.submit(opened.post, "/", content=encoded())
        assert method.began.wait(60)
        turned_away = opened.post("/", content=encoded())
        assert "try again" in refused(turned_away, 503)
        assert turned_away.headers["retry-after"] == "1"
        assert opened.get("/healthz").status_code == 200
        method.goes.set()
        assert first.result().status_code == 200
        assert opened.post("/", content=encoded()).status_code == 200


def test_no_longer_than_allowed():
    method = Held()
    with client(method, Limits(seconds=0.2)) as opened:
        method.goes.clear()
        assert "0.2 seconds" in refused(opened.post("/", content=encoded()), 504)
        assert "0.2 seconds" in refused(opened.post("/", content=encoded()), 504)  # it never left the queue
        method.goes.set()
        while metric(opened, "arn_queue_length"):
            time.sleep(0.01)
        assert method.sizes == [1], "a map was made that nobody waited for"
        assert metric(opened, "arn_in_flight") == 0


def test_a_body_that_does_not_arrive(monkeypatch):
    monkeypatch.setattr(app_module, "LINGER", 0.05)
    status, error, *_ = driven(Limits(seconds=0.05), silent, (b"content-length", b"10"))
    assert status == 408
    assert error.startswith("the picture did not arrive")


def test_pixels_in_memory_are_shared_out_in_turn():
    begun = []

    async def hold(budget, amount):
        async with budget.take(amount):
            begun.append(amount)
            held = budget.used
            await asyncio.sleep(0)
            return held

    async def run():
        budget = Budget(10)
        return await asyncio.gather(*(hold(budget, amount) for amount in (6, 3, 5, 1, 20, 2)))

    assert asyncio.run(run()) == [6, 9, 5, 6, 20, 2]
    assert begun == [6, 3, 5, 1, 20, 2]


def test_pixels_that_a_thread_still_works_on_are_not_given_away():
    async def run():
        budget, thread = Budget(10), Future()
        thread.set_running_or_notify_cancel()

        async def work():
            async with asyncio.timeout(0.01), budget.take(7) as begun:
                begun.append(thread)
                await asyncio.wrap_future(thread)

        with pytest.raises(TimeoutError):
            await work()
        held = budget.used
        thread.set_result(None)
        await asyncio.sleep(0)
        return held, budget.used

    assert asyncio.run(run()) == (7, 0)


@pytest.mark.parametrize(
    ("query", "sent", "status", "names"),
    [
        ("", {"content": b"{}", "headers": {"Content-Type": "application/json"}}, 415, "application/json"),
        ("", {"content": b"x", "headers": {"Content-Encoding": "gzip"}}, 415, "gzip"),
        ("", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
        ("", {"files": {"picture": b"x"}}, 400, "`file`"),
        ("", {"files": {"file": b"x"}, "data": {"as": "map"}}, 400, "fields"),
        ("", {"content": b""}, 422, "0 bytes"),
        ("", {"content": b"a picture, honestly"}, 422, "no picture"),
        ("", {"content": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}, 422, "no picture"),
        ("", {"content": encoded()[:200]}, 422, "truncated"),
        ("", {"content": encoded(format="JPEG")[:-100]}, 422, "damaged"),
        ("?as=painting", {"content": encoded()}, 400, "as=painting"),
        ("?format=gif", {"content": encoded()}, 400, "format=gif"),
        ("?kind=map", {"content": encoded()}, 400, "kind"),
        ("nowhere", {"content": encoded()}, 404, "Not Found"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_line(asking, query, sent, status, names):
    assert names in refused(asking.post(f"/{query}", **sent), status)


def test_other_methods(asking):
    answer = asking.put("/", content=encoded())
    assert refused(answer, 405) == "Method Not Allowed"
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


def test_a_defect_is_told_and_survived():
    class Defect(Classical):
        def maps(self, pictures):
            raise KeyError("secret")

    with client(Defect("mb")) as opened:
        told = refused(opened.post("/", content=encoded()), 500)
        assert "KeyError" in told
        assert "secret" not in told
        assert opened.get("/healthz").json() == {"status": "ok"}


# ------------------------------------------------------------------------------------------------- who may call it


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "192.0.2.7"}, 200),
        ({"Host": "cutouts.example:8000"}, 200),
        ({"Origin": f"http://{HOST}"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "rebound.example", "Origin": "http://rebound.example"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "https://other.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_are_turned_away(headers, status):
    with client(names=["cutouts.example"]) as opened:
        answer = opened.post("/", content=encoded(), headers=headers)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# ------------------------------------------------------------------------------------------------- what it tells of


def test_metrics_count_what_was_done():
    with client() as opened:
        for content in (encoded(size=(20, 30)), encoded(size=(20, 30)), b"nothing"):
            opened.post("/", content=content)
        opened.get("/nowhere/in/particular")
        assert metric(opened, 'arn_requests_total{path="/",status="200"}') == 2
        assert metric(opened, 'arn_requests_total{path="/",status="422"}') == 1
        assert metric(opened, 'arn_requests_total{path="other",status="404"}') == 1
        assert metric(opened, "arn_pixels_total") == 2 * 20 * 30
        assert metric(opened, "arn_request_seconds_count") == 3
        assert metric(opened, 'arn_request_seconds_bucket{le="+Inf"}') == 3
        assert metric(opened, "arn_in_flight") == metric(opened, "arn_queue_length") == 0


def test_the_description_is_of_what_there_is(asking):
    told = asking.get("/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    for path, methods in told["paths"].items():
        if "get" in methods:
            answer = asking.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].partition(";")[0] in methods["get"]["responses"]["200"]["content"]
    asked = {one["name"]: one["schema"] for one in told["paths"]["/"]["post"]["parameters"]}
    for kind in asked["as"]["enum"]:
        for format in asked["format"]["enum"]:
            assert asking.post(f"/?as={kind}&format={format}", content=encoded()).status_code in (200, 400)
    docs = asking.get("/docs").text
    for code, answer in told["paths"]["/"]["post"]["responses"].items():
        assert code in docs
        assert answer["description"].replace("'", "&#x27;") in docs


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_hold_all_that_they_need(asking, path):
    answer = asking.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert re.findall(r"https?://(?!127\.0\.0\.1|www\.w3\.org)", answer.text) == []
    assert asking.head(path).status_code == 200


# ------------------------------------------------------------------------------------------------------- the command


@contextmanager
def running(*options):
    """The command in a process of its own; gives it and its address."""
    command = [sys.executable, "-m", "arn", "serve", "port=0", "method=mb", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        assert lines[0] == "mb on CPU, 1 thread\n", process.stderr.read()
        yield process, re.match(r"http://127\.0\.0\.1:\d+(?= )", lines[1])[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize(("by", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_serves_and_ends_as_asked(by, status):
    with running("max_megabytes=1") as (process, url):
        with urlopen(Request(f"{url}/?as=cutout", encoded(), {"Content-Type": "image/png"})) as answer:
            assert opened(answer.read()).mode == "RGBA"
        with pytest.raises(HTTPError) as error:
            urlopen(Request(url, bytes(3_000_000)))
        assert error.value.code == 413
        assert "1 MB" in json.loads(error.value.read())["error"]
        # One request is half sent when the end is asked for: it is answered all the same.
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as raw:
            data = encoded()
            head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
            raw.sendall(head.encode() + data[:50])
            until = time.monotonic() + 60
            while b"arn_in_flight 1.0" not in urlopen(f"{url}/metrics").read() and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(by)
            raw.sendall(data[50:])
            assert raw.recv(15) == b"HTTP/1.1 200 OK"
        out, err = process.communicate(timeout=60)
        assert process.returncode == status
        assert "Traceback" not in err
        assert out + err == ("arn serve: interrupted\n" if by == signal.SIGINT else "")


def test_a_port_that_is_taken_is_told_in_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", f"port={port}", "method=mb"]) == 2
    told = capsys.readouterr().err
    assert f"port={port}: address already in use" in told
    assert "port=0" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("port=70000", "port=70000"),
        ("host=no.such.host.invalid", "host=no.such.host.invalid"),
        ("max_requests=0", "max_requests=0"),
        ("timeout=0", "timeout=0"),
        ("method=gbvs", "gbvs"),
        ("tta=flip", "tta="),
        ("max_pixels=3", "max_pixels"),
    ],
)
def test_bad_arguments(capsys, argument, names):
    given = {"port": "0", "method": "mb"} | dict([argument.split("=")])
    assert main(["serve", *(f"{key}={value}" for key, value in given.items())]) == 2
    told = capsys.readouterr().err
    assert names in told
    assert "Traceback" not in told


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(serve, "PACKAGES", ("no_such_package",))
    assert main(["serve", "port=0", "method=mb"]) == 2
    assert "no_such_package is needed and not installed: pip install 'arn-saliency[serve]'" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------- a real browser


@pytest.fixture(scope="module")
def service():
    """A running service, by its method and address."""
    method = Held()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = make_app(method, Limits(megapixels=0.05))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", http="h11"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield method, "http://{}:{}".format(*listener.getsockname())
        server.should_exit = True
        thread.join()


class Page:
    """The page at `/`, by what a visitor sees and does."""

    def __init__(self, driver, url, width, height, mobile):
        self.driver = driver
        told = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)
        driver.get(url)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def until(self, holds):
        end = time.monotonic() + 60
        while not (result := holds()) and time.monotonic() < end:
            time.sleep(0.02)
        assert result, self.one("body").text
        return result

    def choose(self, *paths):
        self.one("#file").send_keys("\n".join(map(str, paths)))

    def give(self, kind, *files):
        """Let (name, bytes) come by `drop` or `paste`."""
        self.driver.execute_script(
            """const data = new DataTransfer();
            for (const [name, content] of arguments[1])
              data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
            const options = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(arguments[0] === 'drop'
              ? new DragEvent('drop', { ...options, dataTransfer: data })
              : new ClipboardEvent('paste', { ...options, clipboardData: data }));""",
            kind,
            [(name, base64.b64encode(content).decode()) for name, content in files],
        )

    def result(self):
        """The image that is shown as the result, once there is one."""
        after = self.one("#after")
        self.until(lambda: after.is_displayed() and after.get_property("complete"))
        content = self.driver.execute_script(
            """const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [arguments[0].naturalWidth, arguments[0].naturalHeight];
            canvas.getContext('2d').drawImage(arguments[0], 0, 0);
            return canvas.toDataURL().split(',')[1];""",
            after,
        )
        return opened(base64.b64decode(content))

    def share(self):
        """Where the result begins, in hundredths of the width."""
        found = re.match(r"inset\(0px 0px 0px ([\d.]+)%\)", self.one("#after").value_of_css_property("clip-path"))
        return float(found[1])


@pytest.fixture(params=[(1280, 900, False), (390, 844, True)], ids=["desktop", "phone"])
def page(chromium, service, request):
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    yield Page(chromium, service[1], *request.param)
    chromium.execute_script("localStorage.clear()")
    chromium.get_log("browser")


def test_a_picture_is_chosen_compared_and_saved(page, service, tmp_path):
    from selenium.webdriver import ActionChains, Keys

    (tmp_path / "a b.png").write_bytes(encoded(size=(90, 120)))
    wide = page.driver.execute_script("return document.documentElement.clientWidth")
    page.choose(tmp_path / "a b.png")
    assert page.result().size == (120, 90)
    assert page.one("#caption").text.startswith("a b.png, 120 \u00d7 90 px")
    assert page.share() == 50
    page.one("#share").send_keys(Keys.HOME)
    assert page.share() == 0
    page.one("#share").send_keys(Keys.ARROW_RIGHT)
    assert page.share() == 1
    stage = page.one("#stage")
    ActionChains(page.driver).move_to_element(stage).click_and_hold().move_by_offset(
        stage.rect["width"] // 4, 0
    ).release().perform()
    assert page.share() == pytest.approx(75, abs=2)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= wide
    # Another kind, and the file that it is saved as.
    cut = page.one("#after").get_property("src")
    page.all("input[name=kind]")[2].send_keys(Keys.SPACE)
    page.until(lambda: page.one("#save").is_enabled() and page.one("#after").get_property("src") != cut)
    told = {"behavior": "allow", "downloadPath": str(tmp_path / "saved"), "eventsEnabled": False}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", told)
    page.one("#save").click()
    saved = tmp_path / "saved" / "a b_map.png"
    page.until(saved.is_file)
    with urlopen(Request(f"{service[1]}/?as=map", (tmp_path / "a b.png").read_bytes())) as answer:
        assert saved.read_bytes() == answer.read()
    assert page.driver.get_log("browser") == []


def test_pictures_are_dropped_and_pasted_and_made_one_after_the_other(page, service):
    method, _ = service
    method.sizes.clear()
    page.give("drop", *((f"{index}.png", encoded(index, (50, 60 + index))) for index in range(3)))
    assert page.result().size == (60, 50)
    page.give("paste", ("pasted.png", encoded(3, (50, 80))))
    page.until(lambda: "80 \u00d7 50" in page.one("#caption").text and page.one("#save").is_enabled())
    assert page.result().size == (80, 50)
    page.until(lambda: not any(mark.is_displayed() for mark in page.all("#strip .mark")))
    assert method.sizes == [1, 1, 1, 1]
    names = [button.text for button in page.all("#strip button")]
    assert names == ["0.png", "1.png", "2.png", "pasted.png"]
    page.all("#strip button")[1].click()
    assert page.result().size == (61, 50)
    assert page.all("#strip button")[1].get_attribute("aria-current") == "true"


def test_what_goes_wrong_is_shown(page):
    page.give("drop", ("notes.txt", b"no picture"), ("large.png", encoded(size=(300, 300))), ("good.png", encoded()))
    error = page.one("#error")
    page.until(error.is_displayed)
    assert "notes.txt: the body (10 bytes) is no picture" in error.text
    assert not page.one("#save").is_enabled()
    page.until(lambda: len([mark for mark in page.all("#strip .mark") if mark.text == "failed"]) == 2)
    page.all("#strip button")[1].click()
    assert "0.05 are allowed" in error.text
    page.all("#strip button")[2].click()
    page.result()
    assert not error.is_displayed()
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.enable", {})
    try:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        page.give("paste", ("late.png", encoded()))
        page.until(error.is_displayed)
        assert "does not answer" in error.text
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": False})


def test_a_full_service_is_asked_again(page, service, monkeypatch):
    answers = iter([503])

    async def busy(*given):
        for status in answers:
            raise app_module.HTTPException(status, "full", {"Retry-After": "0.01"})
        return await made(*given)

    made = app_module.read_body
    monkeypatch.setattr(app_module, "read_body", busy)
    page.give("drop", ("a.png", encoded()))
    assert page.result().size == (60, 40)


def test_nothing_is_asked_of_anybody_else(page, service):
    _, url = service
    page.give("drop", ("a.png", encoded()))
    page.result()
    page.driver.get(f"{url}/docs")
    messages = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert any("as=cutout" in one for one in urls)
    assert [one for one in urls if not one.startswith((f"{url}/", f"blob:{url}/", "data:"))] == []


def test_everything_is_reached_by_keys_and_has_a_name(page):
    from selenium.webdriver import ActionChains, Keys

    page.give("drop", ("a.png", encoded()), ("b.png", encoded(1)))
    page.until(lambda: not any(mark.is_displayed() for mark in page.all("#strip .mark")))
    reached = []
    for _ in range(8):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.append(page.driver.switch_to.active_element.accessible_name)
    assert reached == [
        *("Switch to the dark theme", "Choose pictures", "Cutout", "Save"),
        "Where the picture, on the left, and the result, on the right, meet",
        *("a.png", "b.png", "the interface"),
    ]
    assert [image.get_attribute("alt") for image in page.all("#stage img")] == ["The picture a.png", "Cutout of a.png"]


def test_dark_and_light(page):
    light = page.one("html").value_of_css_property("background-color")
    page.one("#theme").click()
    assert page.one("html").value_of_css_property("background-color") != light
    page.driver.refresh()
    assert page.one("#theme").text == "Light"
