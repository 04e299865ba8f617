"""`soundalike separate`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.api.records.matches import WarningRecord, warning_records
from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.output import Progress, print_json, print_message, print_warnings
from soundalike.cli.suggest import suggest_files
from soundalike.core import plugins
from soundalike.core.errors import AudioError, SoundalikeWarning, UsageError, one_line

if TYPE_CHECKING:
    from soundalike.audio.separators import Separator

__all__ = ["separate"]


@dataclass(frozen=True, slots=True)
class SeparatedRecord:
    """The stems of a recording: their files by name, and their length in seconds."""

    path: str
    stems: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class SeparateRecord:
    """What was separated."""

    separator: str
    recordings: Sequence[SeparatedRecord]
    failed: Sequence[FailureRecord]
    warnings: Sequence[WarningRecord]


@command("separate")
@argument(
    "audio", shell_complete=suggest_files, nargs=-1, required=True, metavar="AUDIO...", help="Recordings, or folders "
    "of songs of MoisesDB."
)  # fmt: skip
@option(
    "--with",
    "separator",
    type=click.Choice(plugins.names("separators")),
    default="spleeter",
    help="The separator (default: spleeter); see: soundalike list separators.",
)
@option("-o", "--output", type=GIVEN_PATH, required=True, metavar="DIR", help="The folder to write to.")
@option("--stem", "wanted", multiple=True, metavar="STEM", help="Write this stem only; may be given several times.")
@option("--wav", is_flag=True, help="Write WAV instead of FLAC.")
@json_option()
def separate(
    audio: Sequence[str], separator: str, output: Path, wanted: Sequence[str], wav: bool, as_json: bool
) -> int:
    """Divide recordings into stems such as vocals and accompaniment.

    \b
      soundalike separate song.mp3 -o stems
      soundalike separate *.flac --with demucs --stem vocals --stem drums -o stems

    The stems of song.mp3 are stems/song/vocals.flac and so on, 16-bit stereo. Recordings that cannot be read are
    skipped and listed at the end.
    """
    from soundalike.core.files import make_folder

    used: Separator = plugins.load("separators", separator)
    if unknown := [stem for stem in wanted if stem not in used.stems]:
        raise UsageError(f"{separator} has no stem {unknown[0]!r}; it has {', '.join(used.stems)}")
    make_folder(output, "-o")
    names = _folder_names(audio)
    done: list[SeparatedRecord] = []
    failed: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    with Progress("recording", enabled=not as_json and len(audio) > 1) as progress:
        for number, (name, folder) in enumerate(zip(audio, names, strict=True), start=1):
            stems = {stem: output / folder / f"{stem}.{'wav' if wav else 'flac'}" for stem in wanted or used.stems}
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SoundalikeWarning)
                try:
                    seconds = _separate_one(used, Path(name), stems)
                except AudioError as error:
                    failed.append((name, str(error)))
                    continue
                finally:
                    notes += [(name, str(one.message)) for one in caught]
            done.append(SeparatedRecord(name, {stem: str(file) for stem, file in stems.items()}, seconds))
            progress(number, len(audio), sum(one.seconds for one in done))
    for name, why in failed:
        print_message(f"{name}: {why}", "failed")
    print_warnings(notes)
    if not done:
        raise UsageError(f"none of the {count(len(audio), 'recording')} could be separated")
    if as_json:
        print_json(SeparateRecord(separator, done, failure_records(failed), warning_records(notes)))
    else:
        of_each = count(len(wanted or used.stems), "stem")
        print(f"{of_each} of {count(len(done), 'recording')} written to {one_line(output)}")
    return 1 if failed else 0


def _folder_names(audio: Sequence[str]) -> list[str]:
    """Return a folder name for every recording: its name, with a number from the second of the same name on."""
    taken: dict[str, int] = {}
    names = []
    for name in audio:
        plain = Path(name).stem or "recording"
        taken[plain] = taken.get(plain, 0) + 1
        names.append(plain if taken[plain] == 1 else f"{plain}-{taken[plain]}")
    return names


def _separate_one(separator: Separator, path: Path, stems: Mapping[str, Path]) -> float:
    """Write the stems of a recording, each under another name until all are complete, and return their seconds."""
    from soundalike.audio.separators import write_stems

    partial = {stem: file.with_name(f".soundalike-{file.name}") for stem, file in stems.items()}
    folder = next(iter(stems.values())).parent
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            samples = write_stems(separator.separate(path), separator.rate, partial)
            for stem, file in stems.items():
                partial[stem].replace(file)
        finally:
            for file in partial.values():
                file.unlink(missing_ok=True)
            if made and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}; give another folder to -o") from error
    return samples / separator.rate
