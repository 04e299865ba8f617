"""Synthesised instruments: a few dozen patches per role and a dozen drum kits. Each follows from its program number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Played, Role
from soundalike.render.sound.general_midi import DRUM_PROGRAM
from soundalike.render.sound.percussion import DrumKit, play_strokes
from soundalike.render.sound.synthesis import (
    RATE,
    Breath,
    Envelope,
    Filter,
    FrequencyModulation,
    Operators,
    Partials,
    Tone,
    Vibrato,
    Wave,
    add,
    without_rumble,
)

__all__ = ["Patch", "Voices"]

# The number of patches of each kind per role. Program numbers run through the roles and kinds in this order.
_COUNTS: Mapping[Role, Mapping[str, int]] = {
    "lead": {"subtractive": 16, "vocal": 6, "fm": 7, "noise": 7, "plucked": 4},
    "comp": {"subtractive": 11, "organ": 6, "fm": 10, "plucked": 9, "mallet": 4},
    "bass": {"subtractive": 18, "fm": 7, "plucked": 7},
    "drums": {"drums": 12},
}
_PROGRAMS = tuple((role, kind) for role in ROLES for kind, count in _COUNTS[role].items() for _ in range(count))

_VELOCITY_STEP = 24  # notes within a step of velocity have the same timbre
_LEVEL, _MEASURED = 0.1, 0.3  # RMS of a note at velocity 96, and the seconds from its start in which it is measured
_SHORTEST = 0.04  # seconds; shorter notes are extended to this length
_HARMONICS = 512
_CENTRE_NOTE = 67

# Formants of sung vowels, as (Hz, width in Hz, level).
_VOWELS = {
    "a": ((750.0, 90.0, 1.0), (1150.0, 100.0, 0.6), (2700.0, 150.0, 0.25)),
    "e": ((450.0, 70.0, 1.0), (1900.0, 120.0, 0.4), (2600.0, 150.0, 0.25)),
    "i": ((300.0, 60.0, 1.0), (2200.0, 120.0, 0.3), (2950.0, 150.0, 0.25)),
    "o": ((430.0, 70.0, 1.0), (800.0, 90.0, 0.5), (2650.0, 150.0, 0.12)),
    "u": ((330.0, 60.0, 1.0), (650.0, 80.0, 0.25), (2500.0, 150.0, 0.06)),
}


@dataclass(frozen=True, slots=True)
class Patch:
    """The sound of a program: tone generator, envelope, short description and most similar General MIDI program."""

    tone: Tone
    envelope: Envelope
    description: str
    general_midi: int


class Voices:
    """The bank of synthesised instruments. Everything follows from the program numbers, so nothing is loaded.

    Example:
        >>> voices = Voices()
        >>> samples = voices.play(0, "lead", [Played(0.0, 1.0, 67, 96)], seconds=2.0)
    """

    def programs(self, role: Role) -> tuple[int, ...]:
        """Return the programs of a role. No program belongs to two roles."""
        return tuple(program for program, (owner, _) in enumerate(_PROGRAMS) if owner == role)

    def kind(self, program: int) -> str:
        """Return the kind of synthesis of a program.

        It is "subtractive", "vocal", "fm", "noise", "plucked", "organ", "mallet" or "drums".

        Raises:
            UsageError: There is no such program.
        """
        return _entry(program)[1]

    def centre_note(self, program: int) -> int:
        """Return the MIDI note around which a lead plays."""
        return _CENTRE_NOTE

    def describe(self, program: int) -> str:
        """Describe a program in a few words.

        Raises:
            UsageError: There is no such program.
        """
        if _entry(program)[1] == "drums":
            kit = DrumKit.draw(program)
            return f"synthesised drums, pitch x{kit.pitch:.2f}, ring x{kit.ring:.2f}, drive {kit.drive:g}"
        return _patch(program).description

    def general_midi(self, program: int) -> int:
        """Return the General MIDI program that a program resembles most, `DRUM_PROGRAM` for drum kits.

        Raises:
            UsageError: There is no such program.
        """
        return DRUM_PROGRAM if _entry(program)[1] == "drums" else _patch(program).general_midi

    def play(self, program: int, role: Role, notes: Sequence[Played], seconds: float) -> FloatArray:
        """Play a part.

        Args:
            program: The program.
            role: The role of the part. It must be "drums" for drum kits, and only for them.
            notes: The notes. Those of drums are General MIDI percussion notes.
            seconds: The length of the result.

        Returns:
            (t,) float32 mono samples at 44.1 kHz.

        Raises:
            UsageError: There is no such program, it does not fit the role, or a drum note is not a percussion note.
        """
        drums = self.kind(program) == "drums"
        if drums != (role == "drums"):
            raise UsageError(
                f"program {program} of voices is for {_entry(program)[0]}, not for {role}; choose another one"
            )
        if drums:
            out = play_strokes(notes, seconds, functools.partial(_stroke, DrumKit.draw(program), {}))
        else:
            out = _play_notes(_patch(program), notes, seconds)
        return without_rumble(out)


def _entry(program: int) -> tuple[Role, str]:
    if not 0 <= program < len(_PROGRAMS):
        raise UsageError(f"voices has no program {program}, expected 0 to {len(_PROGRAMS) - 1}")
    return _PROGRAMS[program]


def _brightness(velocity: int) -> float:
    """Return the brightness of a velocity, rounded down to its step. It is 1 at velocity 96."""
    return 0.5 + 0.5 * (velocity // _VELOCITY_STEP) * _VELOCITY_STEP / 96


def _gain(velocity: int) -> np.float32:
    return np.float32((velocity / 96) ** 2)  # the usual curve of synthesisers: 40 dB per factor of 10


def _stroke(kit: DrumKit, cache: dict[tuple[int, int], FloatArray], drum: int, velocity: int) -> FloatArray:
    """Return a stroke. `cache` holds the strokes of the part that have been synthesised already."""
    key = drum, velocity // _VELOCITY_STEP
    if key not in cache:
        cache[key] = kit.stroke(drum, _brightness(velocity))
    return cache[key] * _gain(velocity)


def _play_notes(patch: Patch, notes: Sequence[Played], seconds: float) -> FloatArray:
    out = np.zeros(round(seconds * RATE), np.float32)
    release = patch.envelope.released()
    audible = [note for note in notes if note.start < seconds]
    spans = [round((min(max(n.end, n.start + _SHORTEST), seconds) - n.start) * RATE) for n in audible]
    # Notes of the same pitch and velocity step share one sound, synthesised at the length of the longest.
    longest: dict[tuple[int, int], int] = {}
    for note, span in zip(audible, spans, strict=True):
        key = note.note, note.velocity // _VELOCITY_STEP
        longest[key] = max(longest.get(key, 0), span + len(release))
    sounds = {key: _sound(patch, key[0], _brightness(key[1] * _VELOCITY_STEP), span) for key, span in longest.items()}
    for note, span in zip(audible, spans, strict=True):
        sound = sounds[note.note, note.velocity // _VELOCITY_STEP][: span + len(release)] * _gain(note.velocity)
        sound[span:] *= release
        add(out, sound, round(note.start * RATE))
    return out


def _sound(patch: Patch, note: int, brightness: float, samples: int) -> FloatArray:
    """Synthesise a held note at the common level: (samples,) float32."""
    measured = int(_MEASURED * RATE)
    sound = patch.tone.render(440 * 2 ** ((note - 69) / 12), brightness, max(samples, measured))
    sound *= patch.envelope.held(len(sound))
    return sound[:samples] * np.float32(_LEVEL / np.sqrt(np.mean(np.square(sound[:measured]))))


@functools.cache
def _patch(program: int) -> Patch:
    role, kind = _entry(program)
    return _PATCH_BUILDERS[kind](np.random.default_rng(program), role)


def _sustained(rng: np.random.Generator, role: Role) -> Envelope:
    """Draw the envelope of a sustained instrument."""
    if role == "bass":
        return Envelope(
            rng.uniform(0.003, 0.012), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.85), rng.uniform(0.05, 0.12)
        )
    if role == "comp" and rng.random() < 0.5:  # a pad
        return Envelope(rng.uniform(0.02, 0.08), 0.5, rng.uniform(0.7, 0.95), rng.uniform(0.15, 0.5))
    sustain = rng.uniform(0.2, 0.6) if role == "comp" else rng.uniform(0.5, 0.95)
    return Envelope(rng.uniform(0.003, 0.03), rng.uniform(0.1, 0.6), sustain, rng.uniform(0.06, 0.25))


def _vibrato(rng: np.random.Generator, role: Role, deepest: float = 30.0) -> Vibrato | None:
    if role != "lead" or rng.random() < 0.4:
        return None
    return Vibrato(rng.uniform(8, deepest), rng.uniform(4.5, 6.5), rng.uniform(0.15, 0.5))


def _waveform(shape: str, width: float) -> FloatArray:
    """Return the (512,) levels of the harmonics of a saw, triangle or pulse. A pulse of width 0.5 is a square."""
    order = np.arange(1, _HARMONICS + 1)
    if shape == "saw":
        return 1.0 / order
    if shape == "triangle":
        return np.sin(np.pi * order / 2) / order**2
    return np.sin(np.pi * order * width) / order


def _subtractive(rng: np.random.Generator, role: Role) -> Patch:
    shape = str(rng.choice(["saw", "saw", "saw", "square", "pulse", "triangle"]))
    harmonics = _waveform(shape, rng.uniform(0.12, 0.4) if shape == "pulse" else 0.5)
    if rng.random() < 0.3:  # a second set of oscillators an octave above
        harmonics[1::2] += rng.uniform(0.3, 0.7) * harmonics[: _HARMONICS // 2]
    spread = rng.uniform(2, 6) if role == "bass" else rng.uniform(4, 12)
    detune = [(0.0,), (-spread / 2, spread / 2), (-spread, 0.0, spread)][rng.integers(3)]
    lowest, highest = {"lead": (900, 5000), "comp": (700, 3500), "bass": (400, 2500)}[role]
    low_pass = Filter(
        cutoff=lowest * (highest / lowest) ** rng.random(),
        sweep=rng.uniform(0.5, 2.5) * (rng.random() < 0.7),
        time=rng.uniform(0.05, 0.4),
        resonance=rng.uniform(0.7, 3.0),
        track=rng.uniform(0.3, 0.8),
        poles=int(rng.choice([2, 4])),
    )
    # Detuned oscillators beat at about the rate of a vibrato. Together the note would sound out of tune.
    vibrato = _vibrato(rng, role) if len(detune) == 1 else None
    wave = Wave(tuple(harmonics.tolist()), detune, low_pass, vibrato=vibrato)
    described = f"{len(detune)} x {shape}, low-pass at {low_pass.cutoff:.0f} Hz, {low_pass.sweep:.1f} octaves of sweep"
    leads = {"saw": 81, "triangle": 79}
    return Patch(wave, _sustained(rng, role), described, {"comp": 90, "bass": 38}.get(role, leads.get(shape, 80)))


def _vocal(rng: np.random.Generator, role: Role) -> Patch:
    vowel = str(rng.choice(list(_VOWELS)))
    size = 2 ** rng.uniform(-0.1, 0.2)  # factor on the formants, for the size of the vocal tract
    formants = tuple((size * frequency, width * 1.5, level) for frequency, width, level in _VOWELS[vowel])
    harmonics = np.arange(1, _HARMONICS + 1) ** -rng.uniform(0.9, 1.4)
    vibrato = Vibrato(rng.uniform(15, 45), rng.uniform(4.8, 6.2), rng.uniform(0.2, 0.5))
    envelope = Envelope(rng.uniform(0.02, 0.06), 0.5, rng.uniform(0.75, 0.95), rng.uniform(0.08, 0.2))
    wave = Wave(tuple(harmonics.tolist()), (0.0,), None, formants, vibrato)
    return Patch(wave, envelope, f"voice singing {vowel}, formants x{size:.2f}", 54)


def _organ(rng: np.random.Generator, role: Role) -> Patch:
    bars = np.zeros(16)
    bars[[0, 1, 2, 3, 4, 5, 7, 15]] = rng.choice([0.0, 0.1, 0.25, 0.5, 0.8], 8)
    bars[0] = rng.uniform(0.6, 1.0)
    envelope = Envelope(0.004, 0.2, rng.uniform(0.8, 1.0), rng.uniform(0.03, 0.08))
    return Patch(Wave(tuple(bars.tolist()), (-1.5, 1.5)), envelope, "drawbar organ", 16)


def _fm(rng: np.random.Generator, role: Role) -> Patch:
    families = {
        "lead": ("brass", "reed", "bell"),
        "comp": ("electric piano", "bell", "clavinet", "brass"),
        "bass": ("bass",),
    }
    family = str(rng.choice(families[role]))
    pairs: tuple[Operators, ...]
    if family == "electric piano":
        tine = Operators(1, 14, rng.uniform(0.3, 1.0), 0.05, 0.15, rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.6))
        body = Operators(1, 1, rng.uniform(0.6, 1.8), 0.2, rng.uniform(0.3, 1.0))
        pairs, envelope = (body, tine), Envelope(0.002, rng.uniform(0.8, 2.0), 0.0, rng.uniform(0.1, 0.25))
    elif family == "bell":
        strike = Operators(
            rng.choice([2.0, 3.0, 4.0]), 1.4, 0.8, 0.1, 0.3, rng.uniform(0.1, 0.35), rng.uniform(0.2, 0.5)
        )
        hum = Operators(1, rng.choice([1.4, 2.76, 3.5]), rng.uniform(0.5, 1.3), 0.1, rng.uniform(0.3, 1.5))
        pairs, envelope = (hum, strike), Envelope(0.002, rng.uniform(0.6, 1.8), 0.0, rng.uniform(0.2, 0.6))
    elif family == "clavinet":
        pairs = (Operators(1, rng.choice([2, 3]), rng.uniform(1.5, 3.0), 0.5, rng.uniform(0.05, 0.3)),)
        envelope = Envelope(0.002, rng.uniform(0.3, 0.8), 0.0, 0.06)
    elif family == "bass":
        first = Operators(1, rng.choice([1, 2]), rng.uniform(1.5, 4.0), rng.uniform(0.3, 1.2), rng.uniform(0.06, 0.3))
        second = Operators(1, rng.choice([3, 4]), rng.uniform(0.5, 1.5), 0.1, 0.08, rng.uniform(0.2, 0.5), 0.4)
        pairs = (first, second) if rng.random() < 0.5 else (first,)
        envelope = _sustained(rng, role)
    else:  # brass has all harmonics, and reeds have the odd ones
        ratio = 1 if family == "brass" else 2
        pairs = (Operators(1, ratio, rng.uniform(1.5, 3.5), rng.uniform(0.6, 1.6), rng.uniform(0.1, 0.5)),)
        envelope = _sustained(rng, role)
    tone = FrequencyModulation(pairs, _vibrato(rng, role) if family in ("brass", "reed") else None)
    program = {"electric piano": 5, "bell": 14, "clavinet": 7, "bass": 38, "brass": 62, "reed": 71}[family]
    return Patch(tone, envelope, f"{2 * len(pairs)}-operator FM {family}", program)


def _plucked(rng: np.random.Generator, role: Role) -> Patch:
    order = np.arange(1, 61)
    stiffness = rng.uniform(1e-5, 1.2e-4)
    ratios = order * np.sqrt((1 + stiffness * order**2) / (1 + stiffness))
    place, slope = rng.uniform(0.08, 0.4), rng.uniform(0.7, 1.6)
    levels = np.sin(np.pi * order * place) / order**slope
    ring = rng.uniform(3, 8) if role == "bass" else rng.uniform(0.8, 5.0)
    damping = rng.uniform(0.3, 0.9)
    tone = Partials(tuple(ratios.tolist()), tuple(levels.tolist()), ring, damping)
    described = f"string plucked at {place:.2f} of its length, ringing {ring:.1f} s"
    return Patch(tone, Envelope(0.002, 1.0, 1.0, rng.uniform(0.08, 0.3)), described, 33 if role == "bass" else 24)


def _mallet(rng: np.random.Generator, role: Role) -> Patch:
    material, ratios, program = [
        ("marimba", (1.0, 3.99, 9.8), 12),
        ("xylophone", (1.0, 3.0, 6.1, 10.2), 13),
        ("glockenspiel", (1.0, 2.76, 5.4, 8.9), 9),
        ("kalimba", (1.0, 5.6, 9.7), 108),
    ][rng.integers(4)]
    levels = (1.0, *(rng.uniform(0.1, 0.5) / k for k in range(1, len(ratios))))
    ring = rng.uniform(0.7, 3.0)
    tone = Partials(ratios, levels, ring, rng.uniform(0.8, 1.4))
    envelope = Envelope(0.002, 1.0, 1.0, rng.uniform(0.1, 0.4))
    return Patch(tone, envelope, f"{material}, ringing {ring:.1f} s", program)


def _breath(rng: np.random.Generator, role: Role) -> Patch:
    harmonics = (1.0, rng.uniform(0.1, 0.6), rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.15), rng.uniform(0.0, 0.08))
    air, width = rng.uniform(0.08, 0.4), rng.uniform(0.15, 0.6)
    tone = Breath(Wave(harmonics, (0.0,), vibrato=_vibrato(rng, role, 25.0)), air, width)
    envelope = Envelope(rng.uniform(0.02, 0.06), 0.3, rng.uniform(0.7, 0.95), rng.uniform(0.06, 0.15))
    return Patch(tone, envelope, f"flute, breath at {20 * np.log10(air):.0f} dB", 73)


_PATCH_BUILDERS: Mapping[str, Callable[[np.random.Generator, Role], Patch]] = {
    "subtractive": _subtractive,
    "vocal": _vocal,
    "organ": _organ,
    "fm": _fm,
    "plucked": _plucked,
    "mallet": _mallet,
    "noise": _breath,
}
