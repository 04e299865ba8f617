"""What levels tell: an equaliser, white noise and another speed make no other mix, and steady parts do."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.audio.fingerprint import LEVEL_WIDTHS, Fingerprint
from soundalike.audio.same_mix import is_same_mix


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    """Levels (120, 24) of 45 s that change smoothly in time."""
    steps = np.random.default_rng(0).standard_normal((140, 24))
    return (70 + 8 * np.apply_along_axis(np.convolve, 0, steps, np.hanning(9) / 2, "same")[10:130]).astype(np.float32)


def same(ours: np.ndarray, theirs: np.ndarray, offset: float = 0.0, speed: float = 1.0) -> bool:
    signs = np.ones(4 * len(ours) + 12, np.uint32)
    return is_same_mix(Fingerprint(signs, ours), Fingerprint(signs, theirs), offset, speed)


def test_an_equaliser_makes_no_other_mix(levels: np.ndarray) -> None:
    assert same(levels, levels + 0.9 * np.arange(24, dtype=np.float32) - 6)


def test_a_steady_part_makes_another_mix(levels: np.ndarray) -> None:
    """It raises its band by the same gain all the time, as no equaliser does without the neighbouring bands."""
    other = levels.copy()
    other[:, 20] += 6
    assert not same(levels, other)
    other[:, 20] -= 3
    assert same(levels, other)


def test_white_noise_makes_no_other_mix(levels: np.ndarray) -> None:
    """It fills the gaps of all bands up to one power per Hz. Noise in some bands only is a part."""
    power = 10 ** (levels / 10)
    noise = 10**6.5 / LEVEL_WIDTHS.max() * LEVEL_WIDTHS
    noisy = (10 * np.log10(power + noise)).astype(np.float32)
    assert abs(noisy - levels).mean(axis=0).max() > 1
    assert same(levels, noisy) and same(noisy, levels)
    noise = np.where(np.arange(24) >= 21, 10**7.5, 0.0)
    assert not same(levels, (10 * np.log10(power + noise)).astype(np.float32))


def test_frames_between_frames_agree(levels: np.ndarray) -> None:
    """Frames that begin half a frame later, that is 2 of the 4 steps of the signs."""
    between = (np.roll(levels, 1, axis=0) + levels)[1:] / 2
    assert same(between, levels, offset=2.0)
    assert not same(between, levels, offset=12.0)


def test_one_block_of_twenty_may_differ_a_little(levels: np.ndarray) -> None:
    """One of 24 blocks of 1.9 s and one of 9 of 4.8 s is too much; and two thirds of a decibel is nothing."""
    other = levels.copy()
    other[40:60, 5] += 3
    assert not same(levels, other)
    other[40:60, 5] -= 2.4
    assert same(levels, other)


def test_nothing_to_compare_is_no_copy(levels: np.ndarray) -> None:
    assert not same(levels[:0], levels)
    assert not same(levels[:10], levels, offset=1000.0)
