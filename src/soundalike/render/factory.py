"""A set of folders on disk: which ones, from what, resumable, in worker processes, always whole."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.errors import SoundalikeError, UsageError
from soundalike.files import make_folder, read_json, write_whole
from soundalike.render.folders import CLIPS, Folder, draw_folder, folder_part
from soundalike.render.music import FACTORS, ROLES, SPLIT, Clip, Scene, SplitPart
from soundalike.render.orchestra import Orchestra
from soundalike.render.soundfonts import check_fluidsynth, find_soundfonts
from soundalike.render.sources import Sources, load_sources
from soundalike.render.stock import Stock
from soundalike.render.studio import DraftError, Stopwatch, play
from soundalike.render.truth import write_truth
from soundalike.workers import run_tasks

__all__ = [
    "RenderReport",
    "Settings",
    "draw_again",
    "folder_path",
    "open_render",
    "orchestra_of",
    "render",
    "sources_of",
]

_VERSION = 1
_RECORD, _SPLIT_FILE, _META = "render.json", "split.json", "triplet_meta.json"
_ATTEMPTS = 30
_RATES = (16000, 22050, 24000, 32000, 44100, 48000)  # Hz: what every codec of the effects can write
_CALLED = {
    "version": "version of soundalike",
    "settings": "settings",
    "sources": "tunes or grooves",
    "sounds": "soundfonts or kits",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a set of folders follows from, besides the soundfonts' and the sources' own contents.

    `part` is the part of the split that all folders belong to, or None for a whole set (see `folder_part`); `tunes` and
    `grooves` are paths or None for what is found; `soundfonts` are given as on the command line.
    """

    seed: int = 0
    part: SplitPart | None = None
    seconds: float = 10.0
    rate: int = 32000
    suffix: str = "wav"
    stems: bool = False
    tunes: str | None = None
    grooves: str | None = None
    soundfonts: tuple[str, ...] = ()


@dataclass(slots=True)
class RenderReport:
    """What a run did: folders made and found whole, sources and sounds left out, seconds of sound and of work;
    `redrawn` counts why drafts were drawn again."""

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
class _Task:
    settings: Settings
    out: Path
    factor: str
    number: int


@dataclass(frozen=True, slots=True)
class _Done:
    redrawn: tuple[str, ...]
    watch: Stopwatch


@lru_cache(maxsize=1)
def orchestra_of(soundfonts: tuple[str, ...]) -> Orchestra:
    """The players for these `--soundfont` values, kept for the next call. Raises UsageError."""
    check_fluidsynth()
    return Orchestra(find_soundfonts(soundfonts))


@lru_cache(maxsize=1)
def sources_of(tunes: str | None, grooves: str | None) -> Sources:
    """The music to draw from, kept for the next call. Raises UsageError."""
    return load_sources(Path(tunes) if tunes else None, Path(grooves) if grooves else None)


@lru_cache(maxsize=len(SPLIT))
def _stock(tunes: str | None, grooves: str | None, soundfonts: tuple[str, ...], part: SplitPart) -> Stock:
    return Stock(sources_of(tunes, grooves), orchestra_of(soundfonts), part)


def folder_path(out: Path, factor: str, number: int) -> Path:
    """Where a folder lies."""
    return out / factor / f"triplets_{number}"


def draw_again(settings: Settings, factor: str, number: int, attempt: int) -> Folder:
    """The scenes of a folder. Raises UsageError if the material is too little."""
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
) -> RenderReport:
    """Render folders 1 to `folders` of every factor; what is there and whole is kept, what is half there is made again.

    An interruption (KeyboardInterrupt) keeps what is done and sets `interrupted`. Raises UsageError if something that
    all folders need is missing, or `out` holds folders of other settings.
    """
    began = time.monotonic()
    report = RenderReport()
    if settings.rate not in _RATES:
        raise UsageError(f"--rate {settings.rate}: expected one of {', '.join(map(str, _RATES))}")
    make_folder(out, "-o")
    orchestra = orchestra_of(settings.soundfonts)
    sources = sources_of(settings.tunes, settings.grooves)
    for part in [settings.part] if settings.part else sorted({folder_part(k) for k in range(1, folders + 1)}):
        _stock(settings.tunes, settings.grooves, settings.soundfonts, part)  # too little material is said at once
    report.problems += orchestra.problems
    report.skipped += [(one.name, one.reason) for one in sources.skipped]
    _record(out, settings, sources, orchestra)
    wanted = [(factor, number) for number in range(1, folders + 1) for factor in factors]
    tasks = []
    for factor, number in wanted:
        place = folder_path(out, factor, number)
        if _whole(place, settings):
            report.kept += 1
        else:
            report.repaired += place.exists()
            tasks.append(_Task(settings, out, factor, number))
    try:
        outcomes = run_tasks(_make, tasks, jobs)
        try:
            for done, (task, outcome) in enumerate(outcomes, start=1):
                _take(report, task, outcome)
                if progress:
                    progress(done, len(tasks), report.audio_seconds)
        finally:
            outcomes.close()
    except KeyboardInterrupt:
        report.interrupted = True
    _write_split(out, settings)
    report.seconds = time.monotonic() - began
    return report


def _take(report: RenderReport, task: _Task, outcome: _Done | SoundalikeError) -> None:
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


def _make(task: _Task) -> _Done:
    """Runs in a worker: draw, play, write beside, put in place in one step."""
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
        return _Done(tuple(redrawn), watch)
    raise UsageError(f"no draft in {_ATTEMPTS} came out; of the last one, {redrawn[-1]}")


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
            names = {role: orchestra.describe(sound, role) for role in ROLES if (sound := scene.band.sound(role))}
            write_truth(partial / "truth", name, scene, clip, names)
            for role, stem in clip.stems.items():
                (partial / "stems" / name).mkdir(parents=True, exist_ok=True)
                # Stems lie as in the mix, which may be louder than a file can hold: floats. Not through libsndfile,
                # which writes the time of day into such files.
                wavfile.write(partial / "stems" / name / f"{role}.wav", clip.rate, stem)
        (partial / "triplet" / _META).write_text(json.dumps(_meta(folder, clips, settings), indent=1) + "\n")
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    except (OSError, soundfile.LibsndfileError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        why = error.strerror or error if isinstance(error, OSError) else error.error_string
        raise UsageError(f"cannot write {place}: {why}; free some space or give another -o") from error


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
        "clips": {name: _facts(scene, anchor, clips[name]) for name, scene in folder.scenes.items()},
    }


def _facts(scene: Scene, anchor: Scene, clip: Clip) -> dict[str, Any]:
    """A clip's sources, and its nuisances as they are relative to the anchor."""
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


def _whole(place: Path, settings: Settings) -> bool:
    """Whether a folder holds every file it should, to its end. A killed run leaves none under its real name."""
    import soundfile

    try:
        clips = json.loads((place / "triplet" / _META).read_bytes())["clips"]
        for name in CLIPS:
            if not all((place / "truth" / f"{name}{suffix}").stat().st_size for suffix in (".jams", ".mid")):
                return False
            audio = [place / "triplet" / f"{name}.{settings.suffix}"]
            if settings.stems:
                audio += [place / "stems" / name / f"{role}.wav" for role in clips[name]["sounds"]]
            if not all(_is_long(path, settings) for path in audio):
                return False
    except (OSError, ValueError, KeyError, TypeError, soundfile.LibsndfileError):
        return False
    return True


def _is_long(path: Path, settings: Settings) -> bool:
    """Whether a sound file is as long as it should be. Raises OSError or LibsndfileError if it cannot be read."""
    import soundfile

    frames = round(settings.seconds * settings.rate)
    with soundfile.SoundFile(path) as file:
        if (file.frames, file.samplerate) != (frames, settings.rate):
            return False
        file.seek(frames - 1)  # the head of a file that was cut short may say that it is whole
        return len(file.read(1)) == 1


def _body(settings: Settings, sources: Sources, orchestra: Orchestra) -> dict[str, Any]:
    """What folders are made from, as it is written down."""
    return {
        "made_by": "soundalike render",
        "version": _VERSION,
        "settings": asdict(settings) | {"soundfonts": list(settings.soundfonts)},
        "sources": {"digest": sources.digest, "credits": list(sources.credits)},
        "sounds": dict(orchestra.licences),
    }


def _record(out: Path, settings: Settings, sources: Sources, orchestra: Orchestra) -> None:
    """Write down what the folders are made from; refuse a folder that was made from something else."""
    body, path = _body(settings, sources, orchestra), out / _RECORD
    if not path.exists():
        write_whole(path, lambda file: file.write((json.dumps(body, indent=1) + "\n").encode()))
    elif changed := _difference(read_json(path), body):
        raise UsageError(f"{out} holds folders made with other {changed}; use the same, or give another -o")


def _difference(before: Any, body: Mapping[str, Any]) -> str | None:
    """What a record says else, as a user knows it; None if it says the same."""
    before = before if isinstance(before, dict) else {}
    changed = next((key for key in _CALLED if before.get(key) != body[key]), None)
    if changed == "settings" and isinstance(old := before.get(changed), dict):
        return f"settings: {', '.join(name for name, value in body[changed].items() if old.get(name, ...) != value)}"
    return _CALLED[changed] if changed else None


def open_render(out: Path) -> tuple[Settings, list[tuple[str, int]]]:
    """The settings of a rendered set and its whole folders, (factor, number). Raises UsageError.

    What it was made from must be here, and unchanged, so that its folders can be drawn again.
    """
    if not (out / _RECORD).is_file():
        raise UsageError(f"{out} holds no {_RECORD}; give the output of soundalike render")
    before = read_json(out / _RECORD)
    try:
        fields = dict(before["settings"])
        settings = Settings(**fields | {"soundfonts": tuple(fields["soundfonts"])})
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{out / _RECORD} is not a record of soundalike render; render into another folder") from error
    body = _body(settings, sources_of(settings.tunes, settings.grooves), orchestra_of(settings.soundfonts))
    if changed := _difference(before, body):
        raise UsageError(f"{out} was not made with the {changed} found here; use the same, or render it again")
    found = [(factor, number) for factor, number in _folders(out) if _whole(folder_path(out, factor, number), settings)]
    if not found:
        raise UsageError(f"{out} holds no whole folder; render some with: soundalike render -o {out} --folders N")
    return settings, found


def _folders(out: Path) -> Iterator[tuple[str, int]]:
    for factor in FACTORS:
        numbers = [path.name.removeprefix("triplets_") for path in (out / factor).glob("triplets_*")]
        for number in sorted(int(text) for text in numbers if text.isdigit()):
            yield factor, number


def _write_split(out: Path, settings: Settings) -> None:
    """Which folders belong to which part, and the sources that each part was made from, as the folders tell."""
    folders: dict[str, set[str]] = {part: set() for part in SPLIT}
    used: dict[str, dict[str, set[str]]] = {
        part: {kind: set() for kind in ("melodies", "grooves", "progressions", "banks")} for part in SPLIT
    }
    for factor, number in _folders(out):
        place = folder_path(out, factor, number)
        if not _whole(place, settings):
            continue
        meta = read_json(place / "triplet" / _META)
        folders[meta["part"]].add(meta["folder"])
        mine = used[meta["part"]]
        for clip in meta["clips"].values():
            mine["melodies"].add(clip["melody"])
            mine["grooves"].add(clip["groove_source"])
            mine["progressions"].add(clip["progression"])
            mine["banks"] |= {sound.rpartition(" ")[0] for sound in clip["sounds"].values()}
    names = {
        part: sorted(found, key=lambda name: int(name.removeprefix("triplets_"))) for part, found in folders.items()
    }
    sources = {part: {kind: sorted(found) for kind, found in mine.items()} for part, mine in used.items()}
    body = json.dumps({**names, "sources": sources}, indent=1) + "\n"
    write_whole(out / _SPLIT_FILE, lambda file: file.write(body.encode()))
