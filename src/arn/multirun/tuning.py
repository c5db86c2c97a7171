"""``arn sweep tune``: a search for hyper-parameters whose study is on disk and whose trials end early when hopeless.

On Optuna itself: Hydra's sweeper for it runs each trial to its end inside one process, so it can neither prune by epoch
nor start ranks. Here a trial is a job like those of a grid, and the search reads its validations along.

The study is a journal (`<sweep>/study.journal`) that any number of processes may append to, on network file systems
too. A trial that a kill cut off is asked for again with the same values: the same job, which goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from arn.config.compose import Composed
from arn.config.identity import run_hash
from arn.config.schema import as_typed
from arn.errors import ArnError
from arn.multirun.jobs import Job, Launcher, Watcher, exit_status, run_jobs

KEYS = ("trials", "seed", "startup", "pruner", "warmup", "space")
PRUNERS = ("median", "hyperband", "none")


def tune(composed: Sequence[Composed], command: Sequence[str], launcher: Launcher, console: Any) -> None:
    """Run the trials that are missing, and print the best. Raises ArnError where none finished."""
    if len(composed) > 1:
        raise ArnError("arn sweep tune searches by itself: give every key one value, and what varies in tune.space")
    base, place = composed[0], composed[0].sweep
    options = checked(base.config["tune"], base.config)
    monitor, mode = base.config["checkpoint"]["monitor"], base.config["checkpoint"]["mode"]
    study = open_study(place, options, mode, f"{run_hash(base.config)} {sorted(options['space'].items())!r}")
    states = _optuna().trial.TrialState
    for trial in study.get_trials(states=[states.RUNNING]):  # which a kill cut off
        study.tell(trial.number, state=states.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
    console.print(f"{place}: a study of {options['trials']} trials, {len(_ended(study))} ended")
    search = Search(study, base, command, launcher, console)
    run_jobs(search.jobs(), launcher, place, search)
    complete = study.get_trials(states=[states.COMPLETE])
    if not complete:
        raise ArnError(f"no trial of {place} finished; its logs say why")
    best = study.best_trial
    console.print(f"best of {len(complete)} finished trials: {monitor} {best.value:.4f}, {best.user_attrs['run']}")
    given = [override for override in base.overrides if not override.lstrip("+~").startswith(("tune", "sweep="))]
    console.print(f"train it: {shlex.join(['arn', 'train', *given, *_overrides(best.params)])}")


class Search(Watcher):
    """The trials of a study as jobs, each told to the study when it validates and when it ends."""

    def __init__(self, study: Any, base: Composed, command: Sequence[str], launcher: Launcher, console: Any) -> None:
        self.study, self.base, self.command, self.launcher, self.console = study, base, command, launcher, console
        self.options, self.monitor = base.config["tune"], base.config["checkpoint"]["monitor"]
        self.states = _optuna().trial.TrialState
        self.trials: dict[str, Any] = {}
        self.reported: dict[str, int] = {}
        self.failed: list[str] = []

    def jobs(self) -> Iterator[Job]:
        while len(_ended(self.study)) + len(self.trials) < self.options["trials"]:
            trial = self.study.ask()
            job = self.job({key: suggest(trial, key, one) for key, one in self.options["space"].items()})
            trial.set_user_attr("run", job.name)
            if job.name in self.trials:  # the sampler drew what is running at this moment
                self.study.tell(trial, state=self.states.FAIL)
                continue
            self.trials[job.name], self.reported[job.name] = trial, 0
            self.console.print(f"trial {trial.number + 1}, {job.name}: {' '.join(_overrides(trial.params))}")
            if job.record() is not None:  # finished before a kill, or drawn a second time
                self.ended(job, 0)
            else:
                yield job

    def job(self, sampled: Mapping[str, Any]) -> Job:
        """A trial, known by the search and its values: drawn again, it is the same run."""
        drawn = json.dumps([run_hash(self.base.config), sampled], sort_keys=True)
        name = f"trial_{hashlib.sha256(drawn.encode()).hexdigest()[:8]}"
        overrides = (*self.base.overrides, *_overrides(sampled))
        return Job(name, self.base.sweep / name, None, tuple(self.command), overrides)

    def gives_up(self, job: Job) -> bool:
        """Report new validations; True when the pruner gives the trial up."""
        trial = self.trials[job.name]
        for line in job.run.validations()[self.reported[job.name] :]:
            trial.report(line.get(self.monitor, math.nan), self.reported[job.name])
            self.reported[job.name] += 1
            if trial.should_prune():
                return True
        return False

    def ended(self, job: Job, status: int | None) -> None:
        record = job.record() if status == 0 else None
        value = None if record is None else record["best"]["value"]
        finite = value is not None and math.isfinite(value)
        if finite:
            self.gives_up(job)  # for the validations that were not seen yet
        trial = self.trials.pop(job.name)
        if status is None:
            self.study.tell(trial, state=self.states.PRUNED)
            outcome = f"given up after {self.reported[job.name]} validations"
        elif finite:
            self.study.tell(trial, value)
            outcome = f"{self.monitor} {value:.4f}"
        else:
            self.study.tell(trial, state=self.states.FAIL)
            outcome = f"failed ({exit_status(self.launcher, job, self.base.sweep, status)})"
            self.failed.append(job.name)
        self.console.print(f"trial {trial.number + 1}, {job.name}: {outcome}")
        if len(self.failed) >= 3 and not _ended(self.study):
            raise ArnError(f"the first {len(self.failed)} trials all failed; the last was {job.name}: {outcome}")


def checked(given: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config's ``tune``, whole. Raises ArnError naming the key that is missing or wrong, or that the rest of the
    config, which is searched over, has not."""
    if not isinstance(given, Mapping) or set(given) != set(KEYS):
        raise ArnError(f"tune takes {', '.join(KEYS)}, all of them and no others")
    if not isinstance(given["space"], Mapping) or not given["space"]:
        raise ArnError("tune.space names no key to search over")
    for key, one in given["space"].items():
        node: Any = config
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                raise ArnError(f"tune.space.{key}: the config has no such key")
            node = node[part]
        number = isinstance(one, Mapping) and {"low", "high"} <= set(one) <= {"low", "high", "log", "step"}
        if not number and not (isinstance(one, list) and one):
            raise ArnError(f"tune.space.{key}: {{low: .., high: .., log: true}}, or a list to choose from, not {one!r}")
        if number and not one["low"] < one["high"]:
            raise ArnError(f"tune.space.{key}: low={one['low']} is not below high={one['high']}")
    if given["pruner"] not in PRUNERS:
        raise ArnError(f"tune.pruner must be one of {', '.join(PRUNERS)}, not {given['pruner']!r}")
    return dict(given)


def open_study(place: Path, options: Mapping[str, Any], mode: str, of: str) -> Any:
    """The study of this folder or a new one. Raises ArnError where that is not ``of`` the same search."""
    optuna = _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = place / "study.journal"
    place.mkdir(parents=True, exist_ok=True)
    startup, warmup = options["startup"], options["warmup"]
    try:
        pruners = {
            "median": optuna.pruners.MedianPruner(n_startup_trials=min(5, startup), n_warmup_steps=warmup),
            "hyperband": optuna.pruners.HyperbandPruner(min_resource=max(1, warmup)),
            "none": optuna.pruners.NopPruner(),
        }
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="arn",
            direction="minimize" if mode == "min" else "maximize",
            load_if_exists=True,
            pruner=pruners[options["pruner"]],
        )
    except (ValueError, KeyError) as error:
        raise ArnError(f"{path} cannot be read as a study: {error}") from error
    if study.user_attrs.get("of", of) != of:
        raise ArnError(f"{path} is the study of another space or config; take those again, or hydra.sweep.dir=PATH")
    study.set_user_attr("of", of)
    # Not the seed alone: started again, the sampler would draw once more what it drew at first.
    seed = options["seed"] + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
    return study


def suggest(trial: Any, key: str, choices: Any) -> Any:
    """A value of a key: from a list, or between ``low`` and ``high``."""
    if not isinstance(choices, Mapping):
        return trial.suggest_categorical(key, choices)
    whole = isinstance(choices["low"], int) and isinstance(choices["high"], int)
    return (trial.suggest_int if whole else trial.suggest_float)(key, **choices)


def _overrides(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={as_typed(value)}" for key, value in values.items()]


def _ended(study: Any) -> list[Any]:
    """Finished or given up: what counts. Failed ones do not."""
    states = _optuna().trial.TrialState
    return study.get_trials(states=[states.COMPLETE, states.PRUNED])


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ArnError("arn sweep tune needs optuna: pip install 'arn-saliency[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
