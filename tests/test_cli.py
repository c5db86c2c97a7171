"""The command itself: help that costs nothing, verbs that exist, and messages instead of tracebacks."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from arn import cli
from arn.cli import VERBS, main


def test_help_lists_every_verb(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(verb in told for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"arn {verb}" in capsys.readouterr().out


def test_help_of_train_names_its_choices(capsys):
    main(["train", "--help"])
    told = capsys.readouterr().out
    assert "arn_no_rcl" in told
    assert "duts_lite" in told


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *([verb, "--help"] for verb in ("train", "bench", "predict", "serve", "export", "report", "sweep")),
        ["sweep"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from arn.cli import main; main(sys.argv[1:]); "
        "heavy = ('torch', 'hydra', 'pytorch_lightning', 'timm', 'wandb', 'cv2'); "
        "print('HEAVY', [name for name in heavy if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout
    assert told.rstrip().endswith("HEAVY []")


def test_unknown_verb(capsys):
    assert main(["tarin"]) == 2
    assert "tarin" in capsys.readouterr().err


def test_version(capsys):
    from arn import __version__

    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (["train"], 1),
        (["bench"], 1),
        (["predict"], 1),
        (["serve"], 1),
        (["train", "-m"], 0),
        (["sweep"], 0),
        (["report"], 0),
    ],
)
def test_commands_that_compute_keep_their_memory(arguments, calls, monkeypatch):
    """Of jobs, each is a command; called from Python, the process is not ours."""
    told, called = [], []
    module = SimpleNamespace(main=told.append, multirun=told.append)
    monkeypatch.setattr(cli, "importlib", SimpleNamespace(import_module=lambda name: module))
    monkeypatch.setattr(cli, "reuse_memory", lambda *_: called.append(len(told)))
    monkeypatch.setattr(sys, "argv", ["arn", *arguments])
    assert main() == 0
    assert called == [0] * calls  # before the verb
    assert main(arguments) == 0
    assert len(called) == calls


def test_composed_config_can_be_printed(capsys):
    assert main(["train", "--cfg", "job", "network.rcl.steps=5"]) == 0
    assert "steps: 5" in capsys.readouterr().out


def test_data_list_and_verify(capsys, tiny_dataset):
    assert main(["data", "list"]) == 0
    told = capsys.readouterr().out
    assert "DUT-OMRON" in told
    assert "10,553" in told
    assert main(["data", "verify", str(tiny_dataset)]) == 0
    assert "6 pairs" in capsys.readouterr().out
    path = tiny_dataset / "images" / "0004.png"
    path.write_bytes(path.read_bytes()[:50])
    assert main(["data", "verify", str(tiny_dataset)]) == 1
    assert "0004.png" in capsys.readouterr().out


def test_data_without_a_task(capsys):
    assert main(["data", "weigh"]) == 2
    assert "arn data list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("arn tr", {"train"}),
        ("arn ", set(VERBS)),
        ("arn train network=arn_l", {"network=arn_lite"}),
        ("arn sweep ablation debug=", {"debug=fast", "debug=overfit"}),
        ("arn data li", {"list"}),
        ("arn sweep rc", {"rcl_steps"}),
        ("arn train half network=arn_l", set()),
    ],
)
def test_the_shell_completes_verbs_keys_and_choices(monkeypatch, capsys, line, offered):
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    assert set(capsys.readouterr().out.split()) == offered


def test_completion_is_installed_by_one_line(capsys):
    assert main(["-sc", "install=bash"]) == 0
    assert "COMPREPLY" in capsys.readouterr().out


def test_tab_completes_in_bash():
    """In a terminal of its own, as a person has it."""
    import pty
    import select
    import time

    beside = Path(sys.executable).parent  # the console script
    environment = {**os.environ, "PATH": f"{beside}:{os.environ['PATH']}", "PS1": "> ", "TERM": "dumb"}
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)

    def typed(text, awaited):
        os.write(terminal, text.encode())
        shown, until = "", time.monotonic() + 60
        while awaited not in shown and time.monotonic() < until:
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")
        return shown

    try:
        typed("", "> ")
        typed('eval "$(arn -sc install=bash)"; echo rea""dy\n', "ready")
        assert "train" in typed("arn tra\t", "train")
        assert "network=arn_lite" in typed(" network=arn_l\t", "arn_lite")
        shown = typed(" half optim\t", "optim")  # no override: nothing is offered, and nothing is said
        assert "Traceback" not in shown + typed('\x15echo do""ne\n', "done")
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_what_a_pipe_no_longer_reads_is_no_error():
    command = f"{shlex.quote(sys.executable)} -m arn train --cfg job | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 141)  # whether it was read to its end
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["train", "--cfg", "hydra"], ["hydra:"]),
        (["train", "--cfg", "all"], ["hydra:", "optimizer:"]),
        (["train", "--cfg", "job", "--resolve"], ["name: arn_lite", "label: arn_lite seed=0"]),
        (["train", "--cfg", "job", "--package", "optimizer"], ["# @package optimizer"]),
        (["train", "--info", "defaults"], ["Defaults List"]),
        (["train", "-m", "--info", "config"], ["Config search path"]),
        (["sweep", "rcl_steps", "--cfg", "job"], ["sweep: rcl_steps"]),
        (["train", "hydra.verbose=true", "--cfg", "job"], ["optimizer:"]),
        (["train", "--multirun", "--cfg", "job", "seed=0,1"], ["# arn train seed=0", "seed: 1", "---"]),
    ],
)
def test_hydras_own_flags(tmp_path, monkeypatch, capsys, arguments, lines):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    assert set(lines) <= set(shown)
    assert list(tmp_path.iterdir()) == []


def test_one_config_of_a_multirun_only(capsys):
    assert main(["train", "-m", "seed=0,1", "--cfg", "all"]) == 2
    assert "leave -m away" in capsys.readouterr().err


def test_python_m_arn_is_the_command():
    done = subprocess.run([sys.executable, "-m", "arn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("arn ")


@pytest.mark.parametrize("group", ["experiment", "callbacks", "debug", "profiler"])
def test_null_chooses_nothing_of_a_group(capsys, group):
    assert main(["train", "--cfg", "job", "network=arn_lite", f"{group}=null"]) == 0
    printed = capsys.readouterr().out
    assert f"\n{group}:" not in printed
    assert f"input_size: {224 if group == 'experiment' else 112}" in printed


def test_the_word_after_cfg_is_no_sweep(capsys):
    assert main(["sweep", "--cfg", "job", "seeds", "hydra.mode=RUN"]) == 0
    assert "sweep: seeds" in capsys.readouterr().out
