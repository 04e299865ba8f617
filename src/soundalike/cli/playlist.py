"""`soundalike playlist`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from soundalike.api.records.journeys import PlaylistQueryRecord, playlist_record
from soundalike.cli.arguments import (
    NUMBER,
    NUMBER_RANGE,
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
from soundalike.cli.inputs import chosen_library, named_recording
from soundalike.cli.journeys import match_row, print_copies, print_heading, print_journey
from soundalike.cli.output import report_corrupt, report_missing
from soundalike.cli.suggest import suggest_recordings
from soundalike.cli.table import fitted_name, print_facts
from soundalike.core.errors import one_line

__all__ = ["playlist"]


@command("playlist")
@argument(
    "seed",
    shell_complete=suggest_recordings,
    metavar="SEED",
    help="A recording, in the library or not; - for standard input.",
)
@option("-n", "-k", "length", type=WholeNumber(), default=30, metavar="LENGTH", help="Number of tracks (default: 30).")
@option("--spread", type=NUMBER, default=0.3, metavar="S", help="Variety, from 0 to 1 (default: 0.3).")
@option("--tempo", type=NUMBER_RANGE, metavar="LOW..HIGH", help="Only tracks of this tempo in BPM, such as 118..126.")
@option(
    "--tempo-step",
    type=NUMBER,
    metavar="PERCENT",
    help="Largest change of tempo from one track to the next, in percent.",
)
@option("--half-double", is_flag=True, help="Let half and double of a tempo count as this tempo.")
@option("--harmonic", is_flag=True, help="Only keys that mix well with the key of the track before.")
@weights_option()
@where_option()
@m3u_option("the tracks")
@model_option()
@library_option()
@output_options()
def playlist(
    seed: str,
    length: int,
    spread: float,
    tempo: tuple[float, float] | None,
    tempo_step: float | None,
    half_double: bool,
    harmonic: bool,
    weights: Mapping[str, float] | None,
    where: str | None,
    model: str | None,
    library_path: Path | None,
    output: Output,
) -> int:
    """Choose tracks that are like SEED but not all like one another.

    --spread sets how much variety counts: 0 takes the best matches, and 1 prefers whatever is unlike the tracks before.
    No recording appears twice, and no artist appears twice in a row. Each recording is listed by its best file.

    \b
      soundalike playlist song.mp3 --m3u evening.m3u8
      soundalike playlist song.mp3 -n 20 --spread 0.5 -w rhythm=2,timbre=1
      soundalike playlist song.mp3 --tempo 118..126 --tempo-step 3
                                         small tempo changes
      soundalike playlist song.mp3 --harmonic --tempo-step 4
                                         also keys that mix well

    The scores are those of a search with SEED. The tempo is that of the tag, or else the measured one; half of a tempo
    is another tempo, unless --half-double is given. Keys mix well if they are the same, a fifth apart, or relative;
    --harmonic leaves out tracks of an unknown key. If no track is left that meets all conditions, the list ends early
    and says why.
    """
    with chosen_library(library_path) as library:
        found = library.playlist(
            named_recording(library, seed), length, weights=weights, where=where, spread=spread, tempo=tempo,
            tempo_step=tempo_step, half_double=half_double, harmonic=harmonic, model=model,
        )  # fmt: skip

    def answer() -> Answer:
        query = PlaylistQueryRecord(found.query.track, length, where, spread, tempo, tempo_step, half_double, harmonic)
        record = playlist_record(found, query)
        return Answer(record, record.matches, found.playlist_entries())

    def show() -> None:
        print_heading(fitted_name(one_line(seed), 1), found, output)
        rows = [match_row(str(number), match, found) for number, match in enumerate(found, start=1)]
        print_journey(found, rows, output)
        if found.note:
            print_facts(found.note)
        print_copies(found, "the seed")

    output.print(answer, show)
    report_missing(found)
    return report_corrupt(found.corrupt)
