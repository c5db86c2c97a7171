"""How a training begins and ends badly: one line that says what is kept, and nothing lost that somebody else made."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

from pytorch_lightning.utilities.exceptions import SIGTERMException

from arn.config.compose import quoted
from arn.errors import ArnError, Interrupted
from arn.files import remove_if_empty
from arn.inference.weights import read_checkpoint
from arn.runs import Run, first_rank
from arn.training.stopping import Signals


def check_resume(arguments: list[str]) -> None:
    """Raises ArnError for ``resume=`` of no folder, before Hydra makes one of that name."""
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key != "resume" or value == "null" or "${" in value:
            continue
        if not value.strip("\"' "):
            raise ArnError("resume= is empty: name the folder of a run, or leave it away to start one")
        quoted = value[:1] == value[-1:] and value[:1] in ("'", '"')
        if not Path(value[1:-1] if quoted else value.replace("\\", "")).is_dir():
            raise ArnError(f"resume={value}: there is no such folder")


@contextlib.contextmanager
def ending_well(run: Run, fresh: bool) -> Iterator[Signals]:
    """What ends a training early comes out as ArnError or Interrupted.

    Args:
        fresh: this command made the run's folder, which is taken away again where there is nothing to go on from.
    """
    signals = Signals()
    try:
        yield signals
    except SIGTERMException as stopped:  # Lightning's word for a stop between two steps
        number = signals.asked or signal.SIGTERM
        raise Interrupted(number, how_to_go_on(run, fresh, number)) from stopped
    except (Interrupted, KeyboardInterrupt) as at_once:
        number = at_once.number if isinstance(at_once, Interrupted) else signal.SIGINT
        raise Interrupted(number, how_to_go_on(run, fresh, number)) from at_once
    except ArnError:
        _forget(run, fresh)
        raise
    except OSError as error:
        _forget(run, fresh)
        if error.filename is None and _in_processes(error):
            raise ArnError(
                f"data.workers: no room for them in /dev/shm ({error.strerror}); data.workers=0 wants none"
            ) from error
        raise ArnError(f"cannot write to the run's folder {run}: {error.strerror or error}") from error
    except RuntimeError as error:
        if signals.asked is not None:  # loader processes or ranks heard it, too, and were sooner
            raise Interrupted(signals.asked, how_to_go_on(run, fresh, signals.asked)) from error
        told = _explained(str(error), run)
        if told is None:
            raise
        _forget(run, fresh)
        raise ArnError(told) from error


def how_to_go_on(run: Run, fresh: bool, number: int) -> str:
    """What is kept of a training that a signal ended."""
    word = Interrupted(number).told
    if run.finished:
        return f"{word}: the training was done, its record is {run.record_file}"
    if not run.begun:
        kept = "nothing was saved yet, the same command starts it again"
        _forget(run, fresh)
        return f"{word}: {kept}"
    try:
        step = f"the first {read_checkpoint(run.last)['global_step']} steps are"
    except ArnError:
        step = "the run is"
    return f"{word}: {step} saved in {run.last}, and {go_on(run)} goes on"


def go_on(run: Run) -> str:
    """The command, as a shell and Hydra's grammar take the folder's name."""
    plain = re.fullmatch(r"[\w./:@+-]+", str(run), re.ASCII)
    return shlex.join(["arn", "train", f"resume={run if plain else quoted(str(run))}"])


def _forget(run: Run, fresh: bool) -> None:
    """Take the folder of a run away that has nothing to go on from; never one that was there before."""
    if fresh and first_rank() and not list(run.checkpoints.glob("*.ckpt")):
        shutil.rmtree(run.folder, ignore_errors=True)
        remove_if_empty(run.folder.parent)


def _in_processes(error: OSError) -> bool:
    """Whether it was raised where loader processes are made or spoken with."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return any(part in file for file in files for part in ("/multiprocessing/", "/torch/utils/data/"))


def _explained(error: str, run: Run) -> str | None:
    """In one line, what torch says when another process of a training is gone; None for anything else."""
    again = f"{go_on(run)} goes on" if run.begun else "start it again"
    if "DataLoader worker" in error or "shared memory" in error or "shm" in error:
        why = "for want of memory or of room in /dev/shm, most likely"
        return f"a loader process ended ({why}): fewer data.workers want less, data.workers=0 none; {again}"
    if any(word in error for word in ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL")):
        return f"another rank of this training is gone; its own words, or the system's of memory, say why: {again}"
    return None
