"""The training, validation, test and prediction sets of one run, as a LightningDataModule."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, default_convert

from arn.data.datasets import EvaluationSet, ResumableLoader, SizeSchedule, TrainingSet, collate_evaluation
from arn.data.labels import Meaning
from arn.data.layout import Pair, find_dataset
from arn.data.samplers import EpochSampler, shard
from arn.data.sources import SCENES, PairSource, SceneSource, Source, find_source
from arn.data.splits import holdout, paper_split, save_split, shuffled
from arn.data.transforms import Augmentation
from arn.errors import ArnError
from arn.provenance import cores

LARGEST = 10_000_000  # of any number of pictures, px or processes: more is a slip of the hand


class SaliencyDataModule(pl.LightningDataModule):
    """Training, validation and named test sets.

    Args:
        train, test: data sets to train and to score on: names of the catalogue, folders, or ``scenes``; or one name.
        split: ``paper`` draws 6,000 of MSRA10K and 3,500 of DUT-OMRON by seed (train must name both); the rest can be
            tested on as ``MSRA10K@rest`` and ``DUT-OMRON@rest``. None: all of every training set.
        val: pictures held out of training by seed, a count or a share below 1.
        train_limit, test_limit: train on that many pictures only, drawn by seed; score on the first of each set.
        size, sizes: side of the network's square input, px; {epoch: px} overrides it in training.
        batch_size, eval_batch_size: pictures a step over all ranks together; a step a rank when scoring.
        workers: loader processes a rank; ``auto`` is half the processors that the rank has, at most 8.
        start_method: of loader processes: ``fork``, ``spawn`` or ``forkserver``; None: the platform's.
        cache: hold training pairs in memory at that side (px); None reads the files each epoch.
        augment: arguments of :class:`~arn.data.transforms.Augmentation`.
        seed: of split, order and augmentation.
        reduced: decode large JPEGs of the training set at a fraction, large enough for the cache or for the smallest
            crop of the largest size; pictures below twice that, of validation and of test are decoded whole.
        masks: what values of masks stand for, ``{1: object, 2: background}``, where they do not say it themselves.

    Raises ArnError, naming ``data.KEY``, for a number out of its range; :meth:`setup` for a set that cannot be read.
    """

    training_source: Source  # both from setup() on
    validation_source: Source

    def __init__(
        self,
        train: str | Sequence[str] = (SCENES,),
        test: str | Sequence[str] = (SCENES,),
        split: str | None = None,
        val: int | float = 200,
        train_limit: int | None = None,
        test_limit: int | None = None,
        size: int = 224,
        sizes: Mapping[int, int] | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        workers: int | Literal["auto"] = "auto",
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        cache: int | None = None,
        augment: Annotated[Mapping[str, Any] | None, Augmentation] = None,
        seed: int = 0,
        reduced: bool = True,
        masks: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__()
        self.train_names, self.test_names = (
            [names] if isinstance(names, str) else list(names) for names in (train, test)
        )
        if split not in (None, "paper"):
            raise ArnError(f"data.split must be null or paper, not {split!r}")
        positive: dict[str, int | None] = {"size": size, "batch_size": batch_size, "eval_batch_size": eval_batch_size}
        positive |= {"train_limit": train_limit, "test_limit": test_limit, "cache": cache}
        positive |= {f"sizes[{epoch}]": px for epoch, px in (sizes or {}).items()}
        for key, value in (positive | {"val": val, "workers": 0 if workers == "auto" else workers}).items():
            low = 1 if key in positive else 0
            if value is not None and not low <= value <= LARGEST:
                wanted = f"at least {low}" if value < low else f"at most {LARGEST:,}"
                raise ArnError(f"data.{key}={value}: must be {wanted}")
        if val == 0 or (isinstance(val, float) and not 0 < val < 1):
            raise ArnError(f"data.val={val}: must be a count of pictures from 1 on, or a share above 0 and below 1")
        if seed < 0:
            raise ArnError(f"data.seed={seed}: must be at least 0")
        self.split, self.val, self.size = split, val, size
        self.train_limit, self.test_limit = train_limit, test_limit
        self.sizes = SizeSchedule(size, sizes)
        self.batch_size, self.eval_batch_size, self.seed = batch_size, eval_batch_size, seed
        self.asked_workers, self.start_method = workers, start_method
        self.cache, self.reduced = cache, reduced
        self.meaning = Meaning.of("data.masks", masks)
        if self.meaning is not None and self.meaning.ignore:
            raise ArnError("data.masks: a loss counts every pixel; say object or background of each value, not ignore")
        self.augmentation = Augmentation(**(augment or {}), seed=seed)
        self.stems: dict[str, dict[str, list[str]]] = {}
        self.test_sources: dict[str, Source] = {}
        self.passed_over: dict[str, None] = {}  # lines on what lies in the sets' folders and is not read

    def setup(self, stage: str | None = None) -> None:
        """Find every set and draw the splits. Safe to call again."""
        if not hasattr(self, "training_source"):
            self._setup_training()
            count, batch = len(self.training_source.stems), self.batch_size
            if count < batch:
                fault = f"{count} training pictures do not fill one batch of {batch}"
                raise ArnError(f"{fault}: lower data.batch_size or add pictures")
            self.test_sources = {name: self._test_source(name) for name in self.test_names}

    def _setup_training(self) -> None:
        if SCENES in self.train_names:
            if self.train_names != [SCENES]:
                raise ArnError("data.train: drawn scenes cannot be mixed with files; name one or the other")
            self.training_source = SceneSource("train", self.train_limit)
            self.validation_source = SceneSource("val", int(self.val) if self.val >= 1 else None)
            return
        found = {name: find_dataset(name, tell=self._tell) for name in self.train_names}
        if self.split == "paper":
            if set(found) != {"MSRA10K", "DUT-OMRON"}:
                raise ArnError("data.split=paper needs data.train=[MSRA10K,DUT-OMRON]")
            msra, omron = ([pair.stem for pair in found[name]] for name in ("MSRA10K", "DUT-OMRON"))
            drawn = paper_split(msra, omron, self.seed)
            self.stems["rest"] = drawn["test"]
            found = {name: _only(found[name], drawn["train"][name]) for name in found}
        places = {name: f"{name}/" if len(found) > 1 else "" for name in found}
        keyed = {places[name] + pair.stem: pair for name, pairs in found.items() for pair in pairs}
        train, val = holdout(list(keyed), self.val, self.seed)
        if self.train_limit:
            train = sorted(shuffled(train, self.seed, salt="limit")[: self.train_limit])
        joined = "+".join(found)
        self.stems |= {"train": {joined: train}, "val": {joined: val}}
        # A side, px, that a training picture must have for nothing to be enlarged.
        needed = self.cache or math.ceil(self.sizes.largest / self.augmentation.crop)
        self.training_source = PairSource(
            [keyed[stem] for stem in train], train, needed if self.reduced else None, self.meaning
        )
        self.validation_source = PairSource([keyed[stem] for stem in val], val, meaning=self.meaning)

    def _test_source(self, name: str) -> Source:
        if not name.endswith("@rest"):
            return find_source(name, self.test_limit, self.meaning, self._tell)
        of = name.removesuffix("@rest")
        if of not in self.stems.get("rest", {}):
            raise ArnError(f"data.test={name}: only data.split=paper leaves a rest, of MSRA10K and DUT-OMRON")
        return PairSource(_only(find_dataset(of), self.stems["rest"][of])[: self.test_limit])

    def _tell(self, line: str) -> None:
        self.passed_over[line] = None

    def write_splits(self, path: Path) -> str | None:
        """Store which stems were trained and validated on; returns their hash, None for drawn scenes."""
        return save_split(path, self.stems) if self.stems else None

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    @property
    def workers(self) -> int:
        """Loader processes a rank."""
        if self.asked_workers != "auto":
            return int(self.asked_workers)
        # Under SLURM each rank is a task with processors of its own; else those of a machine share them.
        ranks = 1 if self.trainer is None or "SLURM_CPUS_PER_TASK" in os.environ else self.trainer.num_devices
        return min(8, max(1, cores() // (2 * ranks)))

    def _processes(self, workers: int) -> dict[str, Any]:
        method = self.start_method if workers else None
        return {"num_workers": workers, "multiprocessing_context": method, "pin_memory": torch.cuda.is_available()}

    def train_dataloader(self) -> ResumableLoader:
        rank, world = self._ranks()
        if self.batch_size % world:
            raise ArnError(
                f"data.batch_size={self.batch_size} is over all ranks and does not divide by {world} of them"
            )
        source, each = self.training_source, self.batch_size // world
        self.augmentation.load()
        return ResumableLoader(
            TrainingSet(source, self.sizes, self.augmentation, self.cache),
            batch_size=each,
            sampler=EpochSampler(len(source.stems), each, self.seed, rank, world),
            collate_fn=default_convert,  # batches come whole
            drop_last=True,
            persistent_workers=self.workers > 0,
            **self._processes(self.workers),
        )

    def _evaluation_loader(self, source: Source) -> DataLoader[dict[str, Any]]:
        """A loader over this rank's share of a set, each picture once over all ranks."""
        share = shard(len(source.stems), *self._ranks())
        batches = -(-len(share) // self.eval_batch_size)  # one process can make one of them at a time
        return DataLoader(
            EvaluationSet(source, self.size),
            batch_size=self.eval_batch_size,
            sampler=share,
            collate_fn=collate_evaluation,
            **self._processes(min(self.workers, batches)),
        )

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self._evaluation_loader(self.validation_source)

    def test_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        return [self._evaluation_loader(source) for source in self.test_sources.values()]


def _only(pairs: Sequence[Pair], stems: Sequence[str]) -> list[Pair]:
    wanted = set(stems)
    return [pair for pair in pairs if pair.stem in wanted]
