"""What `soundalike path` and `soundalike playlist` print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.cli.cells import near, weights_text
from soundalike.cli.match_table import MatchRow, copy_notes, print_matches
from soundalike.cli.output import print_styled
from soundalike.cli.records import MatchRecord, SpaceRecord
from soundalike.cli.references import reference_text
from soundalike.cli.table import print_facts
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


def match_row(number: str, match: Match, journey: Journey, name: str | None = None) -> MatchRow:
    """Return the line of a track; `name` replaces its path."""
    notes = copy_notes("copy", match.copies)
    return MatchRow(match.path, journey.tracks.get(match.path), match, number, name, notes)


def print_heading(title: str, journey: Journey) -> None:
    """Print what was asked for."""
    scores = [match.spaces for match in journey.matches]
    print_facts(title, f"weights: {weights_text(journey.weights)}", f"model {journey.model}")
    print_facts(reference_text(journey.reference, journey.recordings, journey.model, scores))


def print_journey(journey: Journey, rows: Sequence[MatchRow]) -> None:
    """Print the table of the tracks."""
    if rows:
        print_matches(rows, active_spaces(journey))


def print_copies(journey: Journey, of: str) -> None:
    """Print which copies of the start, the end or the seed were left out."""
    for copy in journey.copies:
        print_styled((f"left out, a copy of {of}: {one_line(near(copy))}", "dim"))
