"""Pictures as torch data sets, the order they are drawn in, and a loader that can stop in the middle of an epoch."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from arn.data.images import Mask, Picture
from arn.data.samplers import EpochSampler
from arn.data.sources import Source
from arn.data.transforms import Augmentation, resize


class SquareCache:
    """Training pairs held in memory, squashed to ``side`` px, shared between forked workers.

    They are brought to ``then`` px after that, where every epoch would do the same: half of a loader's work. The memory
    is an anonymous shared map rather than /dev/shm, which containers often limit to 64 MB.
    """

    def __init__(self, count: int, side: int, then: int | None = None) -> None:
        self.side, self.held = side, then or side
        shape, pixels = (-1, self.held, self.held), max(count, 1) * self.held**2
        self._filled = np.frombuffer(mmap.mmap(-1, max(count, 1)), np.uint8)
        self._pictures = np.frombuffer(mmap.mmap(-1, 3 * pixels), np.uint8).reshape(*shape, 3)
        self._masks = np.frombuffer(mmap.mmap(-1, pixels), np.uint8).reshape(shape)

    def get(self, source: Source, index: int) -> tuple[Picture, Mask]:
        """The pair as it is held, read-only."""
        if not self._filled[index]:
            for slot, image in zip((self._pictures, self._masks), source.read(index), strict=True):
                slot[index] = resize(resize(image, self.side, self.side), self.held, self.held)
            self._filled[index] = 1
        picture, mask = self._pictures[index], self._masks[index]
        picture.flags.writeable = mask.flags.writeable = False
        return picture, mask


class TrainingSet(Dataset[Tensor]):
    """Batches of augmented pairs by keys (epoch, index), so that a pair depends on nothing else."""

    def __init__(self, source: Source, sizes: SizeSchedule, augmentation: Augmentation, cache: int | None) -> None:
        self.source, self.sizes, self.augmentation = source, sizes, augmentation
        settled = augmentation.crop == 1 and not sizes.by_epoch  # one size, nothing drawn before the resizing
        self.cache = SquareCache(len(source.stems), cache, sizes.size if settled else None) if cache else None

    def __len__(self) -> int:
        return len(self.source.stems)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Tensor:
        """A batch in one tensor, uint8 4B x S x S: B pictures of 3S rows, then B masks."""
        count, side = len(keys), self.sizes.at(keys[0][0])
        batch = torch.empty((4 * count, side, side), dtype=torch.uint8)
        pictures = batch[: 3 * count].view(count, side, side, 3).numpy()
        masks = batch[3 * count :].numpy()
        for place, (epoch, index) in enumerate(keys):
            pair = self.cache.get(self.source, index) if self.cache else self.source.read(index)
            self.augmentation.into((pictures[place], masks[place]), *pair, epoch, index)
        return batch


class EvaluationSet(Dataset[dict[str, Any]]):
    """Pictures at the network's input size with masks at native size."""

    def __init__(self, source: Source, size: int) -> None:
        self.source, self.size = source, size

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
        self.largest = max([size, *self.by_epoch.values()])
        self.smallest = min([self.at(0), *self.by_epoch.values()])

    def at(self, epoch: int) -> int:
        begun = [start for start in self.by_epoch if start <= epoch]
        return self.by_epoch[max(begun)] if begun else self.size


class ResumableLoader(DataLoader[Any]):
    """A DataLoader of a `TrainingSet` that a checkpoint can stop in the middle of an epoch, by Lightning's protocol."""

    sampler: EpochSampler
    _handed_out = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yields picture B x 3 x S x S (channels_last) and mask B x 1 x S x S, uint8, views of the set's tensor."""
        self._handed_out = self.sampler.start
        for batch in super().__iter__():
            self._handed_out += 1
            count, side = len(batch) // 4, batch.shape[-1]
            pictures = batch[: 3 * count].view(count, side, side, 3).permute(0, 3, 1, 2)
            yield {"picture": pictures, "mask": batch[3 * count :].unsqueeze(1)}

    def stems(self, epoch: int, batch: int) -> list[str]:
        """The pictures of a batch over all ranks, whichever are augmented how."""
        dataset: Any = self.dataset
        return [dataset.source.stems[index] for index in self.sampler.batch(epoch, batch)]

    def state_dict(self) -> dict[str, int]:
        return {"batches": self._handed_out % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.start = state["batches"]


def collate_evaluation(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """-> picture B x 3 x S x S uint8, and lists: stem, mask (uint8 H x W tensors at native size)."""
    return {
        # H x W x 3 in memory is channels_last as it stands; it stays uint8 until it is on the device.
        "picture": torch.from_numpy(np.stack([item["picture"] for item in items])).permute(0, 3, 1, 2),
        "mask": [torch.from_numpy(np.ascontiguousarray(item["mask"])) for item in items],
        "stem": [item["stem"] for item in items],
    }
