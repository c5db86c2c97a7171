"""The result page: what the file holds, and what it does in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import arn.report.page
from arn.data.scenes import draw_scene
from arn.errors import ArnError
from arn.report.page import Section, thumbnail, write_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

TEMPLATES = Path(arn.report.page.__file__).parent / "templates"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>\u2028&amp;'"
PLAIN, SECOND = "Plain", "Second"
METHODS = (PLAIN, SECOND, HOSTILE)
MINUS, TO = "\u2212", "\u2013"  # as figures are set: minus sign, en dash
STEMS = [f"{number:04d}" for number in range(60)]
RECALL = np.linspace(0.0, 1.0, 256)


def curves(height: float) -> dict[str, list[float]]:
    precision = height - 0.5 * height * RECALL**2
    f = 1.3 * precision * RECALL / (0.3 * precision + RECALL + 1e-12)
    columns = {"precision": precision, "recall": RECALL, "f_curve": f, "e_curve": 0.5 + f / 2}
    return {"thresholds": list(range(255, -1, -1))} | {name: column.tolist() for name, column in columns.items()}


# max F, MAE: Plain is best by max F, Second by MAE, on the first view; HOSTILE on the third. Between the first and the
# second view (another protocol) the order of max F turns.
FIGURES: dict[str, dict[str, tuple[float, float]]] = {
    "TOY/arn2018": {PLAIN: (0.85, 0.12), SECOND: (0.84, 0.09), HOSTILE: (0.70, 0.20)},
    "TOY/pysod": {PLAIN: (0.79, 0.13), SECOND: (0.81, 0.10), HOSTILE: (0.66, 0.21)},
    "OTHER/arn2018": {PLAIN: (0.61, 0.15), SECOND: (0.62, 0.14), HOSTILE: (0.93, 0.04)},
}


def toy_bench() -> dict[str, Any]:
    scores = [
        {
            "method": method,
            "view": view,
            "pictures": 60,
            "of": 60,
            "values": {"max_f": max_f, "mae": mae, "s_measure": max_f - 0.05, "adaptive_f": max_f - 0.02},
            "intervals": {"max_f": [max_f - 0.02, max_f + 0.02], "mae": [mae - 0.01, mae + 0.01]},
            "curves": curves(max_f),
            "seconds_per_picture": None if method == PLAIN else 0.0123,
            "device": None if method == PLAIN else "cpu",
        }
        for view, figures in FIGURES.items()
        for method, (max_f, mae) in figures.items()
    ]
    protocols = {"arn2018": "one reading", "pysod": "another"}
    return {
        "schema": 1,
        "title": f"Toys {HOSTILE}",
        "provenance": {
            "command": f"arn bench datasets=[TOY] maps={{A: '{HOSTILE}'}}",
            "date": "2026-11-24T04:00:00+00:00",
            "arn": "0.1.0",
            "commit": "0123abc",
            "versions": {"numpy": "2.3.4"},
            "machine": {"processor": HOSTILE},
            "seconds": 12.5,
            "seed": 0,
            "resamples": 10_000,
            "confidence": 0.95,
            "coverage": "strict",
        },
        "methods": [
            {"name": name, "kind": "maps", "source": f"maps/{name}", "trained_on": None, "parameters": None}
            for name in METHODS
        ],
        "protocols": [{"name": name, "description": text, "source": HOSTILE} for name, text in protocols.items()],
        "views": [
            {"id": id, "dataset": id.split("/")[0], "label": id.split("/")[0], "protocol": id.split("/")[1]}
            | {"note": "", "pictures": 60}
            for id in FIGURES
        ],
        "scores": scores,
        "comparisons": [
            {"view": "TOY/arn2018", "score": "max_f", "first": PLAIN, "second": SECOND, "difference": 0.01}
            | {"low": -0.01, "high": 0.03, "p": 0.2, "p_holm": 0.4, "significant": False},
            {"view": "TOY/arn2018", "score": "mae", "first": SECOND, "second": PLAIN, "difference": -0.03}
            | {"low": -0.04, "high": -0.02, "p": 0.0001, "p_holm": 0.0002, "significant": True},
        ],
        "warnings": [f"TOY shares pictures with {HOSTILE}"],
        "printed": {
            "label": "Table 1",
            "note": "printed in the paper, not measured here",
            "rows": [
                {"method": HOSTILE, "values": {"TOY": {"max_f": 0.8, "mae": 0.1}}},
                {"method": "Other", "values": {"TOY": {"max_f": 0.7, "mae": 0.2}, "MORE": {"max_f": 0.6}}},
            ],
        },
    }


def toy_browser() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    rows = {
        view: {
            "stems": STEMS,
            "scores": {
                method: {"mae": generator.random(60).tolist(), "best_f": generator.random(60).tolist()}
                for method in METHODS
            },
        }
        for view in FIGURES
    }
    picture, mask = draw_scene(0, 0, (48, 64))
    one = {"picture": thumbnail(picture), "mask": thumbnail(mask), "maps": {m: thumbnail(mask // 2) for m in METHODS}}
    media = {"TOY": dict.fromkeys(STEMS, one), "OTHER": dict.fromkeys(STEMS[:10], one)}
    return {"view_rows": rows, "media": media, "note": f"OTHER with ten of 60 pictures {HOSTILE}"}


class Parsed(HTMLParser):
    """The elements of a page as a parser meets them, and what stands in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.within = ""
        self.text: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within == "script":
            self.scripts[-1] += data
        self.text[self.within] = self.text.get(self.within, "") + data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(path, toy_bench(), toy_browser(), [Section("Spread <over> seeds", "<p id='spread'>two seeds</p>")])
    return path


@pytest.fixture(scope="module")
def parsed(page: Path) -> Parsed:
    return Parsed(page.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------------ what it holds


def test_the_data_arrive_whole(parsed: Parsed) -> None:
    data = json.loads(parsed.scripts[1])
    assert data["browser"] == json.loads(json.dumps(toy_browser()), parse_float=lambda text: round(float(text), 6))
    assert data["bench"]["scores"][0]["values"] == pytest.approx(toy_bench()["scores"][0]["values"])
    assert data["bench"]["title"] == f"Toys {HOSTILE}"


def test_text_from_data_stays_text(page: Path, parsed: Parsed) -> None:
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("script") == 3  # theme, data, page: none came from a name
    assert "img" not in tags
    assert not [attributes for _, attributes in parsed.elements if "onerror" in attributes]
    assert parsed.text["title"] == parsed.text["h1"] == f"Toys {HOSTILE}"
    assert f"TOY shares pictures with {HOSTILE}" in parsed.text["li"]
    assert "Spread <over> seeds" in parsed.text["h2"]
    assert page.read_text(encoding="utf-8").count("</script>") == 3


def test_nothing_is_fetched_from_outside(page: Path, parsed: Parsed) -> None:
    references = [
        value for _, attributes in parsed.elements for name in ("src", "href") if (value := attributes.get(name))
    ]
    assert references == ["data:,"]
    code = parsed.scripts[0] + parsed.scripts[2] + parsed.text["style"]
    addresses = set(re.findall(r"\w+://[^'\"\s]*", code))
    assert addresses == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xhtml",
    }  # names of namespaces, never asked
    assert not re.search(r"@import|url\((?!#)|\bfetch\(|XMLHttpRequest|\bimport\(", code)
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


def test_the_policy_allows_its_own_scripts_alone(parsed: Parsed) -> None:
    policy = next(a["content"] for tag, a in parsed.elements if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    assert rules["img-src"] == ["data:"]
    digests = [hashlib.sha256(script.encode()).digest() for script in (parsed.scripts[0], parsed.scripts[2])]
    assert rules["script-src"] == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def test_numbers_that_json_lacks_are_absent(tmp_path: Path) -> None:
    bench = toy_bench()
    bench["scores"][0]["values"] |= {"mae": math.nan, "max_f": math.inf, "s_measure": np.float64(0.123456789)}
    write_page(tmp_path / "index.html", bench)
    data = json.loads(Parsed((tmp_path / "index.html").read_text(encoding="utf-8")).scripts[1])
    values = data["bench"]["scores"][0]["values"]
    assert (values["mae"], values["max_f"], values["s_measure"]) == (None, None, 0.123457)
    assert data["browser"] is None


def test_the_summary_counts_a_data_set_once(parsed: Parsed) -> None:
    assert (
        "3 methods on TOY and OTHER, 120 pictures, under 2 protocols (arn2018, pysod), "
        "with 95 % bootstrap intervals from 10,000 resamples." in parsed.text["p"]
    )


def test_a_medium_from_outside_is_refused_and_nothing_written(tmp_path: Path) -> None:
    browser = toy_browser()
    browser["media"]["TOY"] = {"0000": {"picture": "https://example.com/a.jpg", "maps": {}}}
    with pytest.raises(ValueError, match="TOY/0000"):
        write_page(tmp_path / "index.html", toy_bench(), browser)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_names_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArnError, match=re.escape(str(tmp_path / "file/index.html"))):
        write_page(tmp_path / "file/index.html", toy_bench())


def test_the_page_needs_no_torch() -> None:
    told = "import sys, arn.report.page; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --------------------------------------------------------------------------------------------------------- thumbnails


def decoded(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(213, 640, (320, 106)), (640, 213, (106, 320)), (40, 50, (50, 40)), (1, 5000, (320, 1))],
)
def test_a_thumbnail_is_smaller_never_larger(height: int, width: int, size: tuple[int, int]) -> None:
    assert decoded(thumbnail(np.zeros((height, width, 3), np.uint8))).size == size


def test_thumbnails_keep_what_they_show() -> None:
    picture, mask = draw_scene(3, 0, (240, 320))
    for original in (picture, mask, mask > 127, mask.astype(np.float32) / 255):
        shown = np.asarray(decoded(thumbnail(original)).convert("RGB" if original.ndim == 3 else "L"), np.float64)
        expected = original * 255.0 if original.dtype != np.uint8 else original.astype(np.float64)
        assert np.abs(shown - expected).mean() < 6


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4), np.int64),
        np.full((4, 4), 1.5),
        np.full((4, 4), np.nan),
        np.zeros((0, 4)),
    ],
    ids=["RGBA", "int64", "above 1", "NaN", "empty"],
)
def test_a_thumbnail_of_anything_else_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"is uint8|within 0\.\.1"):
        thumbnail(array)


def test_a_page_of_300_real_pictures_stays_small(data_dir: Path) -> None:
    """Picture, mask and three published maps of SOD: every tenth is measured, and stands for ten."""
    from arn.data.images import read_map, read_mask, read_picture
    from arn.data.layout import find_dataset

    total = 0
    for pair in find_dataset("SOD", data_dir)[::10]:
        assert pair.mask is not None
        total += len(thumbnail(read_picture(pair.picture))) + len(thumbnail(read_mask(pair.mask)))
        for method in ("Amulet", "DSS", "PiCANet"):
            total += len(thumbnail(read_map(data_dir / f"SOD/maps/{method}/{pair.stem}.png")))
    assert 10 * total < 12e6


# ---------------------------------------------------------------------------------------------------- a real browser


class Page:
    """A page in the browser, by what a reader sees and does."""

    def __init__(self, driver: Chrome, path: Path, hash: str = "") -> None:
        self.driver, self.path = driver, path
        self.resize(1280, 900)
        driver.get("about:blank")
        driver.get(path.as_uri() + hash)

    def resize(self, width: int, height: int) -> None:
        told = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)

    def media(self, **features: str) -> None:
        told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": told})

    def one(self, css: str) -> WebElement:
        return self.driver.find_element("css selector", css)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", css)

    def texts(self, css: str) -> list[str]:
        return [element.text for element in self.all(css)]

    def js(self, expression: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {expression}", *arguments)

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def settles(self, expression: str, wanted: Any) -> bool:
        """Whether an expression comes to a value within ten seconds: a dialog tells of its end only a task later."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return bool(WebDriverWait(self.driver, 10, 0.05).until(lambda _: self.js(expression) == wanted))
        except TimeoutException:
            return False

    def pick(self, name: str, value: str) -> None:
        """Switches to an option of a choice, as a click on it does."""
        found = [one for one in self.all(f"input[name={name}]") if one.get_attribute("value") == value]
        found[0].find_element("xpath", "..").click()

    def select(self, text: str, option: str) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.one(f"select[data-focus='pick:{text}']")).select_by_visible_text(option)

    def head(self, key: str) -> WebElement:
        return self.one(f"button[data-focus='sort:{key}']")

    @property
    def methods(self) -> list[str]:
        return list(self.js("[...document.querySelectorAll('.scores tbody tr')].map((one) => one.dataset.method)"))

    @property
    def stems(self) -> list[str]:
        return list(self.js("[...document.querySelectorAll('.card')].map((one) => one.dataset.stem)"))

    @property
    def hash(self) -> str:
        return str(self.js("decodeURIComponent(location.hash)"))

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.js("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture
def shown(chromium: Chrome, page: Path) -> Iterator[Page]:
    """The toy page, freshly opened; afterwards the browser must have had nothing to complain of."""
    chromium.get_log("browser")
    opened = Page(chromium, page)
    opened.media(prefers_color_scheme="light")
    yield opened
    assert chromium.get_log("browser") == []
    assert chromium.title == f"Toys {HOSTILE}"


def by_value(view: str, which: int, reverse: bool) -> list[str]:
    return sorted(METHODS, key=lambda method: FIGURES[view][method][which], reverse=reverse)


def test_rows_stand_in_the_order_of_the_column(shown: Page) -> None:
    assert shown.methods == by_value("TOY/arn2018", 0, reverse=True)
    assert (
        shown.js("[...document.querySelectorAll('.scores [aria-sort]')].map((one) => one.ariaSort)")[1] == "descending"
    )
    shown.head("mae").click()  # lower is better: the best comes first here, too
    assert shown.methods == by_value("TOY/arn2018", 1, reverse=False)
    assert shown.head("mae").find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    assert shown.head("max_f").find_element("xpath", "..").get_attribute("aria-sort") == "none"
    shown.head("mae").click()
    assert shown.methods == by_value("TOY/arn2018", 1, reverse=True)
    assert shown.head("mae").find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    shown.head("seconds").click()
    assert shown.methods[-1] == PLAIN  # not timed: last either way
    shown.head("seconds").click()
    assert shown.methods[-1] == PLAIN


def test_the_table_is_sorted_by_keyboard_and_keeps_the_focus(shown: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    shown.js("document.querySelector(\"[data-focus='sort:mae']\").focus()")
    shown.press(Keys.ENTER)
    assert shown.methods == by_value("TOY/arn2018", 1, reverse=False)
    shown.press(Keys.SPACE)
    assert shown.methods == by_value("TOY/arn2018", 1, reverse=True)
    assert shown.js("document.activeElement.dataset.focus") == "sort:mae"
    outline = shown.js("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_cells_show_figure_interval_best_and_significance(shown: Page) -> None:
    rows = dict(zip(shown.methods, shown.all("table.scores tbody tr"), strict=True))
    first = rows[PLAIN].find_elements("css selector", "td")
    assert first[0].text.split() == [".8500", "≈", f".8300{TO}.8700"]
    assert rows[SECOND].find_element("css selector", "td").text.split()[:2] == [".8400", "≈"]  # cannot be told apart
    assert [one.text.split()[0] for one in rows[PLAIN].find_elements("css selector", ".best .value")] == [
        ".8500",
        ".8000",
    ]
    assert [one.text for one in rows[SECOND].find_elements("css selector", ".best .value")] == [".0900"]
    assert rows[SECOND].find_element("css selector", "td.time").text.split("\n") == ["12.3 ms", "cpu"]
    assert rows[PLAIN].find_element("css selector", "td.time").text == TO
    tests = [
        [cell.text for cell in row.find_elements("css selector", "th, td")] for row in shown.all(".findings tbody tr")
    ]
    assert tests == [
        ["max F", PLAIN, SECOND, ".0100", f"{MINUS}.0100 to .0300", ".200", ".400", "≈ may be chance"],
        ["MAE", SECOND, PLAIN, f"{MINUS}.0300", f"{MINUS}.0400 to {MINUS}.0200", "< .001", "< .001", "significant"],
    ]
    assert "not significantly better" in shown.one(".findings p").text


def test_protocol_and_data_set_are_switched_and_kept_in_the_address(shown: Page) -> None:
    shown.pick("protocol", "pysod")
    assert shown.methods == by_value("TOY/pysod", 0, reverse=True)
    assert "view=TOY/pysod" in shown.hash
    shown.pick("protocol", "arn2018")
    shown.pick("view", "OTHER/arn2018")
    assert shown.methods == by_value("OTHER/arn2018", 0, reverse=True)
    shown.head("mae").click()
    shown.head("mae").click()
    address = str(shown.js("location.hash"))
    again = Page(shown.driver, shown.path, address)
    assert again.methods == by_value("OTHER/arn2018", 1, reverse=True)
    assert again.one("input[name=view]:checked").get_attribute("value") == "OTHER/arn2018"


def test_all_data_sets_stand_side_by_side(shown: Page) -> None:
    shown.pick("view", "*/arn2018")
    assert [text.split("\n")[0] for text in shown.texts("th.set")[:2]] == ["TOY", "OTHER"]
    shown.head("OTHER/arn2018:max_f").click()
    assert shown.methods == by_value("OTHER/arn2018", 0, reverse=True)
    assert len(shown.all("#curves .view")) == 2
    assert shown.overflow <= 0


def test_columns_are_chosen(shown: Page) -> None:
    def heads() -> list[str]:
        return [str(one.get_attribute("data-focus")).removeprefix("sort:") for one in shown.all(".scores thead button")]

    assert heads() == ["method", "max_f", "mae", "s_measure", "seconds"]
    for score in ("adaptive_f", "mae"):
        shown.one(f".many input[value={score}]").find_element("xpath", "..").click()
    assert heads() == ["method", "max_f", "s_measure", "adaptive_f", "seconds"]
    assert "scores=max_f,s_measure,adaptive_f" in shown.hash


def test_curves_are_drawn_switched_off_and_told_apart_without_colour(shown: Page) -> None:
    lines = shown.all("#curves path.curve")
    assert [line.get_attribute("data-method") for line in lines] == [*METHODS, *METHODS]
    assert len({line.get_attribute("stroke-dasharray") for line in lines}) == 3
    assert len({line.value_of_css_property("stroke") for line in lines}) == 3
    shown.all("button.key")[1].click()
    assert [line.get_attribute("data-method") for line in shown.all("#curves path.curve")] == [PLAIN, HOSTILE] * 2
    assert shown.all("button.key")[1].get_attribute("aria-pressed") == "false"
    assert shown.js("document.activeElement === document.querySelectorAll('button.key')[1]")
    shown.all("button.key")[1].click()
    assert len(shown.all("#curves path.curve")) == 6


def test_curves_are_read_by_keyboard(shown: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    chart = shown.all(".chart")[0]
    shown.js("arguments[0].focus()", chart)
    for key in (Keys.END, Keys.PAGE_DOWN, Keys.ARROW_LEFT):
        shown.press(key)
    threshold = 255 - 16 - 1
    assert chart.get_attribute("aria-valuenow") == str(threshold)
    expected = [
        [str(threshold)]
        + [
            f"{curves(FIGURES['TOY/arn2018'][method][0])[name][255 - threshold]:.4f}".lstrip("0")
            for name in ("precision", "recall", "f_curve", "e_curve")
        ]
        for method in METHODS
    ]
    rows = shown.all("table.legend tbody tr")
    assert [[cell.text for cell in row.find_elements("css selector", "td")] for row in rows] == expected
    assert len(shown.all("circle.spot")) == 6  # the same threshold in both charts
    assert f"{threshold}: Plain precision" in str(chart.get_attribute("aria-valuetext"))
    shown.press(Keys.ESCAPE)
    assert shown.all("circle.spot") == []


def test_curves_are_read_by_pointing(shown: Page) -> None:
    from selenium.webdriver import ActionChains

    chart = shown.all(".chart")[1]
    shown.js("arguments[0].scrollIntoView({block: 'center'})", chart)
    ActionChains(shown.driver).move_to_element(chart).perform()
    threshold = int(shown.one("table.legend td").text)
    assert 100 < threshold < 150  # the middle of the chart, which the axis's labels shift a little
    assert len(shown.all("circle.spot")) == 6
    ActionChains(shown.driver).move_to_element(shown.one("#curves-title")).perform()
    assert shown.all("circle.spot") == []


def test_the_second_chart_shows_f_or_e(shown: Page) -> None:
    def path() -> str:
        return str(shown.all("#curves path.curve")[3].get_attribute("d"))

    f = path()
    assert shown.texts("#curves figcaption") == ["Precision and recall", "F-measure against threshold"]
    shown.pick("curve", "e")
    assert shown.texts("#curves figcaption")[1] == "E-measure against threshold"
    assert path() != f
    again = Page(shown.driver, shown.path, str(shown.js("location.hash")))
    assert again.texts("#curves figcaption")[1] == "E-measure against threshold"


def test_a_score_and_a_curve_are_marked_by_the_direction_that_the_data_give(chromium: Chrome, tmp_path: Path) -> None:
    """The balanced error rate: lower is better, and the script has no list that names it."""
    assert "ber" not in re.findall(r"\w+", "".join(path.read_text() for path in TEMPLATES.glob("*.js")))
    bench = toy_bench()
    for one in bench["scores"]:
        rates = 1 - np.array(one["curves"]["f_curve"]) - 0.001 * np.arange(256)
        one["values"]["min_ber"] = one["values"]["mae"] + 0.1
        one["curves"]["ber_curve"] = rates.tolist()
    write_page(tmp_path / "index.html", bench)
    opened = Page(chromium, tmp_path / "index.html", "#scores=max_f,min_ber&curve=ber")
    head = opened.head("min_ber")
    assert head.text.split() == ["min", "BER", "↓"]
    assert "smallest over 256 thresholds; lower is better" in str(head.get_attribute("title"))
    head.click()
    assert opened.methods == by_value("TOY/arn2018", 1, reverse=False)
    assert opened.head("min_ber").find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    rows = dict(zip(opened.methods, opened.all("table.scores tbody tr"), strict=True))
    assert [one.text for one in rows[SECOND].find_elements("css selector", ".best .value")] == [".1900"]
    assert opened.texts("#curves figcaption")[1] == "BER against threshold"
    assert opened.texts("#curves .options label") == ["F-measure", "E-measure", "BER"]
    assert opened.texts("table.legend thead th")[1:] == [
        "Threshold of best BER",
        "Precision",
        "Recall",
        "F",
        "E",
        "BER",
    ]
    lowest = {one["method"]: min(one["curves"]["ber_curve"]) for one in bench["scores"][:3]}
    order = by_value("TOY/arn2018", 0, reverse=True)  # by the curve's best, which follows max F here
    assert [text.split()[-1] for text in opened.texts("table.legend tbody tr")] == [
        f"{lowest[name]:.4f}".replace("0.", ".").replace("-", MINUS) for name in order
    ]


def expected_order(view: str, order: str, score: str = "mae", method: str = PLAIN) -> list[str]:
    scores = toy_browser()["view_rows"][view]["scores"]
    if order == "apart":
        spread = np.ptp([scores[one][score] for one in METHODS], axis=0)
        return [STEMS[place] for place in np.argsort(-spread, kind="stable")]
    worst = np.argsort(scores[method][score], kind="stable")
    low_first = (score == "mae") == (order == "best")
    return [STEMS[place] for place in (worst if low_first else worst[::-1])]


def test_pictures_are_sorted_and_turned_by_the_page(shown: Page) -> None:
    assert shown.stems == expected_order("TOY/arn2018", "worst")[:24]
    shown.select("Order", "best first")
    assert shown.stems == expected_order("TOY/arn2018", "best")[:24]
    shown.select("by", "best F")
    shown.select("of", SECOND)
    assert shown.stems == expected_order("TOY/arn2018", "best", "best_f", SECOND)[:24]
    shown.select("Order", "largest disagreement")
    assert shown.stems == expected_order("TOY/arn2018", "apart", "best_f")[:24]
    shown.one("[data-focus='next:bottom']").click()
    shown.one("[data-focus='next:bottom']").click()
    assert shown.stems == expected_order("TOY/arn2018", "apart", "best_f")[48:]
    assert not shown.one("[data-focus='next:bottom']").is_enabled()
    assert len(shown.all(".card img")) == 4 * 12  # picture, mask, the best and the worst method's map


def test_pictures_without_thumbnails_are_counted_and_shown_on_request(shown: Page) -> None:
    shown.pick("view", "OTHER/arn2018")
    within = [stem for stem in expected_order("OTHER/arn2018", "worst", method=HOSTILE) if stem in STEMS[:10]]
    assert shown.stems == within
    shown.one("[data-focus=scored]").click()
    assert shown.stems == expected_order("OTHER/arn2018", "worst", method=HOSTILE)[:24]
    assert "no thumbnails" in shown.one(".card .gap").text


def test_a_picture_opens_slides_and_closes(shown: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    order = expected_order("TOY/arn2018", "worst")
    shown.all(".card")[1].click()
    assert shown.one("#viewer-title").text == order[1]
    assert f"picture={order[1]}" in shown.hash
    assert shown.js("document.activeElement.type") == "range"
    for _ in range(10):
        shown.press(Keys.ARROW_RIGHT)
    assert shown.one(".stage .over").value_of_css_property("clip-path") == "inset(0px 0px 0px 60%)"
    shown.press(Keys.HOME)
    assert shown.one(".stage .over").value_of_css_property("clip-path") == "inset(0px 0px 0px 0%)"
    scores = toy_browser()["view_rows"]["TOY/arn2018"]["scores"]
    cells = [
        [cell.text for cell in row.find_elements("css selector", "td")] for row in shown.all("table.single tbody tr")
    ]
    place = STEMS.index(order[1])
    assert cells == [
        [f"{scores[m][name][place]:.4f}".replace("0.", ".") for name in ("mae", "best_f")] for m in METHODS
    ]

    shown.pick("layer", f"map:{SECOND}")
    assert shown.one(".stage .over").get_attribute("alt") == SECOND
    shown.press("n")
    assert shown.one("#viewer-title").text == order[2]
    assert shown.one(".stage .over").get_attribute("alt") == SECOND  # the choice holds from picture to picture
    shown.pick("layer", "mask")
    assert shown.one(".stage .right").text == "Mask"
    shown.press(Keys.ESCAPE)
    assert not shown.js("document.getElementById('viewer').open")
    assert shown.settles("document.activeElement.dataset.stem", order[2])  # and not the card that was opened
    assert "picture=" not in shown.hash


def test_dragging_over_the_picture_slides(shown: Page) -> None:
    from selenium.webdriver import ActionChains

    shown.all(".card")[0].click()
    stage = shown.one(".stage")
    width = stage.size["width"]
    ActionChains(shown.driver).move_to_element(stage).click_and_hold().move_by_offset(width // 4, 0).release().perform()
    assert abs(int(str(shown.one(".share").get_attribute("value"))) - 75) <= 1


def test_the_outline_of_the_mask_is_the_masks_border(shown: Page) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    shown.all(".card")[0].click()
    assert not shown.one(".outline").is_displayed()
    shown.press("m")
    drawn = """(() => {
        const canvas = document.querySelector('.outline');
        // a copy is read: Chromium warns of a canvas on the graphics card that is read again and again
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        const places = [...Array(canvas.width * canvas.height).keys()].filter((place) => data[4 * place + 3]);
        return [canvas.width, canvas.height, places];
    })()"""
    WebDriverWait(shown.driver, 10).until(lambda _: shown.js(drawn)[2])
    width, height, on = shown.js(drawn)
    _, mask = draw_scene(0, 0, (48, 64))
    outline = np.zeros(width * height, bool)
    outline[on] = True
    large = np.asarray(Image.fromarray(mask).resize((width, height))) > 127
    border = np.zeros_like(large)
    border[1:-1, 1:-1] = large[1:-1, 1:-1] & ~(large[:-2, 1:-1] & large[2:, 1:-1] & large[1:-1, :-2] & large[1:-1, 2:])
    apart = np.abs(np.argwhere(outline.reshape(height, width))[:, None] - np.argwhere(border)[None]).max(axis=2)
    assert apart.min(axis=1).max() <= 0.015 * width  # no pixel of it far from the mask's border,
    assert apart.min(axis=0).max() <= 0.015 * width  # and none of the border without it


def test_a_link_opens_the_picture_that_was_open(chromium: Chrome, page: Path) -> None:
    opened = Page(chromium, page, "#view=TOY/pysod&picture=0007")
    assert opened.one("#viewer-title").text == "0007"
    assert opened.js("document.getElementById('viewer').open")


def test_the_theme_follows_the_system_until_it_is_chosen(shown: Page) -> None:
    def paper() -> int:
        return sum(
            map(int, re.findall(r"\d+", shown.js("getComputedStyle(document.documentElement).backgroundColor"))[:3])
        )

    assert paper() > 600
    shown.media(prefers_color_scheme="dark")
    assert paper() < 150
    shown.one("#theme").click()
    assert paper() > 600
    shown.driver.refresh()
    assert paper() > 600  # remembered
    shown.one("#theme").click()
    assert paper() < 150
    shown.js("localStorage.clear()")


@pytest.mark.parametrize("state", ["", "#view=*/arn2018", "#view=TOY/arn2018&picture=0003"])
def test_a_phone_scrolls_down_only(shown: Page, state: str) -> None:
    shown.driver.get("about:blank")
    shown.resize(375, 740)
    shown.driver.get(shown.path.as_uri() + state)
    assert shown.js("innerWidth") == 375
    assert shown.overflow <= 0
    if "picture" in state:
        assert shown.js("document.getElementById('viewer').scrollWidth") <= 375
        assert shown.one(".stage").size["width"] > 300


def test_names_are_text_to_the_browser(shown: Page) -> None:
    assert shown.js("document.querySelectorAll('main img[src=x]').length") == 0
    assert shown.js("[...document.querySelectorAll('.scores .name')].map((one) => one.textContent)")[-1] == HOSTILE
    assert "arn bench datasets=[TOY]" in shown.one(".command code").text
    assert shown.one("#spread").text == "two seeds"


def test_provenance_warnings_and_printed_figures_are_shown(shown: Page) -> None:
    assert shown.one(".warnings").is_displayed()
    told = shown.one("#provenance").text
    for fact in ("0123abc", "one reading", "numpy 2.3.4", "10,000 resamples", "strict", "arn 0.1.0"):
        assert fact in told
    assert shown.one("#printed-title").text.split() == ["Table", "1", "printed,", "not", "measured"]
    assert "Printed in the paper, not measured here." in shown.one("#printed").text
    assert ".8000" in shown.texts("#printed td.best")


@pytest.mark.parametrize("lacking", ["everything", "scores", "parts"])
def test_what_is_absent_leaves_a_gap_and_no_error(chromium: Chrome, tmp_path: Path, lacking: str) -> None:
    bench, browser = toy_bench(), toy_browser()
    if lacking == "everything":
        bench, browser = {"schema": 1, "title": "Nothing"}, None
    elif lacking == "scores":
        bench["scores"] = []
    else:
        bench["printed"], bench["comparisons"], bench["warnings"] = None, [], []
        for one in bench["scores"]:
            one["values"] = {"mae": one["values"]["mae"], "novel_score": 0.5}
            one["intervals"], one["curves"] = {}, {}
            one["seconds_per_picture"] = one["device"] = None
        del bench["scores"][1]["values"]["mae"]
        del bench["scores"][2]
        bench["scores"][0]["pictures"] = 58
        rows = browser["view_rows"]["TOY/arn2018"]["scores"]
        del rows[SECOND]
        del rows[PLAIN]["best_f"]
        rows[PLAIN]["mae"][5] = None
        del browser["media"]["TOY"]["0003"]["mask"]
    chromium.get_log("browser")
    write_page(tmp_path / "index.html", bench, browser)
    opened = Page(chromium, tmp_path / "index.html")
    assert opened.js("document.querySelector('h1').textContent") == bench["title"]
    if lacking == "parts":
        assert opened.methods == [PLAIN, SECOND]
        assert opened.texts("td.score") == [".1200", TO]
        opened.one(".many input[value=novel_score]").find_element("xpath", "..").click()
        assert opened.texts("td.score") == [".1200", ".5000", TO, ".5000"]
        assert opened.one("td.coverage .partial").text == "58 of 60"
        assert opened.stems[-1] != "0005"  # paged: what has no score comes last of all
        opened.all(".card")[0].click()
        assert opened.one("#viewer-title").text == opened.stems[0]
    else:
        assert not opened.one("#scores").is_displayed()
    assert chromium.get_log("browser") == []


def test_the_page_reaches_nothing(chromium: Chrome, tmp_path: Path) -> None:
    """Even where a section asks for it, and a server is there to answer."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        there = f"http://127.0.0.1:{server.server_port}"
        html = f"<img src='{there}/img'><script src='{there}/script'></script><link rel=stylesheet href='{there}/css'>"
        write_page(tmp_path / "index.html", toy_bench(), None, [Section("Leaky", html)])
        opened = Page(chromium, tmp_path / "index.html")
        told = opened.driver.execute_async_script(
            "const done = arguments[1]; fetch(arguments[0]).then(() => done('reached'), () => done('refused'))", there
        )
        assert told == "refused"
        assert asked == []
    finally:
        server.shutdown()
        server.server_close()
        chromium.get_log("browser")  # the refusals, which are meant


def test_opening_the_page_requests_the_page_alone(chromium: Chrome, page: Path) -> None:
    chromium.get_log("performance")
    opened = Page(chromium, page, "#picture=0001")
    opened.one(".share")
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    outside = [url for url in urls if not url.startswith(("data:", "about:", page.as_uri()))]
    assert urls
    assert outside == []
