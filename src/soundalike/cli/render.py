"""`soundalike render`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundalike.cli.arguments import GIVEN_PATH, WholeNumber, jobs_option, json_option, option, ray_option, seed_option
from soundalike.cli.cells import clock, count
from soundalike.cli.commands import CommandGroup, Entry, command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.output import Progress, print_interrupted, print_json, print_message
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import absolute
from soundalike.core.options import TextType

if TYPE_CHECKING:
    from soundalike.render.folders import RenderReport
    from soundalike.render.songs import SongsReport

__all__ = ["SkippedSourceRecord", "print_kept", "print_notes", "render"]


@dataclass(frozen=True, slots=True)
class FailedFolderRecord:
    """A folder that could not be made."""

    folder: str
    error: str


@dataclass(frozen=True, slots=True)
class SkippedSourceRecord:
    """A source of music that could not be used."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class RenderRecord:
    """What a run did."""

    output: str
    made: int
    kept: int
    repaired: int
    clips: int
    audio_seconds: float
    seconds: float
    synthesis_core_seconds: float
    core_seconds: float
    failed: Sequence[FailedFolderRecord]
    skipped: Sequence[SkippedSourceRecord]
    problems: Sequence[str]
    redrawn: Mapping[str, int]
    interrupted: bool


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 4 <= seconds <= 60:
        raise ValueError(f"expected 4 to 60 seconds, found {text!r}")
    return seconds


@command("render")
@option("-o", "--output", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the folders.")
@option("--folders", type=WholeNumber(), required=True, metavar="N", help="Number of folders per factor.")
@option("--factors", metavar="F,...", help="Some of melody,rhythm,timbre,harmony (default: all).")
@option("--part", type=click.Choice(["train", "validation", "test"]), help="Only this part of the split.")
@seed_option()
@option(
    "--seconds",
    type=TextType("S", _read_seconds),
    default=10.0,
    metavar="S",
    help="Length of a clip, 4 to 60 s (default: 10).",
)
@option(
    "--rate", type=WholeNumber(lowest=16000), default=32000, metavar="HZ", help="Sample rate in Hz (default: 32000)."
)
@option(
    "--format", "suffix", type=click.Choice(["wav", "flac"]), default="wav", help="Format of the clips (default: wav)."
)
@option("--stems", is_flag=True, help="Also write every part of every clip.")
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
def _render(
    output: Path,
    folders: int,
    factors: str | None,
    part: Any,
    seed: int,
    seconds: float,
    rate: int,
    suffix: str,
    stems: bool,
    tunes: Path | None,
    grooves: Path | None,
    soundfonts: Sequence[str],
    jobs: int | None,
    as_json: bool,
) -> int:
    """Make folders of short clips in which one factor of music is controlled.

    Five positives share the factor with the anchor and nothing else. The negative shares nothing with it. The
    adversarial negative shares everything but the factor. The layout is that of MERIT:

    \b
      DIR/<factor>/triplets_N/triplet/
          anchor.wav, positive_01..05.wav, negative.wav, negative_adversarial.wav
      DIR/<factor>/triplets_N/truth/*.jams, *.mid
          notes, chords, beats, key, instruments
      DIR/split.json
          train, validation and test folders

    The files in truth/ are the ground truth of each clip. No tune, drummer, chord progression or test soundfont occurs
    in two parts of the split.

    \b
      soundalike render --folders 6 -o trial
                                         a first trial: minutes, and every part
      soundalike render --folders 200 --seed 7 -o triplets
      soundalike render --folders 200 --part test -o unseen
                                         only what training never uses

    You can interrupt a run at any time: the next one continues. A run with more --folders adds to the existing ones.
    Rendering needs soundalike[render], FluidSynth and a soundfont. `soundalike render songs` makes whole songs instead,
    with one file per instrument.
    """
    from soundalike.render.folders import Settings
    from soundalike.render.folders import render as render_folders
    from soundalike.render.score import FACTORS

    settings = Settings(
        seed=seed,
        part=part,
        seconds=seconds,
        rate=rate,
        suffix=suffix,
        stems=stems,
        tunes=str(absolute(tunes)) if tunes else None,
        grooves=str(absolute(grooves)) if grooves else None,
        soundfonts=tuple(str(absolute(Path(value))) for value in soundfonts),
    )
    chosen = _read_factors(factors, FACTORS)
    with Progress("folder", enabled=not as_json) as progress:
        report = render_folders(
            output, folders, settings, factors=chosen, jobs=jobs, progress=progress, preparing=progress.phase
        )
    for name, error in report.failed:
        print_message(f"{name}: {error}", "failed")
    if as_json:
        print_json(_record(output, report))
    else:
        _print_report(output, report)
    if report.interrupted:
        return INTERRUPTED
    return 1 if report.failed else 0


render: click.Command = CommandGroup(
    _render, {"songs": Entry("render_songs:songs", "make whole songs with one file per instrument")}
)


def _read_factors(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    names = text.split(",") if text is not None else known
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"unknown factor {unknown[0]!r}; known: {', '.join(known)}")
    return tuple(factor for factor in known if factor in names)


def print_notes(problems: Sequence[str], skipped: Sequence[tuple[str, str]]) -> None:
    """Print notes about sounds, and why sources of music, given as (name, reason), were left out."""
    for problem in problems:
        print_message(problem, "note", "yellow")
    if skipped:
        reason, _ = Counter(reason for _, reason in skipped).most_common(1)[0]
        often = "" if len(skipped) == 1 else ", most often"
        print_message(
            f"{count(len(skipped), 'source')} of music{often} because: {reason} (--json lists them)",
            "left out", "yellow",
        )  # fmt: skip


def print_kept(report: RenderReport | SongsReport) -> None:
    """Print what a run kept or repaired of earlier ones, and how many drafts it rejected."""
    notes = [(report.kept, "already there"), (report.repaired, "incomplete ones made again")]
    if listed := ", ".join(f"{number:,} {what}" for number, what in notes if number):
        print(listed)
    if report.redrawn:
        commonest = max(report.redrawn, key=lambda why: report.redrawn[why])
        print(f"{count(sum(report.redrawn.values()), 'draft')} drawn again, most often because {commonest}")


def _print_report(output: Path, report: RenderReport) -> None:
    print_notes(report.problems, report.skipped)
    audio, seconds = clock(report.audio_seconds), clock(report.seconds)
    line = f"{count(report.made, 'folder')} rendered ({count(report.clips, 'clip')}, {audio} of audio) in {seconds}"
    if report.core_seconds:
        synthesis = report.audio_seconds / max(report.synthesis_seconds, 1e-9)
        overall = report.audio_seconds / report.core_seconds
        line += f"; × real time per core: synthesis {synthesis:.0f}, overall {overall:.0f}"
    print(line)
    print_kept(report)
    print(f"written to {one_line(output)}; audit it with: soundalike evaluate render DIR")
    if report.interrupted:
        print_interrupted()


def _record(output: Path, report: RenderReport) -> RenderRecord:
    return RenderRecord(
        output=str(output),
        made=report.made,
        kept=report.kept,
        repaired=report.repaired,
        clips=report.clips,
        audio_seconds=report.audio_seconds,
        seconds=report.seconds,
        synthesis_core_seconds=report.synthesis_seconds,
        core_seconds=report.core_seconds,
        failed=[FailedFolderRecord(name, error) for name, error in report.failed],
        skipped=[SkippedSourceRecord(name, reason) for name, reason in report.skipped],
        problems=report.problems,
        redrawn=report.redrawn,
        interrupted=report.interrupted,
    )
