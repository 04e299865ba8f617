"""Seeded random numbers that are the same under every version of numpy: a hash of a counter.

`numpy.random.Generator` may change its streams between versions. Samples whose statistics are stored or shown are
therefore drawn with SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014):
number i of a stream is the finaliser of (seed + i + 1) times the golden ratio, modulo 2^64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soundalike.core.types import FloatArray, IntArray

__all__ = ["random_bits", "random_order", "random_shares"]

_GOLDEN = 0x9E3779B97F4A7C15
_STREAM = 0xD1B54A32D192ED03  # an odd constant that separates the streams of neighbouring seeds


def random_bits(seed: int, count: int) -> npt.NDArray[np.uint64]:
    """The first numbers of a stream.

    Args:
        seed: The stream, 0 or more.
        count: How many numbers.

    Returns:
        (count,) uint64.

    Example:
        >>> hex(int(random_bits(0, 1)[0]))
        '0xe220a8397b1dcdaf'
    """
    start = np.uint64(seed * _STREAM & 0xFFFFFFFFFFFFFFFF)
    x = start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_shares(seed: int, count: int) -> FloatArray:
    """Uniform numbers (count,) float64 between 0 and 1, both excluded.

    Example:
        >>> float(random_shares(0, 1)[0].round(3))
        0.883
    """
    return ((random_bits(seed, count) >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52


def random_order(seed: int, count: int) -> IntArray:
    """A permutation (count,) int64 of 0 ... count - 1.

    Example:
        >>> sorted(random_order(0, 3).tolist())
        [0, 1, 2]
    """
    return np.argsort(random_bits(seed, count), kind="stable")
