"""Numbers that papers print, with the table that each is from: one file `printed_<paper>.json` per paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.core.files import read_json

__all__ = ["PrintedTable", "printed_note", "printed_remarks", "printed_tables"]

_Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """A table as a paper prints it.

    Attributes:
        where: The table, figure or section.
        what: What was measured.
        unit: Such as "%".
        rows: Names of r rows.
        columns: Names of c columns.
        values: r tuples of c numbers, NaN where nothing is printed.
        low: Lower ends of printed intervals, as `values`; empty if the table has none.
        high: Upper ends.
        deviations: Printed standard deviations, as `values`; empty if the table has none.
    """

    where: str
    what: str
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: _Rows
    low: _Rows = ()
    high: _Rows = ()
    deviations: _Rows = ()


def printed_tables(paper: str) -> Mapping[str, PrintedTable]:
    """Return the tables of a paper by their short names.

    Args:
        paper: The paper: "merit", "instrument_weights", "instrument_similarity" or "concepts".

    Example:
        >>> printed_tables("merit")["musdb"].values[-1]
        (78.9,)
    """
    body = read_json(Path(__file__).with_name(f"printed_{paper}.json"))
    return {table["id"]: _table(table) for table in body["tables"]}


def _table(body: Mapping[str, Any]) -> PrintedTable:
    values, low, high, deviations = (
        tuple(tuple(math.nan if value is None else float(value) for value in row) for row in body.get(name, ()))
        for name in ("values", "low", "high", "deviations")
    )
    names = tuple(body["rows"]), tuple(body["columns"])
    return PrintedTable(body["where"], body["what"], body["unit"], *names, values, low, high, deviations)


def printed_remarks(paper: str) -> tuple[str, ...]:
    """Return what does not agree among the printed numbers of a paper, one remark per finding.

    Example:
        >>> len(printed_remarks("instrument_similarity"))
        5
    """
    return tuple(read_json(Path(__file__).with_name(f"printed_{paper}.json")).get("remarks", ()))


def printed_note(paper: str, table: str) -> str:
    """Return the first column of a table as a remark for a report.

    Example:
        >>> printed_note("merit", "musdb")
        'Printed in MERIT, table 3: MERT 79.8, H_mel 65.4, H_rhy 63.1, H_tim 78.9 %.'
    """
    found = printed_tables(paper)[table]
    values = ", ".join(f"{row} {numbers[0]:.1f}" for row, numbers in zip(found.rows, found.values, strict=True))
    return f"Printed in {paper.upper()}, {found.where}: {values} {found.unit}."
