"""What every test stands on: a quiet, offline, repeatable surrounding, and the way to the real pictures.

No torch here: `pytest --collect-only` and the tests that need none should not wait seconds for its import.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# Before anything imports them: each of these is read once, at import.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else albumentations asks the network for its latest version
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ.pop("HYDRA_FULL_ERROR", None)  # tests of error messages must see what a user sees
# Tests multiply small tensors: beyond a few threads each operation costs its own synchronisation. Beside other workers
# of pytest-xdist one is enough.
os.environ.setdefault(
    "OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else str(min(4, os.cpu_count() or 1))
)

# A shell's background ignores SIGINT, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_REAL = "ARN_REQUIRE_REAL"


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("real")
    yield  # what is not asked for goes
    if not hasattr(config, "workerinput"):
        return
    # Each process of pytest-xdist begins with a stretch of the list: slow modules are shared out to the heads of the
    # stretches, so that no process is left with a long one at the end.
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
    stretches: list[list[pytest.Item]] = [[] for _ in range(config.workerinput["workercount"])]
    for found in sorted(modules.values(), key=lambda found: found[0].get_closest_marker("slow") is None):
        min(stretches, key=len).extend(found)
    items[:] = [item for stretch in stretches for item in stretch]


def _fail_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{REQUIRE_REAL}=1 and a test on real pictures skipped: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    real = item.get_closest_marker("real") is not None
    if os.environ.get(REQUIRE_REAL) == "1" and real and report.skipped and not hasattr(report, "wasxfail"):
        _fail_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself hides its markers, so where real pictures are required none may."""
    report = yield
    if os.environ.get(REQUIRE_REAL) == "1" and report.skipped:
        _fail_skip(report)
    return report


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data root with the real pictures and weights; skips where there is none. Marks the test `real`."""
    root = os.environ.get("ARN_DATA_DIR")
    if not root:
        pytest.skip("ARN_DATA_DIR is not set: no real pictures")
    if not Path(root).is_dir():
        pytest.skip(f"ARN_DATA_DIR={root} is not a folder")
    return Path(root)


LOCAL = {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", b"localhost", b"127.0.0.1"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test passes or fails the same with the network and without: only this machine can be reached.

    An ``OSError`` is what being offline looks like to the libraries, so that fallbacks run as they would.
    """
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo
    names = LOCAL | {socket.gethostname()}

    def local_connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in names:
            raise OSError(f"tests are offline, and something connects to {address[0]}")
        connect(self, address)

    def local_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in names:
            raise socket.gaierror(f"tests are offline, and something looks up {host!r}")
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", local_connect)
    monkeypatch.setattr(socket, "getaddrinfo", local_getaddrinfo)


@pytest.fixture(autouse=True)
def _root_logger() -> Generator[None]:
    """A command that is run in this process leaves no handler on the root logger: ``--info`` of Hydra's does."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in set(root.handlers).difference(handlers):
        root.removeHandler(handler)


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A data set of six drawn scenes, 64 x 64, in the plain layout: ``TINY/{images,masks}/0000.png ...``."""
    from PIL import Image

    from arn.data.scenes import draw_scene

    root = tmp_path / "TINY"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(6):
        picture, mask = draw_scene(0, index, (64, 64))
        Image.fromarray(picture).save(root / "images" / f"{index:04d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{index:04d}.png")
    return root


# A network small enough for a test: the light one at 64 px, from random numbers.
TINY_RUN = (
    "network.input_size=64",
    "pretrained=false",
    "data.cache=64",
    "data.train_limit=16",
    "data.test_limit=3",
    "data.val=4",
    "data.batch_size=4",
    "data.workers=0",
    "schedule=constant",
    "trainer.max_epochs=1",
    "panels=1",
)


# Smaller still, and without BatchNorm: the paper's decoder, narrow, on an extractor made for tests.
PLAIN_NETWORK = (
    "network=arn",
    "network.backbone=timm:test_convnext",
    "network.strides=[4,8,16,32]",
    "network.rcl.channels=[8,8,8]",
    "network.attention.strides=[16]",
    "network.decoder.channels=[16,16,8]",
    "network.decoder.convs=1",
)


@pytest.fixture(scope="session")
def tiny_overrides() -> list[str]:
    return list(TINY_RUN)


@pytest.fixture(scope="session")
def plain_overrides() -> list[str]:
    """A tiny run whose network has no BatchNorm."""
    return [*TINY_RUN, *PLAIN_NETWORK, "panels=0"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a finished tiny training, made through the command line."""
    from arn.cli import main

    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *TINY_RUN, f"hydra.run.dir={run}"]) == 0
    return run


class Cluster:
    """The stand-in for SLURM of tests/slurm_stand_in.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def submitted(self) -> list[str]:
        """The batch scripts that `sbatch` was given."""
        return [path.read_text() for path in sorted(self.folder.glob("*.sh"))]


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster on the PATH. It runs what it is given, with the variables of a job array, on this machine."""
    pytest.importorskip("submitit")
    folder = tmp_path_factory.mktemp("slurm")
    program = Path(__file__).parent / "slurm_stand_in.py"
    for name in ("sbatch", "srun", "sacct", "scancel"):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" {name} "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ARN_TEST_SLURM", str(folder))
    return Cluster(folder)


@pytest.fixture(scope="session")
def read_wandb() -> Any:
    """`read` of tests/wandb_file.py."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("wandb_file", Path(__file__).with_name("wandb_file.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Headless Chromium; nothing is downloaded for it. Skips where there is none, unless ARN_REQUIRE_CHROMIUM=1."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        reason = "no Chromium with its chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("ARN_REQUIRE_CHROMIUM") == "1":
            pytest.fail(f"ARN_REQUIRE_CHROMIUM=1, but {reason}")
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless=new",
        "--no-sandbox",  # root, as in containers
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--window-size=1280,900",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(60)
    yield browser
    browser.quit()
