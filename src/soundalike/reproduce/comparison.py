"""Measured numbers beside those that a paper prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from soundalike.core.types import Report

__all__ = ["Comparison", "ComparisonRow", "Measurement", "comparison_lines", "markdown_page", "measurement_in"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured number with its 95 % interval, NaN without one, and the number of items behind it.

    `deviation` is its standard deviation over several runs; NaN with one run.
    """

    value: float
    low: float
    high: float
    n: int
    deviation: float = math.nan


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A row of a comparison.

    Attributes:
        name: What was measured, such as a head.
        printed: What the paper prints, one number per column; NaN where it prints none.
        measured: What was measured, one per column; None where it was not.
        missing: Why nothing was measured, and how to measure it; None if it was.
        low: Lower ends of the printed intervals, one per column, NaN where none is printed; empty without intervals.
        high: Upper ends.
        deviations: Printed standard deviations, likewise.
    """

    name: str
    printed: tuple[float, ...]
    measured: tuple[Measurement | None, ...]
    missing: str | None = None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table of a paper beside the same table as measured.

    Attributes:
        title: What the table shows, and where the paper has it.
        unit: "%", "dB", or "".
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

    A column of the table is two columns here: what the paper prints, if it prints anything in this column, and what was
    measured, with interval and n.

    Example:
        >>> comparison_lines(table)[1]
        ['H_tim', '78.9', '80.2 [77.0, 83.1], n = 600']
    """
    unit = f" ({table.unit})" if table.unit else ""
    printed_columns = [any(not math.isnan(row.printed[at]) for row in table.rows) for at in range(len(table.columns))]
    header = [""]
    for column, printed in zip(table.columns, printed_columns, strict=True):
        header += [f"{column}{unit}, printed", "measured"] if printed else [f"{column}{unit}"]
    lines = [header]
    for row in table.rows:
        cells = [row.name]
        for at, measured in enumerate(row.measured):
            low, high, deviation = (one[at] if one else math.nan for one in (row.low, row.high, row.deviations))
            if printed_columns[at]:
                cells.append(_text(row.printed[at], low, high, deviation, table.unit))
            cells.append(_cell(measured, table.unit, row.missing))
        lines.append(cells)
    return lines


def _cell(measured: Measurement | None, unit: str, missing: str | None) -> str:
    if measured is None:
        return "missing" if missing else "-"
    value = _text(measured.value, measured.low, measured.high, measured.deviation, unit)
    return f"{value}, n = {measured.n:,}"


def _text(value: float, low: float, high: float, deviation: float, unit: str) -> str:
    """A number with its standard deviation and interval, as far as they are known."""
    text = _number(value, unit)
    if not math.isnan(deviation):
        text += f" ± {_number(deviation, unit)}"
    if not math.isnan(low):
        text += f" [{_number(low, unit)}, {_number(high, unit)}]"
    return text


def _number(value: float, unit: str) -> str:
    return "-" if math.isnan(value) else f"{value:.{1 if unit in ('%', 'dB') else 3}f}"


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
