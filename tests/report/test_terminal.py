"""Progress where there is no terminal: lines with rate and time left, now and then."""

import io
import re

from rich.console import Console

from arn.report.terminal import Bars


def test_a_log_gets_a_line_now_and_then():
    file = io.StringIO()
    console = Console(file=file, soft_wrap=True, highlight=False)
    with Bars(console, every=0) as bars:
        bars.advance("net on TOY", 2, 10)
        bars.advance("net on TOY", 3, 10)
        bars.update("reading", 4, None)
    first, second, third = file.getvalue().splitlines()
    assert first.startswith("net on TOY: 2 of 10 pictures, ")
    assert re.fullmatch(r"net on TOY: 5 of 10 pictures, [\d.e+]+ a second, [\d:]+ left", second)
    assert third.startswith("reading: 4 pictures, ")
    with Bars(console) as bars:  # within a minute of its start it says nothing
        bars.advance("net on TOY", 2, 10)
    assert len(file.getvalue().splitlines()) == 3


def test_a_terminal_gets_bars():
    file = io.StringIO()
    with Bars(Console(file=file, force_terminal=True, width=100), every=0) as bars:
        bars.advance("net on TOY", 5, 10)
        bars.progress.refresh()
    assert "5/10" in file.getvalue()
    assert "a second" not in file.getvalue()
