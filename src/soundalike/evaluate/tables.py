"""Reports as tables for papers and spreadsheets: LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from soundalike.core.types import Report
from soundalike.evaluate.reports import table

__all__ = ["to_csv", "to_latex"]

_COLUMNS = ("protocol", "title", "model", "row", "column", "value", "low", "high", "n", "chance", "unit")
_SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
})  # fmt: skip


def to_csv(reports: Sequence[Report]) -> str:
    """Return reports as one table with one line per value. Numbers that are missing are empty.

    Example:
        >>> to_csv(load_reports(Path("reports/probes-dsp.json"))).splitlines()[0]
        'protocol,title,model,row,column,value,low,high,n,chance,unit'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for report in reports:
        for i, row in enumerate(report.rows):
            for k, column in enumerate(report.columns):
                numbers = [float(values[i, k]) for values in (report.values, report.low, report.high)]
                cells = [_cell(number) for number in numbers]
                chance = _cell(float(report.chance[k]))
                writer.writerow(
                    [report.protocol, report.title, report.model, row, column, *cells, int(report.n[i, k]), chance,
                     report.unit]
                )  # fmt: skip
    return text.getvalue()


def _cell(number: float) -> str:
    return f"{number:.6g}" if math.isfinite(number) else ""


def to_latex(report: Report) -> str:
    """Return a report as a table of LaTeX. It needs the package booktabs.

    Example:
        >>> print(to_latex(load_reports(Path("reports/probes-dsp.json"))[0]))
    """
    header, *lines = table(report)
    levels = [line for line in lines if line[0] in ("chance", "n")] if len(lines) > len(report.rows) else []
    body = lines[: len(report.rows)]

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(_SPECIAL) for cell in cells) + r" \\"

    notes = " ".join(note if note.endswith(".") else f"{note}." for note in report.notes)
    caption = f"{report.title}, model {report.model}. Values with 95 % intervals in brackets. {notes}".strip()
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{caption.translate(_SPECIAL)}}}",
            f"  \\begin{{tabular}}{{l{'r' * len(report.columns)}}}",
            r"    \toprule",
            f"    {line(header)}",
            r"    \midrule",
            *(f"    {line(cells)}" for cells in body),
            *([r"    \midrule"] if levels else []),
            *(f"    {line(cells)}" for cells in levels),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )
