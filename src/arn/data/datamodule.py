"""The training, validation, test and prediction sets of one run, as a LightningDataModule."""

from __future__ import annotations

import math
import mmap
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from arn.data.pairs import Pair, find_dataset
from arn.data.sources import SCENES, PairSource, SceneSource, Source
from arn.data.splits import holdout, paper_split, save_split, shuffled
from arn.data.transforms import Augmentation, resize
from arn.errors import ArnError


class SquareCache:
    """Training pairs held in memory, squashed to squares, shared between forked workers.

    An anonymous shared map rather than /dev/shm, which containers often limit to 64 MB.

    Args:
        side: px that pairs are squashed to.
        then: px that they are brought to after that, where every epoch would do the same: half of a loader's work.
    """

    def __init__(self, count: int, side: int, then: int | None = None) -> None:
        self.side, self.held = side, then or side
        shape, pixels = (-1, self.held, self.held), max(count, 1) * self.held**2
        self._filled = np.frombuffer(mmap.mmap(-1, max(count, 1)), np.uint8)
        self._pictures = np.frombuffer(mmap.mmap(-1, 3 * pixels), np.uint8).reshape(*shape, 3)
        self._masks = np.frombuffer(mmap.mmap(-1, pixels), np.uint8).reshape(shape)

    def get(self, source: Source, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pair as it is held, read-only."""
        if not self._filled[index]:
            for slot, image in zip((self._pictures, self._masks), source.read(index), strict=True):
                slot[index] = resize(resize(image, self.side, self.side), self.held, self.held)
            self._filled[index] = 1
        picture, mask = self._pictures[index], self._masks[index]
        picture.flags.writeable = mask.flags.writeable = False
        return picture, mask


class BatchRing:
    """Places for batches, in memory that forked workers share, so that a batch on its way is three numbers.

    New shared memory for each batch costs more than filling it: its pages are made and mapped one by one, in two
    processes. A worker writes its batches into its own places, one after the other and round again. That is safe as
    long as there are more of them than batches asked for, and a batch is copied out before the next is taken.
    """

    def __init__(self, workers: int, places: int, size: int) -> None:
        self._memory = np.frombuffer(mmap.mmap(-1, workers * places * size), np.uint8).reshape(workers, places, size)
        self._next = 0  # of this worker

    def place(self, worker: int) -> int:
        """The place for a worker's next batch."""
        place, self._next = self._next, (self._next + 1) % self._memory.shape[1]
        return place

    def at(self, worker: int, place: int, count: int) -> Tensor:
        return torch.from_numpy(self._memory[worker, place, :count])


class TrainingSet(Dataset[tuple[NDArray[np.uint8], NDArray[np.uint8]]]):
    """Augmented pairs; the key is (epoch, index), so that an item depends on nothing else."""

    def __init__(self, source: Source, sizes: SizeSchedule, augmentation: Augmentation, cache: int | None) -> None:
        self.source, self.sizes, self.augmentation = source, sizes, augmentation
        settled = augmentation.crop == 1 and not sizes.by_epoch  # one size, nothing drawn before the resizing
        self.cache = SquareCache(len(source.stems), cache, sizes.size if settled else None) if cache else None
        self.ring: BatchRing | None = None

    def __len__(self) -> int:
        return len(self.source.stems)

    def _read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return self.cache.get(self.source, index) if self.cache else self.source.read(index)

    def __getitem__(self, key: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        epoch, index = key
        return self.augmentation(*self._read(index), self.sizes.at(epoch), epoch, index)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Tensor | tuple[int, int, int]:
        """A batch in one piece, (B pictures and then B masks as rows of bytes) 4B x S x S uint8: see :func:`unpack`.

        In a worker with a ring: its number, the batch's place there, and S. See :class:`ResumableLoader`.
        """
        count, side, worker = len(keys), self.sizes.at(keys[0][0]), get_worker_info()
        size = 4 * count * side**2
        if self.ring is None or worker is None:
            batch, told = torch.empty(size, dtype=torch.uint8), None
        else:
            place = self.ring.place(worker.id)
            batch, told = self.ring.at(worker.id, place, size), (worker.id, place, side)
        batch = batch.view(4 * count, side, side)
        pictures = batch[: 3 * count].view(count, side, side, 3).numpy()
        masks = batch[3 * count :].numpy()
        for place, (epoch, index) in enumerate(keys):
            self.augmentation.into((pictures[place], masks[place]), *self._read(index), epoch, index)
        return told or batch


class EvaluationSet(Dataset[dict[str, Any]]):
    """Pictures at the network's input size with masks at native size."""

    def __init__(self, name: str, source: Source, size: int) -> None:
        self.name, self.source, self.size = name, source, size

    def __len__(self) -> int:
        return len(self.source.stems)

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture, mask = self.source.read(index)
        return {"stem": self.source.stems[index], "picture": resize(picture, self.size, self.size), "mask": mask}


class SizeSchedule:
    """The side of the training square by epoch: one number, or {epoch: px} from which on it holds."""

    def __init__(self, size: int, by_epoch: Mapping[int, int] | None = None) -> None:
        self.size = size
        self.by_epoch = {int(epoch): int(px) for epoch, px in (by_epoch or {}).items()}

    @property
    def largest(self) -> int:
        return max([self.size, *self.by_epoch.values()])

    def at(self, epoch: int) -> int:
        begun = [start for start in self.by_epoch if start <= epoch]
        return self.by_epoch[max(begun)] if begun else self.size


class EpochSampler(Sampler[tuple[int, int]]):
    """A seeded order of its own for each epoch, dealt out to ranks like cards, in whole batches.

    Rank r takes positions r, r + world, ... of every global batch, so the global batches are the same on any number of
    ranks. What does not fill a global batch is left out of that epoch.

    Attributes:
        start: batches of this epoch already done in an earlier process; consumed by the next iteration.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.batches = count // (batch_size * world)
        self.count, self.batch_size, self.seed, self.rank, self.world = count, batch_size, seed, rank, world
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, self.start = self.start, 0
        order = np.random.Generator(np.random.PCG64([self.seed, self.epoch])).permutation(self.count)
        mine = order[self.rank :: self.world][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine[start * self.batch_size :]])


class ShardSampler(Sampler[int]):
    """Every ``world``-th picture from ``rank``: none twice, none dropped, unlike DistributedSampler."""

    def __init__(self, count: int, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, count, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


class ResumableLoader(DataLoader[Any]):
    """A DataLoader of a `TrainingSet` that a checkpoint can stop in the middle of an epoch (Lightning's stateful-loader
    protocol). Its batches are whole, and its workers hand them over by a `BatchRing` where they are forked."""

    _handed_out = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        sampler, data = self.sampler, self.dataset
        assert isinstance(sampler, EpochSampler)
        assert isinstance(data, TrainingSet)
        assert self.batch_size is not None
        self._handed_out = sampler.start
        if self.num_workers and data.ring is None and multiprocessing.get_start_method() == "fork":
            size = 4 * self.batch_size * data.sizes.largest**2
            data.ring = BatchRing(self.num_workers, (self.prefetch_factor or 2) + 2, size)
        for batch in super().__iter__():
            self._handed_out += 1
            yield unpack(batch if isinstance(batch, Tensor) else self._taken(*batch))

    def _taken(self, worker: int, place: int, side: int) -> Tensor:
        """A copy of what a worker has written."""
        assert isinstance(self.dataset, TrainingSet)
        assert self.dataset.ring is not None
        assert self.batch_size is not None
        written = self.dataset.ring.at(worker, place, 4 * self.batch_size * side**2).view(-1, side, side)
        return written.pin_memory() if self.pin_memory else written.clone()

    def state_dict(self) -> dict[str, int]:
        return {"batches": self._handed_out % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        assert isinstance(self.sampler, EpochSampler)
        self.sampler.start = state["batches"]


def _to_pictures(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    # H x W x 3 in memory is channels_last as it stands; it stays uint8 until it is on the device.
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def unpack(batch: Tensor) -> dict[str, Tensor]:
    """4B x S x S uint8 -> picture B x 3 x S x S (channels_last) and mask B x 1 x S x S, views of it."""
    count, side = len(batch) // 4, batch.shape[-1]
    pictures = batch[: 3 * count].view(count, side, side, 3).permute(0, 3, 1, 2)
    return {"picture": pictures, "mask": batch[3 * count :].unsqueeze(1)}


def _as_it_is(batch: Any) -> Any:
    return batch


def collate_evaluation(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """-> picture B x 3 x S x S uint8, and lists: stem, mask (uint8 H x W tensors at native size)."""
    return {
        "picture": _to_pictures([item["picture"] for item in items]),
        "mask": [torch.from_numpy(np.ascontiguousarray(item["mask"])) for item in items],
        "stem": [item["stem"] for item in items],
    }


class SaliencyDataModule(pl.LightningDataModule):
    """Training, validation and named test sets.

    Args:
        train: data sets to train on: names of the catalogue, folders with {images,masks}, or ``scenes``.
        test: data sets to score on after training, likewise.
        split: ``paper`` draws 6,000 of MSRA10K and 3,500 of DUT-OMRON by seed (train must name both); the rest can be
            tested on as ``MSRA10K@rest`` and ``DUT-OMRON@rest``. None: all of every training set.
        val: pictures held out of training by seed, a count or a share below 1.
        train_limit: train on that many pictures only, drawn by seed.
        test_limit: score on the first so many pictures of each test set only, for trying things out.
        size: side of the network's square input, px.
        sizes: {epoch: px}, for progressive resolution; overrides ``size`` in training only.
        batch_size: pictures a step over all ranks together.
        eval_batch_size: pictures a step a rank when scoring.
        workers: loader processes; ``auto`` is half the processors, at most 8.
        cache: hold training pairs in memory at that side (px); None reads the files each epoch.
        reduced: decode large JPEGs of the training set at a fraction of their size, both sides staying large enough for
            the cache, or for the smallest crop of the largest size; nothing changes for pictures below twice that.
            Validation and test pictures are always decoded whole.
        augment: arguments of :class:`~arn.data.transforms.Augmentation`.
        seed: of split, order and augmentation.

    Raises:
        ArnError: a data set that cannot be found or read; before any training, for all sets.
    """

    def __init__(
        self,
        train: Sequence[str] = (SCENES,),
        test: Sequence[str] = (SCENES,),
        split: str | None = None,
        val: int | float = 200,
        train_limit: int | None = None,
        test_limit: int | None = None,
        size: int = 224,
        sizes: Mapping[int, int] | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        workers: int | str = "auto",
        cache: int | None = None,
        augment: Mapping[str, Any] | None = None,
        seed: int = 0,
        reduced: bool = True,
    ) -> None:
        super().__init__()
        self.train_names, self.test_names = list(train), list(test)
        if split not in (None, "paper"):
            raise ArnError(f"data.split must be null or paper, not {split!r}")
        self.split, self.val, self.size = split, val, size
        self.train_limit, self.test_limit = train_limit, test_limit
        self.sizes = SizeSchedule(size, sizes)
        self.batch_size, self.eval_batch_size, self.seed = batch_size, eval_batch_size, seed
        self.workers = min(8, max(1, (os.cpu_count() or 2) // 2)) if workers == "auto" else int(workers)
        self.cache, self.reduced = cache, reduced
        self.augmentation = Augmentation(**(augment or {}), seed=seed)
        self.stems: dict[str, dict[str, list[str]]] = {}
        self._train: Source | None = None
        self._val: Source | None = None
        self._test: dict[str, Source] = {}

    def setup(self, stage: str | None = None) -> None:
        """Find every set and draw the splits. Safe to call again."""
        if self._train is None:
            self._setup_training()
            count = len(self.training_source.stems)
            if count < self.batch_size:
                raise ArnError(
                    f"{count} training pictures do not fill one batch of {self.batch_size}: "
                    "lower data.batch_size or add pictures"
                )
            self._test = {name: self._test_source(name) for name in self.test_names}

    def _setup_training(self) -> None:
        if SCENES in self.train_names:
            if self.train_names != [SCENES]:
                raise ArnError("data.train: drawn scenes cannot be mixed with files; name one or the other")
            self._train = SceneSource("train", self.train_limit)
            self._val = SceneSource("val", int(self.val) if self.val >= 1 else None)
            return
        found = {name: find_dataset(name) for name in self.train_names}
        if self.split == "paper":
            if set(found) != {"MSRA10K", "DUT-OMRON"}:
                raise ArnError("data.split=paper needs data.train=[MSRA10K,DUT-OMRON]")
            msra, omron = ([pair.stem for pair in found[name]] for name in ("MSRA10K", "DUT-OMRON"))
            drawn = paper_split(msra, omron, self.seed)
            self.stems["rest"] = drawn["test"]
            found = {name: _only(found[name], drawn["train"][name]) for name in found}
        single = len(found) == 1
        keyed = {
            (pair.stem if single else f"{name}/{pair.stem}"): pair for name, pairs in found.items() for pair in pairs
        }
        train, val = holdout(list(keyed), self.val, self.seed)
        if self.train_limit:
            train = shuffled(train, self.seed, salt="limit")[: self.train_limit]
        train, val = sorted(train), sorted(val)
        joined = "+".join(found)
        self.stems |= {"train": {joined: train}, "val": {joined: val}}
        self._train = PairSource([keyed[stem] for stem in train], train, self._needed_side() if self.reduced else None)
        self._val = PairSource([keyed[stem] for stem in val], val)

    def _needed_side(self) -> int:
        """px that a side of a training picture must have for nothing to be enlarged."""
        largest = max([self.size, *self.sizes.by_epoch.values()])
        return self.cache or math.ceil(largest / self.augmentation.crop)

    def _test_source(self, name: str) -> Source:
        if name == SCENES:
            return SceneSource("test", self.test_limit)
        if name.endswith("@rest"):
            of = name.removesuffix("@rest")
            if of not in self.stems.get("rest", {}):
                raise ArnError(f"data.test={name}: only data.split=paper leaves a rest, of MSRA10K and DUT-OMRON")
            return PairSource(_only(find_dataset(of), self.stems["rest"][of])[: self.test_limit])
        return PairSource(find_dataset(name)[: self.test_limit])

    def write_splits(self, path: Path) -> str | None:
        """Store which stems were trained and validated on; returns their hash, None for drawn scenes."""
        return save_split(path, self.stems) if self.stems else None

    @property
    def training_source(self) -> Source:
        assert self._train is not None, "setup() comes first"
        return self._train

    @property
    def validation_source(self) -> Source:
        assert self._val is not None, "setup() comes first"
        return self._val

    @property
    def test_sources(self) -> dict[str, Source]:
        return dict(self._test)

    def _ranks(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _options(self) -> dict[str, Any]:
        pin = torch.cuda.is_available()
        return {"num_workers": self.workers, "persistent_workers": self.workers > 0, "pin_memory": pin}

    def train_dataloader(self) -> ResumableLoader:
        rank, world = self._ranks()
        if self.batch_size % world:
            raise ArnError(
                f"data.batch_size={self.batch_size} is over all ranks and does not divide by {world} of them"
            )
        source = self.training_source
        each = self.batch_size // world
        self.augmentation.load()
        return ResumableLoader(
            TrainingSet(source, self.sizes, self.augmentation, self.cache),
            batch_size=each,
            sampler=EpochSampler(len(source.stems), each, self.seed, rank, world),
            collate_fn=_as_it_is,
            drop_last=True,
            **self._options(),
        )

    def evaluation_loader(self, name: str, source: Source) -> DataLoader[dict[str, Any]]:
        """A loader over this rank's share of a set, each picture once over all ranks."""
        rank, world = self._ranks()
        return DataLoader(
            EvaluationSet(name, source, self.size),
            batch_size=self.eval_batch_size,
            sampler=ShardSampler(len(source.stems), rank, world),
            collate_fn=collate_evaluation,
            **(self._options() | {"persistent_workers": False}),
        )

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self.evaluation_loader("val", self.validation_source)

    def test_dataloader(self) -> list[DataLoader[dict[str, Any]]]:
        return [self.evaluation_loader(name, source) for name, source in self._test.items()]


def _only(pairs: Sequence[Pair], stems: Sequence[str]) -> list[Pair]:
    wanted = set(stems)
    return [pair for pair in pairs if pair.stem in wanted]
