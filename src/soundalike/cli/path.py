"""`soundalike path`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.arguments import (
    WholeNumber,
    argument,
    json_option,
    library_option,
    m3u_option,
    model_option,
    option,
    weights_option,
    where_option,
)
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library, one_standard_input, recording
from soundalike.cli.journeys import (
    JourneyMatchRecord,
    journey_match_record,
    match_row,
    print_copies,
    print_heading,
    print_journey,
)
from soundalike.cli.match_table import MatchRow
from soundalike.cli.output import print_json, report_corrupt, report_missing
from soundalike.cli.playlist_output import print_playlist_path, write_playlist
from soundalike.cli.table import fitted_name
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.core.types import PercentileSource
    from soundalike.search import Journey

__all__ = ["path"]


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """Where the path starts and ends, and the number of tracks in between."""

    a: str
    b: str
    steps: int
    where: str | None


@dataclass(frozen=True, slots=True)
class PathRecord:
    """A path: `matches` are the tracks in between, `arrival` is B, `direct` is the score of B as a match of A.

    `copies` are copies of A and B, which were left out.
    """

    query: QueryRecord
    models: Sequence[str]
    reference: PercentileSource
    weights: Mapping[str, float]
    matches: Sequence[JourneyMatchRecord]
    note: str | None
    copies: Sequence[str]
    corrupt: Sequence[str]
    missing: Sequence[str]
    absent_folders: Sequence[str]
    arrival: JourneyMatchRecord
    direct: float | None
    smallest: float | None


@command("path")
@argument("a", metavar="A", help="Where to start: a recording, in the library or not; - for standard input.")
@argument("b", metavar="B", help="Where to arrive.")
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
@json_option()
def path(
    a: str,
    b: str,
    steps: int,
    weights: Mapping[str, float] | None,
    where: str | None,
    m3u: Path | None,
    model: str | None,
    library_path: Path | None,
    as_json: bool,
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
        found = library.path(recording(a), recording(b), steps, weights=weights, where=where, model=model)
    if m3u:
        write_playlist(found, m3u)
    if as_json:
        *between, last = found.matches
        print_json(
            PathRecord(
                query=QueryRecord(a, b, steps, where),
                models=[found.model],
                reference=found.reference,
                weights=found.weights,
                matches=[journey_match_record(match) for match in between],
                note=found.note,
                copies=found.copies,
                corrupt=found.corrupt,
                missing=found.missing,
                absent_folders=found.absent_folders,
                arrival=journey_match_record(last, b),
                direct=found.direct.score if found.direct else None,
                smallest=found.smallest,
            )
        )
    else:
        _print_path(a, b, found)
        print_playlist_path(m3u)
    report_missing(found)
    return report_corrupt(found.corrupt)


def _print_path(a: str, b: str, found: Journey) -> None:
    print_heading(f"{fitted_name(one_line(a), 50)} to {fitted_name(one_line(b), 50)}", found)
    start = found.tracks.get(found.start.track)
    rows = [MatchRow(found.start.track, start, None, "A", a)]
    *between, last = found.matches
    rows += [match_row(str(number), match, found) for number, match in enumerate(between, start=1)]
    rows.append(match_row("B", last, found, b))
    print_journey(found, rows)
    if found.direct:
        print(f"smallest step {found.smallest:+.2f}; directly from A to B {found.direct.score:+.2f}")
    if found.note:
        print(found.note)
    print_copies(found, "A or B")
