"""Synthesised singers, with the properties of singing: glides, scoops, vibrato, drift, vowels, consonants and breath.

The synthesis is a source-filter model (Fant, "Acoustic theory of speech production", 1960). A harmonic source follows a
pitch that varies all the time. The source and noise pass through formants that move from vowel to vowel, and the level
falls for consonants. The ranges of glides, vibrato and drift follow Sundberg ("The science of the singing voice",
1987). The result is determined by the program number and the notes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score.music import Played, Role
from soundalike.render.sound.synthesis import RATE, harmonic_table, without_rumble

__all__ = ["Singer", "Singers"]

_COUNT = 64
_GENERAL_MIDI = 53  # Voice Oohs
_MANNERS = ("plain", "breathy", "raspy", "doubled")
_HOP, _WINDOW = 256, 1024
_BREAK = 0.15  # seconds; a rest of this length ends a phrase
_LEVEL = 0.1  # RMS of a part
_HIGHEST = 18000.0  # Hz
_SLOW_DRIFT, _FAST_DRIFT = 0.5, 4.0  # Hz
_BURST, _CLOSURE = 0.015, 0.05  # seconds, of a plosive
_FLOOR = 0.01  # gain of the vocal tract far from its formants

# The first three formants of a man's vowels in Hz (after Peterson and Barney, 1952), and their levels.
_VOWELS = (
    ((730.0, 1090.0, 2440.0), (1.0, 0.6, 0.25)),
    ((530.0, 1840.0, 2480.0), (1.0, 0.4, 0.3)),
    ((390.0, 1990.0, 2550.0), (1.0, 0.35, 0.25)),
    ((270.0, 2290.0, 3010.0), (1.0, 0.25, 0.3)),
    ((570.0, 840.0, 2410.0), (1.0, 0.6, 0.1)),
    ((300.0, 870.0, 2240.0), (1.0, 0.3, 0.1)),
    ((640.0, 1190.0, 2390.0), (1.0, 0.5, 0.2)),
    ((490.0, 1350.0, 1690.0), (1.0, 0.4, 0.3)),
)
_WIDTHS = (120.0, 160.0, 240.0, 350.0, 500.0)  # Hz
_HIGH_FORMANTS = ((3400.0, 4500.0), (0.2, 0.12))


@dataclass(frozen=True, slots=True)
class Singer:
    """The properties of a singer. Pitches are in semitones, times in seconds, and levels are ratios.

    Attributes:
        kind: The register ("high" or "low") and the manner.
        centre_note: The MIDI note around which the singer sings.
        size: Factor on the formants relative to a man's.
        slope: Harmonic n of the source has level n**-slope.
        ring: Level of the formants above about 2 kHz relative to speech.
        vibrato: Depth of the vibrato.
        rate: Rate of the vibrato in Hz.
        delay: Time from the onset of a note to its vibrato.
        glide: Duration of the glide between two notes.
        scoop: Mean distance below a note at which it starts.
        fall: Mean distance by which the last note of a phrase falls.
        drift: Standard deviation of the slow drift of the pitch.
        breath: Level of the breath noise.
        consonants: Share of notes that start with a consonant.
        rasp: Depth of the subharmonic.
        doubled: Whether a second take is mixed in.

    Example:
        >>> Singer.draw(3).kind
        'high breathy'
    """

    kind: str
    centre_note: int
    size: float
    slope: float
    ring: float
    vibrato: float
    rate: float
    delay: float
    glide: float
    scoop: float
    fall: float
    drift: float
    breath: float
    consonants: float
    rasp: float
    doubled: bool

    @classmethod
    def draw(cls, program: int) -> Singer:
        """Return the singer of a program number."""
        rng = np.random.default_rng([program, 5])
        high, manner = bool(program % 2), _MANNERS[program // 2 % len(_MANNERS)]
        return cls(
            kind=f"{'high' if high else 'low'} {manner}",
            centre_note=int(rng.integers(62, 71) if high else rng.integers(52, 61)),
            size=float(rng.uniform(1.08, 1.28) if high else rng.uniform(0.92, 1.08)),
            slope=float(rng.uniform(0.7, 1.6)),
            ring=float(rng.uniform(0.7, 5.0)),
            vibrato=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.7 else 0.0,
            rate=float(rng.uniform(4.5, 7.0)),
            delay=float(rng.uniform(0.05, 0.4)),
            glide=float(rng.uniform(0.03, 0.14)),
            scoop=float(rng.uniform(0.0, 1.2)),
            fall=float(rng.uniform(0.0, 2.5)),
            drift=float(rng.uniform(0.03, 0.16)),
            breath=float(10 ** (rng.uniform(-1.0, -0.5) if manner == "breathy" else rng.uniform(-2.0, -1.2))),
            consonants=float(rng.uniform(0.2, 0.9)),
            rasp=float(rng.uniform(0.1, 0.3)) if manner == "raspy" else 0.0,
            doubled=manner == "doubled",
        )

    @property
    def description(self) -> str:
        """A short description."""
        return f"{self.kind} voice, formants x{self.size:.2f}"


class Singers:
    """The bank of singers. They sing leads only.

    Example:
        >>> singers = Singers()
        >>> notes = [Played(0.0, 0.8, singers.centre_note(3), 96)]
        >>> samples = singers.play(3, "lead", notes, seconds=1.0)
    """

    def programs(self, role: Role) -> tuple[int, ...]:
        """Return the programs of a role. There are none except for the lead."""
        return tuple(range(_COUNT)) if role == "lead" else ()

    def describe(self, program: int) -> str:
        """Describe a singer in a few words.

        Raises:
            UsageError: There is no such singer.
        """
        return _singer(program).description

    def kind(self, program: int) -> str:
        """Return the register and manner of a singer, such as "high breathy".

        Raises:
            UsageError: There is no such singer.
        """
        return _singer(program).kind

    def general_midi(self, program: int) -> int:
        """Return the General MIDI program for MIDI files: Voice Oohs."""
        return _GENERAL_MIDI

    def centre_note(self, program: int) -> int:
        """Return the MIDI note around which a singer sings.

        Raises:
            UsageError: There is no such singer.
        """
        return _singer(program).centre_note

    def play(self, program: int, role: Role, notes: Sequence[Played], seconds: float) -> FloatArray:
        """Sing a part. It is monophonic: if notes overlap, the later one is sung.

        Args:
            program: The program.
            role: The role of the part.
            notes: The notes.
            seconds: The length of the result.

        Returns:
            (t,) float32 mono samples at 44.1 kHz.

        Raises:
            UsageError: There is no such singer.
        """
        singer = _singer(program)
        sung = sorted((note for note in notes if note.start < seconds), key=lambda note: (note.start, note.note))
        sung = [note for note, after in pairwise(sung) if after.start > note.start] + sung[-1:]
        if not sung:
            return np.zeros(round(seconds * RATE), np.float32)
        rng = np.random.default_rng([program, len(sung), *(round(1000 * note.start) + note.note for note in sung)])
        out = _sing(singer, sung, seconds, rng)
        if singer.doubled:
            late = int(rng.uniform(0.008, 0.03) * RATE)
            out[late:] += np.float32(0.7) * _sing(singer, sung, seconds, rng)[: len(out) - late]
        out = without_rumble(out)
        return out * np.float32(_LEVEL / max(float(np.sqrt(np.mean(np.square(out)))), 1e-9))


@dataclass(frozen=True, slots=True)
class _Tone:
    """A sung note: its `end` in seconds, and whether it is the `first` or the `last` of its phrase."""

    note: Played
    end: float
    first: bool
    last: bool


@functools.cache
def _singer(program: int) -> Singer:
    if not 0 <= program < _COUNT:
        raise UsageError(f"singers has no program {program}, expected 0 to {_COUNT - 1}")
    return Singer.draw(program)


def _sing(singer: Singer, notes: Sequence[Played], seconds: float, rng: np.random.Generator) -> FloatArray:
    """Synthesise one take of the notes: (t,) float32."""
    samples = round(seconds * RATE)
    time = np.arange(-(-samples // _HOP) + _WINDOW // _HOP) * (_HOP / RATE)
    tones = _phrase(notes)
    pitch = _pitch(singer, tones, time, rng)
    voiced, noise, colour = _articulation(singer, tones, time, rng)
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    steps = np.interp(np.arange(len(time) * _HOP), np.arange(len(time)) * _HOP, frequency) / RATE
    cycles = np.cumsum(steps)
    source = _glottis(singer, cycles, float(frequency.max()))
    hiss = rng.standard_normal(len(source)).astype(np.float32)
    sounding = np.flatnonzero((voiced > 0) | (noise > 0))  # other frames are silent
    voiced, noise, colour = (values[sounding] for values in (voiced, noise, colour))
    tract = _vocal_tract(singer, notes, time, rng, sounding)
    edges = np.linspace(0, RATE / 2, _WINDOW // 2 + 1)
    noisy = np.flatnonzero(noise)
    fricative = np.exp(-0.5 * np.square(np.log2((edges + 1) / colour[noisy, None]) / 0.5))
    window = np.sin(np.pi * (np.arange(_WINDOW) + 0.5) / _WINDOW).astype(np.float32)
    tone = _spectra(source, window, sounding) * tract * voiced[:, None]
    breath = 0.3 * singer.breath * voiced[:, None] * np.sqrt(tract * tract.max(axis=1, keepdims=True))
    breath[noisy] += noise[noisy, None] * fricative
    spectra = tone + _spectra(hiss, window, sounding) * breath
    return _overlap_add(spectra, window, sounding, len(time))[:samples]


def _phrase(notes: Sequence[Played]) -> list[_Tone]:
    """Join notes to phrases. Notes with a rest of less than `_BREAK` between them are connected."""
    pairs = tuple(pairwise(notes))
    ends = [*(after.start if after.start - note.end < _BREAK else note.end for note, after in pairs), notes[-1].end]
    firsts = [True, *(end < after.start for end, (_, after) in zip(ends, pairs, strict=False))]
    return [_Tone(*fields) for fields in zip(notes, ends, firsts, [*firsts[1:], True], strict=True)]


def _pitch(singer: Singer, tones: Sequence[_Tone], time: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the (n,) MIDI pitch at (n,) times: notes joined by glides, with scoops, vibrato and drift."""
    period = _HOP / RATE
    before = tones[0].note.note + 0.0
    pitch = np.full(len(time), before)
    for tone in tones:
        note, end = tone.note, tone.end
        target = note.note + float(rng.normal(0, 0.1))
        width = 0.002 if tone.first else singer.glide * float(rng.uniform(0.5, 1.5)) / 4
        pitch += (target - before) / (1 + np.exp(-np.clip((time - note.start) / width, -50, 50)))
        before = target
        held = (time >= note.start) & (time < end + 0.2)
        since = time[held] - note.start
        if tone.first or rng.random() < 0.3:
            pitch[held] -= singer.scoop * rng.exponential() * np.exp(-since / rng.uniform(0.03, 0.09))
        if tone.last:
            pitch[held] -= singer.fall * rng.exponential() * np.square(np.clip((time[held] - end + 0.15) / 0.15, 0, 2))
        if end - note.start > 0.25:
            depth = singer.vibrato * float(rng.uniform(0.4, 1.2)) * np.clip((since - singer.delay) / 0.3, 0, 1)
            swing = 2 * np.pi * singer.rate * float(rng.uniform(0.92, 1.08)) * since
            inside = np.clip((end - time[held]) / 0.1, 0, 1)
            pitch[held] += depth * inside * np.sin(swing + rng.uniform(0, 2 * np.pi))
    for speed, share in ((_SLOW_DRIFT, 1.0), (_FAST_DRIFT, 0.6), (30.0, 0.25)):
        pitch += share * singer.drift * _wander(len(time), speed * period, rng)
    return np.clip(pitch, 24.0, 100.0)


def _articulation(
    singer: Singer, tones: Sequence[_Tone], time: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the (n,) levels of the voice and of consonant noise, and the (n,) centre of the noise in Hz."""
    voiced, noise, colour = np.zeros(len(time)), np.zeros(len(time)), np.full(len(time), 5000.0)
    for tone in tones:
        note = tone.note
        end = note.start + (tone.end - note.start) * float(rng.uniform(0.7, 1.0))
        attack = float(rng.uniform(0.02, 0.08)) if tone.first else 0.02
        release = float(rng.uniform(0.04, 0.15))
        rise = np.clip((time - note.start) / attack, 0, 1)
        fall = np.clip((end + 0.3 * release - time) / release, 0, 1)
        swell = 1 + rng.uniform(-0.4, 0.3) * np.clip((time - note.start) / max(end - note.start, 0.1), 0, 1)
        loud = (note.velocity / 96) * float(rng.uniform(0.7, 1.2))
        voiced = np.maximum(voiced, loud * swell * rise * fall)
    for tone in tones:
        if rng.random() > singer.consonants:
            continue
        kind, at = rng.integers(3), tone.note.start + float(rng.uniform(-0.02, 0.02))
        if kind == 0:  # plosive: a closure, then a burst
            voiced[(time > at - _CLOSURE) & (time < at)] *= 0.05
            here = (time >= at) & (time < at + _BURST)
            noise[here], colour[here] = rng.uniform(0.05, 0.4), rng.uniform(1500, 5000)
        elif kind == 1:  # fricative, before the vowel
            length = float(rng.uniform(0.04, 0.12))
            here = (time >= at - length) & (time < at)
            voiced[here] *= 0.1
            noise[here], colour[here] = rng.uniform(0.03, 0.3), rng.uniform(2500, 8000)
        else:  # nasal or liquid
            voiced[(time > at - float(rng.uniform(0.03, 0.08))) & (time < at)] *= 0.35
    return _smooth(voiced, 3), _smooth(noise, 2), colour


def _vocal_tract(
    singer: Singer, notes: Sequence[Played], time: FloatArray, rng: np.random.Generator, frames: IntArray
) -> FloatArray:
    """Return the (m, _WINDOW / 2 + 1) gains of the vocal tract in `frames`, with one or two vowels per note."""
    places = np.zeros((len(time), 5))
    levels = np.zeros((len(time), 5))
    for note in notes:
        here, until = note.start, note.end
        changes = [here, (here + until) / 2] if until - here > 0.4 and rng.random() < 0.4 else [here]
        for start in changes:
            low, gains = _VOWELS[rng.integers(len(_VOWELS))]
            after = time >= start - 0.03
            places[after] = singer.size * np.array([*low, *_HIGH_FORMANTS[0]]) * rng.uniform(0.95, 1.05, 5)
            levels[after] = [*gains[:2], *(singer.ring * np.array([gains[2], *_HIGH_FORMANTS[1]]))]
    first = int(np.argmax(places[:, 0] > 0))
    places[:first], levels[:first] = places[first], levels[first]
    frequencies = np.linspace(0, RATE / 2, _WINDOW // 2 + 1, dtype=np.float32)
    response = np.full((len(frames), len(frequencies)), _FLOOR, np.float32)
    for column, width in enumerate(_WIDTHS):
        place, level = (_smooth(part[:, column], 7)[frames, None].astype(np.float32) for part in (places, levels))
        response += level / (1 + np.square((frequencies - place) / np.float32(width)))
    return response * (frequencies < _HIGHEST)


def _glottis(singer: Singer, cycles: FloatArray, highest: float) -> FloatArray:
    """Return the float32 source signal of the vocal folds at a phase in periods."""
    count = max(1, int(_HIGHEST / highest))
    table = harmonic_table(np.arange(1, count + 1) ** -singer.slope)
    out: FloatArray = table[(cycles * len(table)).astype(np.int64) & (len(table) - 1)]
    if singer.rasp:
        out = out * (1 + singer.rasp * np.cos(np.pi * cycles)).astype(np.float32)
    return out


def _wander(count: int, cycles: float, rng: np.random.Generator) -> FloatArray:
    """Draw (count,) slow noise with a standard deviation of about 1 and a correlation length of 1 / `cycles` steps."""
    knots = rng.standard_normal(int(count * cycles) + 4)
    return np.interp(np.arange(count) * cycles, np.arange(len(knots)), knots) * 1.2


def _smooth(values: FloatArray, width: int) -> FloatArray:
    """Smooth (n,) values with a triangular window of `width` frames to either side."""
    kernel = np.concatenate([np.arange(1, width + 1), np.arange(width - 1, 0, -1)]) / width**2
    padded = np.pad(values, width - 1, mode="edge")
    return np.convolve(padded, kernel, mode="valid")


def _spectra(samples: FloatArray, window: FloatArray, frames: IntArray) -> FloatArray:
    every = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (_WINDOW // 2, _WINDOW)), _WINDOW)[::_HOP]
    return np.fft.rfft(every[frames] * window).astype(np.complex64)


def _overlap_add(spectra: FloatArray, window: FloatArray, frames: IntArray, count: int) -> FloatArray:
    """Return the samples of `count` frames by overlap-add, the inverse of `_spectra`. Other frames are silent."""
    found = np.fft.irfft(spectra, _WINDOW).astype(np.float32) * window
    out = np.zeros((count + _WINDOW // _HOP, _HOP), np.float32)
    for part in range(_WINDOW // _HOP):
        out[frames + part] += found[:, part * _HOP : (part + 1) * _HOP]
    return out.ravel()[_WINDOW // 2 :] * np.float32(2 * _HOP / _WINDOW)
