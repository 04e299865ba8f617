"""`soundalike library vacuum`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import json_option, library_option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_json

__all__ = ["vacuum"]


@dataclass(frozen=True, slots=True)
class VacuumRecord:
    """How many unused rows were removed, and the size of the library before and after."""

    library: str
    dropped_rows: int
    bytes_before: int
    bytes_after: int


@command("vacuum")
@library_option()
@json_option()
def vacuum(library_path: Path | None, as_json: bool) -> int:
    """Free the disk space of rows that no track uses any more.

    Rows of removed or changed tracks stay on disk until then. All other rows are written again, so there must be disk
    space for a second copy of them. Other processes may search meanwhile, and an interruption loses nothing.
    """
    with chosen_library(library_path) as library:
        report = library.vacuum()
        record = VacuumRecord(str(library.location), report.dropped, report.before, report.after)
    if as_json:
        print_json(record)
    else:
        removed = f"removed {count(report.dropped, 'unused row')}"
        print(f"{removed}; {report.before / 1e6:,.1f} MB before, {report.after / 1e6:,.1f} MB after")
    return 0
