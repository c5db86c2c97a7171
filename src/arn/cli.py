"""``arn VERB key=value ...``: imports a verb only when it is named, so that help is instant."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable

from arn.errors import ArnError, Interrupted
from arn.inference.allocation import reuse_memory

VERBS = {
    "train": "train a network, score it on its test sets and draw its maps",
    "sweep": "NAME: train every job of a published sweep, skipping what is done; alone: list the sweeps",
    "bench": "score checkpoints, ONNX files and folders of maps on data sets, in one table",
    "table1": "the paper's Table 1: what can be measured here, beside what it prints",
    "predict": "make maps, overlays or cutouts of a picture, a folder or a video",
    "serve": "make them over HTTP, and on a page that pictures are dropped on",
    "export": "write a trained network as safetensors and ONNX, checked against the checkpoint",
    "report": "make tables, tests, figures and a page of the runs of a sweep",
    "data": "list | fetch NAME | verify NAME | audit A B: the data sets, whether they are whole, what they share",
}

_USAGE = """usage: arn VERB [key=value ...]

{verbs}

  arn VERB --help       what the verb takes
  arn VERB --cfg job    the config it would run with
  arn --version
  eval "$(arn -sc install=bash)"    complete verbs, keys and choices in this shell; also zsh, fish
"""


def main(argv: list[str] | None = None) -> int:
    """The console command. Returns the exit status: 0 done, 2 something the user can mend, 128 + n: by signal n."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_USAGE.format(verbs="\n".join(f"  {verb:<9} {what}" for verb, what in VERBS.items())))
        return 0
    if arguments[0] in ("-V", "--version"):
        from arn import __version__

        print(f"arn {__version__}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        return _complete(arguments)
    verb, *rest = arguments
    if verb not in VERBS:
        print(f"arn: no verb {verb!r}; there are {', '.join(VERBS)}", file=sys.stderr)
        return 2
    try:
        if ("--help" in rest or "-h" in rest) and rest[:1] != ["cache"]:
            print(_help(verb))
            return 0
        if argv is None and {"--info", "-i"} & set(rest):  # a report by logging: `| head` would be told line by line
            import logging

            logging.raiseExceptions = False
        if parent := os.environ.get("ARN_ENDS_WITH_PARENT"):
            _end_with(int(parent))
        if verb == "train" and {"-m", "--multirun"} & set(rest):  # starts trainings, and needs no torch for that
            importlib.import_module("arn.verbs.sweep").multirun(rest)
            return 0
        owns_process = argv is None  # it is the command itself
        if owns_process and verb in ("train", "bench", "table1", "predict", "serve"):
            # Of prediction every block of a network is smaller, and pictures of 50 megapixels are larger.
            reuse_memory(2**27 if verb in ("predict", "serve") else 2**30)
        return int(importlib.import_module(f"arn.verbs.{verb}").main(rest) or 0)
    except ArnError as error:
        print(f"arn {verb}: error: {error.told}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `arn ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Interrupted as signalled:
        print(f"arn {verb}: {signalled.told}", file=sys.stderr)
        return signalled.status
    except KeyboardInterrupt:
        print(f"arn {verb}: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise
        print(f"arn {verb}: error: {error.strerror}{f': {error.filename}' * bool(error.filename)}", file=sys.stderr)
        return 2


def _help(verb: str) -> str:
    """The verb's config as it lies on disk, and what each of its groups offers: nothing is imported."""
    from arn.config import config_dir

    conf = config_dir()
    path = conf / f"{verb}.yaml"
    if not path.is_file():
        return str(importlib.import_module(f"arn.verbs.{verb}").__doc__)
    text = path.read_text()
    groups = []
    for folder in sorted(conf.iterdir()):
        if folder.is_dir() and f"- {folder.name}:" in text:
            groups.append(f"  {folder.name}={'|'.join(sorted(choice.stem for choice in folder.glob('*.yaml')))}")
    body = text.split("\nhydra:\n")[0].rstrip()
    return "\n".join([f"arn {verb}: {VERBS[verb]}", "", body, *(["", "Groups:", *groups] if groups else [])])


def _complete(arguments: list[str]) -> int:
    """Hydra's completion of keys and choices, and of verbs; Hydra is told what comes after the verb on the line."""
    verb, keys = "train", ""
    if any(argument.startswith("query=") for argument in arguments):
        verb, typed, keys = os.environ.get("COMP_LINE", "").partition(" ")[2].lstrip().partition(" ")
        words: Iterable[str] = () if typed else VERBS
        if verb in ("sweep", "data") and typed:
            verb, (name, more, keys) = ("train" if verb == "sweep" else verb), keys.lstrip().partition(" ")
            if not more:
                words = ("list", "fetch", "verify", "audit") if verb == "data" else _sweeps()
                verb = name
        if words:
            print(" ".join(word for word in words if word.startswith(verb)))
            return 0
    from arn.config import config_dir
    from arn.config.compose import run_hydra

    if (config_dir() / f"{verb}.yaml").is_file():
        os.environ["COMP_LINE"] = f"arn {keys}"
        with contextlib.suppress(ArnError):  # half a line is often no override yet: then nothing is offered
            run_hydra(verb, lambda config: None, arguments)
    return 0


def _sweeps() -> list[str]:
    from arn.verbs.sweep import names

    return names()


def _end_with(parent: int) -> None:
    """Let a job of a sweep, and each rank of a job, end within a second of the process that started it.

    A sweep that is killed leaves no training behind that would write to the folder that the next start goes on with.
    """

    def watch() -> None:  # the parent may be gone already, while this process was starting
        while os.getppid() == parent:
            time.sleep(1)
        os.write(2, b"arn: the process that started this one is gone: ended\n")
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="arn-parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
