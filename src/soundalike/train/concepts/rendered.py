"""Rendered clips with exact labels, drawn independently: what a concept network can be trained and judged on.

Instrument, tempo (pulses per minute) and key are exact. The other three are proxies, and are named so:

- genre is a *style of the grammar*: kinds of drum pattern with the comping and bass styles that go with them.
- mood is the *mode and the tempo class*, such as "minor fast".
- era is a *sound chain*: bandwidth, noise, dynamics and codec of a recording.

Clips for test have other tunes, chord progressions, drum patterns and sounds than those for training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from soundalike.audio import TAG_CONCEPTS, TrackLabels
from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import foreign_files, make_folder, read_json, write_atomic, write_json
from soundalike.core.types import FloatArray
from soundalike.render.folders import Stock, folder_part, sources_of
from soundalike.render.score import PULSE, ROLES, Rhythm, Role, Scene, Sound, SplitPart, draw_pattern, part_of
from soundalike.render.songs import song_orchestra
from soundalike.render.sound import ERAS, SINGERS, DraftError, Orchestra, draw_chain, family_name, play
from soundalike.train.concepts.material import ConceptTrack

__all__ = ["GENRES", "MOODS", "RenderedSettings", "RenderedTracks", "draw_clip", "render_tracks"]

_RECORD, _VERSION = "clips.json", 2  # increase the version when the same settings give other clips
_ATTEMPTS = 30
_PATTERNS = 5000  # draws of a drum pattern until one is of the wanted kind and part
_TEMPI = (66.0, 170.0)
"""Pulses per minute: dotted quarters in 6/8, quarters otherwise."""
_CLASSES = (("slow", 85.0), ("medium", 120.0), ("fast", 1000.0))
"""Tempo classes, each with the tempo below which it ends."""
_MODES = ("major", "minor")
_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_CHOIRS = range(52, 55)
"""General MIDI programs of synthetic voices."""
_RATE = 22050


@dataclass(frozen=True, slots=True)
class _Style:
    """A style: the meter, and the kinds of drum pattern, comping and bass of which one each is drawn."""

    meter: str
    grooves: tuple[str, ...]
    comps: tuple[str, ...]
    basses: tuple[str, ...]


_STYLES: Mapping[str, _Style] = {
    "rock": _Style("4/4", ("rock",), ("strum", "quarters", "gallop"), ("eighths", "rock")),
    "disco": _Style("4/4", ("disco", "four on the floor"), ("offbeats", "push"), ("offbeats", "gallop")),
    "funk": _Style("4/4", ("funk", "breakbeat"), ("dotted", "backbeats"), ("funk", "motown")),
    "reggae": _Style("4/4", ("one drop", "steppers"), ("offbeats", "backbeats"), ("reggae",)),
    "latin": _Style("4/4", ("bossa nova", "samba", "son"), ("bossa", "tresillo"), ("bossa", "tresillo")),
    "country": _Style("4/4", ("train", "two-beat"), ("boom-chick",), ("two-beat",)),
    "swing": _Style("4/4", ("swing", "shuffle"), ("charleston", "quarters"), ("walking",)),
    "ballad": _Style("4/4", ("ballad", "half-time"), ("arpeggio", "broken", "pad"), ("whole",)),
    "waltz": _Style("3/4", ("waltz", "country waltz"), ("waltz", "afterbeats"), ("waltz", "downbeats")),
    "jig": _Style("6/8", ("jig",), ("jig", "pulses"), ("pulses", "downbeats")),
}
GENRES = tuple(f"style {name}" for name in _STYLES)
"""The genres of rendered clips: styles of the grammar."""
MOODS = tuple(f"{mode} {name}" for mode in _MODES for name, _ in _CLASSES)
"""The moods of rendered clips: a mode and a tempo class."""


@dataclass(frozen=True, slots=True)
class RenderedSettings:
    """The settings of a set of clips. With the sources and sounds, they determine every clip.

    Attributes:
        seed: Seed of all random draws.
        seconds: Length of a clip, 3 to 60 s.
        tunes: Folder or archive of MIDI files with melodies; None searches the default locations.
        soundfonts: Values of `--soundfont`; without any, the installed soundfonts are used.

    Raises:
        UsageError: A value is out of range.
    """

    seed: int = 0
    seconds: float = 9.0
    tunes: str | None = None
    soundfonts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; expected at least 0")
        if not 3 <= self.seconds <= 60:
            raise UsageError(f"seconds are {self.seconds:g}; expected 3 to 60")


@dataclass(frozen=True, slots=True)
class RenderedTracks:
    """All clips, the number of those made in this run, and those that failed, with the reasons."""

    tracks: tuple[ConceptTrack, ...]
    made: int
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Task:
    settings: RenderedSettings
    out: Path
    number: int


def draw_clip(stock: Stock, number: int, settings: RenderedSettings, attempt: int = 0) -> tuple[Scene, TrackLabels]:
    """Draw a clip: its scene and its labels, which are drawn independently of each other.

    Only the mood follows from others: mode and tempo. Styles in meters for which there are too few tunes are left out.
    The same arguments and material give the same clip.

    Args:
        stock: The material of one part of the split.
        number: The number of the clip, from 1.
        settings: The settings of the set.
        attempt: The number of rejected drafts before this one.

    Raises:
        UsageError: The stock has too little material.

    Example:
        >>> scene, labels = draw_clip(stock, 1, RenderedSettings())
        >>> labels.genre, labels.key
        (('style waltz',), 'D minor')
    """
    rng = np.random.default_rng([settings.seed, number, attempt])
    places = stock.places
    names = [name for name, style in _STYLES.items() if all((style.meter, mode) in places for mode in _MODES)]
    if not names:
        raise UsageError(f"too few tunes in major and minor for {stock.part}; give more to --tunes")
    name = str(rng.choice(names))
    style, mode, era = _STYLES[name], str(rng.choice(_MODES)), str(rng.choice(ERAS))
    tempo = float(np.exp(rng.uniform(*np.log(_TEMPI))))
    tonic = int(rng.integers(12))
    band = stock.band(rng, ROLES)
    scene = Scene(
        stock.melody(rng, style.meter, mode, sparse=bool(rng.random() < 0.4)),
        stock.progression(rng, style.meter, mode),
        _draw_rhythm(rng, style, stock.part),
        band,
        key=tonic,
        tempo=tempo * PULSE[style.meter],
        octave=int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15])),
        level=float(rng.uniform(-24, -12)),
        effects=draw_chain(rng, era),
        seed=int(rng.integers(2**31)),
    )
    roles: tuple[Role, ...] = ("lead", "comp")
    families = [_family(stock.orchestra, sound, role) for role in roles if (sound := band.sound(role))]
    labels = TrackLabels(
        genre=(f"style {name}",),
        mood=(f"{mode} {next(name for name, end in _CLASSES if tempo < end)}",),
        instrument=tuple(dict.fromkeys(families)),
        era=(era,),
        tempo=tempo,
        key=f"{_SHARPS[tonic]} {mode}",
    )
    return scene, labels


def _family(orchestra: Orchestra, sound: Sound, role: Role) -> str:
    """Return the family of an instrument, such as "Strings". Singers and choirs are "Voice"."""
    program = orchestra.general_midi(sound, role)
    return "Voice" if sound.bank == SINGERS or program in _CHOIRS else family_name(program).removesuffix(" (continued)")


def _draw_rhythm(rng: np.random.Generator, style: _Style, part: SplitPart) -> Rhythm:
    """Draw a pattern of one of the kinds of a style that belongs to a part of the split, and the styles of the band."""
    for _ in range(_PATTERNS):
        groove = draw_pattern(rng, style.meter)
        if groove.name in style.grooves and part_of("groove:" + groove.source) == part:
            return Rhythm(groove, str(rng.choice(style.comps)), str(rng.choice(style.basses)))
    raise UsageError(f"no drum pattern of the kinds {', '.join(style.grooves)} is for {part}")


def render_tracks(
    out: Path,
    clips: int,
    settings: RenderedSettings,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    preparing: Callable[[str], None] | None = None,
) -> RenderedTracks:
    """Render clips 1 to `clips` that a folder lacks, and return all of them with their labels.

    Of ten clips, eight are for training and one each for validation and test. An interrupted run continues.

    Args:
        out: The folder. It is made if needed.
        clips: The number of clips.
        settings: The settings of the set, the same as those of the clips that the folder already holds.
        jobs: The number of worker processes; None starts one per core.
        progress: Called with clips done, clips to render, and seconds of audio.
        preparing: Called with one line when a slow step starts.

    Raises:
        UsageError: A soundfont or a source is missing, the folder holds something else, or it cannot be written.
        KeyboardInterrupt: The run was interrupted; the next one continues.

    Example:
        >>> found = render_tracks(Path("clips"), 1000, RenderedSettings(seed=7))
        >>> found.tracks[0].labels.era
        ('tape 1970s',)
    """
    if clips < 1:
        raise UsageError(f"the number of clips is {clips}; expected at least 1")
    make_folder(out, "--work")
    orchestra, note = song_orchestra(settings.soundfonts)
    if note and preparing:
        preparing(note)
    sources = sources_of(settings.tunes, None, preparing)
    record = {"version": _VERSION, **asdict(settings), "soundfonts": list(settings.soundfonts), "rate": _RATE,
              "sources": sources.digest, "sounds": dict(orchestra.licences)}  # fmt: skip
    _check_record(out, record)
    tasks = [_Task(settings, out, number) for number in range(1, clips + 1) if _read(out, number) is None]
    if tasks and preparing:
        preparing(f"rendering {len(tasks):,} of {clips:,} clips of {settings.seconds:g} s")
    failed = []
    outcomes = run_tasks(_render_clip, tasks, jobs)
    try:
        for done, (task, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, UsageError):  # the disk is full, or a source is gone: all others would fail too
                raise outcome
            if isinstance(outcome, SoundalikeError):
                failed.append((_path(out, task.number).name, str(outcome)))
            if progress:
                progress(done, len(tasks), done * settings.seconds)
    finally:
        outcomes.close()
    found = [track for number in range(1, clips + 1) if (track := _read(out, number)) is not None]
    return RenderedTracks(tuple(found), len(tasks) - len(failed), tuple(failed))


def _check_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write the settings of a set, or raise UsageError if the folder holds clips of others."""
    path = out / _RECORD
    if not path.exists():
        if others := foreign_files(out):
            raise UsageError(f"{out} holds no clips but {others[0].name}; give an empty folder")
        write_json(path, record)
        return
    known = read_json(path)
    changed = next((name for name in record if not isinstance(known, dict) or known.get(name) != record[name]), None)
    if changed:
        raise UsageError(f"{out} holds clips that were not made with the same {changed}; use the same, or delete it")


@lru_cache(maxsize=3)
def _stock(tunes: str | None, soundfonts: tuple[str, ...], part: SplitPart) -> Stock:
    return Stock(sources_of(tunes, None), song_orchestra(soundfonts)[0], part)


def _path(out: Path, number: int) -> Path:
    return out / folder_part(number) / f"clip_{number:05d}.flac"


def _render_clip(task: _Task) -> None:
    """Run in a worker: draw and render a clip, and write it and then its labels."""
    settings, path = task.settings, _path(task.out, task.number)
    stock = _stock(settings.tunes, settings.soundfonts, folder_part(task.number))
    reason = ""
    for attempt in range(_ATTEMPTS):
        scene, labels = draw_clip(stock, task.number, settings, attempt)
        try:
            clip = play(scene, stock.orchestra, settings.seconds, _RATE)
        except DraftError as error:
            reason = str(error)
            continue
        make_folder(path.parent, "--work")
        write_atomic(path, partial(_write_flac, clip.samples))
        write_json(path.with_suffix(".json"), asdict(labels))
        return
    raise DraftError(f"all {_ATTEMPTS} drafts were rejected, the last one because {reason}")


def _write_flac(samples: FloatArray, file: BinaryIO) -> None:
    import soundfile

    soundfile.write(file, samples, _RATE, "PCM_16", format="FLAC")


def _read(out: Path, number: int) -> ConceptTrack | None:
    """Return a complete clip; None if there is none."""
    path = _path(out, number)
    truth = path.with_suffix(".json")
    if not truth.is_file() or not path.is_file():
        return None
    fields: dict[str, Any] = read_json(truth)
    labels = TrackLabels(**fields | {name: tuple(fields[name]) for name in TAG_CONCEPTS})
    return ConceptTrack(path, labels, path.stem, folder_part(number))
