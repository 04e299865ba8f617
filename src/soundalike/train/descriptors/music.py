"""Music of known tempo and key, rendered in memory: drumming, loops and scenes.

- *Scenes* are anchors and neutral negatives of `soundalike render`.
- *Loops* are patterns of the grammar, mostly drums and bass, at a tempo that is usual for their kind. Without them no
  example would tell house at 140 BPM from a pattern of eighths at 70. *Common* loops are of the kinds that most rock
  and dance music uses.
- *Metronomes* play one sound on every beat. *Noise* is noise, or strokes at random times: it has no tempo.
- *Drumming* is performances of the Groove MIDI Dataset at the tempo of their metronome, played by one drum kit.

The same seed and material give the same samples.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.folders import Stock, draw_folder, orchestra_of, sources_of
from soundalike.render.score import (
    FACTORS,
    PULSE,
    SPLIT,
    Played,
    Rhythm,
    Role,
    Scene,
    SplitPart,
    bass_styles,
    comp_styles,
    draw_pattern,
    part_of,
)
from soundalike.render.sound import DRUMS, SYNTH_RATE, DraftError, draw_effects, play, resample
from soundalike.render.sources.grooves import PADS
from soundalike.render.sources.midi import DRUM_CHANNEL, read_midi

__all__ = ["DATASET_FILES", "KINDS", "Labelled", "Piece", "sound_of"]

DATASET_FILES = _INFO, _ARCHIVE = "info.csv", "groove-midi.tar.gz"
"""The files of the Groove MIDI Dataset."""

KINDS = ("drumming", "loop", "common", "scene", "metronome", "noise")
"""Kinds of music."""

# Usual tempi of the kinds of groove in the grammar, in quarter notes per minute. Two ranges are two genres: breakbeats
# are played in hip hop and house, and in jungle and drum and bass; rock patterns also in punk and metal.
_USUAL: Mapping[str, tuple[tuple[float, float], ...]] = {
    "rock": ((66, 140), (140, 200)),
    "half-time": ((60, 100), (120, 160)),
    "four on the floor": ((110, 150),),
    "disco": ((105, 145),),
    "funk": ((80, 128),),
    "boom bap": ((65, 108),),
    "breakbeat": ((90, 145), (155, 185), (155, 185)),
    "motown": ((95, 160),),
    "one drop": ((62, 92),),
    "steppers": ((65, 90),),
    "reggaeton": ((82, 110),),
    "bossa nova": ((100, 160),),
    "samba": ((85, 125),),
    "son": ((80, 120),),
    "train": ((85, 135),),
    "two-beat": ((85, 135),),
    "march": ((95, 130),),
    "ballad": ((55, 90),),
    "tom-tom": ((85, 145),),
    "shuffle": ((80, 165),),
    "half-time shuffle": ((75, 110),),
    "swing": ((110, 230),),
    "slow blues": ((48, 80),),
}
_COMMON = ("rock", "half-time", "four on the floor", "disco", "boom bap", "breakbeat")
_STREAMS = {"loop": 1, "drumming": 2, "common": 3, "metronome": 4, "noise": 5}  # of random numbers
_LAYOUTS: Sequence[tuple[tuple[Role, ...], float]] = (
    (("drums",), 0.25),
    (("bass", "drums"), 0.4),
    (("comp", "bass", "drums"), 0.2),
    (("lead", "comp", "bass", "drums"), 0.15),
)
_RATE = 22050
_SECONDS = 12.0
_LEAST = 8.0  # seconds of a performance
_MINOR = ("minor", "dorian")


@dataclass(frozen=True, slots=True)
class Piece:
    """What to render: one of `KINDS`, and the number among these."""

    kind: str
    number: int
    part: SplitPart
    seed: int
    tunes: str | None
    grooves: str


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Audio with its ground truth.

    Attributes:
        samples: Mono (t,) float32 at 22,050 Hz.
        tempo: Pulses per minute: quarter notes, or dotted quarter notes in compound meters. 0 if there is no beat.
        key: Index into `KEYS`; None if only drums play.
    """

    samples: FloatArray
    tempo: float
    key: int | None


def sound_of(piece: Piece) -> Labelled:
    """Render a piece. Raises UsageError if its material is missing."""
    if piece.kind == "drumming":
        return _drumming(piece)
    if piece.kind in ("metronome", "noise"):
        return _strokes(piece)
    for attempt in range(30):
        scene = _scene(piece, attempt) if piece.kind == "scene" else _loop(piece, attempt)
        try:
            clip = play(scene, orchestra_of(()), _SECONDS, _RATE)
        except DraftError:
            continue
        groove = scene.rhythm.groove
        tonal = set(scene.band.layout) - {"drums"}
        return Labelled(
            clip.samples,
            scene.tempo / PULSE[groove.meter],
            scene.key + 12 * (scene.melody.mode in _MINOR) if tonal else None,
        )
    raise UsageError(f"no draft of {piece.kind} {piece.number} can be rendered; give more tunes or sounds")


@lru_cache(maxsize=3)
def _stock(tunes: str | None, grooves: str, part: SplitPart) -> Stock:
    return Stock(sources_of(tunes, grooves), orchestra_of(()), part)


def _scene(piece: Piece, attempt: int) -> Scene:
    stock = _stock(piece.tunes, piece.grooves, piece.part)
    number, name = divmod(piece.number, 2)
    factor = FACTORS[number % len(FACTORS)]
    folder = draw_folder(stock, factor, number // len(FACTORS) + 1, piece.seed, attempt)
    return folder.scenes[("anchor", "negative")[name]]


def _loop(piece: Piece, attempt: int) -> Scene:
    stock = _stock(piece.tunes, piece.grooves, piece.part)
    rng = np.random.default_rng([piece.seed, _STREAMS[piece.kind], piece.number, attempt])
    kinds = _COMMON if piece.kind == "common" else _USUAL
    while True:
        groove = draw_pattern(rng, "4/4")
        if groove.name in kinds and part_of("groove:" + groove.source) == piece.part:
            break
    ranges = _USUAL[groove.name]
    tempo = float(rng.uniform(*ranges[rng.integers(len(ranges))]))
    layouts, weights = zip(*_LAYOUTS, strict=True)
    mode = ("major", "minor", "dorian", "mixolydian")[rng.integers(4)]
    melody = stock.melody(rng, "4/4", mode, sparse=True)
    return Scene(
        melody,
        stock.progression(rng, "4/4", mode),
        Rhythm(groove, str(rng.choice(comp_styles("4/4"))), str(rng.choice(bass_styles("4/4")))),
        stock.band(rng, layouts[int(rng.choice(len(layouts), p=weights))]),
        key=int(rng.integers(12)),
        tempo=tempo,
        offset=float(rng.uniform(0, 8)),
        level=float(rng.uniform(-24, -9)),
        effects=draw_effects(rng),
        seed=int(rng.integers(2**31)),
    )


def _strokes(piece: Piece) -> Labelled:
    """Return one sound on every beat, or at random times, or noise."""
    rng = np.random.default_rng([piece.seed, _STREAMS[piece.kind], SPLIT.index(piece.part), piece.number])
    samples = np.zeros(round(_SECONDS * _RATE))
    time = np.arange(_RATE // 10) / _RATE
    tone = np.sin(2 * np.pi * np.exp(rng.uniform(np.log(60), np.log(3000))) * time)
    sound = (tone, rng.standard_normal(len(time)), time == 0)[rng.integers(3)] * np.exp(-rng.uniform(20, 200) * time)
    tempo = 0.0
    if piece.kind == "metronome":
        tempo = float(np.exp(rng.uniform(np.log(44), np.log(200))))
        starts = np.arange(rng.uniform(0, 60 / tempo), _SECONDS, 60 / tempo)
    elif rng.random() < 0.5:
        starts = rng.uniform(0, _SECONDS, rng.integers(15, 120))
    else:
        starts, samples = np.zeros(0), rng.standard_normal(len(samples))
        samples = samples[: round(rng.uniform(3, _SECONDS) * _RATE)]
    for start in (starts * _RATE).astype(int):
        samples[start : start + len(sound)] += sound[: len(samples) - start]
    return Labelled(np.asarray(0.3 * samples / np.abs(samples).max(), np.float32), tempo, None)


@lru_cache(maxsize=3)
def _performances(grooves: str, drummers: tuple[str, ...]) -> tuple[Mapping[str, str], ...]:
    """Return the lines of info.csv that can be used: beats of at least 8 s by some drummers."""
    with (Path(grooves) / _INFO).open(newline="", encoding="utf-8") as file:
        return tuple(
            row
            for row in csv.DictReader(file)
            if row["beat_type"] == "beat" and float(row["duration"]) >= _LEAST and row["drummer"] in drummers
        )


@lru_cache(maxsize=1)
def _archive(grooves: str) -> tarfile.TarFile:
    return tarfile.open(Path(grooves) / _ARCHIVE)


def _drumming(piece: Piece) -> Labelled:
    stock = _stock(piece.tunes, piece.grooves, piece.part)
    rng = np.random.default_rng([piece.seed, _STREAMS["drumming"], piece.number])
    drummers = tuple(name for name, part in stock.sources.drummers.items() if part == piece.part)
    lines = _performances(piece.grooves, drummers)
    line = lines[piece.number % len(lines)]
    song = read_midi(_midi(piece.grooves, line["midi_filename"]))
    (track,) = (track for track in song.tracks if track.channel == DRUM_CHANNEL)
    beat = 60.0 / float(line["bpm"])
    last = float(track.starts[-1]) * beat
    first = float(rng.uniform(0, max(last - _SECONDS, 0.0)))
    starts = track.starts * beat - first
    notes = [
        Played(float(start), float(start) + 0.1, drum, int(velocity))
        for start, note, velocity in zip(starts, track.pitches, track.velocities, strict=True)
        if 0 <= start < _SECONDS and (drum := PADS.get(int(note), int(note))) in DRUMS
    ]
    sound = stock.orchestra.draw("drums", piece.part, rng)
    seconds = min(_SECONDS, last)
    samples = stock.orchestra.play(sound, "drums", notes, seconds)
    mono = resample(samples, SYNTH_RATE, _RATE, length=round(seconds * _RATE))
    peak = max(float(np.abs(mono).max()), 1e-9)
    return Labelled(np.asarray(mono / peak * 0.5, np.float32), float(line["bpm"]), None)


def _midi(grooves: str, name: str) -> bytes:
    """Read a performance from the archive."""
    file = _archive(grooves).extractfile(name)
    if file is None:
        raise UsageError(f"{grooves} lists {name} but does not hold it; unpack the Groove MIDI Dataset again")
    return file.read()
