"""How two recordings share audio: copies, excerpts, and other mixes of the same recording.

1. *Where.* Probes of 10 s from the shorter fingerprint are searched in the longer one by their signs. Around each
   likely place, the signs are followed along a line (offset and speed, to 1.5 %) in blocks of 5 s.
2. *Whether.* The recordings are related if the blocks agree along one line.
3. *How.* Along the line, levels are compared, without the mean difference of each band, because volume and equaliser
   do not make another mix. Where a part is missing, added, or louder, levels differ in some of the blocks. A part may
   fill few bands, so each band of a copy must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from soundalike.audio.fingerprint import FRAME_RATE, LEVEL_HOP, LEVEL_SPACING, LEVEL_WIDTH, Fingerprint, Words
from soundalike.core.types import BoolArray, FloatArray, IntArray

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
_SHIFTS = np.linspace(-0.2, 0.2, 5)
_DRIFT = 6
"""Frames by which a block may lie off the line."""
_MEAN_ERROR, _MEDIAN_ERROR, _BEST_ERROR = 0.32, 0.35, 0.25
"""Related recordings: the mean bit error rate of the blocks, their median, and the rate that a fifth of them reach."""
_LEVEL_ERROR, _BAND_ERROR = 0.75, 1.1
"""Differences of levels in dB from which a block is of another mix: the mean over all bands, and the mean in the worst
band. Copies must meet both. Excerpts need only meet the first, because their level frames begin at other times."""
_OTHER_BLOCKS = 0.05
"""Share of such blocks up to which recordings are the same."""
_FLOOR, _RANGE, _TRIM = 45.0, 30.0, 60.0
"""Levels count if they are within 30 dB of the loudest band of their frame, and that within 45 dB of the loudest
frames. Ends more than 60 dB below those are silence."""


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
    swapped = len(first.signs) > len(second.signs)
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
    same_length = [abs(len(long.signs) - one.speed * len(short.signs)) <= margin for one in lines]
    differences = [level_differences(short, long, one) for one in lines]
    if any(fits and not _is_other_mix(*each, _BAND_ERROR) for fits, each in zip(same_length, differences, strict=True)):
        return "copy"
    if any(not fits and not _is_other_mix(*each) for fits, each in zip(same_length, differences, strict=True)):
        return "part of" if swapped else "contains"
    return "other mix"


def _tolerance(frames: int) -> float:
    """Frames by which copies may differ in length: 4 %, but at least 0.15 s and at most 3 s."""
    return min(3 * FRAME_RATE, max(0.15 * FRAME_RATE, 0.04 * frames))


def _audible_part(one: Fingerprint) -> Fingerprint:
    """The fingerprint without silence at both ends."""
    if not len(one.levels):
        return one
    loudest = _loudest(one.levels)
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
    for start in np.unique(np.linspace(0, len(short) - size, _PROBES + 2).astype(int)[1:-1]).tolist():
        errors = _error_rates(short[start : start + size], long)
        if errors.min() > _PROBE_ERROR:
            continue
        offset = int(errors.argmin()) - start
        if all(abs(offset - other) > _DRIFT for other in found):
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
    else:
        offset_now = float(np.median((places - speed * starts)[good])) if good.any() else float(offset)
    return _Line(offset_now, speed, rates[compared])


# How ------------------------------------------------------------------------------------------------------------------


def _is_other_mix(means: FloatArray, worst: FloatArray, band_error: float = np.inf) -> bool:
    """Whether levels differ in more than a few blocks, by `level_differences`."""
    differ = (means > _LEVEL_ERROR) | (worst > band_error)
    return bool(np.count_nonzero(differ) > _OTHER_BLOCKS * len(differ))


def level_differences(short: Fingerprint, long: Fingerprint, line: _Line) -> tuple[FloatArray, FloatArray]:
    """Differences of levels (n,) in dB along a line, per block of 5 s: the mean over all bands, and the worst band."""
    middles = np.arange(len(short.levels)) * LEVEL_HOP + LEVEL_WIDTH / 2
    places = (middles * line.speed + line.offset - LEVEL_WIDTH / 2) / LEVEL_HOP
    # A record that plays faster is higher too, unless its pitch was kept.
    transposed = _between(short.levels, np.log(line.speed) / LEVEL_SPACING) if abs(line.speed - 1) > 0.002 else None
    candidates: list[tuple[float, FloatArray, FloatArray]] = []
    for levels in [short.levels] if transposed is None else [short.levels, transposed]:
        for shift in _SHIFTS:
            inside = (places + shift >= 0) & (places + shift <= len(long.levels) - 1)
            if inside.any():
                ours, theirs = levels[inside], _interpolate(long.levels, places[inside] + shift)
                difference = ours - theirs
                candidates.append((float(abs(difference - difference.mean(axis=0)).mean()), ours, theirs))
    if not candidates:
        return np.zeros(0), np.zeros(0)
    _, ours, theirs = min(candidates, key=lambda one: one[0])
    return _per_block(*_errors(ours, theirs))


def _errors(ours: FloatArray, theirs: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Absolute differences (n, b) beyond the median of their band, and which of them count; the others are 0."""
    counted = _loud(ours) | _loud(theirs)
    difference = np.clip(ours - theirs, -20, 20)
    for band, keep in zip(difference.T, counted.T, strict=True):
        band -= np.median(band[keep]) if keep.any() else 0
    return np.where(counted, abs(difference), 0), counted


def _per_block(errors: FloatArray, counted: BoolArray) -> tuple[FloatArray, FloatArray]:
    """The mean error of the levels that count, per block of 5 s, over all bands and in the worst band.

    The last block takes the rest. A band in which fewer than half of the levels of a full block count is not judged
    alone.
    """
    size = _BLOCK // LEVEL_HOP
    edges = np.arange(0, max(1, len(errors) - size + 1), size)
    sums, counts = (np.add.reduceat(part, edges, axis=0, dtype=float) for part in (errors, counted))
    bands = np.where(counts >= min(size, len(errors)) // 2, sums / np.maximum(counts, 1), 0)
    means: FloatArray = sums.sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return means, bands.max(axis=1)


def _between(levels: FloatArray, bands: float) -> FloatArray:
    """The levels (n, b) of bands that lie a fraction of a band lower."""
    other = np.roll(levels, 1 if bands > 0 else -1, axis=1)
    other[:, 0 if bands > 0 else -1] = levels[:, 0 if bands > 0 else -1]
    return (1 - abs(bands)) * levels + abs(bands) * other


def _loud(levels: FloatArray) -> BoolArray:
    """Which levels (n, b) count."""
    loudest = _loudest(levels)
    return levels > np.maximum(loudest - _RANGE, np.quantile(loudest, 0.95) - _FLOOR)[:, None]


def _loudest(levels: FloatArray) -> FloatArray:
    """The level (n,) of the loudest band of every frame."""
    loudest: FloatArray = np.ascontiguousarray(levels.T).max(axis=0)  # ten times as fast as along rows of 16
    return loudest


def _interpolate(levels: FloatArray, places: FloatArray) -> FloatArray:
    before = np.clip(np.floor(places).astype(int), 0, max(0, len(levels) - 2))
    part = (places - before)[:, None]
    after = np.minimum(before + 1, len(levels) - 1)
    return (1 - part) * levels[before] + part * levels[after]
