"""Where the jobs of a sweep run: one after the other, several at once with a device each, or on a SLURM cluster.

Not by Hydra's launcher plugins, last released in 2022: joblib's cannot give each job a device of its own, and both call
the task inside a process of theirs, where DDP would start the whole sweep again on every rank.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arn.errors import ArnError
from arn.multirun.jobs import Handle, Job, outside_slurm
from arn.provenance import cores


class Process(subprocess.Popen[bytes]):
    """A job as a child of this process."""

    def cancel(self) -> None:
        """SIGTERM, at which a training writes itself down, and SIGKILL after 25 s, which leaves its last checkpoint."""
        self.terminate()
        try:
            self.wait(25)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()


class Local:
    """Processes on this machine.

    Args:
        jobs: how many at once. One shows its output; of several it goes to ``<sweep>/logs/JOB.log``.
        devices: GPUs to deal out, one a job or, as a list of lists, several a job: ``[0,1,2,3]``, ``[[0,1],[2,3]]``;
            ``auto`` is every GPU of ``CUDA_VISIBLE_DEVICES`` or of the machine. Where there are any, there are as many
            jobs at once. None: jobs see what this process sees, and share the processors evenly.

    Raises:
        ArnError: ``jobs`` below 1, or another word than ``auto``.
    """

    def __init__(self, jobs: int = 1, devices: str | Sequence[Any] | None = None) -> None:
        found = visible_devices() if devices == "auto" else devices
        if isinstance(found, str):
            raise ArnError(f"launcher.devices={devices}: a list of GPUs, one or a list of them a job, or auto")
        if jobs < 1:
            raise ArnError(f"launcher.jobs={jobs}: a number of jobs at once, at least 1")
        self.devices = [[one] if not isinstance(one, list | tuple) else list(one) for one in found or ()]
        self.jobs = len(self.devices) or jobs

    def _own(self, place: int) -> dict[str, str]:
        """What the job in this place gets of the machine, as environment variables."""
        if self.devices:
            return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, self.devices[place]))}
        if self.jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
            return {"OMP_NUM_THREADS": str(max(1, cores() // self.jobs))}
        return {}

    def start(self, job: Job, place: int, sweep: Path) -> Handle:
        command, environment = [*job.program, *job.arguments()], job.environment(**self._own(place))
        log = self.log(job, sweep)
        if log is None:
            return Process(command, env=environment, stdin=subprocess.DEVNULL)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return Process(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def start_all(self, jobs: Sequence[Job], sweep: Path) -> None:
        return None

    def log(self, job: Job, sweep: Path) -> Path | None:
        return sweep / "logs" / f"{job.name}.log" if self.jobs > 1 else None


def visible_devices() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; none without a driver."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip() not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).split()
    except (OSError, subprocess.CalledProcessError):
        return []


@dataclass
class Remote:
    """What a node of the cluster runs: the job's process, waited for. Goes there by pickle."""

    job: Job

    def __call__(self) -> int:
        if self.job.record() is not None:  # finished since it was queued
            return 0
        # Under `srun` every task starts this, each process is one rank, and Lightning finds that in SLURM's variables.
        ranks = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE")
        kept = {key: value for key, value in os.environ.items() if key in ranks or key.startswith("SLURM_")}
        return subprocess.run(
            [*self.job.program, *self.job.arguments()], env=self.job.environment(**kept), check=False
        ).returncode

    def checkpoint(self, *_: Any) -> Any:
        """Called by submitit when time runs out or the node is wanted: queue the job again, to go on from last.ckpt."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass
class Submitted:
    """A job in the queue of a cluster."""

    submitted: Any

    def poll(self) -> int | None:
        if not self.submitted.done():
            return None
        if self.submitted.exception() is not None:
            return 1
        return max(int(status) for status in self.submitted.results())  # of every task

    def cancel(self) -> None:
        self.submitted.cancel()
        deadline = time.monotonic() + 10
        while not self.submitted.done() and time.monotonic() < deadline:
            time.sleep(0.1)


@contextlib.contextmanager
def _as_from_a_login_node() -> Iterator[None]:
    """`sbatch` takes SLURM's variables for options: those of the job that a sweep itself runs in are not the jobs'."""
    before = dict(os.environ)
    for key in before.keys() - outside_slurm().keys() | {"SLURM_CPUS_PER_TASK"}:
        os.environ.pop(key, None)
    try:
        yield
    finally:
        os.environ.update(before)


class Slurm:
    """Jobs of a SLURM cluster, through submitit; the process that starts them waits until all are done.

    Those of a grid are one job array; those of a search, which follow from each other, are queued one by one.

    Args:
        cluster: ``slurm``, or ``local``: processes on this machine, to try the same way without a cluster.
        jobs: how many of them run at once.
        options: of ``submitit.AutoExecutor.update_parameters``: ``timeout_min``, ``nodes``, ``gpus_per_node``,
            ``tasks_per_node`` (one a rank), ``cpus_per_task``, ``mem_gb``, ``slurm_partition``, ``slurm_account`` ...

    Raises:
        ArnError: submitit is not installed, there is no SLURM here, or it refuses an option.
    """

    def __init__(self, cluster: str = "slurm", jobs: int = 64, options: Mapping[str, Any] | None = None) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ArnError("launcher=slurm needs submitit: pip install 'arn-saliency[sweep]'") from error
        if cluster not in ("slurm", "local"):
            raise ArnError(f"launcher.cluster must be slurm or local, not {cluster!r}")
        self.jobs, self.cluster = jobs, cluster
        self.logs: dict[str, Path] = {}
        self.options = {key: value for key, value in (options or {}).items() if value is not None}
        if cluster == "slurm" and submitit.SlurmExecutor.affinity() < 0:
            raise ArnError("launcher=slurm: there is no sbatch on this machine; start the sweep on a login node")

    def start(self, job: Job, place: int, sweep: Path) -> Handle:
        return self._submit([job], sweep / "logs" / job.name, f"arn_{job.name}")[0]

    def start_all(self, jobs: Sequence[Job], sweep: Path) -> Sequence[Handle] | None:
        if self.cluster == "local":  # has no queue: all would run at once
            return None
        return self._submit(jobs, sweep / "logs" / "%j", f"arn_{sweep.name}", slurm_array_parallelism=self.jobs)

    def _submit(self, jobs: Sequence[Job], logs: Path, name: str, **more: Any) -> list[Submitted]:
        """Raises ArnError for what submitit or the queue refuses, such as a partition that it does not have."""
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.AutoExecutor(folder=logs, cluster=self.cluster)
        try:
            executor.update_parameters(**{"name": name, **more, **self.options})
            with _as_from_a_login_node(), executor.batch():
                submitted = [executor.submit(Remote(job)) for job in jobs]
        except (NameError, TypeError, ValueError) as error:
            raise ArnError(f"launcher.options: {error}") from error
        except (FailedJobError, FailedSubmissionError) as error:
            said = " ".join(str(part).strip("' \n") for part in error.args)  # submitit quotes what sbatch said
            raise ArnError(f"launcher.options: the queue refused the jobs: {said}") from error
        for job, one in zip(jobs, submitted, strict=True):
            self.logs[job.name] = Path(one.paths.stdout)
        return [Submitted(one) for one in submitted]

    def log(self, job: Job, sweep: Path) -> Path | None:
        return self.logs.get(job.name, sweep / "logs")
