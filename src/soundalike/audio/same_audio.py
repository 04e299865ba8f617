"""How two recordings share audio: copies, excerpts, and other mixes of the same recording.

1. *Where.* Probes of 10 s from the shorter fingerprint are searched in the longer one by their signs. Around each
   likely place, the signs are followed along a line (offset and speed, to 1.5 %) in blocks of 5 s.
2. *Whether.* The recordings are related if the blocks agree along one line.
3. *How.* Along the line, levels are compared (`same_mix.py`). They tell copies and excerpts from other mixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from soundalike.audio.fingerprint import FRAME_RATE, LEVEL_HOP, LEVEL_WIDTH, Fingerprint, Words
from soundalike.audio.same_mix import is_same_mix, loudest_levels
from soundalike.core.types import FloatArray, IntArray

__all__ = ["OPPOSITE", "Relation", "relate"]

Relation = Literal["copy", "contains", "part of", "other mix"]
"""What a recording is to another one.

- "copy": the same audio over the same duration, after silence at both ends.
- "contains": it has the whole audio of the other one, and more.
- "part of": it is an excerpt of the other one.
- "other mix": the same recording, but parts are missing, added, louder or softer, as in an instrumental.
"""

OPPOSITE: dict[Relation, Relation] = {
    "copy": "copy", "contains": "part of", "part of": "contains", "other mix": "other mix"
}  # fmt: skip
"""The relation in the other direction."""

_BITS = 32
_MIN_FRAMES = round(3 * FRAME_RATE)
_PROBE, _PROBE_STEP, _PROBES = round(10 * FRAME_RATE), 3, 4
_PROBE_ERROR = 0.36
"""Bit error rate up to which a place is followed. The best place in other music has 0.40 and more."""
_BLOCK = round(5 * FRAME_RATE)
_SPEEDS = np.linspace(0.985, 1.015, 7)
_DRIFT = 6
"""Frames by which a block may lie off the line."""
_MEAN_ERROR, _MEDIAN_ERROR, _BEST_ERROR = 0.32, 0.35, 0.25
"""Related recordings: the mean bit error rate of the blocks, their median, and the rate that a fifth of them reach."""
_TRIM = 60.0
"""Ends that are more than 60 dB below the loudest frames are silence."""


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """Where the shorter recording lies in the longer one: frame t of it is frame `offset + speed t`."""

    offset: float
    speed: float
    errors: FloatArray

    def is_same_recording(self) -> bool:
        """Whether the blocks along the line agree."""
        return len(self.errors) > 0 and bool(
            self.errors.mean() <= _MEAN_ERROR
            and np.median(self.errors) <= _MEDIAN_ERROR
            and np.quantile(self.errors, 0.2) <= _BEST_ERROR
        )


def relate(a: Fingerprint, b: Fingerprint) -> Relation | None:
    """Return what recording `b` is to recording `a`.

    A copy is the same audio over the same duration, after silence at both ends: also in another codec, at another
    level, equalised, with white noise, or up to 1.5 % faster or slower. In doubt it is another mix, and
    `docs/results/fingerprints.md` says how often. No relation is transitive: copies of one recording need not be copies
    of each other.

    Args:
        a: A fingerprint.
        b: A fingerprint.

    Returns:
        The relation of `b` to `a`; None if they share no audio, or if either has less than 3 s of audible content.

    Example:
        >>> relate(Fingerprint.of(song), Fingerprint.of(album))
        'contains'
    """
    first, second = _audible_part(a), _audible_part(b)
    # The order of recordings that are as long is arbitrary, but must not depend on that of the arguments.
    swapped = _order(first) > _order(second)
    short, long = (second, first) if swapped else (first, second)
    if any(np.count_nonzero(one.signs) < _MIN_FRAMES for one in (short, long)):
        return None
    lines = _find_lines(short.signs, long.signs)
    if not lines:
        return None
    # Loops agree at many places: the recordings are the same if all of the audio is the same along any line.
    # The end of silence is known to a level frame, at either end.
    trimmed = len(first.signs) < len(a.signs) or len(second.signs) < len(b.signs)
    margin = _tolerance(len(long.signs)) + 2 * LEVEL_HOP * trimmed
    copies = [one for one in lines if abs(len(long.signs) - one.speed * len(short.signs)) <= margin]
    if any(is_same_mix(short, long, one.offset, one.speed) for one in copies):
        return "copy"
    if any(is_same_mix(short, long, one.offset, one.speed) for one in lines if one not in copies):
        return "part of" if swapped else "contains"
    return "other mix"


def _order(one: Fingerprint) -> tuple[int, bytes, bytes]:
    """A key that is larger for longer recordings."""
    return len(one.signs), one.signs.tobytes(), one.levels.tobytes()


def _tolerance(frames: int) -> float:
    """Frames by which copies may differ in length: 4 %, but at least 0.15 s and at most 3 s."""
    return min(3 * FRAME_RATE, max(0.15 * FRAME_RATE, 0.04 * frames))


def _audible_part(one: Fingerprint) -> Fingerprint:
    """The fingerprint without silence at both ends."""
    if not len(one.levels):
        return one
    loudest = loudest_levels(one.levels)
    audible = np.flatnonzero(loudest > np.quantile(loudest, 0.95) - _TRIM)
    # The window of a level frame is 16 frames wide, and reaches into the silence by about half of that.
    low = audible[0] + (LEVEL_WIDTH // LEVEL_HOP - 1 if audible[0] else 0)
    high = audible[-1] + 1 - (LEVEL_WIDTH // LEVEL_HOP - 1 if audible[-1] + 1 < len(one.levels) else 0)
    if high <= low:
        return one
    end = len(one.signs) if high == len(one.levels) else (high - 1) * LEVEL_HOP + LEVEL_WIDTH
    return Fingerprint(one.signs[low * LEVEL_HOP : end], one.levels[low:high])


# Where ----------------------------------------------------------------------------------------------------------------


def _find_lines(short: Words, long: Words) -> list[_Line]:
    """The lines along which the signs agree, best first."""
    lines = [_follow(short, long, start, offset) for start, offset in _places(short, long)]
    return sorted((one for one in lines if one.is_same_recording()), key=lambda one: float(one.errors.mean()))


def _places(short: Words, long: Words) -> Iterator[tuple[int, int]]:
    """Likely places: the start of a probe in the shorter fingerprint, and its offset in the longer one."""
    size = max(_MIN_FRAMES, min(_PROBE, len(short) * 6 // 10))
    found: list[int] = []
    longer = len(long) - len(short)
    for start in np.unique(np.linspace(0, len(short) - size, _PROBES + 2).astype(int)[1:-1]).tolist():
        errors = _error_rates(short[start : start + size], long)
        if errors.min() > _PROBE_ERROR:
            continue
        offsets = [int(errors.argmin()) - start]
        if longer <= _tolerance(len(long)):
            # A loop agrees at many places. If both may be the same audio, it is compared from its start too.
            offsets.append(int(errors[start : start + longer + 1].argmin()))
        for offset in offsets:
            if all(abs(offset - other) > _DRIFT for other in found) and errors[start + offset] <= _PROBE_ERROR:
                found.append(offset)
                yield start, offset


def _error_rates(block: Words, words: Words) -> FloatArray:
    """The bit error rate of `block` (m,) at each offset in `words` (f,): (f - m + 1,); 1 where mostly silent."""
    return _rates(np.lib.stride_tricks.sliding_window_view(words, len(block))[:, ::_PROBE_STEP], block[::_PROBE_STEP])


def _rates(places: Words, block: Words) -> FloatArray:
    """Bit error rates over the last axis; 1 where a quarter of the frames or less are audible."""
    wrong = np.bitwise_count(places ^ block)
    if block.all() and places.all():
        return np.einsum("...i->...", wrong, dtype=np.uint32) / (_BITS * places.shape[-1])
    audible = (places != 0) & (block != 0)
    frames = audible.sum(axis=-1)
    rates = (wrong * audible).sum(axis=-1) / np.maximum(frames * _BITS, 1)
    return np.where(4 * frames > places.shape[-1], rates, 1.0)


def _follow(short: Words, long: Words, start: int, offset: int) -> _Line:
    """Follow the signs from a place in both directions, with the speed at which they agree best."""
    size = min(_BLOCK, len(short))
    starts = np.arange(0, len(short) - size + 1, size)
    starts = starts[[4 * np.count_nonzero(short[at : at + size]) > size for at in starts]]
    padded = np.concatenate([np.zeros(_DRIFT + size, np.uint32), long, np.zeros(_DRIFT + size, np.uint32)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)
    blocks = np.lib.stride_tricks.sliding_window_view(short, size)[starts][:, None]
    best: tuple[FloatArray, IntArray, float] | None = None
    for speed in _SPEEDS[np.argsort(abs(_SPEEDS - 1), kind="stable")].tolist():
        expected = np.round(start + offset + (starts - start) * speed).astype(int) + _DRIFT + size
        around = expected[:, None] + np.arange(-_DRIFT, _DRIFT + 1)
        inside = (around >= 0) & (around < len(windows))
        errors = np.where(inside, _rates(windows[np.where(inside, around, 0)], blocks), 1.0)
        nearest = errors.argmin(axis=1)
        rates = np.take_along_axis(errors, nearest[:, None], axis=1)[:, 0]
        if best is None or rates.mean() < best[0].mean() - 0.01:
            best = rates, np.take_along_axis(around, nearest[:, None], axis=1)[:, 0] - _DRIFT - size, speed
    if best is None:
        return _Line(offset, 1.0, np.zeros(0))
    rates, places, speed = best
    compared = rates < 1  # the others lie beyond the end of the longer recording, or in its silence
    if np.count_nonzero(compared) < max(1, 0.8 * len(rates)):
        return _Line(offset, speed, np.zeros(0))
    good = rates <= _MEDIAN_ERROR
    if np.count_nonzero(good) >= 4:
        speed, offset_now = (float(value) for value in np.polyfit(starts[good], places[good], 1))
        # A slope of less than one frame in all comes from the rounding of places.
        if abs(speed - 1) * len(short) < 1:
            speed, offset_now = 1.0, float(np.median(places[good] - starts[good]))
    else:
        offset_now = float(np.median((places - speed * starts)[good])) if good.any() else float(offset)
    return _Line(offset_now, speed, rates[compared])
