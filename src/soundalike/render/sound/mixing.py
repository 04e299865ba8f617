"""From stems to a mix: how loud each one sounds, the balance between them, the room they are in, their rate.

Stems are (t,) floats at one rate. Levels are dB by `loudness`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Band, Role

__all__ = ["balance", "draw_levels", "is_mute", "loudness", "resample", "room"]

_FRAME = 0.1  # seconds: about as long as the ear takes to judge how loud something is
_SILENCE = -120.0
_GATE = 1e-3  # a frame sounds if it is at most 30 dB below the loudest one
_ANCHOR = -20.0  # dB: where the stem that the others are balanced against is put

_LOWEST, _HIGHEST = -2.9, 8.9  # dB of lead and drums against the rest, as drawn: within -3 to +9
_DRAWN_BACKING, _LEAST_BACKING = -9.0, -12.0  # dB of comp and bass against lead and drums: as drawn, as accepted
_TOLERANCE, _ROUNDS = 0.05, 200  # dB

_ROOM_STREAM = 1


def loudness(samples: FloatArray, rate: int) -> float:
    """Level in dB of (t,) samples: RMS of the frames that sound, the low end turned down as the ear does.

    -120 where there is nothing to hear, or less than a tenth of a second.
    """
    return _Meter.of([samples], rate).level([1.0])


def is_mute(samples: FloatArray, rate: int) -> bool:
    """Whether (t,) samples are too little to count as a player: below -70 dB, or under 2 % of the frames sound."""
    meter = _Meter.of([samples], rate)
    power = meter.products[:, 0, 0]
    return meter.level([1.0]) < -70.0 or float(np.mean(power > _GATE * power.max())) < 0.02


@dataclass(frozen=True, slots=True, eq=False)
class _Meter:
    """Measures every mix of k stems after listening to each stem once.

    `products` (frames, k, k) float64 are the mean products of every two stems in a frame: a mix with gains g has the
    power g' P g there, so trying a balance costs no filtering.
    """

    products: FloatArray

    @classmethod
    def of(cls, stems: Iterable[FloatArray], rate: int) -> Self:
        from scipy import signal

        low_cut = signal.butter(1, 200.0, "highpass", fs=rate)
        frame = int(_FRAME * rate)
        framed = []
        for stem in stems:
            whole = stem[: len(stem) // frame * frame]
            framed.append(signal.lfilter(*(c.astype(whole.dtype) for c in low_cut), whole).reshape(-1, frame))
        heard = np.stack(framed)
        # Not a matrix product: a numeric library may split that among threads, and round otherwise each time.
        return cls(np.einsum("ins,jns->nij", heard, heard).astype(np.float64) / frame)

    def level(self, gains: Iterable[float]) -> float:
        """dB of the sum of the stems, each times its gain."""
        weights = np.array(list(gains))
        power = (self.products @ weights) @ weights
        if len(power) == 0 or power.max() < 1e-12:
            return _SILENCE
        # Frames fade in about the gate: were they switched, the level would jump as a gain moves, and some balances
        # could not be reached.
        sounds = power / (power + _GATE * power.max())
        return float(10 * np.log10(np.sum(sounds * power) / np.sum(sounds)))


def balance(
    stems: Mapping[Role, FloatArray], band: Band, rate: int
) -> tuple[dict[Role, FloatArray], dict[Role, float]]:
    """The stems of a mix, (t,) float32, scaled to the levels of `band`; and each one's dB against all the others.

    A stem alone is at inf dB. Raises ValueError if a stem is silent, or if the lead and the drums cannot both be that
    loud: without backing their levels must sum to 0, and a backing must be left at -12 dB or more against the rest.
    """
    roles: tuple[Role, ...] = tuple(role for role in ROLES if role in stems)
    meter = _Meter.of([stems[role] for role in roles], rate)
    own = {role: meter.level([float(other == role) for other in roles]) for role in roles}
    if silent := [role for role in roles if own[role] <= _SILENCE]:
        raise ValueError(f"the stem of the {silent[0]} is silent, expected one that sounds; leave it out")

    gains = {role: _ANCHOR - own[role] for role in roles}
    if "comp" in gains and "bass" in gains:
        gains["bass"] += band.bass_db
    asked: dict[Role, float] = {"lead": band.lead_db, "drums": band.drums_db}
    fronts = [role for role in asked if role in gains]

    def against_rest(role: Role) -> float:
        """The level of one stem against the sum of the others, at the gains of the moment."""
        others = [0.0 if other == role else 10 ** (gains[other] / 20) for other in roles]
        return own[role] + gains[role] - meter.level(others) if len(roles) > 1 else np.inf

    if len(fronts) == 2:
        _check_fronts(band, backed=len(roles) > 2)
    if len(roles) > 1:
        # Powers add up only if all play all the time, so there is no solution in closed form. Each turn sets one stem
        # right, and disturbs the other by less than it was moved.
        for _ in range(_ROUNDS):
            for role in fronts:
                gains[role] += asked[role] - against_rest(role)
            if all(abs(asked[role] - against_rest(role)) < _TOLERANCE for role in fronts):
                break
        else:
            raise ValueError(f"the levels of lead and drums were not reached in {_ROUNDS} rounds; ask for lower ones")
    scaled = {role: (stems[role] * 10 ** (gains[role] / 20)).astype(np.float32) for role in roles}
    return scaled, {role: against_rest(role) for role in roles}


def _check_fronts(band: Band, *, backed: bool) -> None:
    """Raise ValueError if lead and drums cannot be at the levels of `band`, over a backing or on their own."""
    found = f"lead at {band.lead_db:+.1f} dB and drums at {band.drums_db:+.1f} dB against the rest"
    if not backed and abs(band.lead_db + band.drums_db) > _TOLERANCE / 2:
        raise ValueError(f"{found}, where they are alone: expected levels that sum to 0")
    if backed and _backing_level(*_front_powers(band.lead_db, band.drums_db)) < _LEAST_BACKING:
        raise ValueError(f"{found} leave the backing below {_LEAST_BACKING:g}; lower one of them")


def _front_powers(lead_db: float, drums_db: float) -> tuple[float, float]:
    """The powers of lead and drums over a backing of power 1, infinite where no backing would be left.

    From lead = L (drums + 1) and drums = D (lead + 1).
    """
    lead, drums = 10 ** (lead_db / 10), 10 ** (drums_db / 10)
    left = 1 - lead * drums
    return (lead * (drums + 1) / left, drums * (lead + 1) / left) if left > 0 else (np.inf, np.inf)


def _backing_level(lead: float, drums: float) -> float:
    """dB of a backing of power 1 against lead and drums of these powers."""
    return float(-10 * np.log10(lead + drums))


def draw_levels(rng: np.random.Generator, layout: Collection[Role]) -> tuple[float, float, float]:
    """Levels that `balance` can reach with these roles, in dB: lead_db, drums_db, bass_db of a `Band`.

    Lead and drums lie between -3 and +9 against the rest, and what they leave to a backing at -9 or more: +1 is the
    most for either where both play over one. The bass lies between -5 and +3 against the comping. 0 for a role that
    has nothing to be measured against.
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
    """(t,) samples or (k, t) stems as they sound in a room, float32, no longer than they were.

    `rate` is over 8 kHz. `amount` is 0 (none) to 1 (a hall): how loud the room is and how long it rings, up to 1.6 s.
    `seed` draws which room. It is linear and the same for every stem: their sum is the room's answer to their sum.
    """
    if amount <= 0:
        return samples.astype(np.float32)
    from scipy import signal

    # A stream of its own: what else is drawn from the scene's seed should not go with the room.
    answer = _impulse_response(rate, amount, np.random.default_rng([seed, _ROOM_STREAM]))
    wet = signal.oaconvolve(samples.astype(np.float32), answer.reshape((1,) * (samples.ndim - 1) + (-1,)), axes=-1)
    return wet[..., : samples.shape[-1]].astype(np.float32)


def _impulse_response(rate: int, amount: float, rng: np.random.Generator) -> FloatArray:
    """(t,) float32: the sound itself, a few early reflections, and noise that decays, the treble first."""
    from scipy import signal

    length = 0.25 + 1.35 * amount * rng.uniform(0.7, 1.0)
    time = np.arange(int(length * rate)) / rate
    rest, tail = rng.standard_normal(len(time)), np.zeros(len(time))
    # Air and curtains swallow treble: from the top down, each band rings for a longer share of `length`.
    bands = ((4000.0, rng.uniform(0.25, 0.5)), (800.0, rng.uniform(0.5, 0.8)), (0.0, 1.0))
    for edge, share in bands:
        below = signal.lfilter(*signal.butter(1, edge, fs=rate), rest) if edge else np.zeros(len(time))
        tail += (rest - below) * 10 ** (-3 * time / (length * share))
        rest = below
    onset = int(rng.uniform(0.008, 0.03) * rate)
    answer = np.concatenate([np.zeros(onset), tail / np.sqrt(np.sum(np.square(tail)))])
    echoes = rng.integers(int(0.003 * rate), int(0.045 * rate), size=rng.integers(4, 9))
    answer[echoes] += rng.uniform(0.1, 0.4, len(echoes)) * rng.choice([-1.0, 1.0], len(echoes))
    answer *= 0.6 * amount
    answer[0] = 1.0
    return answer.astype(np.float32)


def resample(samples: FloatArray, rate: int, to: int, *, length: int | None = None) -> FloatArray:
    """(t,) samples or (k, t) stems at `rate` Hz as float32 at `to` Hz.

    `length` says how many samples are wanted, to which the end is cut or filled with silence; without it there are as
    many as take the same time.
    """
    import soxr

    out: FloatArray = samples.astype(np.float32)
    if to != rate:
        out = soxr.resample(np.ascontiguousarray(out.T), rate, to, quality="HQ").T
    wanted = round(samples.shape[-1] * to / rate) if length is None else length
    missing = max(0, wanted - out.shape[-1])
    return np.pad(out[..., :wanted], [(0, 0)] * (out.ndim - 1) + [(0, missing)])
