"""`soundalike versions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.api.records.versions import CandidateRecord, PairRecord, versions_record
from soundalike.cli.arguments import (
    NUMBER,
    library_option,
    m3u_option,
    model_option,
    option,
    weights_option,
)
from soundalike.cli.cells import count, track_name, weights_text
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import library_folder
from soundalike.cli.output import Progress, report_not_encoded
from soundalike.cli.playlist_output import track_entries
from soundalike.cli.references import models_text
from soundalike.cli.table import print_facts, print_table

if TYPE_CHECKING:
    from soundalike.library.catalog import Track
    from soundalike.search import Family, Versions

__all__ = ["versions"]


_LISTED = 20


@command("versions")
@weights_option("melody=2,harmony=1")
@option(
    "--false-discovery-rate",
    type=NUMBER,
    default=0.05,
    metavar="Q",
    help="Expected share of listed pairs that are similar by chance (default: 0.05).",
)
@m3u_option("the versions")
@model_option()
@library_option()
@output_options(columns=False)
def versions(
    weights: Mapping[str, float] | None,
    false_discovery_rate: float,
    model: str | None,
    library_path: Path | None,
    output: Output,
) -> int:
    """List pieces with several versions in the library: covers, live takes, remasters.

    Two tracks are versions of one piece if they are more similar in melody and harmony than chance explains. The null
    distribution is that of random pairs of tracks of the library. The false-discovery rate bounds the expected share of
    listed pairs that are similar only by chance. Duplicates count once. The families are stored in the library for
    `soundalike search --collapse`.

    With fewer than 200 different recordings, chance cannot be measured. The command then lists the 20 pairs with the
    highest scores as candidates, without a false-discovery rate, and stores nothing. --json and --m3u have all pairs
    that score above 0.

    \b
      soundalike versions
      soundalike versions --false-discovery-rate 0.01  fewer, more certain pairs
      soundalike versions -w melody=1                  a tune over any chords
    """
    from soundalike.library import LibraryFolder
    from soundalike.search import find_versions, store_versions

    folder = library_folder(library_path)
    LibraryFolder(folder).close()  # an error if there is none: opening one for writing would make it
    # Opened for writing from the start, so that a second writer fails at once and not after the search.
    with LibraryFolder(folder, writable=True) as library, Progress("track", enabled=output.is_table) as progress:
        found = find_versions(library, false_discovery_rate, weights, model, progress)
        store_versions(library, found)

    def show() -> None:
        if found.rate is None:
            _print_candidates(found)
        else:
            _print_families(found)

    output.print(lambda: _answer(found), show)
    report_not_encoded(found.not_encoded)
    return 0


def _files(found: Versions) -> list[Track]:
    """The tracks of all families, or of all candidates, once each."""
    members = [track for family in found.families for member in family.members for track in member]
    candidates = {track.id: track for pair in found.candidates for track in (pair.a, pair.b)}
    return [*members, *candidates.values()]


def _answer(found: Versions) -> Answer:
    record = versions_record(found)
    pairs: Sequence[PairRecord | CandidateRecord] = [pair for family in record.families for pair in family.pairs]
    return Answer(record, [*pairs, *record.candidates], track_entries(_files(found)))


def _print_families(found: Versions) -> None:
    rows = [row for number, family in enumerate(found.families, start=1) for row in _rows(str(number), family)]
    if rows:
        print_table(["family", "score", "q", "track"], rows, left=[3])
    print_facts(_summary(found))


def _rows(number: str, family: Family) -> list[list[str]]:
    """One line per version with the score and q-value of its most certain pair; duplicates follow."""
    rows = []
    for track, *copies in family.members:
        pairs = [pair for pair in family.pairs if track.id in (pair.a.id, pair.b.id)]
        surest = min(pairs, key=lambda pair: (pair.q, -pair.score))
        rows.append([number, f"{surest.score:+.2f}", f"{surest.q:.2g}", track_name(str(track.path), track)])
        rows += [[number, "", "", f"{track_name(str(copy.path), copy)}  (the same recording)"] for copy in copies]
    return rows


def _print_candidates(found: Versions) -> None:
    """Two lines per pair."""
    listed = found.candidates[:_LISTED]
    rows = []
    for number, pair in enumerate(listed, start=1):
        rows.append([str(number), f"{pair.score:+.2f}", track_name(str(pair.a.path), pair.a)])
        rows.append(["", "", track_name(str(pair.b.path), pair.b)])
    if rows:
        print_table(["candidate", "score", "track"], rows, left=[2])
    more = len(found.candidates) - len(listed)
    print_facts(
        f"{count(len(listed), 'candidate')}{f', and {more:,} more with --json' if more else ''}: with fewer than 200 "
        f"recordings the false-discovery rate is unknown, so pairs are only ranked by score, against random pairs of "
        f"the model, and no families are stored ({_compared(found)})"
    )


def _compared(found: Versions) -> str:
    return (
        f"{count(found.recordings, 'recording')}, {count(found.tests, 'pair')}; "
        f"weights: {weights_text(found.weights)}; {models_text(found.models)}"
    )


def _summary(found: Versions) -> str:
    compared = _compared(found)
    if not found.found:
        return f"no pair is more similar than chance explains, at a false-discovery rate of {found.rate:g} ({compared})"
    return (
        f"{count(found.found, 'pair')} in {count(len(found.families), 'family')} of versions; about "
        f"{found.expected_false:.1f} of the pairs are expected to be similar by chance, at a false-discovery rate of "
        f"{found.rate:g} ({compared})"
    )
