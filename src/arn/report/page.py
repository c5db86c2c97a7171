"""The result page: one HTML file that opens from disk, without a network, and shows everything a benchmark found.

Style, script and data are written into the file, from `templates/`; a content security policy forbids any other source.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arn.files import write_atomically
from arn.metrics.measures import curve_labels, labels

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("data.js", "scores.js", "curves.js", "pictures.js", "switch.js", "page.js")

# At a thumbnail's size WebP of these qualities shows no artefacts; a map has few edges, and stands more.
_PICTURE_QUALITY = 72
_GRAY_QUALITY = 55


@dataclass(frozen=True)
class Section:
    """A part that the caller adds to the page, below the curves."""

    title: str  # text
    html: (
        str  # put in as it is: whatever comes from data must be escaped. Nothing from outside is loaded, no script run
    )


def write_page(
    path: Path, bench: Mapping[str, Any], browser: Mapping[str, Any] | None = None, extra: Sequence[Section] = ()
) -> None:
    """Writes the page, whole or not at all.

    `bench` is the content of `bench.json`. `browser` adds the browser of pictures: `view_rows` (by view: `stems`, and
    `scores` by method and name, one number per stem), `media` (by data set and stem: `picture`, `mask`, and `maps` by
    method, as data URIs; pictures may be left out) and `note`, which says what was left out. Any score, interval, curve
    or method may be absent, as NaN and infinities count. Raises ArnError naming the path when it cannot be written, and
    ValueError for a medium that is no data URI of an image.
    """
    _check_media(browser)
    theme = _template("theme.js")
    # The parts of the script as one, in a block, which keeps their names from the window's (`open`, `name`).
    script = "'use strict';\n{\n" + "\n".join(map(_template, _SCRIPTS)) + "}\n"
    # What the script must know of scores and curves, in their order: it has no list of its own.
    known = {"labels": labels(), "curves": curve_labels()}
    shown = {kind: [{"name": name} | asdict(label) for name, label in of.items()] for kind, of in known.items()}
    text = Template(_template("page.html")).substitute(
        policy=_policy(theme, script),
        title=html.escape(bench.get("title") or "Benchmark"),
        summary=html.escape(_summary(bench)),
        warnings=_warnings(bench.get("warnings") or ()),
        sections="\n".join(_section(f"extra-{number}", section) for number, section in enumerate(extra)),
        style=_template("page.css"),
        theme=theme,
        script=script,
        data=_json({"bench": bench, "browser": browser} | shown),
    )
    write_atomically(path, text.encode())


def thumbnail(picture_or_map: NDArray[Any], longest: int = 320) -> str:
    """A picture, mask or map as a WebP data URI, its longer side at most `longest` pixels; never enlarged.

    Takes uint8 RGB H x W x 3, uint8 H x W, bool H x W, or float H x W in 0..1; raises ValueError for anything else. A
    photograph of 320 x 213 takes about 11 kB, its mask or map 1 to 3 kB.
    """
    array = np.asarray(picture_or_map)
    if array.ndim == 2 and array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.ndim == 2 and array.size and np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # NaN fails this as well
            raise ValueError(f"a float map is within 0..1, not {array.min()}..{array.max()}")
        array = np.rint(array * 255).astype(np.uint8)
    gray = array.ndim == 2
    if array.dtype != np.uint8 or not array.size or not (gray or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"a picture is uint8 H x W x 3, a map H x W, not {array.dtype} of shape {array.shape}")
    image = Image.fromarray(array)
    scale = longest / max(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=_GRAY_QUALITY if gray else _PICTURE_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Nothing from anywhere: these scripts, styles within the page (figures in SVG bring their own), data URIs."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii") for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    within = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {within}"


def _json(content: Any) -> str:
    """JSON that cannot leave its script element: no `<`, no `&`, and no line separators of JavaScript's."""
    text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def _plain(value: Any) -> Any:
    """The same with six decimals, which is more than is shown, and None for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _summary(bench: Mapping[str, Any]) -> str:
    """One line: what was measured."""
    views, methods, provenance = bench.get("views"), bench.get("methods"), bench.get("provenance") or {}
    if not views or not methods:
        return ""
    # A data set under several protocols, or read in two ways, counts once; its largest view has all of its pictures.
    sets: dict[str, int] = {}
    for view in views:
        sets[view["dataset"]] = max(sets.get(view["dataset"], 0), view["pictures"])
    shown = " and ".join(sets) if len(sets) < 3 else f"{len(sets)} data sets"
    protocols = list(dict.fromkeys(view["protocol"].partition("@")[0] for view in views))
    said = f"{_count(len(methods), 'method')} on {shown}, {_count(sum(sets.values()), 'picture')}, "
    said += f"under {_count(len(protocols), 'protocol')} ({', '.join(protocols)})"
    if provenance.get("resamples"):
        said += f", with {100 * provenance['confidence']:g} % bootstrap intervals "
        said += f"from {provenance['resamples']:,} resamples"
    return said + "."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{html.escape(one)}</li>" for one in warnings)
    return (
        '<aside class="warnings" aria-labelledby="warnings-title">'
        f'<h2 id="warnings-title">Read this before the figures</h2><ul>{items}</ul></aside>'
    )


def _section(name: str, section: Section) -> str:
    return (
        f'<section class="extra" aria-labelledby="{name}"><h2 id="{name}">{html.escape(section.title)}</h2>'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}">{section.html}</div></section>'
    )


def _check_media(browser: Mapping[str, Any] | None) -> None:
    for dataset, pictures in ((browser or {}).get("media") or {}).items():
        for stem, media in pictures.items():
            for uri in (media.get("picture"), media.get("mask"), *(media.get("maps") or {}).values()):
                if uri is not None and not uri.startswith("data:image/"):
                    raise ValueError(f"{dataset}/{stem}: media are data URIs of images, not {uri[:40]!r}")
