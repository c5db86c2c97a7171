"""The measures as a torchmetrics.Metric, for anyone's training or test loop."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from arn.errors import ArnError
from arn.metrics.functional import Rows, Scores, Totals, aggregate, eight_bits, empty_sums, score_row
from arn.metrics.measures import check_measures, scores
from arn.metrics.protocols import Protocol, get_protocol

Maps = Tensor | NDArray[Any] | Sequence[Tensor | NDArray[Any]]


class SaliencyMetrics(Metric):
    """Scores of saliency maps under one protocol.

    >>> metrics = SaliencyMetrics(protocol="arn2018", measures=("mae", "f"))
    >>> metrics.update(maps, masks)
    >>> metrics.compute()["max_f"]  # a scalar tensor; metrics.curves()["f_curve"] is an array of 256

    In a LightningModule: ``self.log_dict(self.metrics)`` logs every score at the end of the epoch, over all ranks, and
    ``self.log("val/max_f", self.metrics["max_f"])`` one of them.

    Its state is the exact integer sum of the pictures' scores: constant in size, and the same bit for bit for any
    batches, order and number of ranks, as long as each picture reaches exactly one rank. A sampler that fills up the
    last batch (`DistributedSampler`) makes some reach two; compare `compute()["pictures"]` with the data set's length.

    `protocol`: a name or `Protocol`, see docs/protocols.md. `measures`: some of those there; `arn.metrics.MEASURES`
    unless given. `keep_rows`: keep every picture's scores, 14 kB each for those, for `rows()`. `eight_bit`: round
    float maps to the 256 levels of the PNG that would be written of them, so that scores equal those of the files;
    faster, too. Further arguments are those of torchmetrics.Metric.
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
        self._scores = torch.nn.ModuleDict({name: _Score(self, name) for name in scores(self.measures)})

    def update(self, maps: Maps, masks: Maps, stems: Sequence[str] | None = None) -> None:
        """Scores some pictures.

        `maps` and `masks` are B x H x W or B x 1 x H x W, or sequences of H x W (or 1 x H x W) of any sizes. Maps are
        float 0..1 or uint8 0..255; masks are bool, whole numbers (0 and 1, or gray 0..255), or float 0..1. `stems` name
        them in errors and rows. Raises ArnError, before anything is counted, for a mismatch, NaN, or values out of
        range.
        """
        all_maps = [_rounded(one) if self.eight_bit else one for one in _pictures(maps)]
        all_masks = [_whole_numbers(one) for one in _pictures(masks)]
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
        # Not in place: a state that was made in inference mode, as Lightning validates, is used in training after it.
        self.sums = self.sums + torch.from_numpy(totals.sums).to(self.sums.device)
        self.pictures = self.pictures + totals.pictures
        if self.keep_rows:
            self._rows += zip((str(stem) for stem in named), rows, strict=True)

    def compute(self) -> dict[str, Tensor]:
        """The scores of all pictures on all ranks by name, and their number, `pictures`: scalars, float64.

        Raises ArnError when there was none.
        """
        kind = torch.float32 if self.sums.device.type == "mps" else torch.float64
        values = {name: value for name, value in self._aggregate().items() if np.ndim(value) == 0}
        return {name: torch.tensor(value, dtype=kind, device=self.sums.device) for name, value in values.items()}

    def curves(self) -> Scores:
        """The curves over `thresholds`, 255 to 0, of all pictures on all ranks: float64 arrays of 256 by name.

        All ranks must call it. Raises ArnError when there was no picture.
        """
        with self.sync_context(should_sync=self._to_sync, should_unsync=True):
            return {name: value for name, value in self._aggregate().items() if np.ndim(value) == 1}

    def _aggregate(self) -> Scores:
        return aggregate(self.sums.cpu().numpy(), int(self.pictures), self.protocol, self.measures)

    def __getitem__(self, name: str) -> Metric:  # type: ignore[override]  # torchmetrics' is of pipelines of metrics
        """One score as a metric of its own, for a LightningModule's ``self.log``.

        Raises ArnError for one that these measures do not give.
        """
        if name not in self._scores:
            raise ArnError(f"There is no score {name!r}; these measures give {', '.join(self._scores)}.")
        return cast(Metric, self._scores[name])

    def items(self) -> ItemsView[str, Metric]:
        """Each score as a metric of its own, which makes this what a LightningModule's ``self.log_dict`` takes."""
        return cast(ItemsView[str, Metric], self._scores.items())

    def plot(self, val: Any = None, ax: Any = None, curve: str = "pr") -> Any:
        """Draws the precision over the recall, or with `curve` a curve of `curves()`, as ``f_curve``, over thresholds.

        `val`: curves to draw in place of those of now, or a sequence of them, a line each. Returns figure and axes.
        """
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots() if ax is None else (ax.get_figure(), ax)
        drawn = [self.curves()] if val is None else [val] if isinstance(val, Mapping) else list(val)
        x, y = ("recall", "precision") if curve == "pr" else ("thresholds", curve)
        for number, curves in enumerate(drawn):
            if x not in curves or y not in curves:
                raise ArnError(f"There is no curve {curve!r} of the measures {', '.join(self.measures)}.")
            ax.plot(curves[x], curves[y], label=str(number) if len(drawn) > 1 else None)
        ax.set(xlabel=x.removesuffix("s"), ylabel=y.removesuffix("_curve"), ylim=(0, 1))
        if len(drawn) > 1:
            ax.legend()
        return figure, ax

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


class _Score(Metric):
    """One score of a `SaliencyMetrics`, which counts for it."""

    full_state_update = False
    whole: SaliencyMetrics

    def __init__(self, whole: SaliencyMetrics, name: str) -> None:
        object.__setattr__(self, "whole", whole)  # no submodule of its own: it is within that one
        super().__init__(compute_with_cache=False, sync_on_compute=False)
        self.name = name

    def update(self) -> None:
        """Counted by the whole."""

    def compute(self) -> Tensor:
        return self.whole.compute()[self.name]

    def reset(self) -> None:
        self.whole.reset()

    @property
    def _update_count(self) -> int:
        return self.whole._update_count

    @_update_count.setter
    def _update_count(self, count: int) -> None:
        """The whole's."""

    @property
    def _forward_cache(self) -> Any:
        scores = self.whole._forward_cache
        return None if scores is None else scores[self.name]

    @_forward_cache.setter
    def _forward_cache(self, value: Any) -> None:
        """The whole's."""


def _pictures(given: Maps) -> list[NDArray[Any]]:
    """H x W arrays on the CPU."""
    # One transfer for a batch; a tensor of its own for each picture where sizes differ.
    whole = given if isinstance(given, Tensor | np.ndarray) else None
    if whole is not None and whole.ndim not in (3, 4):
        raise ArnError(
            f"A batch of shape {tuple(whole.shape)}: expected B x H x W or B x 1 x H x W, or a sequence of H x W."
        )
    pictures = _as_array(whole) if whole is not None else map(_as_array, given)
    return [one[0] if one.ndim == 3 and one.shape[0] == 1 else one for one in pictures]


def _whole_numbers(mask: NDArray[Any]) -> NDArray[Any]:
    """A mask of whole numbers as bool where it holds but 0 and 1, else as uint8; others are left for the check."""
    if not np.issubdtype(mask.dtype, np.integer) or not mask.size:
        return mask
    low, high = int(mask.min()), int(mask.max())
    return (
        mask.astype(np.bool_) if low >= 0 and high <= 1 else mask.astype(np.uint8) if 0 <= low <= high <= 255 else mask
    )


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
