"""The folder of a training: what lies where, what is in it, and who may write to it.

Nobody else spells a file name of a run. A folder is moved or copied as a whole, so nothing in it holds its own address.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from arn.config.compose import read_config
from arn.config.identity import differences, run_hash
from arn.config.schema import to_plain
from arn.config.upgrade import upgrade_config
from arn.errors import ArnError
from arn.files import check_unclaimed, write_atomically

if TYPE_CHECKING:
    from arn.metrics.functional import Rows


CHANGEABLE = (
    "optimizer.*",
    "schedule.*",
    "trainer.max_*",
    "trainer.limit_test_batches",
    "trainer.gradient_clip_*",
    "trainer.precision",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.detect_anomaly",
    "name",
)
"""What a resumed run takes from its command line. All of it is applied from the next step on."""


class Run:
    """A training's folder, which need not exist yet.

    >>> Run("outputs/train/2026-11-27/10-00-00_arn_lite").record()["test"]["ECSSD"]["max_f"]
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.name
        self.config_file = self.folder / "config.yaml"  # resolved
        # Scores, times, versions. Written last but for figures: a run that has it is finished.
        self.record_file = self.folder / "metrics.json"
        self.checkpoints = self.folder / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"  # by validation
        self.last = self.checkpoints / "last.ckpt"  # where to go on
        self.validations_file = self.folder / "validation.jsonl"  # a line a validation: step, epoch and scores
        self.rows_file = self.folder / "per_image.npz"  # every test picture's scores, curves included
        self.rows_csv = self.folder / "per_image.csv"
        self.splits_file = self.folder / "splits.json"  # which pictures train, validate and test; not of drawn scenes
        self.figures = self.folder / "figures"
        self.logged_values = self.folder / "csv" / "metrics.csv"  # the CSV logger's: a line a step that was logged
        self.lock_file = self.folder / ".lock"

    def __str__(self) -> str:
        return str(self.folder)

    def logger_id(self, name: str) -> Path:
        """What a logger (``wandb``, ``mlflow``) knows the run by, so that a resumed run goes on as it."""
        return self.folder / f"{name}.id"

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> Run:
        """The run that a checkpoint file lies in, if it lies in one."""
        return cls(checkpoint.resolve().parent.parent)

    @classmethod
    def below(cls, folder: Path) -> list[Run]:
        """Every run that was begun in a folder or anywhere below it, by path."""
        return [cls(path.parent) for path in sorted(folder.rglob("config.yaml"))]

    @property
    def finished(self) -> bool:
        return self.record_file.is_file()

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.last.is_file() and self.config_file.is_file()

    def computes(self, key: str) -> bool:
        """Whether a finished run is the one of this :func:`~arn.config.identity.run_hash`."""
        return key in self.hashes()

    def hashes(self) -> list[str]:
        """What a finished run is known by: the hash in its record, then that of its config as this ARN reads it.

        They differ where a key came or went since.
        """
        record = self.record()
        if record is None:
            return []
        hashes = [str(record["config_hash"])] if "config_hash" in record else []
        with contextlib.suppress(ArnError):
            hashes.append(run_hash(self.config()))
        return list(dict.fromkeys(hashes))

    def config(self) -> dict[str, Any]:
        """The resolved config, plain containers, in the present spelling of its keys.

        Raises ArnError where it is missing or cannot be read.
        """
        if not self.config_file.is_file():
            raise ArnError(f"there is no {self.config_file}; name the folder of a run of arn train")
        config: Any = OmegaConf.to_container(read_config(self.config_file))
        if not isinstance(config, dict):
            raise ArnError(f"{self.config_file} is no config: it holds no keys")
        return upgrade_config(config)

    def config_to_resume(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The run's own config with the values of these overrides (Hydra's, `key=value`) put over it.

        Raises:
            ArnError: there is no config, or an override that is more than one value of a key that is there, or of a
                key that a run that has begun cannot change.
        """
        try:
            config = OmegaConf.create(self.config())
        except ArnError as error:
            raise ArnError(f"resume={self.folder}: {error.told}") from error
        before = to_plain(config)
        for override in overrides:
            key = override.partition("=")[0]
            if key.lstrip("+~") in ("resume", "plugins"):
                continue
            parent, _, leaf = key.rpartition(".")
            node = OmegaConf.select(config, parent) if parent else config
            if not isinstance(node, DictConfig) or leaf not in node or OmegaConf.is_config(node[leaf]):
                raise ArnError(
                    f"resume keeps the run's config; only single values can be changed, and {key} is not one"
                )
            config.merge_with_dotlist([override])
        after = to_plain(config)
        for key in differences(before, after):
            if not any(fnmatchcase(key, changeable) for changeable in CHANGEABLE):
                raise ArnError(
                    f"resume={self.folder} keeps {key} as it was trained with; what can change is "
                    f"{', '.join(CHANGEABLE)}, and what is logged or shown. Start another run for the rest"
                )
        return {**after, "resume": str(self.folder)}

    def record(self) -> dict[str, Any] | None:
        """The record of a finished run; None where there is none, or half of one."""
        try:
            record = json.loads(self.record_file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    def check_free(self) -> None:
        """Raises ArnError where a new training would write over something: a run, or other files."""
        if self.finished or self.begun:
            raise ArnError(
                f"{self.folder} holds a run: arn train resume={self.folder} goes on with it, hydra.run.dir=PATH "
                "starts another elsewhere"
            )
        names = [path.name for path in vars(self).values() if isinstance(path, Path) and path.parent == self.folder]
        try:
            ours = {"network", "data", "trainer"} <= self.config().keys()
        except ArnError:
            ours = False
        check_unclaimed(self.folder, [name for name in names if name != self.lock_file.name], ours, "hydra.run.dir")

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write the config. An earlier record goes: until the next one, the run is not finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.record_file.unlink(missing_ok=True)
        write_atomically(self.config_file, OmegaConf.to_yaml(OmegaConf.create(dict(config))).encode())

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write the record, the last of what a report reads."""
        write_atomically(self.record_file, (json.dumps(record, indent=2) + "\n").encode())

    def validations(self) -> list[dict[str, Any]]:
        """Every validation so far, in order; a line that is not whole (a kill, a look while writing) is left out."""
        validations = []
        data = self.validations_file.read_bytes() if self.validations_file.is_file() else b""
        for line in data.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                validation = json.loads(line)
                if isinstance(validation, dict) and isinstance(validation.get("step"), int):
                    validations.append(validation)
        return validations

    def add_validation(self, validation: Mapping[str, Any]) -> None:
        with self.validations_file.open("a") as file:
            file.write(json.dumps(validation) + "\n")

    def forget_validations_after(self, step: int) -> None:
        """Drop what lies behind the step that a resumed run goes on from."""
        if self.validations_file.is_file():
            kept = [json.dumps(line) + "\n" for line in self.validations() if line["step"] <= step]
            write_atomically(self.validations_file, "".join(kept).encode())

    def write_rows(self, rows: Mapping[str, Rows]) -> None:
        """Keep every test picture's scores, curves included, by test set."""
        import numpy as np

        arrays: dict[str, Any] = {"datasets": np.array(list(rows), dtype=np.str_)}
        for number, table in enumerate(rows.values()):
            arrays[f"{number}.table"] = table.table
            arrays[f"{number}.stems"] = np.array(table.stems, dtype=np.str_)
            arrays[f"{number}.measures"] = np.array(table.measures, dtype=np.str_)
            arrays[f"{number}.protocol"] = np.array(table.protocol.name, dtype=np.str_)
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        write_atomically(self.rows_file, out.getvalue())

    def rows(self) -> dict[str, Rows]:
        """What :meth:`write_rows` kept, by test set. Raises ArnError where that is missing or damaged."""
        import numpy as np

        from arn.metrics.functional import Rows, width
        from arn.metrics.measures import check_measures
        from arn.metrics.protocols import get_protocol

        path = self.rows_file
        if not path.is_file():
            raise ArnError(f"no {path}: the run was trained by an older ARN, train it again")
        rows = {}
        try:
            with np.load(path, allow_pickle=False) as arrays:
                for number, dataset in enumerate(arrays["datasets"].tolist()):
                    stems, measures = (tuple(arrays[f"{number}.{what}"].tolist()) for what in ("stems", "measures"))
                    protocol = get_protocol(str(arrays[f"{number}.protocol"]))
                    table = arrays[f"{number}.table"]
                    if table.dtype != np.float64 or table.shape != (len(stems), width(check_measures(list(measures)))):
                        raise ValueError(f"a table of {table.dtype}, {table.shape}, for {len(stems)} pictures")
                    rows[str(dataset)] = Rows(protocol, measures, stems, table)
        except Exception as error:  # of a damaged archive NumPy raises whatever comes
            raise ArnError(f"{path} cannot be read: it is truncated, damaged or another file ({error})") from error
        return rows

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against other trainings, as long as this process lives; rank 0 does it for all ranks.

        Raises ArnError where two sweeps were started in one folder, or a job was queued twice.
        """
        if not first_rank():
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                import fcntl  # not there on Windows

                file = stack.enter_context(self.lock_file.open("a"))
                # Of the process: loader processes, which outlive a killed training by some seconds, do not inherit it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stack.callback(self.lock_file.unlink, missing_ok=True)
            except BlockingIOError as error:
                raise ArnError(
                    f"{self.folder}: another process is training in this folder; wait for it, or end it"
                ) from error
            except (ImportError, OSError):
                pass  # a system or a file system without locks
            yield

    def resume_point(self) -> Path:
        """The checkpoint to go on from; what a kill left in the middle of a write is taken away. Raises ArnError."""
        if not self.last.is_file():
            raise ArnError(
                f"resume={self.folder}: there is no {self.last}; the run wrote no checkpoint yet, start it again "
                "without resume"
            )
        for unfinished in self.checkpoints.glob(".*.tmp"):
            unfinished.unlink()
        return self.last


def first_rank() -> bool:
    """Whether this process is rank 0, which alone writes to a run's folder and to loggers."""
    from lightning_utilities.core.rank_zero import rank_zero_only

    return not getattr(rank_zero_only, "rank", 0)
