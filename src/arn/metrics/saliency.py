"""The measures as a torchmetrics.Metric, for anyone's training or test loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from arn.errors import ArnError
from arn.metrics.functional import Rows, Scores, Totals, aggregate, eight_bits, empty_sums, score_row
from arn.metrics.measures import check_measures
from arn.metrics.protocols import Protocol, get_protocol

Maps = Tensor | NDArray[Any] | Sequence[Tensor | NDArray[Any]]


class SaliencyMetrics(Metric):
    """Scores of saliency maps under one protocol.

    >>> metrics = SaliencyMetrics(protocol="arn2018", measures=("mae", "f"))
    >>> metrics.update(maps, masks)
    >>> metrics.compute()["max_f"]

    Its state is the exact integer sum of the pictures' scores: constant in size, and the same bit for bit for any
    batches, order and number of ranks, as long as each picture reaches exactly one rank. A sampler that fills up the
    last batch (`DistributedSampler`) makes some reach two; compare `compute()["pictures"]` with the data set's length.

    `protocol`: a name or `Protocol`, see docs/protocols.md. `measures`: some of `arn.metrics.MEASURES`; all unless
    given. `keep_rows`: keep every picture's scores, 14 kB each for all measures, for `rows()`. `eight_bit`: round float
    maps to the 256 levels of the PNG that would be written of them, so that scores equal those of the files; faster,
    too. Further arguments are those of torchmetrics.Metric.
    """

    is_differentiable = False
    full_state_update = False

    sums: Tensor
    pictures: Tensor

    def __init__(
        self,
        protocol: str | Protocol = "arn2018",
        measures: Iterable[str] | str | None = None,
        *,
        keep_rows: bool = False,
        eight_bit: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = get_protocol(protocol)
        self.measures = check_measures(measures)
        self.keep_rows = keep_rows
        self.eight_bit = eight_bit
        self._rows: list[tuple[str, NDArray[np.float64]]] = []
        self.add_state("sums", torch.from_numpy(empty_sums(self.measures)), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, maps: Maps, masks: Maps, stems: Sequence[str] | None = None) -> None:
        """Scores some pictures.

        `maps` and `masks` are B x H x W or B x 1 x H x W, or sequences of H x W (or 1 x H x W) of any sizes. Maps are
        float 0..1 or uint8 0..255; masks are bool, gray uint8 0..255, or float 0..1. `stems` name them in errors and
        rows. Raises ArnError, before anything is counted, for a mismatch, NaN, or values out of range.
        """
        all_maps, all_masks = self._pictures(maps, quantise=self.eight_bit), self._pictures(masks, quantise=False)
        if len(all_maps) != len(all_masks):
            raise ArnError(f"There are {len(all_maps)} maps but {len(all_masks)} masks.")
        if stems is not None and len(stems) != len(all_maps):
            raise ArnError(f"There are {len(all_maps)} maps but {len(stems)} stems.")
        if stems is None and self.keep_rows:
            raise ArnError("keep_rows needs the pictures' stems: update(maps, masks, stems).")
        named: list[str | None] = list(stems) if stems is not None else [None] * len(all_maps)
        rows = [
            score_row(one, truth, self.protocol, self.measures, stem)
            for one, truth, stem in zip(all_maps, all_masks, named, strict=True)
        ]
        totals = Totals(self.protocol, self.measures)
        for row in rows:
            totals.add(row)
        self.sums += torch.from_numpy(totals.sums).to(self.sums.device)
        self.pictures += totals.pictures
        if self.keep_rows:
            self._rows += zip((str(stem) for stem in named), rows, strict=True)

    def compute(self) -> Scores:
        """The scores of all pictures on all ranks, as `arn.metrics.functional.aggregate` names them.

        Raises ArnError when there was none.
        """
        return aggregate(self.sums.cpu().numpy(), int(self.pictures), self.protocol, self.measures)

    def rows(self) -> Rows:
        """Every picture's scores, of all ranks, sorted by stem. All ranks must call it.

        Raises ArnError without `keep_rows`, and where a picture was scored twice.
        """
        if not self.keep_rows:
            raise ArnError("No rows were kept: make SaliencyMetrics(..., keep_rows=True).")
        rows = self._rows
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[Any] = [None] * torch.distributed.get_world_size(self.process_group)
            torch.distributed.all_gather_object(gathered, rows, self.process_group)
            rows = [row for part in gathered for row in part]
        return Rows.of(self.protocol, self.measures, rows)

    def reset(self) -> None:
        super().reset()
        self._rows = []

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        # torchmetrics resets the state, updates, and adds the former state again, which knows nothing of the rows.
        former = self._rows
        scores = super().forward(*args, **kwargs)
        self._rows = former + self._rows
        return scores

    @staticmethod
    def _pictures(given: Maps, quantise: bool) -> list[NDArray[Any]]:
        """H x W arrays on the CPU."""
        arrays: Iterable[NDArray[Any]]
        if isinstance(given, Tensor | np.ndarray):
            if given.ndim not in (3, 4):
                shape = tuple(given.shape)
                raise ArnError(
                    f"A batch of shape {shape}: expected B x H x W or B x 1 x H x W, or a sequence of H x W."
                )
            arrays = _as_array(given)  # one transfer for a batch
        else:
            arrays = map(_as_array, given)
        pictures = [one[0] if one.ndim == 3 and one.shape[0] == 1 else one for one in arrays]
        return [_rounded(one) for one in pictures] if quantise else pictures


def _as_array(given: Tensor | NDArray[Any]) -> NDArray[Any]:
    if not isinstance(given, Tensor):
        return np.asarray(given)
    given = given.detach()
    if given.dtype in (torch.bfloat16, torch.float16):
        given = given.float()
    return given.cpu().numpy()


def _rounded(one: NDArray[Any]) -> NDArray[Any]:
    # What is not within 0..1 is left for the check, which names the stem.
    return eight_bits(one) if one.size and one.min() >= 0 and one.max() <= 1 else one
