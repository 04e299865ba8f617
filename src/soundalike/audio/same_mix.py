"""Whether two recordings that agree along a line have the same mix, by their levels.

Levels are compared without the median difference of each band, because volume and equaliser do not make another mix.
Where a part is missing, added, or louder, levels differ in some blocks of some bands. Three things change the levels of
a copy, and are allowed for:

- *Time.* Frames of the two recordings lie between each other. Linear and Lanczos interpolation agree if the levels are
  smooth, so a difference counts only as far as it exceeds the difference between these two.
- *White noise*, of a transfer or of few bits. The quietest place of a recording bounds the noise in it, and adding
  as much to the other recording makes both alike.
- *Speed.* At a speed of 1.01 tones move by 5 % of a band. That bounds the energy that they carry to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from soundalike.audio.fingerprint import FRAME_RATE, LEVEL_HOP, LEVEL_SPACING, LEVEL_WIDTH, LEVEL_WIDTHS, Fingerprint
from soundalike.core.types import BoolArray, FloatArray

__all__ = ["is_same_mix", "loudest_levels"]

_MEAN_ERROR = 0.75
"""Mean difference in dB over all bands from which a block is of another mix."""
_BAND_ERRORS = ((5.0, 0.9), (2.0, 1.5))
"""Lengths of blocks in s, and the mean difference of one band in dB from which a block is of another mix."""
_OTHER_BLOCKS, _MUCH = 0.05, 2.0
"""Share of such blocks that a copy may have, if none of them differs by `_MUCH` times as much."""
_SHIFTS = np.linspace(-0.5, 0.5, 11)
_TRIED = 80
"""Level frames from which the shift is found."""
_FLOOR, _RANGE = 45.0, 30.0
"""Levels count if they are within 30 dB of the loudest band of their frame, and that within 45 dB of the loudest
frames."""
_STEEP = 4.0
"""Steepest equaliser, in dB from one band to the next: 14 dB per octave."""
_MOST = 6.0
"""Largest difference that counts, in dB. A part changes several level frames, because they overlap, whereas a gap
between loud notes may be missed in one."""
_LOBES = 3


def is_same_mix(short: Fingerprint, long: Fingerprint, offset: float, speed: float) -> bool:
    """Whether levels agree along a line.

    Args:
        short: The fingerprint whose frame t is frame `offset + speed t` of `long`.
        long: The other fingerprint.
        offset: Frames.
        speed: Near 1.

    Returns:
        Whether no part is missing, added, louder or softer; False without levels to compare.

    Example:
        >>> is_same_mix(song, instrumental, 0.0, 1.0)
        False
    """
    middles = np.arange(len(short.levels)) * LEVEL_HOP + LEVEL_WIDTH / 2
    places = (middles * speed + offset - LEVEL_WIDTH / 2) / LEVEL_HOP
    inside = (places >= 0) & (places <= len(long.levels) - 1)
    if not inside.any():
        return False
    ours, places = short.levels[inside], places[inside]
    places = np.clip(places + _best_shift(ours, long.levels, places), 0, len(long.levels) - 1)
    for a, b in _with_equal_noise(ours, long.levels):
        errors, counted, gains = _errors(a, b, places)
        if not _is_smooth(gains, counted):
            continue
        if _agree(errors, counted):
            return True
        # A record that plays faster is higher too, unless its pitch was kept.
        if abs(speed - 1) > 0.002 and _agree(np.maximum(errors - _leakage(a, speed), 0), counted):
            return True
    return False


def loudest_levels(levels: FloatArray) -> FloatArray:
    """The level (n,) of the loudest band of every frame."""
    loudest: FloatArray = np.ascontiguousarray(levels.T).max(axis=0)  # ten times as fast as along short rows
    return loudest


def _best_shift(ours: FloatArray, theirs: FloatArray, places: FloatArray) -> float:
    """The shift in level frames, at most half a frame, at which the levels agree best."""
    some = slice(None, None, -(-len(places) // _TRIED))
    best = []
    for shift in _SHIFTS:
        # What interpolation cannot tell counts here: otherwise it would be best between two frames.
        _, smooth = _interpolate(theirs, places[some] + shift)
        difference = ours[some] - smooth
        best.append(abs(difference - difference.mean(axis=0)).mean())
    return float(_SHIFTS[int(np.argmin(best))])


def _with_equal_noise(ours: FloatArray, theirs: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """The levels as they are, and with the noise of one of them added to the other."""
    yield ours, theirs
    noise, other = _noise(ours), _noise(theirs)
    yield (_add(ours, other), theirs) if other > noise else (ours, _add(theirs, noise))


def _noise(levels: FloatArray) -> float:
    """A bound of the power of white noise per Hz: that of the quietest frames of the quietest band."""
    return float((np.quantile(_power(levels), 0.05, axis=0) / LEVEL_WIDTHS).min())


def _add(levels: FloatArray, noise: float) -> FloatArray:
    return _decibels(_power(levels) + noise * LEVEL_WIDTHS)


def _leakage(levels: FloatArray, speed: float) -> FloatArray:
    """Changes (n, b) in dB at most, if tones move to where they are at another speed.

    Bands are triangles that overlap by half. So a shift of d bands changes the energy of a band by at most d times the
    energy of the band and its two neighbours.
    """
    power = np.pad(_power(levels), ((0, 0), (1, 1)))
    around = power[:, :-2] + power[:, 1:-1] + power[:, 2:]
    return _decibels(1 + abs(np.log(speed)) / LEVEL_SPACING * around / power[:, 1:-1])


# Differences ----------------------------------------------------------------------------------------------------------


def _errors(ours: FloatArray, theirs: FloatArray, places: FloatArray) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Absolute differences (n, b) beyond the median of their band, which of them count, and the medians (b,).

    Differences that do not count are 0. Frame n of `ours` (n, b) is at place n of `theirs` (m, b).
    """
    linear, smooth = _interpolate(theirs, places)
    there = (linear + smooth) / 2
    counted = _loud(ours) | _loud(there)
    difference = ours - there
    pairs = zip(difference.T, counted.T, strict=True)
    gains = np.array([np.median(band[keep]) if keep.any() else 0.0 for band, keep in pairs])
    difference -= gains
    errors = np.clip(abs(difference) - abs(smooth - linear), 0, _MOST)
    return np.where(counted, errors, 0), counted, gains


def _is_smooth(gains: FloatArray, counted: BoolArray) -> bool:
    """Whether an equaliser can have such gains (b,): those of neighbouring bands that mostly count differ little.

    A steady part, such as a hi-hat in eighths, changes its bands by the same gain all the time.
    """
    used = gains[counted.mean(axis=0) > 0.5]
    return bool((abs(np.diff(used)) <= _STEEP).all())


def _agree(errors: FloatArray, counted: BoolArray) -> bool:
    """Whether the levels that count agree in nearly all blocks, over all bands and in each band.

    A band in which fewer than half of the levels of a block count is not judged alone. The last block takes the rest.
    """
    for seconds, band_error in _BAND_ERRORS:
        size = max(1, round(seconds * FRAME_RATE / LEVEL_HOP))
        edges = np.arange(0, max(1, len(errors) - size + 1), size)
        sums, counts = (np.add.reduceat(part, edges, axis=0, dtype=float) for part in (errors, counted))
        bands = np.where(counts >= min(size, len(errors)) // 2, sums / np.maximum(counts, 1), 0)
        worst = bands.max(axis=1) / band_error
        if seconds == _BAND_ERRORS[0][0]:
            worst = np.maximum(worst, sums.sum(axis=1) / np.maximum(counts.sum(axis=1), 1) / _MEAN_ERROR)
        if worst.max() > _MUCH or np.count_nonzero(worst > 1) > _OTHER_BLOCKS * len(worst):
            return False
    return True


def _loud(levels: FloatArray) -> BoolArray:
    """Which levels (n, b) count."""
    loudest = loudest_levels(levels)
    return levels > np.maximum(loudest - _RANGE, np.quantile(loudest, 0.95) - _FLOOR)[:, None]


def _interpolate(levels: FloatArray, places: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Levels (n, b) at places (n,): linear in dB, and by Lanczos's kernel of the power."""
    before = np.floor(places).astype(int)
    part = (places - before)[:, None]
    first, second = (levels[np.clip(before + step, 0, len(levels) - 1)] for step in (0, 1))
    linear = (1 - part) * first + part * second
    power = _power(levels)
    total, weights = np.zeros_like(linear), np.zeros_like(part)
    for step in range(1 - _LOBES, _LOBES + 1):
        weight = np.sinc(part - step) * np.sinc((part - step) / _LOBES)
        total += weight * power[np.clip(before + step, 0, len(levels) - 1)]
        weights += weight
    # The kernel has negative lobes. Beside a loud frame it may fall below zero.
    least = _power(np.minimum(first, second)) / 2
    return linear, _decibels(np.maximum(total / weights, least))


def _power(levels: FloatArray) -> FloatArray:
    power: FloatArray = np.power(10.0, levels / 10)
    return power


def _decibels(power: FloatArray) -> FloatArray:
    decibels: FloatArray = 10 * np.log10(power)
    return decibels
