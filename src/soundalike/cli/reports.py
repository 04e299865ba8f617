"""Reports of evaluations as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundalike.cli.output import print_styled
from soundalike.cli.table import print_table

if TYPE_CHECKING:
    from soundalike.core.types import Report

__all__ = ["print_report"]


def print_report(report: Report) -> None:
    """Print the table of a report and its notes."""
    from soundalike.evaluate import reports

    print_styled((f"{report.title} ({report.model})", "bold"))
    header, *lines = reports.table(report)
    print_table(header, lines, left=[0], stretch=0)
    for note in report.notes:
        print_styled((note, "dim"))
    print()
