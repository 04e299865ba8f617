"""Loudness according to ITU-R BS.1770-4."""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray

__all__ = ["gated_loudness", "k_weighting"]


def k_weighting(frequency: FloatArray) -> FloatArray:
    """Return the power gain of the K-weighting filter at frequencies in Hz, in the same shape.

    Reference: ITU-R BS.1770-4, Annex 1, tables 1 and 2: the two stages at 48 kHz, evaluated on the unit circle.
    """
    z = np.exp(-2j * np.pi * np.asarray(frequency, np.float64) / 48000.0)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1.0 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1.0 - 2.0 * z + z**2) / (1.0 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return np.asarray(np.square(np.abs(shelf * high_pass)), np.float64)


def gated_loudness(energy: FloatArray, period: float) -> float | None:
    """Return the integrated loudness.

    Reference: ITU-R BS.1770-4, Annex 1, eq. 2 to 7: blocks of 0.4 s every 0.1 s, an absolute gate at -70 LUFS and a
    relative gate 10 LU below the mean of the remaining blocks. A signal shorter than a block counts as one block.

    Args:
        energy: K-weighted mean squares (f,).
        period: Seconds between them.

    Returns:
        Loudness in LUFS, or None if no block passes the gates.
    """
    if len(energy) == 0:
        return None
    total = np.concatenate([[0.0], np.cumsum(energy, dtype=np.float64)])
    seconds = len(energy) * period
    starts = np.arange(0.0, max(seconds - 0.4, 0.0) + 1e-9, 0.1)
    ends = np.minimum(starts + 0.4, seconds)
    grid = np.arange(len(total)) * period
    blocks = (np.interp(ends, grid, total) - np.interp(starts, grid, total)) * period / (ends - starts)
    blocks = blocks[blocks > 10.0 ** ((-70.0 + 0.691) / 10.0)]
    if len(blocks) == 0:
        return None
    blocks = blocks[blocks > 0.1 * blocks.mean()]
    return float(-0.691 + 10.0 * np.log10(blocks.mean()))
