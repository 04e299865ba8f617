"""The tones that own voices are made of: from a patch's parameters and a pitch to samples at 44.1 kHz.

A tone's `render(frequency, brightness, samples)` gives the note as it sounds while the key is held, without its
envelope: (samples,) float32. Nothing above 18 kHz is generated, so nothing is folded back into the audible range.
`brightness` is 1 for a note played at velocity 96, less for a softer one.
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
_TABLE = 16384  # steps of a period: enough to read it without interpolation, with noise 60 dB below the tone
_BLOCK, _ROWS, _MOST_PARTIALS = 256, 8, 60
_RUMBLE = 18.0  # Hz


class Tone(Protocol):
    """What makes a note's sound while its key is held."""

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """(samples,) float32, the note of `frequency` Hz."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """Loudness over a note: seconds of attack, time constant of the decay to `sustain` (0 to 1), seconds of release."""

    attack: float
    decay: float
    sustain: float
    release: float

    def held(self, samples: int) -> FloatArray:
        """(samples,) float32 gains while the key is down."""
        time = np.arange(samples, dtype=np.float32) / RATE
        gains = self.sustain + (1 - self.sustain) * np.exp(-np.maximum(time - self.attack, 0) / self.decay)
        rising = min(int(self.attack * RATE), samples)
        gains[:rising] *= np.sin(np.pi / 2 * time[:rising] / self.attack) ** 2
        return gains.astype(np.float32)

    def released(self) -> FloatArray:
        """(t,) float32 gains from the moment the key is let go, down to nothing."""
        return np.linspace(1, 0, max(int(self.release * RATE), 2), dtype=np.float32) ** 3


@dataclass(frozen=True, slots=True)
class Vibrato:
    """A swing of the pitch about the note: cents to either side, Hz, and the seconds until it has set in."""

    cents: float
    rate: float
    delay: float


@dataclass(frozen=True, slots=True)
class Filter:
    """A resonant low-pass that closes: `cutoff` Hz at middle C, `sweep` octaves above that at first, `time` to close.

    `track` says how far the cutoff follows the pitch (1: fully), `poles` how steep it is: 6 dB an octave for each.
    """

    cutoff: float
    sweep: float
    time: float
    resonance: float
    track: float
    poles: int

    def gains(self, frequencies: FloatArray, fundamental: float, opening: float) -> FloatArray:
        """What the filter lets through of each frequency when it is `opening` octaves above where it rests."""
        cutoff = self.cutoff * (fundamental / 261.63) ** self.track * 2**opening
        ratio = frequencies / max(cutoff, fundamental)  # a closed filter would leave no note
        two_poles = 1 / np.sqrt((1 - ratio**2) ** 2 + (ratio / self.resonance) ** 2)
        return two_poles / (1 + ratio**2) ** (self.poles / 2 - 1)


@dataclass(frozen=True, slots=True)
class Wave:
    """A periodic waveform, given by its harmonics, through a filter and the formants of a mouth or a body.

    `harmonics` (k,) are the levels of the harmonics from the fundamental on, `detune` the cents of each oscillator that
    plays them, `formants` the (Hz, width in Hz, level) of each resonance.
    """

    harmonics: tuple[float, ...]
    detune: tuple[float, ...]
    filter: Filter | None = None
    formants: tuple[tuple[float, float, float], ...] = ()
    vibrato: Vibrato | None = None

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """The note: (samples,) float32."""
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
                # Fading between two spectra stands for the sweep: a filter that moves would cost far more.
                opened = self.filter.gains(frequencies, frequency, self.filter.sweep * brightness)
                tables.append(harmonic_table(levels * (opened - closed)))
                fade = np.exp(-np.arange(samples, dtype=np.float32) / np.float32(self.filter.time * RATE))
        cycles = _cycles(frequency, samples, self.vibrato)
        out = np.zeros(samples, np.float32)
        for place, cents in enumerate(self.detune):
            # Oscillators start apart, or they would all cancel and add up at the same time in every note.
            phase = cycles * 2 ** (cents / 1200) + 0.11 * place
            index = (phase * _TABLE).astype(np.int64) & (_TABLE - 1)
            out += tables[0][index]
            if fade is not None:
                out += tables[1][index] * fade
        return out


@dataclass(frozen=True, slots=True)
class Operators:
    """A sine that a second one modulates: frequencies as multiples of the note's, the index's decay, and the level.

    The index falls from `index` to `rest` with time constant `fall` seconds; the level with `decay`, None to stay.
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
    """Frequency modulation: one pair of operators (2-operator FM) or two pairs side by side (4-operator)."""

    pairs: tuple[Operators, ...]
    vibrato: Vibrato | None = None

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """The note: (samples,) float32."""
        cycles = _cycles(frequency, samples, self.vibrato)
        time = np.arange(samples, dtype=np.float32) / RATE
        out = np.zeros(samples, np.float32)
        for pair in self.pairs:
            if pair.carrier * frequency > _HIGHEST:
                continue
            # Sidebands reach about index + 2 modulator frequencies from the carrier.
            most = max((_HIGHEST - pair.carrier * frequency) / (pair.modulator * frequency) - 2, 0.0)
            index, rest = min(pair.index * brightness, most), min(pair.rest * brightness, most)
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
    """A string, bar or bell that was struck: partials that die away each at its own pace.

    `ratios` are their frequencies as multiples of the note's, `levels` how loud they start; one of ratio r at middle C
    has died away by 60 dB after `ring` / r**`damping` seconds, higher notes sooner.
    """

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    ring: float
    damping: float

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """The note: (samples,) float32."""
        ratios = np.array(self.ratios)
        kept = ratios * frequency < _HIGHEST
        kept[0] = True
        ratios = ratios[kept]
        levels = np.array(self.levels)[kept] * brightness ** np.log2(ratios)
        rings = self.ring * (261.63 / frequency) ** 0.5 / ratios**self.damping
        return decaying_partials(frequency * ratios, levels, rings, samples)


@dataclass(frozen=True, slots=True)
class Breath:
    """A blown tone: a soft wave and, `air` as loud, the noise of breath round the note's frequency."""

    wave: Wave
    air: float
    width: float

    def render(self, frequency: float, brightness: float, samples: int) -> FloatArray:
        """The note: (samples,) float32."""
        tone = self.wave.render(frequency, brightness, samples)
        rng = np.random.default_rng(round(frequency * 100))
        low, high = frequency * 2**-self.width, min(frequency * 2 ** (2 * self.width), _HIGHEST)
        noise = band_noise(rng, low, high, samples)
        # More of it as the note speaks than while it is held.
        chiff = 1 + 2 * np.exp(-np.arange(samples, dtype=np.float32) / np.float32(0.03 * RATE))
        return tone + noise * chiff * np.float32(self.air * brightness * np.sqrt(np.mean(np.square(tone))))


def decaying_partials(frequencies: FloatArray, levels: FloatArray, rings: FloatArray, samples: int) -> FloatArray:
    """(samples,) float32: sines at (k,) Hz that start at (k,) levels and lose 60 dB in (k,) seconds.

    The loudest 60 are played.
    """
    strongest = np.sort(np.argsort(-np.abs(levels), kind="stable")[:_MOST_PARTIALS])
    step = (2j * np.pi * frequencies[strongest] - 6.91 / rings[strongest]) / RATE
    # A sine at time (block + offset) is a product of two factors, so all of them together are a matrix product. It is
    # cut up so small that a numeric library does not share it among threads, and so rounds the same with any number.
    parts = -(-samples // (_BLOCK * _ROWS))
    starts = np.exp(np.outer(np.arange(parts * _ROWS) * _BLOCK, step)) * levels[strongest]
    offsets = np.exp(np.outer(step, np.arange(_BLOCK)))
    left = np.hstack([starts.imag, starts.real]).astype(np.float32).reshape(parts, _ROWS, -1)
    right = np.vstack([offsets.real, offsets.imag]).astype(np.float32)
    return (left @ right).ravel()[:samples]


def band_noise(rng: np.random.Generator, low: float, high: float, samples: int) -> FloatArray:
    """(samples,) float32 of noise between two frequencies in Hz, of RMS 1."""
    from scipy import signal

    sections = signal.butter(1, [low, min(high, 0.45 * RATE)], "bandpass", fs=RATE)
    noise = signal.lfilter(*(c.astype(np.float32) for c in sections), rng.standard_normal(samples, np.float32))
    return noise / max(np.sqrt(np.mean(np.square(noise))), np.float32(1e-9))


def without_rumble(samples: FloatArray) -> FloatArray:
    """(t,) samples without what lies below hearing: offsets, and the slow thump that a sudden decay leaves."""
    from scipy import signal

    return signal.sosfilt(signal.butter(2, _RUMBLE, "highpass", fs=RATE, output="sos"), samples).astype(np.float32)


def add(out: FloatArray, sound: FloatArray, at: int) -> None:
    """Add a sound to (t,) `out` from sample `at` on; what lies before or after `out` is left away."""
    first = max(-at, 0)
    length = min(len(sound), len(out) - at)
    if length > first:
        out[at + first : at + length] += sound[first:length]


def _cycles(frequency: float, samples: int, vibrato: Vibrato | None) -> FloatArray:
    """(samples,) float64: how many periods of the note have gone by."""
    if vibrato is None:
        return np.arange(samples) * (frequency / RATE)
    time = np.arange(samples) / RATE
    swing = np.sin(2 * np.pi * vibrato.rate * time) * np.minimum(time / vibrato.delay, 1) ** 2
    return np.cumsum(frequency / RATE * 2 ** (vibrato.cents / 1200 * swing))


def _angle(cycles: FloatArray) -> FloatArray:
    """Radians in float32, whole turns taken off first, for late in a note they would cost precision."""
    return ((cycles % 1.0) * (2 * np.pi)).astype(np.float32)


def harmonic_table(levels: FloatArray) -> FloatArray:
    """One period of a wave with these levels of harmonics."""
    spectrum = np.zeros(_TABLE // 2 + 1, complex)
    spectrum[1 : len(levels) + 1] = -0.5j * _TABLE * levels
    return np.fft.irfft(spectrum).astype(np.float32)
