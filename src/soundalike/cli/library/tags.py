"""`soundalike library tags`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import NUMBER, library_option, option, where_option
from soundalike.cli.cells import count, track_names
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import chosen_library
from soundalike.cli.library.suggestions import Suggested, count_tags, suggest_missing, write_genres
from soundalike.cli.table import print_facts, print_table
from soundalike.core.errors import UsageError, one_line

__all__ = ["tags"]

_USUAL = 0.5


@dataclass(frozen=True, slots=True)
class SuggestedTagRecord:
    """A tag that a track lacks and probably has. `source` is "neighbours" or "measured"."""

    path: str
    concept: str
    label: str
    probability: float
    source: str


@dataclass(frozen=True, slots=True)
class TagsRecord:
    """How many of `tracks` have a tag of each kind, the suggestions, and how many tracks got a genre."""

    tracks: int
    tagged: Mapping[str, int]
    suggestions: Sequence[SuggestedTagRecord]
    written: int


@command("tags")
@option("--suggest", is_flag=True, help="Suggest tags that tracks lack, each with a probability.")
@option("--least", type=NUMBER, metavar="P", help="The lowest probability to list, 0 to 1 (default: 0.5).")
@option("--write", is_flag=True, help="Store suggested genres in the library, not in the files.")
@where_option("Only the tracks")
@option("--model", metavar="NAME", help="A model of concepts that the library holds (default: the first one).")
@library_option()
@output_options(columns=False)
def tags(
    suggest: bool,
    least: float | None,
    write: bool,
    where: str | None,
    model: str | None,
    library_path: Path | None,
    output: Output,
) -> int:
    """Count the tags of the library, and suggest those that are missing.

    Suggestions of genres, moods, instruments and decades come from the nearest tagged tracks in a space that
    `soundalike train concepts --library` learned. Their probabilities are calibrated on tracks that were held out.
    Tempo and key are the measured ones. Nothing is written unless you ask: with --write, tracks without a genre get the
    most probable one in the library. It stays until the file changes, and later trainings use it as a tag.

    \b
      soundalike library tags
      soundalike library tags --suggest --least 0.8
      soundalike library tags --suggest --format csv > suggestions.csv
      soundalike library tags --suggest --least 0.9 --write
    """
    if not suggest and (write or least is not None or model is not None):
        raise UsageError("--least, --write and --model need --suggest")
    lowest = _USUAL if least is None else least
    if not 0 <= lowest <= 1:
        raise UsageError(f"--least is {lowest:g}; expected a probability from 0 to 1")
    with chosen_library(library_path) as library:
        tracks = library.tracks(where)
        tagged = count_tags(tracks)
        found = suggest_missing(library.folder, model, tracks, lowest) if suggest else []
        location = library.location
    written = write_genres(location, found) if write else 0
    records = [
        SuggestedTagRecord(str(one.track.path), one.concept, one.label, one.probability, one.source) for one in found
    ]

    def show() -> None:
        total = len(tracks)
        rows = [[name, f"{number:,}", f"{total - number:,}"] for name, number in tagged.items()]
        if not suggest:
            print_table(["tag", "tracks", "missing"], rows, left=[0])
            print(f"{count(total, 'track')}; to see what probably is missing: soundalike library tags --suggest")
            return
        _print_suggestions(found)
        print(f"{count(len(found), 'suggestion')} with a probability of at least {lowest:g}")
        if write:
            print(f"{count(written, 'track')} got a genre in the library at {one_line(location)}")

    output.print(lambda: Answer(TagsRecord(len(tracks), tagged, records, written), records, None), show)
    return 0


def _print_suggestions(found: Sequence[Suggested]) -> None:
    if not found:
        return
    names, folder = track_names([(str(one.track.path), one.track) for one in found])
    rows = [
        [name, one.concept, one_line(one.label), f"{100 * one.probability:.0f}"]
        for name, one in zip(names, found, strict=True)
    ]
    print_table(["track", "tag", "suggestion", "probability (%)"], rows, left=[0, 1, 2], stretch=0)
    print_facts(f"paths below {one_line(folder)}" if folder else "", style="dim")
