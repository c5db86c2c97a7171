"""``arn VERB key=value ...``: imports a verb only when it is named, so that help is instant."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from arn.errors import ArnError

VERBS = {
    "train": "train a network, score it on its test sets and draw its maps",
    "bench": "score checkpoints and folders of maps on data sets, in one table",
    "predict": "make maps, overlays or cutouts of a picture, a folder or a video",
    "data": "list | verify NAME: the data sets, where they are and whether they are whole",
}

_USAGE = """usage: arn VERB [key=value ...]

{verbs}

  arn VERB --help       what the verb takes
  arn VERB --cfg job    the config it would run with
  arn --version
"""


def main(argv: list[str] | None = None) -> int:
    """The console command. Returns the exit status: 0 done, 2 something the user can mend, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_USAGE.format(verbs="\n".join(f"  {verb:<9} {what}" for verb, what in VERBS.items())))
        return 0
    if arguments[0] in ("-V", "--version"):
        from arn import __version__

        print(f"arn {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        print(f"arn: no verb {verb!r}; there are {', '.join(VERBS)}", file=sys.stderr)
        return 2
    try:
        if "--help" in rest or "-h" in rest:
            print(_help(verb))
            return 0
        if verb in ("train", "bench", "predict") and argv is None:
            _tune_allocator()
        return int(importlib.import_module(f"arn.verbs.{verb}").main(rest) or 0)
    except ArnError as error:
        print(f"arn {verb}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"arn {verb}: interrupted", file=sys.stderr)
        return 130


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


def _tune_allocator() -> None:
    """Start again with an allocator setting that keeps freed activations, on glibc.

    By default glibc hands every large block back to the kernel and pays for its pages again at the next step; keeping
    them, in huge pages, took a quarter to a third off a training step on CPU (docs/performance.md). glibc reads the
    setting only at start-up. ``ARN_ALLOCATOR=default`` leaves it alone.
    """
    if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ or os.environ.get("ARN_ALLOCATOR") == "default":
        return
    gigabyte = 2**30
    settings = {"hugetlb": 1, "mmap_threshold": 8 * gigabyte, "trim_threshold": 16 * gigabyte, "top_pad": gigabyte // 4}
    os.environ["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{name}={value}" for name, value in settings.items())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def run_hydra(verb: str, recipe: Callable[..., object], arguments: list[str]) -> None:
    """Compose ``conf/VERB.yaml`` with the overrides and run the recipe on it, once or as a multirun.

    Raises:
        ArnError: an override that Hydra refuses, or an output folder that cannot be made.
    """
    from arn.config import config_dir, register_resolvers

    register_resolvers()
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come out whole, to be told below in one line
    original = sys.argv

    def job(config: object) -> object:
        sys.argv = original  # ranks of DDP are started again with the command as it was typed
        return recipe(config)

    sys.argv = [original[0], *arguments]
    try:
        hydra.main(version_base=None, config_path=str(config_dir()), config_name=verb)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        lines = [line.strip() for line in f"{error}\n{cause}".splitlines() if line.strip()]
        told = list(dict.fromkeys(line for line in lines if not line.startswith(("full_key", "object_type"))))
        raise ArnError("; ".join(told)) from error
    except OSError as error:
        raise ArnError(f"cannot write the run's folder: {error.filename or ''}: {error.strerror or error}") from error
    finally:
        sys.argv = original


def remove_if_empty(run: Path) -> None:
    """A run that failed before it wrote anything leaves no folder behind."""
    for folder in (run, *run.parents[:2]):
        try:
            folder.rmdir()
        except OSError:
            return


if __name__ == "__main__":
    sys.exit(main())
