"""Reports of evaluations as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundalike.cli.output import print_styled
from soundalike.cli.table import column_blocks, print_table

if TYPE_CHECKING:
    from soundalike.core.types import Report

__all__ = ["print_report"]


def print_report(report: Report) -> None:
    """Print the table of a report and its notes. On a terminal that is too narrow, the columns form several tables."""
    from soundalike.evaluate import reports

    print_styled((f"{report.title} ({report.model})", "bold"))
    header, *lines = reports.table(report)
    for number, block in enumerate(column_blocks(header, lines)):
        if number:
            print()
        print_table(
            [header[column] for column in block],
            [[line[column] for column in block] for line in lines],
            left=[0],
            stretch=0,
        )
    for note in report.notes:
        print_styled((note, "dim"))
    print()
