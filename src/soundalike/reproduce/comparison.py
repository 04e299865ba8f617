"""Measured numbers beside those that a paper prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from soundalike.core.types import Report

__all__ = ["Comparison", "ComparisonRow", "Measurement", "comparison_lines", "markdown_page", "measurement_in"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured number with its 95 % interval, NaN without one, and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A row of a comparison.

    Attributes:
        name: What was measured, such as a head.
        printed: What the paper prints, one number per column; NaN where it prints none.
        measured: What was measured, one per column; None where it was not.
        missing: Why nothing was measured, and how to measure it; None if it was.
    """

    name: str
    printed: tuple[float, ...]
    measured: tuple[Measurement | None, ...]
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table of a paper beside the same table as measured.

    Attributes:
        title: What the table shows, and where the paper has it.
        unit: "%" or "".
        columns: Names of the columns.
        rows: Its rows.
        notes: Remarks: the setting, and what differs from the paper.
        commands: The commands that make the measured numbers again.
    """

    title: str
    unit: str
    columns: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def measurement_in(report: Report, row: str, column: str) -> Measurement | None:
    """Return a number of a report; None if it lacks the row or the column, or the number is undefined.

    Example:
        >>> measurement_in(report, "timbre", "all").value
        78.9
    """
    if row not in report.rows or column not in report.columns:
        return None
    at = report.rows.index(row), report.columns.index(column)
    value = float(report.values[at])
    if not math.isfinite(value):
        return None
    return Measurement(value, float(report.low[at]), float(report.high[at]), int(report.n[at]))


def comparison_lines(table: Comparison) -> list[list[str]]:
    """Return a comparison as lines of cells: a header, then one line per row.

    A column of the table is two columns here: what the paper prints, and what was measured, with interval and n.

    Example:
        >>> comparison_lines(table)[1]
        ['H_tim', '78.9', '80.2 [77.0, 83.1], n = 600']
    """
    unit = f" ({table.unit})" if table.unit else ""
    header = [""]
    for column in table.columns:
        header += [f"{column}{unit}, printed", "measured"]
    lines = [header]
    for row in table.rows:
        cells = [row.name]
        for printed, measured in zip(row.printed, row.measured, strict=True):
            cells += [_number(printed, table.unit), _cell(measured, table.unit, row.missing)]
        lines.append(cells)
    return lines


def _cell(measured: Measurement | None, unit: str, missing: str | None) -> str:
    if measured is None:
        return "missing" if missing else "-"
    value = _number(measured.value, unit)
    if not math.isnan(measured.low):
        value += f" [{_number(measured.low, unit)}, {_number(measured.high, unit)}]"
    return f"{value}, n = {measured.n:,}"


def _number(value: float, unit: str) -> str:
    return "-" if math.isnan(value) else f"{value:.{1 if unit == '%' else 3}f}"


def markdown_page(title: str, introduction: str, tables: Sequence[Comparison]) -> str:
    """Return a Markdown page with all tables, what is missing, the notes and the commands.

    Args:
        title: The heading.
        introduction: Paragraphs below it.
        tables: The comparisons.
    """
    text = [f"# {title}", "", introduction, ""]
    for table in tables:
        header, *lines = comparison_lines(table)
        text += [f"## {table.title}", "", "| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
        text += ["| " + " | ".join(line) + " |" for line in lines]
        remarks = [*dict.fromkeys(row.missing for row in table.rows if row.missing), *table.notes]
        text += ["", *(f"- {remark}" for remark in remarks), ""]
        text += [*(f"    {command}" for command in dict.fromkeys(table.commands)), ""] if table.commands else []
    return "\n".join(text)
