"""What `soundalike path` and `soundalike playlist` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from soundalike.cli.cells import near, weights_text
from soundalike.cli.match_table import MatchRow, check_match_columns, copy_notes, print_matches
from soundalike.cli.output import print_styled
from soundalike.cli.references import models_text, reference_text
from soundalike.cli.table import print_facts
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.cli.formats import Output
    from soundalike.core.types import Match
    from soundalike.search import Journey

__all__ = [
    "active_spaces",
    "match_row",
    "print_copies",
    "print_heading",
    "print_journey",
]


def active_spaces(journey: Journey) -> list[str]:
    """Return the spaces with a weight."""
    return [name for name, weight in journey.weights.items() if weight != 0]


def match_row(number: str, match: Match, journey: Journey, name: str | None = None) -> MatchRow:
    """Return the line of a track; `name` replaces its path."""
    notes = copy_notes("copy", match.copies)
    return MatchRow(match.path, journey.tracks.get(match.path), match, number, name, notes)


def print_heading(title: str, journey: Journey, output: Output) -> None:
    """Print what was asked for. Raises UsageError if a chosen column is unknown."""
    check_match_columns(output.columns, list(journey.weights))
    scores = [match.spaces for match in journey.matches]
    print_facts(title, f"weights: {weights_text(journey.weights)}", models_text(journey.models))
    print_facts(reference_text(journey.reference, journey.recordings, journey.models, scores))


def print_journey(journey: Journey, rows: Sequence[MatchRow], output: Output) -> None:
    """Print the table of the tracks."""
    if rows:
        print_matches(rows, active_spaces(journey), wide=output.wide, columns=output.columns)


def print_copies(journey: Journey, of: str) -> None:
    """Print which copies of the start, the end or the seed were left out."""
    for copy in journey.copies:
        print_styled((f"left out, a copy of {of}: {one_line(near(copy))}", "dim"))
