"""Rows of the tables of the paper on similarity of instruments: one column per instrument, printed beside measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from soundalike.core.errors import UsageError, one_line
from soundalike.evaluate.printed import PrintedTable, printed_tables
from soundalike.reproduce.comparison import ComparisonRow, Measurement

__all__ = ["Layout", "Measure"]

Measure: TypeAlias = Callable[[int], Measurement]
"""Measures a row for an instrument. It raises UsageError where it cannot."""
_NAMES = {"other": "residuals"}
_MEAN: Final = ("drums", "bass", "piano", "guitar")
"""The instruments of which the printed column "mean" is the mean."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Builds rows.

    Attributes:
        instruments: Names of the K instruments.
        printed: The printed tables by their short names.
        failed: What could not be measured, and why; rows add to it.
    """

    instruments: tuple[str, ...]
    printed: Mapping[str, PrintedTable] = field(default_factory=lambda: printed_tables("instrument_similarity"))
    failed: list[str] = field(default_factory=list)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the tables call the instruments."""
        return tuple(_NAMES.get(name, name) for name in self.instruments)

    def row(
        self,
        name: str,
        table: str | None,
        measure: Measure | None,
        missing: str | None = None,
        *,
        mean: bool = False,
        last: Callable[[], Measurement] | None = None,
    ) -> ComparisonRow:
        """Return a row.

        Args:
            name: Its name, which is also that of the printed row, if there is one.
            table: The short name of the printed table; None without one.
            measure: Measures it; None if it cannot be measured.
            missing: Why it cannot.
            mean: Add the mean of drums, bass, piano and guitar.
            last: Add what this measures.

        Example:
            >>> Layout(FIVE).row("Clean", "normal", None, "no songs").printed
            (98.04, 94.6, 98.14, 96.35, nan)
        """
        problem = None if measure else missing
        found: list[Measurement | None] = []
        for instrument in range(len(self.instruments)):
            try:
                found.append(measure(instrument) if measure else None)
            except UsageError as error:
                found.append(None)
                problem = problem or one_line(str(error))
        if problem and measure:
            self.failed.append(f"{name}: {problem}")
        columns = list(self.columns)
        if mean:
            columns.append("mean")
            found.append(_mean([one for one, own in zip(found, self.instruments, strict=True) if own in _MEAN]))
        elif last:
            columns.append("all")
            found.append(None if problem else last())
        printed = self.printed.get(table or "")
        known = printed if printed and name in printed.rows else None
        return ComparisonRow(
            name,
            _numbers(known, name, known.values if known else (), columns),
            tuple(found),
            problem,
            low=_numbers(known, name, known.low, columns) if known and known.low else (),
            high=_numbers(known, name, known.high, columns) if known and known.high else (),
            deviations=_numbers(known, name, known.deviations, columns) if known and known.deviations else (),
        )


def _numbers(
    printed: PrintedTable | None, row: str, values: Sequence[tuple[float, ...]], columns: Sequence[str]
) -> tuple[float, ...]:
    """Printed numbers in the order of our columns, NaN where nothing is printed."""
    if printed is None:
        return (math.nan,) * len(columns)
    own = dict(zip(printed.columns, values[printed.rows.index(row)], strict=True))
    return tuple(own.get(column, math.nan) for column in columns)


def _mean(cells: Sequence[Measurement | None]) -> Measurement | None:
    """The mean of the instruments that the paper averages; None if one is missing."""
    known = [one for one in cells if one]
    if not known or len(known) < len(cells):
        return None
    return Measurement(float(np.mean([one.value for one in known])), math.nan, math.nan, sum(one.n for one in known))
