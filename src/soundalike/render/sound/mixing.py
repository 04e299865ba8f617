"""Mix stems: loudness, balance, reverberation and resampling.

Stems are (t,) floats at the same rate. Levels are in dB as measured by `loudness`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Band, Role

__all__ = ["balance", "draw_levels", "is_mute", "loudness", "resample", "reverberation", "room"]

_FRAME = 0.1  # seconds, about the integration time of loudness perception
_SILENCE = -120.0  # dB
_GATE = 1e-3  # a frame counts if it is at most 30 dB below the loudest one
_START = -20.0  # dB, level of every stem before balancing

_LOWEST, _HIGHEST = -2.9, 8.9  # dB of lead and drums relative to the rest, as drawn (specified: -3 to +9)
_DRAWN_BACKING, _LEAST_BACKING = -9.0, -12.0  # dB of comp and bass relative to lead and drums: as drawn, as accepted
_TOLERANCE, _ROUNDS = 0.05, 200  # dB, iterations

_ROOM_STREAM = 1  # random stream of a scene's seed


def loudness(samples: FloatArray, rate: int) -> float:
    """Measure the loudness of a stem.

    The measure is the RMS of the frames that are not silent, after a high-pass that approximates the lower sensitivity
    of hearing at low frequencies.

    Args:
        samples: (t,) samples.
        rate: Sample rate in Hz.

    Returns:
        The level in dB. It is -120 for silence and for less than 0.1 s.

    Example:
        >>> loudness(np.zeros(44100), 44100)
        -120.0
    """
    return _Meter.of([samples], rate).level([1.0])


def is_mute(samples: FloatArray, rate: int) -> bool:
    """Return whether a stem is inaudible: its level is below -70 dB, or fewer than 2 % of its frames sound.

    Args:
        samples: (t,) samples.
        rate: Sample rate in Hz.

    Example:
        >>> is_mute(np.zeros(44100), 44100)
        True
    """
    meter = _Meter.of([samples], rate)
    power = meter.products[:, 0, 0]
    return meter.level([1.0]) < -70.0 or float(np.mean(power > _GATE * power.max())) < 0.02


@dataclass(frozen=True, slots=True, eq=False)
class _Meter:
    """Measures any mix of k stems after analysing each stem once.

    `products` (frames, k, k) float64 are the mean products P of each pair of stems in a frame. A mix with gains g has
    the power g' P g, so that a balance can be tried without filtering the stems again.
    """

    products: FloatArray

    @classmethod
    def of(cls, stems: Iterable[FloatArray], rate: int) -> Self:
        from scipy import signal

        low_cut = signal.butter(1, 200.0, "highpass", fs=rate)
        frame = int(_FRAME * rate)
        framed = []
        for stem in stems:
            full = stem[: len(stem) // frame * frame]
            framed.append(signal.lfilter(*(c.astype(full.dtype) for c in low_cut), full).reshape(-1, frame))
        frames = np.stack(framed)
        # A matrix product could be divided among threads, and its rounding would then vary between runs.
        return cls(np.einsum("ins,jns->nij", frames, frames).astype(np.float64) / frame)

    def level(self, gains: Iterable[float]) -> float:
        """Return the level in dB of the sum of the stems with these gains."""
        weights = np.array(list(gains))
        power = (self.products @ weights) @ weights
        if len(power) == 0 or power.max() < 1e-12:
            return _SILENCE
        # Frames are weighted smoothly around the gate. With a hard gate the level would jump when a gain changes, and
        # some balances could not be reached.
        sounds = power / (power + _GATE * power.max())
        return float(10 * np.log10(np.sum(sounds * power) / np.sum(sounds)))


def balance(
    stems: Mapping[Role, FloatArray], band: Band, rate: int
) -> tuple[dict[Role, FloatArray], dict[Role, float]]:
    """Scale stems to the levels of a band.

    Args:
        stems: (t,) samples of each role.
        band: The levels.
        rate: Sample rate in Hz.

    Returns:
        The scaled stems, (t,) float32, and the level of each in dB relative to the sum of the others (inf for a single
        stem).

    Raises:
        ValueError: A stem is silent, or the levels of lead and drums cannot both be reached. Without comping and bass
            they must sum to 0 dB. Otherwise comping and bass must be at -12 dB or more relative to lead and drums.

    Example:
        >>> stems, levels = balance({"lead": lead, "comp": comp}, Band(lead_db=3.0), 44100)
        >>> round(levels["lead"])
        3
    """
    roles: tuple[Role, ...] = tuple(role for role in ROLES if role in stems)
    meter = _Meter.of([stems[role] for role in roles], rate)
    own = {role: meter.level([float(other == role) for other in roles]) for role in roles}
    if silent := [role for role in roles if own[role] <= _SILENCE]:
        raise ValueError(f"the stem of the {silent[0]} is silent; leave it out")

    gains = {role: _START - own[role] for role in roles}
    if "comp" in gains and "bass" in gains:
        gains["bass"] += band.bass_db
    targets: dict[Role, float] = {"lead": band.lead_db, "drums": band.drums_db}
    fronts = [role for role in targets if role in gains]

    def against_rest(role: Role) -> float:
        """Return the level of a stem relative to the sum of the others, at the current gains."""
        others = [0.0 if other == role else 10 ** (gains[other] / 20) for other in roles]
        return own[role] + gains[role] - meter.level(others) if len(roles) > 1 else np.inf

    if len(fronts) == 2:
        _check_fronts(band, backed=len(roles) > 2)
    if len(roles) > 1:
        # There is no closed form, because powers add up only if all stems sound all the time. Each step corrects one
        # stem, and changes the level of the other by less than the correction, so the iteration converges.
        for _ in range(_ROUNDS):
            for role in fronts:
                gains[role] += targets[role] - against_rest(role)
            if all(abs(targets[role] - against_rest(role)) < _TOLERANCE for role in fronts):
                break
        else:
            raise ValueError(f"the levels of lead and drums were not reached in {_ROUNDS} iterations; use lower levels")
    scaled = {role: (stems[role] * 10 ** (gains[role] / 20)).astype(np.float32) for role in roles}
    return scaled, {role: against_rest(role) for role in roles}


def _check_fronts(band: Band, *, backed: bool) -> None:
    """Raise ValueError if lead and drums cannot both have the levels of `band`, with or without other parts."""
    found = f"lead at {band.lead_db:+.1f} dB and drums at {band.drums_db:+.1f} dB relative to the rest"
    if not backed and abs(band.lead_db + band.drums_db) > _TOLERANCE / 2:
        raise ValueError(f"{found} do not sum to 0; without other parts they must")
    if backed and _backing_level(*_front_powers(band.lead_db, band.drums_db)) < _LEAST_BACKING:
        raise ValueError(f"{found} leave the other parts below {_LEAST_BACKING:g} dB; lower one of them")


def _front_powers(lead_db: float, drums_db: float) -> tuple[float, float]:
    """Return the powers of lead and drums if the other parts have power 1. Infinite if the levels leave no others.

    They solve lead = L (drums + 1) and drums = D (lead + 1).
    """
    lead, drums = 10 ** (lead_db / 10), 10 ** (drums_db / 10)
    left = 1 - lead * drums
    return (lead * (drums + 1) / left, drums * (lead + 1) / left) if left > 0 else (np.inf, np.inf)


def _backing_level(lead: float, drums: float) -> float:
    """Return the level in dB of other parts of power 1 relative to lead and drums of these powers."""
    return float(-10 * np.log10(lead + drums))


def draw_levels(rng: np.random.Generator, layout: Collection[Role]) -> tuple[float, float, float]:
    """Draw levels that `balance` can reach.

    Lead and drums are between -3 and +9 dB relative to the rest. If both play with other parts, these remain at -9 dB
    or more, which limits lead and drums to about +1 dB. The bass is between -5 and +3 dB relative to the comping.

    Args:
        rng: The random generator.
        layout: The roles that sound.

    Returns:
        `lead_db`, `drums_db` and `bass_db` of a `Band`. A role without a reference has 0.

    Example:
        >>> lead_db, drums_db, bass_db = draw_levels(rng, ("lead", "comp", "bass"))
    """
    bass_db = float(rng.uniform(-5.0, 3.0)) if "comp" in layout and "bass" in layout else 0.0
    backed = "comp" in layout or "bass" in layout
    if "lead" in layout and "drums" in layout:
        if not backed:
            lead_db = float(rng.uniform(_LOWEST, -_LOWEST))
            return lead_db, -lead_db, bass_db
        while True:
            lead_db, drums_db = (float(level) for level in rng.uniform(_LOWEST, -_LOWEST, 2))
            if _backing_level(*_front_powers(lead_db, drums_db)) >= _DRAWN_BACKING:
                return lead_db, drums_db, bass_db
    level = float(rng.uniform(_LOWEST, _HIGHEST)) if backed else 0.0
    return level if "lead" in layout else 0.0, level if "drums" in layout else 0.0, bass_db


def room(samples: FloatArray, rate: int, amount: float, seed: int) -> FloatArray:
    """Add reverberation.

    The reverberation is linear and the same for all stems. The sum of the results is the result for the sum.

    Args:
        samples: (t,) samples or (k, t) stems.
        rate: Sample rate in Hz, above 8000.
        amount: Level and length of the reverberation, from 0 (none) to 1 (a hall of up to 1.6 s).
        seed: Seed of the impulse response.

    Returns:
        float32 samples with the shape of the input.

    Example:
        >>> wet = room(samples, 44100, 0.25, seed=1)
    """
    if amount <= 0:
        return samples.astype(np.float32)
    from scipy import signal

    # A separate random stream makes the room independent of everything else that is drawn from the scene's seed.
    response = _impulse_response(rate, amount, np.random.default_rng([seed, _ROOM_STREAM]))
    wet = signal.oaconvolve(samples.astype(np.float32), response.reshape((1,) * (samples.ndim - 1) + (-1,)), axes=-1)
    return wet[..., : samples.shape[-1]].astype(np.float32)


def _impulse_response(rate: int, amount: float, rng: np.random.Generator) -> FloatArray:
    """Return a (t,) float32 impulse response: the direct sound, early reflections and decaying noise."""
    response = reverberation(rate, amount, rng)
    response *= 0.6 * amount
    response[0] = 1.0
    return response.astype(np.float32)


def reverberation(rate: int, amount: float, rng: np.random.Generator) -> FloatArray:
    """Draw the impulse response of a room without the direct sound: early reflections, and decaying noise of energy 1.

    Args:
        rate: Sample rate in Hz, above 8000.
        amount: Length of the reverberation, from 0 (0.25 s) to 1 (up to 1.6 s).
        rng: The random generator.

    Returns:
        (t,) float64 samples.

    Example:
        >>> response = reverberation(44100, 0.4, np.random.default_rng(1))
    """
    from scipy import signal

    length = 0.25 + 1.35 * amount * rng.uniform(0.7, 1.0)
    time = np.arange(int(length * rate)) / rate
    rest, tail = rng.standard_normal(len(time)), np.zeros(len(time))
    # Treble is absorbed faster. From high to low, each band decays over a longer share of `length`.
    bands = ((4000.0, rng.uniform(0.25, 0.5)), (800.0, rng.uniform(0.5, 0.8)), (0.0, 1.0))
    for edge, share in bands:
        below = signal.lfilter(*signal.butter(1, edge, fs=rate), rest) if edge else np.zeros(len(time))
        tail += (rest - below) * 10 ** (-3 * time / (length * share))
        rest = below
    onset = int(rng.uniform(0.008, 0.03) * rate)
    response = np.concatenate([np.zeros(onset), tail / np.sqrt(np.sum(np.square(tail)))])
    echoes = rng.integers(int(0.003 * rate), int(0.045 * rate), size=rng.integers(4, 9))
    response[echoes] += rng.uniform(0.1, 0.4, len(echoes)) * rng.choice([-1.0, 1.0], len(echoes))
    return response


def resample(samples: FloatArray, rate: int, to: int, *, length: int | None = None) -> FloatArray:
    """Resample audio.

    Args:
        samples: (t,) samples or (k, t) stems.
        rate: Sample rate of the input in Hz.
        to: Sample rate of the result in Hz.
        length: Number of samples of the result. The end is cut or padded with zeros. The default keeps the duration.

    Returns:
        (length,) or (k, length) float32 samples.

    Example:
        >>> resample(np.zeros(44100), 44100, 32000).shape
        (32000,)
    """
    import soxr

    out: FloatArray = samples.astype(np.float32)
    if to != rate:
        out = soxr.resample(np.ascontiguousarray(out.T), rate, to, quality="HQ").T
    count = round(samples.shape[-1] * to / rate) if length is None else length
    missing = max(0, count - out.shape[-1])
    return np.pad(out[..., :count], [(0, 0)] * (out.ndim - 1) + [(0, missing)])
