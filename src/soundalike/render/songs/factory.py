"""Render a set of songs in worker processes.

A run can be interrupted and resumed. Each song is written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder
from soundalike.render.folders.draw import folder_part
from soundalike.render.folders.settings import sources_of
from soundalike.render.folders.stock import Stock
from soundalike.render.score.music import SPLIT, SplitPart
from soundalike.render.songs.draw import draw_song
from soundalike.render.songs.instruments import Instruments
from soundalike.render.songs.layout import is_complete, track_path, write_record, write_split, write_track
from soundalike.render.songs.mixdown import mix_song
from soundalike.render.songs.playing import perform_song
from soundalike.render.songs.settings import LONGEST, SHORTEST, SongSettings, song_orchestra
from soundalike.render.songs.song import Song
from soundalike.render.sound.studio import DraftError, Stopwatch

__all__ = ["SongsReport", "draw_again", "render_songs"]

_ATTEMPTS = 10


@dataclass(slots=True)
class SongsReport:
    """The outcome of a run.

    Attributes:
        made: Number of songs rendered in this run.
        kept: Number of complete songs from earlier runs.
        repaired: Number of incomplete songs from earlier runs. They are rendered again and count as made.
        stems: Number of stems of the songs made.
        audio_seconds: Total length of the songs made.
        seconds: Wall-clock time of the run.
        synthesis_seconds: CPU time of synthesis, summed over the workers.
        core_seconds: CPU time of everything, summed over the workers.
        interrupted: Whether the run was interrupted.
        failed: Songs that could not be rendered, as (name, error).
        redrawn: Number of rejected drafts per reason.
        skipped: Source files that could not be used, as (name, reason).
        problems: Notes about missing soundfonts, instruments or sounds for the test part.
    """

    made: int = 0
    kept: int = 0
    repaired: int = 0
    stems: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    synthesis_seconds: float = 0.0
    core_seconds: float = 0.0
    interrupted: bool = False
    failed: list[tuple[str, str]] = field(default_factory=list)
    redrawn: dict[str, int] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _SongTask:
    """A song to render."""

    settings: SongSettings
    out: Path
    number: int


@dataclass(frozen=True, slots=True)
class _SongResult:
    """The outcome of a task: why drafts were rejected, the size of the song, and the time spent."""

    redrawn: tuple[str, ...]
    stems: int
    audio_seconds: float
    watch: Stopwatch


@lru_cache(maxsize=len(SPLIT))
def _material(settings: SongSettings, part: SplitPart) -> tuple[Stock, Instruments]:
    orchestra, _ = song_orchestra(settings.soundfonts)
    return Stock(sources_of(settings.tunes, settings.grooves), orchestra, part), Instruments(orchestra, part)


def _part_of(settings: SongSettings, number: int) -> SplitPart:
    return settings.part or folder_part(number)


def draw_again(settings: SongSettings, number: int, attempt: int = 0) -> Song:
    """Draw a song from the settings of its set. The same arguments give the same song.

    Args:
        settings: The settings of the set.
        number: The number of the song, from 1.
        attempt: The number of rejected drafts before this one, as `song.json` records it.

    Raises:
        UsageError: A source or soundfont is missing, or there is too little material.

    Example:
        >>> song = draw_again(SongSettings(seed=7), 3)
        >>> song.themes["verse"].melodies[0].name
    """
    stock, instruments = _material(settings, _part_of(settings, number))
    return draw_song(stock, instruments, number, settings.seed, settings.seconds, attempt)


def render_songs(
    out: Path,
    songs: int,
    settings: SongSettings,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    preparing: Callable[[str], None] | None = None,
) -> SongsReport:
    """Render songs 1 to `songs`.

    Complete songs from earlier runs are skipped. Incomplete ones are rendered again. After an interruption
    (KeyboardInterrupt), the finished songs remain and the report has `interrupted` set.

    Args:
        out: The output folder. It is created if needed.
        songs: Number of songs.
        settings: The settings of the set. They must match those of the songs that `out` already holds.
        jobs: Number of worker processes. None uses one per core. Each takes up to 1 GB for songs of 180 s.
        progress: Called after each song with the number of songs done, their total, and the seconds of audio rendered
            so far.
        preparing: Called before the first song with a one-line message when a slow step starts or advances.

    Returns:
        The report. A song that fails is listed in `failed` and does not stop the others.

    Raises:
        UsageError: A soundfont or source is missing, the range of lengths is invalid, `out` holds something else, or
            a file cannot be written.

    Example:
        >>> report = render_songs(Path("songs"), 10, SongSettings(seed=7))
        >>> report.made, report.kept
        (10, 0)
    """
    began = time.monotonic()
    report = SongsReport()
    shortest, longest = settings.seconds
    if not SHORTEST <= shortest <= longest <= LONGEST:
        raise UsageError(
            f"the length is {shortest:g} to {longest:g} s; expected a range within {SHORTEST:g} to {LONGEST:g} s"
        )
    make_folder(out, "-o")
    tell = preparing or (lambda _: None)
    tell("reading soundfonts")
    orchestra, note = song_orchestra(settings.soundfonts)
    sources = sources_of(settings.tunes, settings.grooves, tell)
    tell("sorting tunes, grooves and sounds")
    for part in sorted({_part_of(settings, number) for number in range(1, songs + 1)}):
        _material(settings, part)  # fails early if there is too little material
    report.problems += [note] if note else orchestra.problems
    report.skipped += [(skipped.name, skipped.reason) for skipped in sources.skipped]
    write_record(out, settings, sources, orchestra)
    tasks = []
    for number in range(1, songs + 1):
        place = track_path(out, _part_of(settings, number), number)
        if is_complete(place):
            report.kept += 1
        else:
            report.repaired += place.exists()
            tasks.append(_SongTask(settings, out, number))
    if tasks:
        tell(f"rendering {len(tasks):,} songs")
    try:
        outcomes = run_tasks(_render_song, tasks, jobs)
        try:
            for done, (task, outcome) in enumerate(outcomes, start=1):
                _add_outcome(report, task, outcome)
                if progress:
                    progress(done, len(tasks), report.audio_seconds)
        finally:
            outcomes.close()
    except KeyboardInterrupt:
        report.interrupted = True
    write_split(out)
    report.seconds = time.monotonic() - began
    return report


def _add_outcome(report: SongsReport, task: _SongTask, outcome: _SongResult | SoundalikeError) -> None:
    if isinstance(outcome, UsageError):  # the disk is full, or a source is gone: all others would fail too
        raise outcome
    if isinstance(outcome, SoundalikeError):
        report.failed.append((f"Track{task.number:05d}", str(outcome)))
        return
    report.made += 1
    report.stems += outcome.stems
    report.audio_seconds += outcome.audio_seconds
    report.synthesis_seconds += outcome.watch.synthesis
    report.core_seconds += outcome.watch.synthesis + outcome.watch.rest
    for name in outcome.redrawn:
        report.redrawn[name] = report.redrawn.get(name, 0) + 1


def _render_song(task: _SongTask) -> _SongResult:
    """Draw, render and write a song. Runs in a worker process."""
    settings, watch = task.settings, Stopwatch()
    redrawn: list[str] = []
    orchestra, _ = song_orchestra(settings.soundfonts)
    for attempt in range(_ATTEMPTS):
        began = time.process_time()
        song = draw_again(settings, task.number, attempt)
        performance = perform_song(song, orchestra)
        watch.rest += time.process_time() - began
        try:
            mixdown = mix_song(song, performance, orchestra, watch)
        except DraftError as error:
            redrawn.append(str(error))
            continue
        began = time.process_time()
        write_track(track_path(task.out, song.part, song.number), song, performance, mixdown, orchestra, attempt)
        watch.rest += time.process_time() - began
        return _SongResult(tuple(redrawn), len(song.parts), song.seconds, watch)
    raise DraftError(f"all {_ATTEMPTS} drafts were rejected, the last one because {redrawn[-1]}")
