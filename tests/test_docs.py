"""Every documented command: typed into a shell it is what it says, and the keys that it names exist."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from arn.cli import VERBS
from arn.config import config_dir, sweeps_dir
from arn.config.compose import without_null
from arn.config.identity import register_resolvers

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("src/arn/pretrained/*/README.md")),
]
CONFIGS = sorted(path for folder in ("conf", "sweeps") for path in (ROOT / folder).rglob("*.yaml"))
UP_TO_WORDS = re.compile(r"""(?:"[^"]*"|'[^']*'|(?!   |: | \(|, then ).)*""")
QUOTED = re.compile(r"""'[^']*'|"[^"]*"|\$\{\w+\}""")
ASSIGNMENTS = re.compile(r"^(?:[A-Z_]+=\S+ )*")
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:arn|make) [a-z0-9]+\b.*")


def documented():
    """(file, command): lines of code blocks, code in sentences, and the opening comments of configs."""
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
        yield from ((page, line.replace("\\|", "|")) for line in lines if COMMAND.fullmatch(line))
    for config in CONFIGS:
        for line in config.read_text().splitlines():
            found = COMMAND.fullmatch(line.lstrip("# ")) if line.startswith("#") else None
            if found:  # then two spaces, a colon or a comma, and what it does
                yield config, UP_TO_WORDS.match(found[0])[0].rstrip(":,")


def words(command):
    return shlex.split(command, comments=True)


COMMANDS = [
    pytest.param(command, id=f"{path.relative_to(ROOT)}: {command}") for path, command in dict.fromkeys(documented())
]


def test_there_are_commands_of_every_verb():
    given = {word for parameters in COMMANDS for word in words(parameters.values[0])[:3]}
    assert set(VERBS) <= given
    assert len(COMMANDS) > 100


def test_shells_read_them_as_they_are_meant(tmp_path):
    """bash splits each as shlex does; zsh besides takes bare brackets for patterns of file names."""
    commands = [parameters.values[0] for parameters in COMMANDS]
    outside = [QUOTED.sub("", command.partition(" #")[0]) for command in commands]
    assert [text for text in outside if re.search(r"[][{}*?()<>|&;]", text)] == []
    script = "\n".join(f"printf '%s\\0' START {ASSIGNMENTS.sub('', command)}" for command in commands)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path, env={})
    read = [part.split("\0")[:-1] for part in done.stdout.split("START\0")[1:]]
    for command, found in zip(commands, read, strict=True):
        expected = words(ASSIGNMENTS.sub("", command))
        assert found == [re.sub(r"\$\{\w+\}", "", word) for word in expected], command


@pytest.mark.parametrize("command", COMMANDS)
def test_the_keys_that_it_names_exist(command):
    program, verb, *given = [word for word in words(ASSIGNMENTS.sub("", command)) if word != "..."]
    if program == "make":
        values = dict(word.partition("=")[::2] for word in given)
        given = [values.get("SWEEP", ""), *shlex.split(values.get("ARGS", ""))]
        given = [word for word in given if word]
    if (program == "make" and verb not in VERBS) or verb == "data" or given[:1] == ["cache"]:
        return
    folder, options = config_dir(), [word for word in given if "=" in word and not re.match(r"[A-Z]+=", word)]
    if verb == "sweep":
        names = [word for word in given if "=" not in word and re.fullmatch(r"[a-z_]+", word)]
        if not names:
            return  # a listing, or a file of one's own
        folder, verb = sweeps_dir(), names[0]
        options.append(f"hydra.searchpath=['file://{config_dir()}']")
    options = [word for word in options if not word.endswith("=NAME")]
    register_resolvers()
    parsed = OverridesParser.create().parse_overrides([part for option in options for part in without_null(option)])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    with initialize_config_dir(str(folder), version_base=None):
        assert compose(verb, jobs[0])
