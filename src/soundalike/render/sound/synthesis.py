"""Tone generators of the synthesised voices, at 44.1 kHz.

`render(frequency, brightness, samples)` of a tone returns (samples,) float32: the note while the key is held, without
its envelope. No frequency above 18 kHz is generated, which avoids aliasing. `brightness` is 1 for a note at velocity
96, and less for a softer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from soundalike.core.types import FloatArray

__all__ = [
    "RATE",
    "Breath",
    "Envelope",
    "Filter",
    "FrequencyModulation",
    "Operators",
    "Partials",
    "Tone",
    "Vibrato",
    "Wave",
    "add",
    "band_noise",
    "decaying_partials",
    "harmonic_table",
    "without_rumble",
]

RATE = 44100

_HIGHEST = 18000.0  # Hz
_TABLE = 16384  # samples per period; without interpolation, the noise is 60 dB below the tone
_BLOCK, _ROWS, _MOST_PARTIALS = 256, 8, 60
_RUMBLE = 18.0  # Hz


class Tone(Protocol):
    """A tone generator."""

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """Return (samples,) float32: a held note of `frequency` Hz."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """The gain of a note over time.

    Attributes:
        attack: Attack time in seconds.
        decay: Time constant of the decay in seconds.
        sustain: Gain after the decay, 0 to 1.
        release: Release time in seconds.

    Example:
        >>> gains = Envelope(0.01, 0.3, 0.6, 0.1).held(44100)
    """

    attack: float
    decay: float
    sustain: float
    release: float

    def held(self, samples: int) -> FloatArray:
        """Return (samples,) float32 gains while the key is held."""
        time = np.arange(samples, dtype=np.float32) / RATE
        gains = self.sustain + (1 - self.sustain) * np.exp(-np.maximum(time - self.attack, 0) / self.decay)
        rising = min(int(self.attack * RATE), samples)
        gains[:rising] *= np.sin(np.pi / 2 * time[:rising] / self.attack) ** 2
        return gains.astype(np.float32)

    def released(self) -> FloatArray:
        """Return (t,) float32 gains from the release of the key to 0."""
        return np.linspace(1, 0, max(int(self.release * RATE), 2), dtype=np.float32) ** 3


@dataclass(frozen=True, slots=True)
class Vibrato:
    """A vibrato: its depth in `cents` to either side, its `rate` in Hz, and its onset time `delay` in seconds."""

    cents: float
    rate: float
    delay: float


@dataclass(frozen=True, slots=True)
class Filter:
    """A resonant low-pass filter with a falling cutoff.

    Attributes:
        cutoff: Final cutoff in Hz for middle C.
        sweep: Initial cutoff in octaves above the final one.
        time: Time constant of the sweep in seconds.
        resonance: Quality factor.
        track: How far the cutoff follows the pitch. 1 is fully.
        poles: Number of poles, with 6 dB per octave each.
    """

    cutoff: float
    sweep: float
    time: float
    resonance: float
    track: float
    poles: int

    def gains(self, frequencies: FloatArray, fundamental: float, opening: float) -> FloatArray:
        """Return the gain at each frequency when the cutoff is `opening` octaves above its final value."""
        cutoff = self.cutoff * (fundamental / 261.63) ** self.track * 2**opening
        ratio = frequencies / max(cutoff, fundamental)  # a lower cutoff would remove the fundamental
        two_poles = 1 / np.sqrt((1 - ratio**2) ** 2 + (ratio / self.resonance) ** 2)
        return two_poles / (1 + ratio**2) ** (self.poles / 2 - 1)


@dataclass(frozen=True, slots=True)
class Wave:
    """A periodic waveform through a filter and formants.

    Attributes:
        harmonics: (k,) levels of the harmonics, starting with the fundamental.
        detune: Detuning of each oscillator in cents.
        filter: The filter, or None.
        formants: The resonances as (Hz, width in Hz, level).
        vibrato: The vibrato, or None.

    Example:
        >>> saw = Wave(tuple(1 / k for k in range(1, 65)), detune=(-4.0, 4.0))
        >>> samples = saw.render(220.0, 1.0, 44100)
    """

    harmonics: tuple[float, ...]
    detune: tuple[float, ...]
    filter: Filter | None = None
    formants: tuple[tuple[float, float, float], ...] = ()
    vibrato: Vibrato | None = None

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """Return (samples,) float32: a held note of `frequency` Hz."""
        count = max(1, min(len(self.harmonics), int(_HIGHEST / frequency)))
        frequencies = frequency * np.arange(1, count + 1)
        levels = np.array(self.harmonics[:count]) * brightness ** np.log2(1 + np.arange(count))
        if self.formants:
            levels *= 0.03 + sum(gain / (1 + ((frequencies - f) / width) ** 2) for f, width, gain in self.formants)
        tables, fade = [harmonic_table(levels)], None
        if self.filter:
            closed = self.filter.gains(frequencies, frequency, 0.0)
            tables = [harmonic_table(levels * closed)]
            if self.filter.sweep > 0:
                # A crossfade between two spectra approximates the sweep. A moving filter would be far slower.
                opened = self.filter.gains(frequencies, frequency, self.filter.sweep * brightness)
                tables.append(harmonic_table(levels * (opened - closed)))
                fade = np.exp(-np.arange(samples, dtype=np.float32) / np.float32(self.filter.time * RATE))
        cycles = _cycles(frequency, samples, self.vibrato)
        out = np.zeros(samples, np.float32)
        for k, cents in enumerate(self.detune):
            # Oscillators start with different phases. Otherwise they would interfere in the same way in every note.
            phase = cycles * 2 ** (cents / 1200) + 0.11 * k
            index = (phase * _TABLE).astype(np.int64) & (_TABLE - 1)
            out += tables[0][index]
            if fade is not None:
                out += tables[1][index] * fade
        return out


@dataclass(frozen=True, slots=True)
class Operators:
    """A pair of FM operators: a sine carrier and its sine modulator.

    Attributes:
        carrier: Frequency of the carrier as a multiple of the note's.
        modulator: Frequency of the modulator as a multiple of the note's.
        index: Initial modulation index.
        rest: Final modulation index.
        fall: Time constant of the index in seconds.
        level: Initial level.
        decay: Time constant of the level in seconds. None keeps the level.
    """

    carrier: float
    modulator: float
    index: float
    rest: float
    fall: float
    level: float = 1.0
    decay: float | None = None


@dataclass(frozen=True, slots=True)
class FrequencyModulation:
    """Frequency modulation with one pair of operators (2-operator FM) or two parallel pairs (4-operator FM)."""

    pairs: tuple[Operators, ...]
    vibrato: Vibrato | None = None

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """Return (samples,) float32: a held note of `frequency` Hz."""
        cycles = _cycles(frequency, samples, self.vibrato)
        time = np.arange(samples, dtype=np.float32) / RATE
        out = np.zeros(samples, np.float32)
        for pair in self.pairs:
            if pair.carrier * frequency > _HIGHEST:
                continue
            # Sidebands extend to about (index + 2) times the modulator's frequency from the carrier.
            highest = max((_HIGHEST - pair.carrier * frequency) / (pair.modulator * frequency) - 2, 0.0)
            index, rest = min(pair.index * brightness, highest), min(pair.rest * brightness, highest)
            depth = rest + (index - rest) * np.exp(-time / np.float32(pair.fall))
            sine = np.sin(
                _angle(cycles * pair.carrier) + depth.astype(np.float32) * np.sin(_angle(cycles * pair.modulator))
            )
            if pair.decay is not None:
                sine *= np.exp(-time / np.float32(pair.decay))
            out += np.float32(pair.level) * sine
        return out


@dataclass(frozen=True, slots=True)
class Partials:
    """A plucked string, or a struck bar or bell: partials with individual decay times.

    At middle C, a partial of ratio r decays by 60 dB in `ring` / r**`damping` seconds. Higher notes decay faster.

    Attributes:
        ratios: Frequencies of the partials as multiples of the note's.
        levels: Initial levels of the partials.
        ring: Decay time of the fundamental in seconds.
        damping: How much faster high partials decay.
    """

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    ring: float
    damping: float

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """Return (samples,) float32: a held note of `frequency` Hz."""
        ratios = np.array(self.ratios)
        audible = ratios * frequency < _HIGHEST
        audible[0] = True
        ratios = ratios[audible]
        levels = np.array(self.levels)[audible] * brightness ** np.log2(ratios)
        rings = self.ring * (261.63 / frequency) ** 0.5 / ratios**self.damping
        return decaying_partials(frequency * ratios, levels, rings, samples)


@dataclass(frozen=True, slots=True)
class Breath:
    """A flute-like tone: a wave, and breath noise around its frequency.

    Attributes:
        wave: The wave.
        air: Level of the noise relative to the wave.
        width: Width of the noise: it extends `width` octaves below the note and twice that above it.
    """

    wave: Wave
    air: float
    width: float

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """Return (samples,) float32: a held note of `frequency` Hz."""
        tone = self.wave.render(frequency, brightness, samples)
        rng = np.random.default_rng(round(frequency * 100))
        low, high = frequency * 2**-self.width, min(frequency * 2 ** (2 * self.width), _HIGHEST)
        noise = band_noise(rng, low, high, samples)
        # The noise is louder at the onset of the note.
        chiff = 1 + 2 * np.exp(-np.arange(samples, dtype=np.float32) / np.float32(0.03 * RATE))
        return tone + noise * chiff * np.float32(self.air * brightness * np.sqrt(np.mean(np.square(tone))))


def decaying_partials(frequencies: FloatArray, levels: FloatArray, rings: FloatArray, samples: int) -> FloatArray:
    """Synthesise a sum of decaying sines. Only the loudest 60 are used.

    Args:
        frequencies: (k,) frequencies in Hz.
        levels: (k,) initial levels.
        rings: (k,) times in seconds in which a sine decays by 60 dB.
        samples: The number of samples.

    Returns:
        (samples,) float32 samples at 44.1 kHz.

    Example:
        >>> decaying_partials(np.array([440.0]), np.array([1.0]), np.array([0.5]), 44100).shape
        (44100,)
    """
    strongest = np.sort(np.argsort(-np.abs(levels), kind="stable")[:_MOST_PARTIALS])
    step = (2j * np.pi * frequencies[strongest] - 6.91 / rings[strongest]) / RATE
    # A sine at time block + offset is a product of two factors, so their sum is a matrix product. It is divided into
    # products that are too small for a numeric library to use threads, so rounding does not depend on their number.
    parts = -(-samples // (_BLOCK * _ROWS))
    starts = np.exp(np.outer(np.arange(parts * _ROWS) * _BLOCK, step)) * levels[strongest]
    offsets = np.exp(np.outer(step, np.arange(_BLOCK)))
    left = np.hstack([starts.imag, starts.real]).astype(np.float32).reshape(parts, _ROWS, -1)
    right = np.vstack([offsets.real, offsets.imag]).astype(np.float32)
    return (left @ right).ravel()[:samples]


def band_noise(rng: np.random.Generator, low: float, high: float, samples: int) -> FloatArray:
    """Draw band-limited noise of RMS 1.

    Args:
        rng: The random generator.
        low: Lower frequency in Hz.
        high: Upper frequency in Hz.
        samples: The number of samples.

    Returns:
        (samples,) float32 samples at 44.1 kHz.

    Example:
        >>> noise = band_noise(np.random.default_rng(0), 1000.0, 4000.0, 44100)
    """
    from scipy import signal

    sections = signal.butter(1, [low, min(high, 0.45 * RATE)], "bandpass", fs=RATE)
    noise = signal.lfilter(*(c.astype(np.float32) for c in sections), rng.standard_normal(samples, np.float32))
    return noise / max(np.sqrt(np.mean(np.square(noise))), np.float32(1e-9))


def without_rumble(samples: FloatArray) -> FloatArray:
    """Remove inaudible low frequencies from (t,) samples: offsets, and the slow thump of a sudden decay.

    Example:
        >>> clean = without_rumble(samples)
    """
    from scipy import signal

    return signal.sosfilt(signal.butter(2, _RUMBLE, "highpass", fs=RATE, output="sos"), samples).astype(np.float32)


def add(out: FloatArray, sound: FloatArray, at: int) -> None:
    """Add a sound to (t,) `out` in place, starting at sample `at`. Samples outside `out` are dropped.

    Example:
        >>> out = np.zeros(4)
        >>> add(out, np.ones(3), 2)
        >>> out.tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    first = max(-at, 0)
    length = min(len(sound), len(out) - at)
    if length > first:
        out[at + first : at + length] += sound[first:length]


def _cycles(frequency: float, samples: int, vibrato: Vibrato | None) -> FloatArray:
    """Return the (samples,) float64 phase of a note in periods."""
    if vibrato is None:
        return np.arange(samples) * (frequency / RATE)
    time = np.arange(samples) / RATE
    swing = np.sin(2 * np.pi * vibrato.rate * time) * np.minimum(time / vibrato.delay, 1) ** 2
    return np.cumsum(frequency / RATE * 2 ** (vibrato.cents / 1200 * swing))


def _angle(cycles: FloatArray) -> FloatArray:
    """Convert periods to float32 radians, modulo one period. Large angles would lose precision."""
    return ((cycles % 1.0) * (2 * np.pi)).astype(np.float32)


def harmonic_table(levels: FloatArray) -> FloatArray:
    """Return one period of a wave as (16384,) float32, from the levels of its harmonics.

    Example:
        >>> sine = harmonic_table(np.array([1.0]))
    """
    spectrum = np.zeros(_TABLE // 2 + 1, complex)
    spectrum[1 : len(levels) + 1] = -0.5j * _TABLE * levels
    return np.fft.irfft(spectrum).astype(np.float32)
