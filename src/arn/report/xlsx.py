"""The scores of a bench as a spreadsheet, a sheet a protocol, by XlsxWriter (extra ``xlsx``)."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Mapping
from typing import Any

from arn.errors import ArnError
from arn.report.tables import scores_table

_SHEET = 31  # characters that a sheet's name may have


def check() -> None:
    """Raises ArnError where the package is not installed."""
    if importlib.util.find_spec("xlsxwriter") is None:
        raise ArnError("xlsx=true needs a package: pip install 'arn-saliency[xlsx]'")


def scores_xlsx(bench: Mapping[str, Any]) -> bytes:
    """What scores.csv holds. Names are text, whatever they begin with; scores are numbers."""
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    for protocol in bench["protocols"]:
        head, lines = scores_table(bench, protocol["name"])
        sheet = book.add_worksheet(re.sub(r"[][:*?/\\]", "_", protocol["name"])[:_SHEET])
        bold = book.add_format({"bold": True})
        for column, name in enumerate(head):
            sheet.write_string(0, column, name, bold)
        for row, line in enumerate(lines, 1):
            for column, value in enumerate(line):
                if isinstance(value, int | float):
                    sheet.write_number(row, column, value)
                elif value is not None:
                    sheet.write_string(row, column, str(value))
        sheet.freeze_panes(1, 1)
        sheet.autofit()
    book.close()
    return out.getvalue()
