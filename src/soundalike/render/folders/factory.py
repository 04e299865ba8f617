"""Render a set of folders in worker processes.

A run can be interrupted and resumed. Each folder is written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder
from soundalike.render.folders.draw import CLIPS, Folder, draw_folder, folder_part
from soundalike.render.folders.record import META, folder_path, is_complete, write_record, write_split
from soundalike.render.folders.settings import RATES, Settings, orchestra_of, sources_of
from soundalike.render.folders.stock import Stock
from soundalike.render.score.music import FACTORS, ROLES, SPLIT, Clip, Scene, SplitPart
from soundalike.render.score.truth import write_truth
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.studio import DraftError, Stopwatch, play

__all__ = ["RenderReport", "draw_again", "render"]

_ATTEMPTS = 30


@dataclass(slots=True)
class RenderReport:
    """The outcome of a run.

    Attributes:
        made: Number of folders rendered in this run.
        kept: Number of complete folders from earlier runs.
        repaired: Number of incomplete folders from earlier runs. They are rendered again and count as made.
        clips: Number of clips rendered in this run, including those of rejected drafts.
        audio_seconds: Total length of the clips in the folders made.
        seconds: Wall-clock time of the run.
        synthesis_seconds: CPU time of synthesis, summed over the workers.
        core_seconds: CPU time of everything, summed over the workers.
        interrupted: Whether the run was interrupted.
        failed: Folders that could not be rendered, as (name, error).
        redrawn: Number of rejected drafts per reason.
        skipped: Source files that could not be used, as (name, reason).
        problems: Notes about missing soundfonts, instruments or sounds for the test part.
    """

    made: int = 0
    kept: int = 0
    repaired: int = 0
    clips: int = 0
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
class _FolderTask:
    """A folder to render."""

    settings: Settings
    out: Path
    factor: str
    number: int


@dataclass(frozen=True, slots=True)
class _FolderResult:
    """The outcome of a task: why drafts were rejected, and the time spent."""

    redrawn: tuple[str, ...]
    watch: Stopwatch


@lru_cache(maxsize=len(SPLIT))
def _stock(tunes: str | None, grooves: str | None, soundfonts: tuple[str, ...], part: SplitPart) -> Stock:
    return Stock(sources_of(tunes, grooves), orchestra_of(soundfonts), part)


def draw_again(settings: Settings, factor: str, number: int, attempt: int) -> Folder:
    """Draw the scenes of a folder from the settings of its set. The same arguments give the same scenes.

    Args:
        settings: The settings of the set.
        factor: One of `FACTORS`.
        number: The number of the folder, from 1.
        attempt: The number of rejected drafts before this one, as `triplet_meta.json` records it.

    Raises:
        UsageError: A source or soundfont is missing, or there is too little material.

    Example:
        >>> folder = draw_again(Settings(seed=7), "melody", 3, attempt=0)
        >>> folder.scenes["anchor"].melody.name
    """
    part = settings.part or folder_part(number)
    stock = _stock(settings.tunes, settings.grooves, settings.soundfonts, part)
    return draw_folder(stock, factor, number, settings.seed, attempt)


def render(
    out: Path,
    folders: int,
    settings: Settings,
    *,
    factors: Sequence[str] = FACTORS,
    jobs: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    preparing: Callable[[str], None] | None = None,
) -> RenderReport:
    """Render folders 1 to `folders` of every factor.

    Complete folders from earlier runs are skipped. Incomplete ones are rendered again. After an interruption
    (KeyboardInterrupt), the finished folders remain and the report has `interrupted` set.

    Args:
        out: The output folder. It is created if needed.
        folders: Number of folders per factor.
        settings: The settings of the set. They must match those of the folders that `out` already holds.
        factors: The factors to render, of `FACTORS`.
        jobs: Number of worker processes. None uses one per core.
        progress: Called after each folder with the number of folders done, their total, and the seconds of audio
            rendered so far.
        preparing: Called before the first folder with a one-line message when a slow step starts or advances.

    Returns:
        The report. A folder that fails is listed in `failed` and does not stop the others.

    Raises:
        UsageError: FluidSynth, a soundfont or a source is missing, or `out` holds folders of other settings.

    Example:
        >>> report = render(Path("triplets"), folders=10, settings=Settings(seed=7))
        >>> report.made, report.kept
        (40, 0)
    """
    began = time.monotonic()
    report = RenderReport()
    if settings.rate not in RATES:
        raise UsageError(f"--rate {settings.rate}: expected one of {', '.join(map(str, RATES))}")
    make_folder(out, "-o")
    tell = preparing or (lambda _: None)
    tell("reading soundfonts")
    orchestra = orchestra_of(settings.soundfonts)
    sources = sources_of(settings.tunes, settings.grooves, tell)
    tell("sorting tunes, grooves and sounds")
    for part in [settings.part] if settings.part else sorted({folder_part(k) for k in range(1, folders + 1)}):
        # Fail early if there is too little material.
        _stock(settings.tunes, settings.grooves, settings.soundfonts, part)
    report.problems += orchestra.problems
    report.skipped += [(skipped.name, skipped.reason) for skipped in sources.skipped]
    write_record(out, settings, sources, orchestra)
    wanted = [(factor, number) for number in range(1, folders + 1) for factor in factors]
    tasks = []
    for factor, number in wanted:
        place = folder_path(out, factor, number)
        if is_complete(place, settings):
            report.kept += 1
        else:
            report.repaired += place.exists()
            tasks.append(_FolderTask(settings, out, factor, number))
    if tasks:
        tell(f"rendering {len(tasks):,} folders")
    try:
        outcomes = run_tasks(_render_folder, tasks, jobs)
        try:
            for done, (task, outcome) in enumerate(outcomes, start=1):
                _add_outcome(report, task, outcome)
                if progress:
                    progress(done, len(tasks), report.audio_seconds)
        finally:
            outcomes.close()
    except KeyboardInterrupt:
        report.interrupted = True
    write_split(out, settings)
    report.seconds = time.monotonic() - began
    return report


def _add_outcome(report: RenderReport, task: _FolderTask, outcome: _FolderResult | SoundalikeError) -> None:
    if isinstance(outcome, SoundalikeError):
        report.failed.append((f"{task.factor}/triplets_{task.number}", str(outcome)))
        return
    report.made += 1
    report.clips += outcome.watch.clips
    report.audio_seconds += len(CLIPS) * task.settings.seconds
    report.synthesis_seconds += outcome.watch.synthesis
    report.core_seconds += outcome.watch.synthesis + outcome.watch.rest
    for name in outcome.redrawn:
        report.redrawn[name] = report.redrawn.get(name, 0) + 1


def _render_folder(task: _FolderTask) -> _FolderResult:
    """Draw, render and write a folder. Runs in a worker process."""
    settings, watch = task.settings, Stopwatch()
    redrawn: list[str] = []
    orchestra = orchestra_of(settings.soundfonts)
    for attempt in range(_ATTEMPTS):
        began = time.process_time()
        folder = draw_again(settings, task.factor, task.number, attempt)
        watch.rest += time.process_time() - began
        try:
            clips = {
                name: play(scene, orchestra, settings.seconds, settings.rate, stems=settings.stems, watch=watch)
                for name, scene in folder.scenes.items()
            }
        except DraftError as error:
            redrawn.append(str(error))
            continue
        began = time.process_time()
        _write(task.out, folder, clips, settings, orchestra)
        watch.rest += time.process_time() - began
        return _FolderResult(tuple(redrawn), watch)
    raise UsageError(f"all {_ATTEMPTS} drafts were rejected, the last one because {redrawn[-1]}")


def _write(out: Path, folder: Folder, clips: Mapping[str, Clip], settings: Settings, orchestra: Orchestra) -> None:
    import soundfile
    from scipy.io import wavfile

    place = folder_path(out, folder.factor, folder.number)
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "triplet").mkdir(parents=True)
        (partial / "truth").mkdir()
        for name, clip in clips.items():
            scene = folder.scenes[name]
            soundfile.write(partial / "triplet" / f"{name}.{settings.suffix}", clip.samples, clip.rate, "PCM_16")
            write_truth(partial / "truth", name, scene, clip, orchestra.describe_band(scene.band))
            for role, stem in clip.stems.items():
                (partial / "stems" / name).mkdir(parents=True, exist_ok=True)
                # Stems have the scale of the mix, which may exceed full scale, so they are stored as floats. SciPy
                # writes them because libsndfile puts a timestamp into files of floats.
                wavfile.write(partial / "stems" / name / f"{role}.wav", clip.rate, stem)
        (partial / "triplet" / META).write_text(
            json.dumps(_meta(folder, clips, settings), indent=1) + "\n", encoding="utf-8"
        )
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    except (OSError, soundfile.LibsndfileError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = error.strerror or error if isinstance(error, OSError) else error.error_string
        raise UsageError(f"cannot write {place}: {reason}; free some disk space or give another -o") from error


def _meta(folder: Folder, clips: Mapping[str, Clip], settings: Settings) -> dict[str, Any]:
    anchor = folder.scenes["anchor"]
    return {
        "factor": folder.factor,
        "folder": folder.name,
        "part": folder.part,
        "seed": settings.seed,
        "attempt": folder.attempt,
        "meter": anchor.melody.meter,
        "mode": anchor.melody.mode,
        "clips": {name: _clip_meta(scene, anchor, clips[name]) for name, scene in folder.scenes.items()},
    }


def _clip_meta(scene: Scene, anchor: Scene, clip: Clip) -> dict[str, Any]:
    """Return the sources of a clip, and its nuisance variables relative to the anchor."""
    sounds = {role: sound for role in ROLES if (sound := scene.band.sound(role))}
    return {
        "melody": scene.melody.name,
        "setting": scene.melody.setting,
        "progression": scene.progression.name,
        "groove": scene.rhythm.groove.name,
        "groove_source": scene.rhythm.groove.source,
        "comp": scene.rhythm.comp,
        "bass": scene.rhythm.bass,
        "sounds": {role: f"{sound.bank} {sound.program}" for role, sound in sounds.items()},
        "key_shift": (scene.key - anchor.key + 6) % 12 - 6,
        "tempo_ratio": round(scene.tempo / anchor.tempo, 5),
        "offset_beats": round(scene.offset - anchor.offset, 4),
        "octave_shift": scene.octave - anchor.octave,
        "level_db": round(scene.level - anchor.level, 2),
        "effects": {key: value for key, value in asdict(scene.effects).items() if value is not None},
        "levels_db": {role: round(level, 2) for role, level in clip.levels.items() if np.isfinite(level)},
    }
