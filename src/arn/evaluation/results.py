"""A bench's findings as plain data: what bench.json holds, and what tables, figures and the page are made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.evaluation.statistics import bootstrap, compare, holm
from arn.evaluation.views import View
from arn.files import digest
from arn.inference.methods import AnyMethod
from arn.metrics.functional import Rows, fields
from arn.metrics.measures import labels, listed
from arn.metrics.protocols import Protocol
from arn.provenance import code_version

SCHEMA = 1


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


def describe_views(views: Iterable[View], pictures: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "id": view_id(view),
            "dataset": view.dataset,
            "label": view.label,
            "protocol": view.protocol.name,
            "note": view.note,
            "pictures": len(view.stems) if view.stems is not None else pictures[view.dataset],
        }
        for view in views
    ]


def describe_methods(methods: Iterable[AnyMethod]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "source": one.source,
            "trained_on": None if one.trained_on is None else "+".join(one.trained_on),
            "parameters": one.parameters,
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

    @property
    def options(self) -> dict[str, Any]:
        return asdict(self)


def score_entry(rows: Rows, cache: Cache, sampling: Sampling) -> dict[str, Any]:
    """A method on a view: every aggregate with its bootstrap interval, and the curves."""
    scores = rows.compute()
    names = listed(rows.measures)

    def compute() -> dict[str, Any]:
        if not sampling.resamples or len(rows) < 2:
            return {}
        intervals = bootstrap(rows, names, **sampling.options)
        return {name: [one.low, one.high, one.standard_error] for name, one in intervals.items()}

    intervals = _kept(cache, _statistics_key("interval", [rows], names, sampling), compute)
    return {
        "pictures": len(rows),
        "values": {name: value for name, value in scores.items() if isinstance(value, float)},
        "intervals": {name: interval[:2] for name, interval in intervals.items()},
        "standard_errors": {name: interval[2] for name, interval in intervals.items()},
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

    `rows`: by method and view. P values are corrected over all comparisons together (Holm); a difference is called
    significant where the corrected one is at most 1 - confidence.
    """
    results: list[dict[str, Any]] = []
    for view in dict.fromkeys(entry["view"] for entry in entries):
        here = [entry for entry in entries if entry["view"] == view]
        if len(here) > 1 and here[0]["pictures"] > 1 and sampling.resamples:
            results += _comparisons_of(view, here, rows, cache, sampling)
    corrected = holm({str(number): one["p"] for number, one in enumerate(results)})
    for number, one in enumerate(results):
        one["p_holm"] = corrected[str(number)]
        one["significant"] = one["p_holm"] <= 1 - sampling.confidence
    return results


def _comparisons_of(
    view: str,
    entries: Sequence[Mapping[str, Any]],
    rows: Mapping[tuple[str, str], Rows],
    cache: Cache,
    sampling: Sampling,
) -> list[dict[str, Any]]:
    """Those of one view, in the order of tables; scores with the same two methods are tested together."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for name in scores_in(entries[:1]):
        best, following = ranked(entries, name)[:2]
        pairs.setdefault((best["method"], following["method"]), []).append(name)
    results = []
    for (first, second), names in pairs.items():
        ours, theirs = rows[first, view], rows[second, view]

        def compute(a: Rows = ours, b: Rows = theirs, names: list[str] = names) -> dict[str, Any]:
            return {name: asdict(one) for name, one in compare(a, b, names, **sampling.options).items()}

        for name, one in _kept(cache, _statistics_key("comparison", [ours, theirs], names, sampling), compute).items():
            gap = one["difference"]
            results.append(
                {
                    "view": view,
                    "score": name,
                    "first": first,
                    "second": second,
                    "difference": gap["estimate"],
                    "low": gap["low"],
                    "high": gap["high"],
                    "p": one["p_sign_flip"],
                }
            )
    order = listed()
    return sorted(results, key=lambda one: order.index(one["score"]))


def _statistics_key(what: str, tables: Sequence[Rows], names: Sequence[str], sampling: Sampling) -> bytes:
    parts: list[str | bytes] = [what, code_version("arn.evaluation.statistics", "arn.metrics"), repr(list(names))]
    parts.append(repr(sampling))
    for rows in tables:
        parts += [repr(rows.protocol), repr(rows.stems), rows.table.tobytes()]
    return digest(*parts)


def _kept(cache: Cache, key: bytes, compute: Any) -> dict[str, Any]:
    stored = cache.get(key)
    if stored is not None:
        return dict(json.loads(stored))
    found: dict[str, Any] = compute()
    cache.put(key, json.dumps(found).encode())
    return found


# Table 1 of Sun, Li and Guan (arXiv 1808.01634): MAE and max F as printed.
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
_TABLE_1_SETS = ("DUT-OMRON", "PASCAL-S", "HKU-IS", "ECSSD")

PRINTED = ("table1",)


def printed(name: str | None) -> dict[str, Any] | None:
    """Figures as a paper prints them, to stand beside measured ones: ``table1``. Raises ArnError for another name."""
    if name is None:
        return None
    if name not in PRINTED:
        raise ArnError(f"printed={name}: there is {', '.join(PRINTED)}")
    return {
        "label": "Table 1 of Sun, Li and Guan (arXiv 1808.01634)",
        "note": (
            "as printed, not measured here. Its DUT-OMRON column mixes test sets (ARN trains on 3,500 of the 5,168 "
            "pictures), and Amulet's HKU-IS max F is .024 above independent evaluations of the same maps."
        ),
        "rows": [
            {
                "method": method,
                "values": {
                    dataset: {"mae": mae, "max_f": max_f}
                    for dataset, (mae, max_f) in zip(_TABLE_1_SETS, cells, strict=True)
                },
            }
            for method, cells in _TABLE_1.items()
        ],
    }
