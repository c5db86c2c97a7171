"""What a protocol is: every choice that published scoring code makes differently, by name.

A protocol turns a map and a mask into numbers. The formulae, their sources and measured consequences are in
docs/protocols.md. This file needs neither torch nor numba, so that tables and worker processes can import it freely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from arn.errors import ArnError

# beta^2 of the F-measure (Achanta et al., CVPR 2009): precision weighs more than recall. Every protocol agrees on it.
BETA2 = 0.3

Normalisation = Literal["none", "max", "minmax"]


@dataclass(frozen=True)
class Protocol:
    """One way of scoring. Levels are those of 8-bit pictures, 0..255.

    A pixel of the mask is foreground when its level is above `mask_level`. `mae_mask_level` is that of the MAE alone,
    None where the MAE is taken against the gray mask itself.
    """

    name: str
    source: str
    normalise: Normalisation  # of the map, for everything but the MAE
    mae_normalise: Normalisation
    mask_level: int
    mae_mask_level: int | None
    quantise: Literal["truncate", "compare"]  # map level -> threshold: (255 v) truncated, or v compared with k / 255
    strict: bool  # a pixel is predicted where map > threshold, rather than map >= threshold
    smoothing: float  # added to the counts above and below the fraction bar of precision and recall
    average: Literal["dataset", "picture"]  # F of the averaged precision and recall, or the average of the pictures' F
    centroid: Literal["half_even", "half_up"]  # rounding of the S-measure's centroid
    numpy_rounding: bool = False  # where only rounding decides, decide as NumPy's summation does

    @property
    def half(self) -> int:
        """Which entry of a curve is that of the map above level 128 of 255, as masks are read."""
        return 127 if self.strict else 126

    @property
    def description(self) -> str:
        """One line for a table's foot: what is done to the map and to the mask, and which F is meant."""
        maps = {"none": "as it is", "max": "divided by its maximum", "minmax": "min-max normalised"}
        f = {"dataset": "F of the data set's averaged precision and recall", "picture": "average of the pictures' F"}
        mae_mask = "the gray mask" if self.mae_mask_level is None else f"mask > {self.mae_mask_level}"
        return (
            f"{self.name}: map {maps[self.normalise]}, 256 thresholds {'>' if self.strict else '>='}, "
            f"mask > {self.mask_level}, {f[self.average]} (beta^2 = {BETA2}); "
            f"MAE of the map {maps[self.mae_normalise]} against {mae_mask}"
        )


_PROTOCOLS = (
    Protocol(
        name="arn2018",
        source="Table 1 of Sun, Li and Guan (arXiv 1808.01634); sal_eval_toolbox (MATLAB)",
        normalise="max",
        mae_normalise="minmax",
        mask_level=25,  # mask >= 0.1, that is at least 25.5 of 255
        mae_mask_level=128,
        quantise="compare",
        strict=False,
        smoothing=0.0,
        average="dataset",
        centroid="half_up",
    ),
    Protocol(
        name="pysod",
        source="PySODMetrics 1.6 (Python)",
        normalise="minmax",
        mae_normalise="minmax",
        mask_level=128,
        mae_mask_level=128,
        quantise="truncate",
        strict=False,
        smoothing=0.0,
        average="picture",
        centroid="half_even",
        numpy_rounding=True,
    ),
    Protocol(
        name="salmetric",
        source="SalMetric (C++), as used by DSS and PoolNet",
        normalise="none",
        mae_normalise="none",
        mask_level=128,
        mae_mask_level=None,
        quantise="compare",
        strict=True,
        smoothing=1e-4,
        average="dataset",
        centroid="half_even",
    ),
)

PROTOCOLS = MappingProxyType({protocol.name: protocol for protocol in _PROTOCOLS})

# The two binarisations in use for graded masks such as PASCAL-S's: at least a tenth, or more than half.
BINARISATIONS = MappingProxyType({"0.1": 25, "0.5": 128})


def get_protocol(name: str | Protocol) -> Protocol:
    """The protocol of that name: one of `PROTOCOLS`, or with a binarisation after it, as in `arn2018@0.5`.

    A binarisation replaces the protocol's own for every measure, the MAE included: `@0.1` takes masks of at least a
    tenth as foreground, `@0.5` those above 128 of 255. Raises ArnError, listing the names, for any other.
    """
    if isinstance(name, Protocol):
        return name
    base, at, binarisation = str(name).partition("@")
    if base in PROTOCOLS and not at:
        return PROTOCOLS[base]
    if base in PROTOCOLS and binarisation in BINARISATIONS:
        level = BINARISATIONS[binarisation]
        return replace(PROTOCOLS[base], name=str(name), mask_level=level, mae_mask_level=level)
    raise ArnError(
        f"There is no protocol '{name}': use {', '.join(PROTOCOLS)}, or one of them followed by "
        f"{' or '.join('@' + one for one in BINARISATIONS)} for that binarisation of the masks."
    )
