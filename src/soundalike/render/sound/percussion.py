"""Synthesised drums: every General MIDI percussion note as a mix of a pitched tone, noise and metallic partials.

Kits differ in pitch, decay, brightness, noise and overdrive. All of these follow from the number of the kit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Played
from soundalike.render.sound.synthesis import RATE, add, band_noise, decaying_partials

__all__ = ["CLOSED_HATS", "DRUMS", "OPEN_HAT", "Drum", "DrumKit", "play_strokes"]

CLOSED_HATS, OPEN_HAT = frozenset({42, 44}), 46
_CHOKE = int(0.012 * RATE)  # samples in which a closed hi-hat stops the open one, long enough to avoid a click


@dataclass(frozen=True, slots=True)
class Drum:
    """The parameters of a drum sound: a tone, noise and metallic partials.

    Attributes:
        name: The name of the drum.
        peak: Peak level in dB.
        pitch: Frequency of the tone in Hz.
        tone: Relative level of the tone.
        ring: Time in seconds in which the tone decays by 60 dB.
        fall: Ratio of the initial frequency of the tone to `pitch`.
        slide: Time constant in seconds with which the frequency falls to `pitch`.
        modes: Partials of the tone as multiples of its frequency.
        noise: Relative level of the noise.
        band: Lower and upper frequency of the noise in Hz.
        hiss: Time in seconds in which the noise decays by 60 dB.
        attack: Time in seconds in which the noise rises.
        bursts: Times in seconds at which the noise starts.
        metal: Relative level of the metallic partials.
        cluster: Lower and upper frequency of the metallic partials in Hz.
        shimmer: Time in seconds in which the metallic partials decay by 60 dB.
    """

    name: str
    peak: float = 0.0
    pitch: float = 200.0
    tone: float = 0.0
    ring: float = 0.3
    fall: float = 1.0
    slide: float = 0.03
    modes: tuple[float, ...] = (1.0,)
    noise: float = 0.0
    band: tuple[float, float] = (1000.0, 8000.0)
    hiss: float = 0.2
    attack: float = 0.001
    bursts: tuple[float, ...] = (0.0,)
    metal: float = 0.0
    cluster: tuple[float, float] = (3000.0, 12000.0)
    shimmer: float = 0.3


_HEAD = (1.0, 1.59, 2.14)  # the strongest modes of a round membrane
_BAR = (1.0, 2.76, 5.4)  # the strongest modes of a wooden or metal bar
_BELL = (1.0, 1.48, 2.1, 2.56)


def _kick(name: str, pitch: float) -> Drum:
    return Drum(name, 0, pitch, 1.0, 0.45, 4.0, 0.025, noise=0.12, band=(800, 5000), hiss=0.03)


def _snare(name: str, pitch: float, hiss: float) -> Drum:
    return Drum(name, -2, pitch, 0.7, 0.18, 1.4, 0.02, (1.0, 1.6), noise=0.6, band=(1200, 9000), hiss=hiss)


def _tom(name: str, pitch: float) -> Drum:
    return Drum(name, -3, pitch, 1.0, 0.5, 1.5, 0.05, _HEAD[:2], noise=0.1, band=(500, 4000), hiss=0.06)


def _skin(name: str, pitch: float, ring: float = 0.22) -> Drum:
    return Drum(name, -6, pitch, 1.0, ring, 1.1, 0.02, _HEAD, noise=0.15, band=(600, 5000), hiss=0.03)


def _hat(name: str, shimmer: float, peak: float = -7) -> Drum:
    return Drum(
        name, peak, metal=0.7, cluster=(4000, 13000), shimmer=shimmer, noise=0.7, band=(6500, 15000), hiss=shimmer
    )


def _cymbal(name: str, low: float, shimmer: float, peak: float = -9, noise: float = 0.6) -> Drum:
    band = (low * 2, 14000.0)
    return Drum(
        name, peak, metal=0.8, cluster=(low, 12000), shimmer=shimmer, noise=noise, band=band, hiss=shimmer * 0.7
    )


def _bell(name: str, pitch: float, ring: float, modes: tuple[float, ...] = _BELL) -> Drum:
    return Drum(name, -9, pitch, 1.0, ring, modes=modes, noise=0.1, band=(2000, 9000), hiss=0.01)


def _shaken(name: str, low: float, hiss: float, attack: float, bursts: tuple[float, ...] = (0.0,)) -> Drum:
    return Drum(name, -11, noise=1.0, band=(low, low * 2.5), hiss=hiss, attack=attack, bursts=bursts)


def _whistle(name: str, ring: float) -> Drum:
    return Drum(name, -12, 2350.0, 1.0, ring, modes=(1.0, 1.02), noise=0.15, band=(1800, 5000), hiss=ring)


def _scrape(name: str, strokes: int, gap: float) -> Drum:
    return _shaken(name, 2500.0, 0.05, 0.002, tuple(gap * k for k in range(strokes)))


DRUMS: Mapping[int, Drum] = {
    35: _kick("acoustic bass drum", 48.0),
    36: _kick("bass drum", 54.0),
    37: Drum("side stick", -7, 820.0, 0.8, 0.07, modes=_BAR[:2], noise=0.4, band=(1500, 6000), hiss=0.03),
    38: _snare("acoustic snare", 185.0, 0.22),
    39: Drum("hand clap", -5, noise=1.0, band=(900, 3000), hiss=0.18, bursts=(0.0, 0.011, 0.022)),
    40: _snare("electric snare", 215.0, 0.16),
    41: _tom("low floor tom", 75.0),
    42: _hat("closed hi-hat", 0.09),
    43: _tom("high floor tom", 92.0),
    44: _hat("pedal hi-hat", 0.06, -10),
    45: _tom("low tom", 112.0),
    46: _hat("open hi-hat", 0.8),
    47: _tom("low-mid tom", 132.0),
    48: _tom("high-mid tom", 155.0),
    49: _cymbal("crash cymbal 1", 900.0, 2.2, -5, 1.0),
    50: _tom("high tom", 182.0),
    51: _cymbal("ride cymbal 1", 2600.0, 1.4, -9, 0.25),
    52: _cymbal("chinese cymbal", 600.0, 1.5, -6, 1.2),
    53: _bell("ride bell", 1250.0, 1.2),
    54: Drum(
        "tambourine", -12, metal=0.6, cluster=(6000, 14000), shimmer=0.2, noise=0.6, band=(5000, 14000), hiss=0.12
    ),
    55: _cymbal("splash cymbal", 1600.0, 0.8, -7, 0.9),
    56: _bell("cowbell", 560.0, 0.25),
    57: _cymbal("crash cymbal 2", 750.0, 2.5, -5, 1.0),
    58: _scrape("vibraslap", 14, 0.035),
    59: _cymbal("ride cymbal 2", 2100.0, 1.6, -9, 0.35),
    60: _skin("high bongo", 420.0, 0.14),
    61: _skin("low bongo", 310.0, 0.16),
    62: _skin("mute high conga", 265.0, 0.08),
    63: _skin("open high conga", 250.0, 0.3),
    64: _skin("low conga", 190.0, 0.34),
    65: _skin("high timbale", 370.0, 0.4),
    66: _skin("low timbale", 275.0, 0.45),
    67: _bell("high agogo", 1150.0, 0.35),
    68: _bell("low agogo", 860.0, 0.4),
    69: _shaken("cabasa", 5000.0, 0.08, 0.006),
    70: _shaken("maracas", 6000.0, 0.05, 0.004),
    71: _whistle("short whistle", 0.15),
    72: _whistle("long whistle", 0.6),
    73: _scrape("short guiro", 4, 0.018),
    74: _scrape("long guiro", 12, 0.026),
    75: _bell("claves", 2450.0, 0.07, (1.0, 2.8)),
    76: _bell("high wood block", 1020.0, 0.08, _BAR[:2]),
    77: _bell("low wood block", 760.0, 0.1, _BAR[:2]),
    78: Drum("mute cuica", -9, 420.0, 1.0, 0.16, 0.6, 0.05, modes=(1.0, 2.0, 3.0)),
    79: Drum("open cuica", -9, 330.0, 1.0, 0.35, 0.55, 0.1, modes=(1.0, 2.0, 3.0)),
    80: _bell("mute triangle", 4100.0, 0.12, (1.0, 1.54, 2.27)),
    81: _bell("open triangle", 4100.0, 1.6, (1.0, 1.54, 2.27)),
}


@dataclass(frozen=True, slots=True)
class DrumKit:
    """The properties that all drums of a kit share.

    Attributes:
        number: The number of the kit.
        pitch: Factor on all frequencies of tones.
        ring: Factor on all decay times.
        noise: Factor on the level of noise.
        bright: Factor on the frequencies of noise and metal.
        drive: Amount of overdrive. 0 is none.

    Example:
        >>> kit = DrumKit.draw(3)
        >>> kick = kit.stroke(36, brightness=1.0)
    """

    number: int
    pitch: float
    ring: float
    noise: float
    bright: float
    drive: float

    @classmethod
    def draw(cls, number: int) -> DrumKit:
        """Return the kit with this number."""
        rng = np.random.default_rng([number, 0])
        return cls(
            number,
            pitch=float(2 ** rng.uniform(-0.3, 0.3)),
            ring=float(2 ** rng.uniform(-0.9, 0.7)),
            noise=float(2 ** rng.uniform(-0.8, 0.8)),
            bright=float(2 ** rng.uniform(-0.6, 0.2)),
            drive=float(rng.choice([0.0, 0.0, 1.0, 2.5])),
        )

    def stroke(self, drum: int, brightness: float) -> FloatArray:
        """Synthesise a stroke.

        Args:
            drum: A General MIDI percussion note, 35 to 81.
            brightness: 1 at velocity 96, and less for softer strokes.

        Returns:
            (t,) float32 samples at 44.1 kHz.
        """
        spec = DRUMS[drum]
        rng = np.random.default_rng([self.number, drum])
        pitch, ring, bright = (
            factor * 2 ** rng.uniform(-0.15, 0.15) for factor in (self.pitch, self.ring, self.bright)
        )
        bright *= brightness
        seconds = max(spec.ring * (spec.tone > 0), spec.hiss * (spec.noise > 0), spec.shimmer * (spec.metal > 0)) * ring
        samples = int((seconds * 1.05 + spec.bursts[-1] + 0.01) * RATE)
        out = np.zeros(samples, np.float32)
        if spec.tone:
            out += np.float32(spec.tone) * _tone(spec, pitch, ring, samples)
        if spec.noise:
            noise = band_noise(rng, spec.band[0] * bright, min(spec.band[1] * bright, 17000.0), samples)
            noise *= _falling(spec.hiss * ring, samples) * _rising(spec.attack, samples)
            level = np.float32(0.4 * spec.noise * self.noise)
            for k, start in enumerate(spec.bursts):
                # The last burst is the loudest, and the only one with the full decay.
                last = k == len(spec.bursts) - 1
                burst = noise if last else 0.7 * noise * _falling(0.03, samples)
                add(out, level * burst, int(start * RATE))
        if spec.metal:
            low, high = np.log(spec.cluster[0] * bright), np.log(min(spec.cluster[1] * bright, 17000.0))
            frequencies = np.exp(rng.uniform(low, high, 48))
            rings = spec.shimmer * ring * rng.uniform(0.5, 1.0, 48)
            cluster = decaying_partials(frequencies, rng.choice([-1.0, 1.0], 48), rings, samples)
            out += np.float32(0.12 * spec.metal) * cluster * _rising(0.001, samples)
        if self.drive:
            out = np.tanh(out * np.float32(self.drive / np.abs(out).max()))
        out[-_CHOKE:] *= np.linspace(1, 0, _CHOKE, dtype=np.float32)
        return out * np.float32(10 ** (spec.peak / 20) / np.abs(out).max())


def play_strokes(
    notes: Sequence[Played], seconds: float, stroke: Callable[[int, int], FloatArray | None]
) -> FloatArray:
    """Play a drum part. Strokes ring out, except that a closed hi-hat stops the open one.

    Args:
        notes: The strokes, as General MIDI percussion notes.
        seconds: The length of the result.
        stroke: Called with the note and the velocity; returns the (t,) samples of a stroke, or None for silence.

    Returns:
        (t,) float32 samples at 44.1 kHz.

    Raises:
        UsageError: A note is not a General MIDI percussion note.

    Example:
        >>> kit = DrumKit.draw(3)
        >>> samples = play_strokes(notes, 10.0, lambda drum, velocity: kit.stroke(drum, velocity / 96))
    """
    out = np.zeros(round(seconds * RATE), np.float32)
    closings = np.array(sorted(note.start for note in notes if note.note in CLOSED_HATS))
    for note in notes:
        if note.note not in DRUMS:
            raise UsageError(f"drum {note.note} is not a General MIDI percussion note, expected 35 to 81")
        sound = stroke(note.note, note.velocity)
        if sound is None:
            continue
        if note.note == OPEN_HAT:
            later = closings[closings > note.start]
            length = round((later[0] - note.start) * RATE) if len(later) else len(sound)
            if length < len(sound):
                sound = sound[: length + _CHOKE].copy()
                sound[length:] *= np.linspace(1, 0, len(sound) - length, dtype=np.float32)
        add(out, sound, round(note.start * RATE))
    return out


def _tone(spec: Drum, pitch: float, ring: float, samples: int) -> FloatArray:
    time = np.arange(samples, dtype=np.float32) / RATE
    # The frequency falls exponentially. The phase is its integral, which is also an exponential.
    extra = (spec.fall - 1) * spec.slide * (1 - np.exp(-time / np.float32(spec.slide)))
    cycles = np.float32(spec.pitch * pitch) * (time + extra)
    out = np.zeros(samples, np.float32)
    for k, mode in enumerate(spec.modes):
        out += 0.6**k * np.sin(2 * np.pi * mode * cycles) * _falling(spec.ring * ring / mode, samples)
    return out


def _falling(ring: float, samples: int) -> FloatArray:
    return np.exp(np.arange(samples, dtype=np.float32) * np.float32(-6.91 / (ring * RATE)))


def _rising(attack: float, samples: int) -> FloatArray:
    return np.minimum(np.arange(samples, dtype=np.float32) / np.float32(attack * RATE), 1)
