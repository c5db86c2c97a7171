"""A bench's findings as plain data: what bench.json holds, and what tables, figures and the page are made from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.statistics import bootstrap, compare, correct
from arn.evaluation.stored_rows import identity, loaded
from arn.evaluation.views import View
from arn.files import digest
from arn.inference.methods import AnyMethod, MapFolder
from arn.metrics.functional import Rows, fields
from arn.metrics.measures import labels, listed
from arn.metrics.protocols import Protocol
from arn.provenance import code_version, processor, provenance

SCHEMA = 1


def made_by(command: str, begun: float) -> dict[str, Any]:
    """Command, date, versions, machine and duration of what began at `begun`, by `time.monotonic`, and ends now."""
    spent = time.monotonic() - begun  # a clock that is set meanwhile moves the date, not this
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - spent))
    machine, seconds = {"processor": processor()}, round(spent, 2)
    return {"command": command, "date": date, **provenance(), "machine": machine, "seconds": seconds}


def kept_curves(measures: Sequence[str]) -> list[str]:
    """The curves of a data set that bench.json keeps: those that its pictures have, too, and their thresholds."""
    curves = [name for name, place in fields(tuple(measures)).items() if place.stop - place.start > 1]
    return [*curves, "thresholds"] if curves else []


def scores_in(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The scores that any of these entries of bench.json has and tables show, in their order."""
    held = {name for one in entries for name in one["values"]}
    return [name for name in listed() if name in held]


def view_id(view: View) -> str:
    return f"{view.label}/{view.protocol.name}"


def describe_view(view: View, pictures: int) -> dict[str, Any]:
    """`pictures`: how many the view has."""
    place = {"id": view_id(view), "dataset": view.dataset, "label": view.label, "protocol": view.protocol.name}
    return place | {"note": view.note, "pictures": pictures}


def describe_methods(methods: Iterable[AnyMethod]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "source": one.source,
            "trained_on": None if one.trained_on is None else "+".join(one.trained_on),
            "parameters": one.parameters,
            "maps": {name: found.described() for name, found in one.found.items()}
            if isinstance(one, MapFolder)
            else None,
        }
        for one in methods
    ]


def describe_protocols(protocols: Iterable[Protocol]) -> list[dict[str, str]]:
    return [{"name": one.name, "description": one.description, "source": one.source} for one in protocols]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn for intervals and tests; without resamples there are neither."""

    resamples: int = 10_000
    confidence: float = 0.95
    seed: int = 0


def score_entry(rows: Rows, cache: Cache, sampling: Sampling) -> dict[str, Any]:
    """A method on a view: every aggregate with its bootstrap interval, and the curves; from the cache, or now."""
    key = digest("entry", _version(), repr(sampling), identity(rows))
    return dict(cache.kept(key, lambda: _score_entry(loaded(rows), sampling), "entry"))


def _score_entry(rows: Rows, sampling: Sampling) -> dict[str, Any]:
    scores, sampled = rows.compute(), sampling.resamples and len(rows) > 1
    sure = bootstrap(rows, listed(rows.measures), **asdict(sampling)) if sampled else {}
    return {
        "pictures": len(rows),
        "values": {name: value for name, value in scores.items() if isinstance(value, float)},
        "intervals": {name: [one.low, one.high] for name, one in sure.items()},
        "standard_errors": {name: one.standard_error for name, one in sure.items()},
        "curves": {name: scores[name].tolist() for name in kept_curves(rows.measures)},
    }


def ranked(entries: Iterable[Mapping[str, Any]], score: str) -> list[Mapping[str, Any]]:
    """Best first; equal ones in the order given."""
    sign = -1 if labels()[score].higher else 1
    return sorted(entries, key=lambda one: sign * one["values"][score])


def comparisons(
    entries: Sequence[Mapping[str, Any]], rows: Mapping[tuple[str, str], Rows], cache: Cache, sampling: Sampling
) -> list[dict[str, Any]]:
    """The best method of each view and score against the next: difference, interval, and p of the sign-flip test.

    `rows`: by method and view. P values are corrected over all comparisons together (Holm).
    """
    results: list[dict[str, Any]] = []
    for view in dict.fromkeys(entry["view"] for entry in entries):
        here = [entry for entry in entries if entry["view"] == view]
        if len(here) < 2 or here[0]["pictures"] < 2 or not sampling.resamples:
            continue
        pairs: dict[tuple[str, str], list[str]] = {}
        for score in scores_in(here[:1]):
            best, following = ranked(here, score)[:2]
            pairs.setdefault((best["method"], following["method"]), []).append(score)
        found = {}
        for (first, second), names in pairs.items():  # scores with the same two methods are tested together
            for name, one in _compared(rows[first, view], rows[second, view], names, cache, sampling).items():
                gap = one["difference"]
                found[name] = {"view": view, "score": name, "first": first, "second": second}
                found[name] |= {"difference": gap["estimate"], "low": gap["low"], "high": gap["high"]}
                found[name]["p"] = one["p_sign_flip"]
        results += [found[name] for name in listed() if name in found]
    correct(results, sampling.confidence)
    return results


def _compared(
    first: Rows, second: Rows, names: Sequence[str], cache: Cache, sampling: Sampling
) -> dict[str, dict[str, Any]]:
    """What `compare` says of two tables, by score, as plain data: from the cache, or computed now."""

    def compute() -> dict[str, Any]:
        of = compare(loaded(first), loaded(second), names, **asdict(sampling))
        return {name: asdict(one) for name, one in of.items()}

    key = digest("comparison", _version(), repr(list(names)), repr(sampling), identity(first), identity(second))
    return dict(cache.kept(key, compute, "comparison"))


def _version() -> bytes:
    return code_version("arn.evaluation.results", "arn.evaluation.statistics", "arn.metrics")


# Table 1 of Sun, Li and Guan (arXiv 1808.01634): MAE and max F as printed.
TABLE_1_SETS = ("DUT-OMRON", "PASCAL-S", "HKU-IS", "ECSSD")
_TABLE_1 = {
    "Amulet": ((0.0976, 0.7429), (0.0997, 0.8373), (0.0507, 0.9204), (0.0589, 0.9154)),
    "RBD": ((0.1609, 0.5712), (0.2030, 0.6353), (0.1484, 0.6970), (0.1769, 0.6778)),
    "KSR": ((0.1306, 0.6781), (0.1540, 0.7694), (0.1201, 0.7922), (0.1322, 0.8287)),
    "UCF": ((0.1203, 0.7296), (0.1155, 0.8230), (0.0620, 0.8877), (0.0691, 0.9034)),
    "MB": ((0.1566, 0.5887), (0.1955, 0.6673), (0.1482, 0.6961), (0.1741, 0.7133)),
    "NLDF": ((0.0796, 0.7532), (0.0977, 0.8309), (0.0477, 0.9020), (0.0626, 0.9050)),
    "SRM": ((0.0694, 0.7690), (0.0835, 0.8473), (0.0459, 0.9058), (0.0544, 0.9172)),
    "ARN": ((0.0714, 0.7750), (0.0815, 0.8591), (0.0451, 0.9163), (0.0637, 0.9133)),
}


def printed(name: str | None) -> dict[str, Any] | None:
    """Figures as a paper prints them, to stand beside measured ones: ``table1``. Raises ArnError for another name."""
    if name is None:
        return None
    if name != "table1":
        raise ArnError(f"printed={name}: there is table1")
    note = (
        "as printed, not measured here. Its DUT-OMRON column mixes test sets (ARN trains on 3,500 of the 5,168 "
        "pictures), and Amulet's HKU-IS max F is .024 above independent evaluations of the same maps."
    )
    rows: list[dict[str, Any]] = []
    for method, cells in _TABLE_1.items():
        values = {name: {"mae": mae, "max_f": f} for name, (mae, f) in zip(TABLE_1_SETS, cells, strict=True)}
        rows.append({"method": method, "values": values})
    return {"label": "Table 1 of Sun, Li and Guan (arXiv 1808.01634)", "note": note, "rows": rows}
