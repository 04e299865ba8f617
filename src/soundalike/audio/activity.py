"""Where an instrument sounds in its song, by its level relative to the mix of the whole song.

K instruments, t samples, b blocks of `BLOCK` seconds, the last of which may be shorter.
"""

from __future__ import annotations

import numpy as np

from soundalike.core.types import BoolArray, FloatArray, IntArray

__all__ = ["AUDIBLE", "BLOCK", "GATE", "active_blocks", "audible_from"]

BLOCK = 0.1
"""Seconds of a block of the level gate."""
GATE = -50.0
"""Level in dB, relative to the song's mix, from which an instrument sounds in a block: its root mean square."""
AUDIBLE = 0.25
"""Part of the blocks of a segment in which an instrument must sound to be audible there."""


def active_blocks(stems: FloatArray, rate: int) -> BoolArray:
    """Return in which blocks the K instruments (K, t) of a song sound: (K, b) bool.

    Example:
        >>> stems = np.zeros((2, 3000), np.float32)
        >>> stems[0, 1000:] = 0.1
        >>> active_blocks(stems, 10000).tolist()
        [[False, True, True], [False, False, False]]
    """
    size = round(BLOCK * rate)
    frames = stems.shape[1]
    starts = np.arange(0, frames, size)
    lengths = np.minimum(starts + size, frames) - starts
    powers = np.stack([np.add.reduceat(np.square(row), starts, dtype=np.float64) for row in stems]) / lengths
    reference = float(np.mean(np.square(stems.sum(axis=0)), dtype=np.float64))
    found: BoolArray = powers > reference * 10 ** (GATE / 10)
    return found


def audible_from(active: BoolArray, width: int, starts: IntArray) -> BoolArray:
    """Return in which segments the K instruments are audible: those in which they sound in `AUDIBLE` of the blocks.

    Args:
        active: (K, b), from `active_blocks`.
        width: The number of blocks of a segment.
        starts: The first blocks of s segments, (s,). A segment may end after the last block, which then counts as
            silent.

    Returns:
        (K, s) bool.

    Example:
        >>> audible_from(np.array([[False, True, False, False]]), 2, np.array([0, 2])).tolist()
        [[True, False]]
    """
    sums = np.pad(np.cumsum(active, axis=1), ((0, 0), (1, 0)))
    ends = np.minimum(starts + width, active.shape[1])
    counts: IntArray = sums[:, ends] - sums[:, starts]
    return np.greater_equal(counts, max(AUDIBLE * width, 1))
