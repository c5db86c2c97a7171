"""docs/performance.md's tables from the figures in outputs/perf: python -m perf.tables

What stands between ``<!-- NAME -->`` and ``<!-- end NAME -->`` is written anew from NAME.json; a suite without figures
keeps the sentence that says so. Run after `make perf` on a quiet machine. No suite: nothing is measured here.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from perf.common import OUTPUT

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def render(text: str, folder: Path) -> str:
    """The document with every block renewed whose figures lie in the folder.

    Raises:
        ValueError: a block that no function renders, or that never ends.
    """

    def renew(match: re.Match[str]) -> str:
        name = match[1]
        if name not in BLOCKS:
            raise ValueError(f"docs/performance.md has a block {name!r}; there are {', '.join(BLOCKS)}")
        source = folder / f"{name}.json"
        if not source.is_file():
            return match[0]
        lines = [*BLOCKS[name](json.loads(source.read_text()))]
        return "\n".join([f"<!-- {name} -->", "", *lines, "", f"<!-- end {name} -->"])

    opened = re.findall(r"<!-- (\w+) -->", text)
    if unended := [name for name in opened if f"<!-- end {name} -->" not in text]:
        raise ValueError(f"docs/performance.md: no end of {', '.join(unended)}")
    return re.sub(r"<!-- (\w+) -->.*?<!-- end \1 -->", renew, text, flags=re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown; the first column to the left, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def measured(content: dict[str, Any]) -> list[str]:
    """Under which circumstances, in a line, with an empty line after it."""
    machine, versions = content["machine"], content["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    threads = content.get("threads") or machine.get("threads")
    told = f"{machine['processor']}, {machine.get('cores_allowed', machine['cores'])} cores"
    told += f", {threads} threads" if threads else ""
    told += f"; load before: {machine['load_before']}" if "load_before" in machine else ""
    turns = f"; {content['turns']} turns" if "turns" in content else ""
    return [f"{told}; {packages}{turns}.", ""]


def between(value: dict[str, float], digits: int = 2) -> str:
    """Median (low .. high)."""
    return f"{value['median']:.{digits}f} ({value['low']:.{digits}f} .. {value['high']:.{digits}f})"


def goals(content: dict[str, Any]) -> list[str]:
    """What was to hold, and whether it does."""
    rows = []
    for goal in content.get("goals", []):
        sign = {">=": "at least", "<=": "at most"}[goal["sense"]]
        verdict = "yes" if goal["holds"] else "**no**"
        rows.append([f"{goal['case']}: {goal['what']}", f"{goal['found']:.3g}", f"{sign} {goal['bound']:g}", verdict])
    return ["", *table(["what must hold", "found", "bound", "holds"], rows)] if rows else []


def networks(content: dict[str, Any]) -> list[str]:
    rows = []
    for case in content["cases"]:
        for name, seconds in case["seconds"].items():
            faster, floor = case["times the literal"].get(name), case["times VGG16"].get(name)
            rows.append(
                [
                    f"{case['mode']}, batch {case['batch']}: {name}",
                    between(seconds, 3),
                    between(faster) if faster else "",
                    between(floor) if floor else "",
                    f"{case['memory'][name]:,.0f}",
                ]
            )
    head = [f"{content['side']} px", "s a batch", "times the literal's speed", "times VGG16's time", "MB"]
    return [*measured(content), *table(head, rows), *goals(content)]


def yardstick(content: dict[str, Any]) -> list[str]:
    (plain, floor) = (key.removeprefix("times ") for key in content["cases"][0] if key.startswith("times "))
    rows = []
    for case in content["cases"]:
        for name, seconds in case["seconds"].items():
            faster, slower = (case[f"times {to}"].get(name) for to in (plain, floor))
            rows.append(
                [
                    f"{case['case']}: {name}",
                    between(seconds, 3),
                    between(faster) if faster and name != plain else "",
                    between(slower) if slower else "",
                ]
            )
    head = ["", "s a batch", f"times the speed of {plain}", f"times the time of {floor}"]
    return [*measured(content), *table(head, rows), *goals(content)]


def light(content: dict[str, Any]) -> list[str]:
    hows = list(content["milliseconds"])
    rows = []
    for name in content["milliseconds"][hows[0]]:
        times = [content["times the backbone"][how].get(name) for how in hows]
        scores = content["scores"].get(name)
        rows.append(
            [
                name,
                *(between(content["milliseconds"][how][name], 1) for how in hows),
                *(between(one) if one else "" for one in times),
                *([f"{scores['max_f']:.4f}", f"{scores['mae']:.4f}"] if scores else ["", ""]),
            ]
        )
    head = [f"ms a map, {content['size']} px, {content['pictures']} pictures of ECSSD", *hows]
    head += [f"times its backbone, {how}" for how in hows]
    return [*measured(content), *table([*head, "max F of 300", "MAE"], rows), *goals(content)]


def scaling(content: dict[str, Any]) -> list[str]:
    names = list(content["growth"])
    fits = sorted({what for name in names for what in content["growth"][name]})
    found = [content["growth"][name] for name in names]
    rows = [[fit, *(f"{one[fit]:.2f}" if fit in one else "" for one in found)] for fit in fits]
    return [
        *measured(content),
        *table(["exponent of the growth of", *names], rows),
        "",
        "![Seconds and memory against the input's side and the batch](figures/scaling.png)",
    ]


def loader(content: dict[str, Any]) -> list[str]:
    rows = []
    for kind, rate in content["rates"].items():
        share = content["share of decoding"].get(kind)
        rows.append([kind, between(rate, 0), f"{100 * share['median']:.0f} %" if share else ""])
    head = [f"{content['set']}, {content['size']} px, {content['workers']} workers", "pictures/s", "of decoding"]
    return [*measured(content), *table(head, rows), *goals(content)]


def predict(content: dict[str, Any]) -> list[str]:
    names = list(dict.fromkeys((*content.get("rates", {}), *content["scores"], *content["missing"])))
    rows = []
    for name in names:
        times, scores = content.get("times U2-Netp", {}).get(name), content["scores"].get(name)
        rows.append(
            [
                name,
                between(content["rates"][name], 1) if name in content.get("rates", {}) else "",
                between(times) if times else "",
                between(content["startup"][name]) if name in content.get("startup", {}) else "",
                *([f"{scores['max_f']:.4f}", f"{scores['mae']:.4f}"] if scores else ["", ""]),
            ]
        )
    head = ["whole command", f"pictures/s, of {content.get('pictures', 0)}", "times U2-Netp", "one picture, s"]
    told = [f"{name}: {why}." for name, why in content["missing"].items()]
    return [*measured(content), *table([*head, "max F", "MAE"], rows), *(["", *told] if told else []), *goals(content)]


def startup(content: dict[str, Any]) -> list[str]:
    rows = [["`arn --help`", between(content["arn --help"], 3)]]
    rows += [["`arn predict`, one picture, its map written", between(content["arn predict"], 2)]]
    if "arn predict, cold" in content:
        rows += [["the same, files not in the system's cache", between(content["arn predict, cold"], 2)]]
    rows += [[f"`arn train`: {part}", between(seconds, 2)] for part, seconds in content["arn train"].items()]
    return [*measured(content), *table(["", "s"], rows), *goals(content)]


def accuracy(content: dict[str, Any]) -> list[str]:
    rows = [
        [f"{row['side']} px: {row['program']}", f"{row['max_f']:.5f}", f"{row['mae']:.5f}", f"{row['furthest']:.4f}"]
        for row in content["scores"]
    ]
    head = [f"{content['network']}, {content['pictures']} pictures", "max F", "MAE", "largest difference of a map"]
    return [*measured(content), *table(head, rows), *goals(content)]


def bench(content: dict[str, Any]) -> list[str]:
    rows = [[what, f"{taken:.3f}"] for what, taken in content["milliseconds"].items()]
    size = " x ".join(map(str, reversed(content["size"])))
    maps = content["methods"] * content["pictures"]
    head = [f"one process, {size} px, {content['kilobytes_a_map']} KB", "ms of processor time a map"]
    decoded, scored, memory = content["decoded_a_second"], content["scored_a_second"], content["memory_mb"]
    at_once = f"{content['workers']} processes, {content['methods']} methods x {content['pictures']:,} pictures"
    told = f"{at_once}: {maps:,} maps decoded with their masks at {decoded:,.0f} a second, scored at {scored:,.0f}, "
    told += f"{scored / decoded:.0%} of that. Memory of the bench, and of a worker: "
    told += ", ".join(f"{when} {of['bench']:.0f} and {of['worker']:.0f} MB" for when, of in memory.items()) + "."
    return [*measured(content), told, "", *table(head, rows)]


def cache(content: dict[str, Any]) -> list[str]:
    rows = []
    for what, one in content["runs"].items():
        figures = [f"{one['seconds']:.1f}", f"{one['processor_seconds']:.1f}", f"{one['peak_mb']:.0f}"]
        rows.append([what, *figures, f"{one['files']:,}", f"{one['bytes'] / 1e9:.2f}"])
    head = [f"{content['methods']} methods x {content['pictures']:,} pictures, {content['workers']} processes"]
    return [*measured(content), *table([*head, "s", "of a processor", "MB at most", "files in the cache", "GB"], rows)]


BLOCKS = {
    one.__name__: one for one in (networks, yardstick, light, scaling, loader, predict, startup, accuracy, bench, cache)
}


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text(), OUTPUT))
    if (OUTPUT / "scaling.png").is_file():
        shutil.copy(OUTPUT / "scaling.png", DOCUMENT.parent / "figures" / "scaling.png")
    sys.stdout.write(f"written: {DOCUMENT.relative_to(DOCUMENT.parent.parent)}\n")
