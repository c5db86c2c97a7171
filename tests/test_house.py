"""The house itself: metadata that must agree, commands that must explain themselves, files that must travel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import arn

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SUPPORTED = ("3.11", "3.12", "3.13")
CONFIGS = sorted(path for folder in ("conf", "sweeps") for path in (ROOT / folder).rglob("*.yaml"))


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Paths that git holds: what a fresh clone gets."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert version("arn-saliency") == arn.__version__ == str(citation["version"])


def test_python_range_is_the_same_everywhere() -> None:
    requires = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [minor for minor in range(8, 20) if f"3.{minor}" in requires] == [11, 12, 13]
    matrix = re.search(r"python: (\[.*?\])", (ROOT / ".github/workflows/ci.yml").read_text())
    assert matrix is not None
    assert {SUPPORTED[0], SUPPORTED[-1]} <= set(yaml.safe_load(matrix[1])) <= set(SUPPORTED)
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()


# --- constraints.txt ------------------------------------------------------------------------------------------------


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_constraints_hold_names_and_versions_only() -> None:
    for pin in pins():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), (
            pin
        )  # no local version (+cu, +cpu): those live on other indexes
        assert pin.url is None, pin


@pytest.mark.parametrize("python", SUPPORTED)
def test_constraints_cover_every_dependency(python: str) -> None:
    """One pin each, within our bounds, on Linux with every supported Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    chosen: dict[str, str] = {}
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in chosen, f"{name} is pinned twice for Python {python}"
            chosen[name] = str(pin.specifier).removeprefix("==")
    project = PYPROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    for line in project["dependencies"] + extras:
        wanted = Requirement(line)
        if wanted.name != project["name"] and (wanted.marker is None or wanted.marker.evaluate(environment)):
            name = canonicalize_name(wanted.name)
            assert name in chosen, f"{name} is missing: regenerate constraints.txt with the command at its top"
            assert chosen[name] in wanted.specifier, f"{name}=={chosen[name]} breaks {wanted}"


# --- Makefile -------------------------------------------------------------------------------------------------------


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # A `make test` above us exports its own flags and variables, which would turn this into a recursive make.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "ARGS"))}
    return subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):(?!=)", makefile, flags=re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    assert sorted(targets) == sorted(phony[1].split())
    shown = make("help").stdout
    for target in targets:
        assert re.search(rf"^  make {target} +\S", shown, flags=re.MULTILINE), f"make help does not explain {target}"
    assert make().stdout == shown


@pytest.mark.parametrize(
    ("python", "arn_command"), [("python", "arn train a=1 b=2"), ("/env/bin/python", "/env/bin/arn train a=1 b=2")]
)
def test_make_uses_the_environment_it_is_given(python: str, arn_command: str) -> None:
    """With PYTHON nothing is built: the dry run is the command alone."""
    assert make("-n", "train", f"PYTHON={python}", "ARGS=a=1 b=2").stdout.strip() == arn_command


def test_make_without_a_supported_python_says_so(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src/arn").mkdir(parents=True)
    (tmp_path / "src/arn/__init__.py").touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    for tool in ("sh", "make"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        ["make", "train"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "ARN needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / ".venv").exists()


# --- What a fresh clone holds ---------------------------------------------------------------------------------------


def test_a_fresh_clone_can_be_installed(tracked: list[str]) -> None:
    """git drops empty folders, and hatchling refuses to build without a folder that it is told to include."""
    for source in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]:
        assert any(name == source or name.startswith(f"{source}/") for name in tracked), (
            f"{source} holds no tracked file"
        )


def test_no_machine_paths_or_index_hosts_in_tracked_files(tracked: list[str]) -> None:
    # Written in pieces, so that this file does not find itself.
    hosts = [
        "files.python" + "hosted",
        "pypi" + ".org",
        "pypi" + ".python",
        "--index" + "-url",
        "--extra-index" + "-url",
    ]
    path = re.compile(
        r"(?<![\w.~-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers", "op" + "t"]) + r")/\w"
    )
    found = []
    for name in tracked:
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{name}: {host}" for host in hosts if host in text]
        found += [f"{name}: {match[0]}" for match in path.finditer(text)]
    assert found == []


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_config_opens_with_the_command_that_uses_it(config: Path) -> None:
    """conf/VERB.yaml with `arn VERB`, conf/GROUP/NAME.yaml with GROUP=NAME, a sweep with its name.

    What others inherit, conf/GROUP/FOLDER/NAME.yaml, names one of those.
    """
    opening = []
    for line in config.read_text().splitlines():
        if not line.startswith("#"):
            break
        opening.append(line)
    command = re.search(r"\b(arn|make) [a-z0-9]+\b.*", "\n".join(opening))
    assert command, "no command in the opening comment"
    group = config.parent.relative_to(ROOT).as_posix().removeprefix("conf").removeprefix("/")
    if "/" in group:
        group, _, choice = re.search(rf"\b({group.partition('/')[0]})(=)(\w+)", command[0]).groups()
        config = ROOT / "conf" / group / f"{choice}.yaml"
        assert config.is_file()
    uses = f"arn {config.stem}" if not group else config.stem if group == "sweeps" else f"{group}={config.stem}"
    assert re.search(rf"\b{re.escape(uses)}\b", command[0]), f"{command[0]!r} does not use {uses}"


# --- docs/paper.md says what the code does ---------------------------------------------------------------------------

PAPER = (ROOT / "docs/paper.md").read_text()


def test_paper_names_files_and_objects_that_exist() -> None:
    mentions = re.findall(r"`([a-z_/]+\.py)`(?:: (`[\w.]+`(?:, `[\w.]+`)*))?", PAPER)
    assert len(mentions) > 20
    for file, names in mentions:
        source = (ROOT / "src/arn" / file).read_text()
        for name in re.findall(r"\w+(?=`)", names):
            assert re.search(rf"(class|def) {name}\b|self\.{name} =", source), f"{file} defines no {name}"


def test_paper_states_the_values_of_the_config_it_names() -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["experiment=paper2018"])
    groups = "network|data|trainer|optimizer|schedule|loss"
    keys = re.findall(rf"`((?:{groups})\.[a-z_.]*[a-z])(?:=([^`]+))?`", PAPER)
    assert len(keys) > 20
    missing = object()
    for key, value in keys:
        stands = OmegaConf.select(config, key, default=missing)
        assert stands is not missing, f"docs/paper.md names {key}, which does not exist"
        # Values are stated once, in the tables; a key in a sentence on an ablation shows the ablation's value.
        if value and f"{key}={value}" not in PAPER.partition("## What is not the paper's")[2]:
            assert yaml.safe_load(value) == stands, f"docs/paper.md says {key}={value}, the config {stands}"


def test_paper_states_the_size_of_the_network() -> None:
    import torch

    from arn.networks import ARN, count_parameters

    with torch.device("meta"):  # counted, not filled
        network = ARN()
    for module in (network, network.backbone):
        assert f"{count_parameters(module):,}" in PAPER


# --- The tests' own rule: with ARN_REQUIRE_REAL=1 a skipped real-picture test is a failure ---------------------------

CASES = {
    "call": "@pytest.mark.real\ndef test_it():\n    pytest.skip('no pictures here')\n",
    "condition": "@pytest.mark.real\n@pytest.mark.skipif(True, reason='no pictures here')\ndef test_it(): pass\n",
    "fixture": "def test_it(data_dir): pass\n",
    "module": "pytest.skip('no pictures here', allow_module_level=True)\n",
}


def run_case(folder: Path, source: str, require: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests/conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = real: needs real pictures\n")
    (folder / "test_case.py").write_text(f"import pytest\n{source}")
    environment = {key: value for key, value in os.environ.items() if key != "ARN_DATA_DIR"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        # Plugins cost seconds of import a run, and none of them matters here.
        env=environment | {"ARN_REQUIRE_REAL": require, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("case", CASES)
def test_a_skipped_real_test_fails_where_real_pictures_are_required(case: str, tmp_path: Path) -> None:
    required = run_case(tmp_path, CASES[case], "1")
    assert required.returncode != 0
    assert "test on real pictures skipped" in required.stdout
    assert "no pictures here" in required.stdout or "ARN_DATA_DIR is not set" in required.stdout
    assert run_case(tmp_path, CASES[case], "").returncode in (0, 5)  # 5: nothing collected


def test_other_skips_and_expected_failures_stay_what_they_are(tmp_path: Path) -> None:
    source = (
        "def test_skips(): pytest.skip('needs a GPU')\n"
        "@pytest.mark.real\n@pytest.mark.xfail(reason='known')\ndef test_known(): assert False\n"
    )
    done = run_case(tmp_path, source, "1")
    assert done.returncode == 0, done.stdout
    assert "1 skipped, 1 xfailed" in done.stdout


def test_tests_are_offline() -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    with pytest.raises(URLError, match="tests are offline"):
        urlopen("http://example.com", timeout=5)
