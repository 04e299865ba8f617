"""`soundalike render songs`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    WholeNumber,
    argument,
    jobs_option,
    json_option,
    option,
    ray_option,
    seed_option,
)
from soundalike.cli.cells import clock, count
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.output import Progress, print_interrupted, print_json, print_message
from soundalike.cli.render import SkippedSourceRecord, print_kept, print_notes
from soundalike.core.errors import one_line
from soundalike.core.files import absolute
from soundalike.core.options import TextType

if TYPE_CHECKING:
    from soundalike.render.songs import SongsReport

__all__ = ["read_lengths", "songs"]

_RANGE = re.compile(r"(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class FailedSongRecord:
    """A song that could not be made."""

    song: str
    error: str


@dataclass(frozen=True, slots=True)
class RenderSongsRecord:
    """What a run did."""

    output: str
    made: int
    kept: int
    repaired: int
    stems: int
    audio_seconds: float
    seconds: float
    synthesis_core_seconds: float
    core_seconds: float
    failed: Sequence[FailedSongRecord]
    skipped: Sequence[SkippedSourceRecord]
    problems: Sequence[str]
    redrawn: Mapping[str, int]
    interrupted: bool


def read_lengths(text: str) -> tuple[float, float]:
    """Return the range of lengths of songs that a text names, in seconds. Raises ValueError."""
    from soundalike.render.songs import LONGEST, SHORTEST

    found = _RANGE.fullmatch(text.strip())
    shortest = float(found[1]) if found else 0.0
    longest = float(found[2] or found[1]) if found else 0.0
    if not SHORTEST <= shortest <= longest <= LONGEST:
        raise ValueError(
            f"expected a length or a range within {SHORTEST:g} to {LONGEST:g} seconds, such as 60..180, found {text!r}"
        )
    return shortest, longest


@command("songs")
@argument("number", type=WholeNumber(), metavar="N", help="Number of songs.")
@option("-o", "--output", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the songs.")
@option(
    "--seconds",
    type=TextType("LOW..HIGH", read_lengths),
    default="60..180",
    metavar="LOW..HIGH",
    help="Range of lengths, within 20 to 600 s (default: 60..180).",
)
@option("--part", type=click.Choice(["train", "validation", "test"]), help="Only this part of the split.")
@seed_option()
@option("--tunes", type=GIVEN_PATH, metavar="PATH", help="Folder or archive of MIDI files with melodies.")
@option("--grooves", type=GIVEN_PATH, metavar="PATH", help="Folder or archive of MIDI files with drum grooves.")
@option(
    "--soundfont",
    "soundfonts",
    multiple=True,
    metavar="FILE[=PART]",
    help="Use only this soundfont, for one part of the split (train or test) or for all. May be repeated (default: the "
    "installed ones).",
)
@jobs_option()
@ray_option()
@json_option()
def songs(
    number: int,
    output: Path,
    seconds: tuple[float, float],
    part: Any,
    seed: int,
    tunes: Path | None,
    grooves: Path | None,
    soundfonts: Sequence[str],
    jobs: int | None,
    as_json: bool,
) -> int:
    """Make whole songs with one file per instrument.

    Every song has several sections, drums, bass, piano, guitar, often singing, and other instruments, which enter and
    leave. The layout is that of Slakh2100, mono at 44.1 kHz. The mix is the sum of its stems.

    \b
      DIR/{train,validation,test}/TrackXXXXX/
          mix.flac, stems/SXX.flac, MIDI/SXX.mid, all_src.mid
          metadata.yaml   instruments, with the keys of Slakh2100
          song.json       sections, chords, beats and sources
      DIR/split.json
          songs and sources of each part of the split

    No tune, drummer, chord progression or test sound occurs in two parts of the split.

    \b
      soundalike render songs 20 -o songs
      soundalike render songs 500 --seconds 30..60 --seed 7 -o songs
      soundalike render songs 50 --part test -o unseen
                                         only what training never uses

    You can interrupt a run at any time: the next one continues. A run with a larger N adds to the existing songs.
    Rendering needs soundalike[render]. Without FluidSynth or a soundfont, only synthesised instruments play.
    """
    from soundalike.render.songs import SongSettings, render_songs

    settings = SongSettings(
        seed=seed,
        seconds=seconds,
        part=part,
        tunes=str(absolute(tunes)) if tunes else None,
        grooves=str(absolute(grooves)) if grooves else None,
        soundfonts=tuple(str(absolute(Path(value))) for value in soundfonts),
    )
    with Progress("song", enabled=not as_json) as progress:
        report = render_songs(output, number, settings, jobs=jobs, progress=progress, preparing=progress.phase)
    for name, error in report.failed:
        print_message(f"{name}: {error}", "failed")
    if as_json:
        print_json(_record(output, report))
    else:
        _print_report(output, report)
    if report.interrupted:
        return INTERRUPTED
    return 1 if report.failed else 0


def _print_report(output: Path, report: SongsReport) -> None:
    print_notes(report.problems, report.skipped)
    audio, seconds = clock(report.audio_seconds), clock(report.seconds)
    line = f"{count(report.made, 'song')} rendered ({count(report.stems, 'stem')}, {audio} of audio) in {seconds}"
    if report.core_seconds:
        line += f"; {report.audio_seconds / report.core_seconds:.0f} × real time per core"
    print(line)
    print_kept(report)
    print(f"written to {one_line(output)}")
    if report.interrupted:
        print_interrupted()


def _record(output: Path, report: SongsReport) -> RenderSongsRecord:
    return RenderSongsRecord(
        output=str(output),
        made=report.made,
        kept=report.kept,
        repaired=report.repaired,
        stems=report.stems,
        audio_seconds=report.audio_seconds,
        seconds=report.seconds,
        synthesis_core_seconds=report.synthesis_seconds,
        core_seconds=report.core_seconds,
        failed=[FailedSongRecord(name, error) for name, error in report.failed],
        skipped=[SkippedSourceRecord(name, reason) for name, reason in report.skipped],
        problems=report.problems,
        redrawn=report.redrawn,
        interrupted=report.interrupted,
    )
