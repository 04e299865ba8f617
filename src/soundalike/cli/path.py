"""`soundalike path`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.api.records.journeys import path_record
from soundalike.cli.arguments import (
    WholeNumber,
    argument,
    library_option,
    m3u_option,
    model_option,
    option,
    weights_option,
    where_option,
)
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import chosen_library, named_recording, one_standard_input
from soundalike.cli.journeys import match_row, print_copies, print_heading, print_journey
from soundalike.cli.match_table import MatchRow
from soundalike.cli.output import report_corrupt, report_missing
from soundalike.cli.suggest import suggest_recordings
from soundalike.cli.table import fitted_name
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.search import Journey

__all__ = ["path"]


@command("path")
@argument(
    "a",
    shell_complete=suggest_recordings,
    metavar="A",
    help="Where to start: a recording, in the library or not; - for standard input.",
)
@argument("b", shell_complete=suggest_recordings, metavar="B", help="Where to arrive.")
@option(
    "-n",
    "-k",
    "steps",
    type=WholeNumber(),
    default=8,
    metavar="STEPS",
    help="Number of tracks in between (default: 8).",
)
@weights_option()
@where_option("Only tracks in between")
@m3u_option("the path")
@model_option()
@library_option()
@output_options()
def path(
    a: str,
    b: str,
    steps: int,
    weights: Mapping[str, float] | None,
    where: str | None,
    model: str | None,
    library_path: Path | None,
    output: Output,
) -> int:
    """Find a path of small steps from A to B over tracks of the library.

    Each track is nearer to B than the one before, and the least similar step is as similar as possible. A and B need
    not be in the library. Whole tracks are compared.

    \b
      soundalike path calm.mp3 wild.mp3                eight tracks in between
      soundalike path a.mp3 b.mp3 -n 4 -w rhythm       by rhythm alone
      soundalike path a.mp3 b.mp3 --m3u way.m3u8       write a playlist

    The score of a track is that of the step from the track before it, as in a search. Weights must be 0 or more. A
    playlist contains A and B if the library holds them. Each recording is listed once, by its best file.
    """
    one_standard_input([a, b])
    with chosen_library(library_path) as library:
        found = library.path(
            named_recording(library, a), named_recording(library, b), steps, weights=weights, where=where, model=model
        )

    def show() -> None:
        _print_path(a, b, found, output)

    output.print(lambda: _answer(found, steps, where), show)
    report_missing(found)
    return report_corrupt(found.corrupt)


def _answer(found: Journey, steps: int, where: str | None) -> Answer:
    record = path_record(found, steps, where)
    return Answer(record, [*record.matches, record.arrival], found.playlist_entries())


def _print_path(a: str, b: str, found: Journey, output: Output) -> None:
    print_heading(f"{fitted_name(one_line(a), 50)} to {fitted_name(one_line(b), 50)}", found, output)
    start = found.tracks.get(found.start.track)
    rows = [MatchRow(found.start.track, start, None, "A", a)]
    *between, last = found.matches
    rows += [match_row(str(number), match, found) for number, match in enumerate(between, start=1)]
    rows.append(match_row("B", last, found, b))
    print_journey(found, rows, output)
    if found.direct:
        print(f"smallest step {found.smallest:+.2f}; directly from A to B {found.direct.score:+.2f}")
    if found.note:
        print(found.note)
    print_copies(found, "A or B")
