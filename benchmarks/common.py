"""What the benchmarks share: their numbers become a Report, printed and kept like those of `soundalike evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soundalike import reports
from soundalike.cli.show import print_table
from soundalike.spaces import DEFAULT_MODEL
from soundalike.types import Report


def report_of(
    protocol: str,
    title: str,
    command: str,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    n: Sequence[Sequence[int]],
    notes: Sequence[str] = (),
    low: Sequence[Sequence[float]] | None = None,
    high: Sequence[Sequence[float]] | None = None,
    chance: Sequence[float] | None = None,
    unit: str = "",
    model: str = DEFAULT_MODEL,
) -> Report:
    """A table of measurements; without `low` and `high` there are no intervals, without `chance` none is known."""
    table = np.array(values, dtype=np.float64)
    nothing = np.full_like(table, np.nan)
    return Report(
        protocol=protocol,
        title=title,
        model=model,
        rows=tuple(rows),
        columns=tuple(columns),
        values=table,
        low=nothing if low is None else np.array(low, dtype=np.float64),
        high=nothing if high is None else np.array(high, dtype=np.float64),
        n=np.array(n, dtype=np.int64),
        chance=np.full(len(columns), np.nan) if chance is None else np.array(chance, dtype=np.float64),
        unit=unit,
        command=command,
        notes=tuple(notes),
    )


def show_and_save(report: Report, folder: Path | None) -> None:
    """Print the table and its notes; keep it where asked."""
    print(report.title)
    header, *lines = reports.table(report)
    print_table(header, lines, left=[0])
    for note in report.notes:
        print(f"- {note}")
    if folder:
        print(f"saved: {reports.save_reports([report], folder)}")
