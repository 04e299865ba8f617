"""`soundalike separate`."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.api.records.matches import WarningRecord, warning_records
from soundalike.cli.arguments import GIVEN_PATH, argument, jobs_option, json_option, option, ray_option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.output import Progress, print_json, print_message, print_warnings
from soundalike.cli.suggest import suggest_files
from soundalike.core import plugins
from soundalike.core.errors import AudioError, SoundalikeError, SoundalikeWarning, UsageError, one_line
from soundalike.core.executors.base import in_this_process, run_tasks
from soundalike.core.object_stores import is_remote, local_path, name_of

if TYPE_CHECKING:
    from soundalike.audio.separators import Separator

__all__ = ["separate"]

_PARTIAL = ".soundalike-"
"""How the names of stems begin that are not complete."""


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
@option(
    "-o", "--output", type=GIVEN_PATH, required=True, metavar="DIR", help="The folder to write to, as a path or a URL."
)
@option("--stem", "wanted", multiple=True, metavar="STEM", help="Write this stem only; may be given several times.")
@option("--wav", is_flag=True, help="Write WAV instead of FLAC.")
@jobs_option()
@ray_option()
@json_option()
def separate(
    audio: Sequence[str],
    separator: str,
    output: Path,
    wanted: Sequence[str],
    wav: bool,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Divide recordings into stems such as vocals and accompaniment.

    \b
      soundalike separate song.mp3 -o stems
      soundalike separate *.flac --with demucs --stem vocals --stem drums -o stems

    The stems of song.mp3 are stems/song/vocals.flac and so on, 16-bit stereo. Recordings that cannot be read are
    skipped and listed at the end. Recordings and -o may be URLs of object stores.
    """
    from soundalike.core.files import absolute, as_path, make_folder

    used: Separator = plugins.load("separators", separator)
    if unknown := [stem for stem in wanted if stem not in used.stems]:
        raise UsageError(f"{separator} has no stem {unknown[0]!r}; it has {', '.join(used.stems)}")
    if not is_remote(absolute(output)):
        make_folder(output := local_path(output), "-o")
    files = [f"{stem}.{'wav' if wav else 'flac'}" for stem in wanted or used.stems]
    folders = _folders(audio, output)
    tasks = [
        _Task(separator, name, as_path(name, "the recording"), absolute(folder), files)
        for name, folder in zip(audio, folders, strict=True)
    ]
    done: dict[_Task, _Separated] = {}
    failed: dict[_Task, str] = {}
    notes: list[tuple[str, str]] = []
    with (
        in_this_process(len(tasks) == 1),
        Progress("recording", enabled=not as_json and len(tasks) > 1) as progress,
        _without_partial_stems(tasks),
    ):
        for task, result in run_tasks(
            _separate, tasks, jobs, lambda task, since: progress.wait(Path(task.name), since)
        ):
            if isinstance(result, AudioError):
                failed[task] = str(result)
            elif isinstance(result, SoundalikeError):
                raise result
            else:
                notes += [(task.name, text) for text in result.warnings]
                if isinstance(result, _Failed):
                    failed[task] = result.why
                else:
                    done[task] = result
            progress(len(done) + len(failed), len(tasks), sum(one.seconds for one in done.values()))
    failures = [(task.name, failed[task]) for task in tasks if task in failed]
    for name, why in failures:
        print_message(f"{name}: {why}", "failed")
    print_warnings(notes)
    if not done:
        raise UsageError(f"none of the {count(len(tasks), 'recording')} could be separated")
    if as_json:
        records = [
            SeparatedRecord(task.name, {Path(file).stem: name_of(folder / file) for file in files}, done[task].seconds)
            for task, folder in zip(tasks, folders, strict=True)
            if task in done
        ]
        print_json(SeparateRecord(separator, records, failure_records(failures), warning_records(notes)))
    else:
        print(f"{count(len(files), 'stem')} of {count(len(done), 'recording')} written to {one_line(name_of(output))}")
    return 1 if failed else 0


@dataclass(frozen=True, eq=False, slots=True)
class _Task:
    """A recording to separate, as typed; where it is; the folder for its stems, and their files in it."""

    separator: str
    name: str
    path: Path
    folder: Path
    files: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Separated:
    """The seconds of a recording that was separated, and warnings about it."""

    seconds: float
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why a recording was not separated, and warnings about it."""

    why: str
    warnings: Sequence[str]


def _folders(audio: Sequence[str], output: Path) -> list[Path]:
    """Return a folder for every recording: its name, with a number from the second of the same name on."""
    taken: set[str] = set()
    folders = []
    for name in audio:
        plain = Path(name).stem or "recording"
        numbered = (plain if number == 1 else f"{plain}-{number}" for number in itertools.count(1))
        folder = next(one for one in numbered if one.casefold() not in taken)
        taken.add(folder.casefold())
        folders.append(output / folder)
    return folders


def _separate(task: _Task) -> _Separated | _Failed:
    """Run in a worker: write the stems of a recording, each under another name until all are complete."""
    from soundalike.audio.separators import write_stems
    from soundalike.core.object_stores import local_copy, local_target

    used: Separator = plugins.load("separators", task.separator)
    with warnings.catch_warnings(record=True) as caught, local_copy(task.path) as path:
        warnings.simplefilter("always", SoundalikeWarning)
        try:
            with local_target(task.folder) as folder:
                made = not folder.exists()
                folder.mkdir(exist_ok=True)  # not its parents: -o may be missing on the machine of a worker
                partial = {Path(file).stem: folder / f"{_PARTIAL}{file}" for file in task.files}
                try:
                    samples = write_stems(used.separate(path), used.rate, partial)
                    for stem, file in zip(partial.values(), task.files, strict=True):
                        stem.replace(folder / file)
                finally:
                    for stem in partial.values():
                        stem.unlink(missing_ok=True)
                    if made and not any(folder.iterdir()):
                        folder.rmdir()
        except AudioError as error:
            return _Failed(str(error), [str(one.message) for one in caught])
        except OSError as error:
            raise UsageError(
                f"cannot write to {task.folder}: {error.strerror or error}; give another folder to -o"
            ) from error
    return _Separated(samples / used.rate, [str(one.message) for one in caught])


@contextmanager
def _without_partial_stems(tasks: Sequence[_Task]) -> Iterator[None]:
    """Delete the partial stems of workers that were killed, as after Ctrl-C."""
    try:
        yield
    finally:
        for task in tasks:
            for file in task.files:
                with suppress(OSError):  # it has ended, or is in a store
                    (task.folder / f"{_PARTIAL}{file}").unlink()
                    task.folder.rmdir()
