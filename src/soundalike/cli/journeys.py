"""What `soundalike path` and `soundalike playlist` print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.cli.cells import count, near, share, tempo_and_key, track_name, weights_text
from soundalike.cli.output import print_styled, print_table
from soundalike.cli.records import MatchRecord, SpaceRecord
from soundalike.cli.references import reference_text
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.core.types import Match
    from soundalike.search import Journey

__all__ = [
    "JourneyMatchRecord",
    "active_spaces",
    "journey_match_record",
    "match_row",
    "print_copies",
    "print_heading",
    "print_journey",
]


@dataclass(frozen=True, slots=True)
class JourneyMatchRecord(MatchRecord):
    """A track of a path or playlist with its score; `copies` are other files of the same recording."""

    copies: Sequence[str]


def journey_match_record(match: Match, path: str | None = None) -> JourneyMatchRecord:
    """Return the record of a match; `path` replaces the path of its track."""
    span, spaces = match.span, SpaceRecord.all_of(match.spaces)
    return JourneyMatchRecord(path or span.track, span.start, span.end, match.score, spaces, match.copies)


def active_spaces(journey: Journey) -> list[str]:
    """Return the spaces with a weight."""
    return [name for name, weight in journey.weights.items() if weight != 0]


def match_row(number: str, match: Match, journey: Journey, name: str | None = None) -> list[str]:
    """Return the line of a track; `name` replaces its path."""
    track = journey.tracks.get(match.path)
    shares = [share(match.spaces[space]) for space in active_spaces(journey)]
    shown = one_line(name) if name is not None else track_name(match.path, track)
    if match.copies:
        shown += f"  +{count(len(match.copies), 'copy')}"
    return [number, f"{match.score:+.2f}", *shares, *tempo_and_key(track), shown]


def print_heading(title: str, journey: Journey) -> None:
    """Print what was asked for."""
    print(f"{title}; weights: {weights_text(journey.weights)}; model {journey.model}")
    scores = [match.spaces for match in journey.matches]
    print(reference_text(journey.reference, journey.recordings, journey.model, scores))


def print_journey(journey: Journey, rows: list[list[str]]) -> None:
    """Print the table of the tracks."""
    if rows:
        header = ["#", "score", *active_spaces(journey), "bpm", "key", "track"]
        print_table(header, rows, left=[len(header) - 1])


def print_copies(journey: Journey, of: str) -> None:
    """Print which copies of the start, the end or the seed were left out."""
    for copy in journey.copies:
        print_styled((f"left out, a copy of {of}: {one_line(near(copy))}", "dim"))
