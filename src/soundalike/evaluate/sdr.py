"""Signal-to-distortion ratios of separated stems, as museval has them.

Stöter, Liutkus and Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018 (BSS Eval version 4, images):
frames of one second without overlap, the median over the frames of a song, and the median over songs. In this version
the SDR of a frame needs no distortion filters: it is the energy of the stem over that of the error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.evaluate.estimates import Estimate

__all__ = ["frame_sdr", "instrument_sdr", "median_over_songs", "song_sdr"]

_RESAMPLES = 2000


def frame_sdr(references: FloatArray, estimates: FloatArray, rate: int) -> FloatArray:
    """Return the SDR of every stem in every frame of one second.

    Args:
        references: The true stems (s, c, t).
        estimates: The separated stems (s, c, t).
        rate: Sample rate in Hz.

    Returns:
        (s, f) float64 in dB; the rest after the last whole second is left out. A frame is NaN for all stems if one of
        them is silent in it, true or separated. Without any error it is infinite.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> frame_sdr(np.ones((1, 2, 8000)), np.full((1, 2, 8000), 0.9), 8000).round()
        array([[20.]])
    """
    if references.shape != estimates.shape or references.ndim != 3:
        raise ValueError(f"references {references.shape} and estimates {estimates.shape}; expected the same (s, c, t)")
    frames = references.shape[2] // rate
    shape = (*references.shape[:2], frames, rate)
    true, found = (one[:, :, : frames * rate].astype(np.float64).reshape(shape) for one in (references, estimates))
    # museval takes a source as silent whose channels sum to zero.
    silent = ~(true.sum(axis=1).any(axis=2) & found.sum(axis=1).any(axis=2)).all(axis=0)
    energy, error = np.square(true).sum(axis=(1, 3)), np.square(true - found).sum(axis=(1, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 10 * np.log10(energy / error)
    return np.where(silent, np.nan, ratios)


def song_sdr(references: FloatArray, estimates: FloatArray, rate: int) -> FloatArray:
    """Return the SDR of every stem of a song: the median over its frames that are not NaN.

    Args:
        references: The true stems (s, c, t).
        estimates: The separated stems (s, c, t).
        rate: Sample rate in Hz.

    Returns:
        (s,) float64 in dB; NaN if every frame is.

    Example:
        >>> song_sdr(np.ones((1, 2, 8000)), np.full((1, 2, 8000), 0.9), 8000).round()
        array([20.])
    """
    ratios = frame_sdr(references, estimates, rate)
    heard = ratios[:, ~np.isnan(ratios).any(axis=0)]
    return np.median(heard, axis=1) if heard.shape[1] else np.full(len(ratios), np.nan)


def instrument_sdr(true: Mapping[str, FloatArray], found: Mapping[str, FloatArray], rate: int) -> FloatArray:
    """Return the SDR of every separated stem of a song by itself, without the frames in which it is silent.

    Songs of Slakh2100 lack instruments, and instruments pause. With the frames in which any stem is silent left out for
    all, as for songs that always have all of them, little would remain.

    Args:
        true: The true stems (c, t) by the name of the instrument.
        found: The s separated stems (c, t). "other" is compared with the sum of all that no other stem is named after,
            and "accompaniment" with that of all but the vocals.
        rate: Sample rate in Hz.

    Returns:
        (s,) float64 in dB; NaN if the song has no such instrument, or nothing else.

    Example:
        >>> true = {"bass": np.ones((2, 8000)), "drums": np.ones((2, 8000))}
        >>> instrument_sdr(true, {"bass": np.full((2, 8000), 0.9)}, 8000).round()
        array([20.])
    """
    values = np.full(len(found), np.nan)
    for index, (name, signal) in enumerate(found.items()):
        beside = {"other": set(found) - {"other"}, "accompaniment": {"vocals"}}.get(name, set(true) - {name})
        own = [reference for label, reference in true.items() if label not in beside]
        if 0 < len(own) < len(true):
            values[index] = song_sdr(np.sum(own, axis=0)[None], signal[None], rate)[0]
    return values


def median_over_songs(values: FloatArray, seed: int) -> Estimate:
    """Return the medians of columns with percentile intervals from a bootstrap over songs.

    Args:
        values: (n, r), one row per song; NaN where a song has no value.
        seed: Seed of the draws.

    Returns:
        Medians (r,) with their intervals, which are NaN with fewer than two songs.

    Example:
        >>> median_over_songs(np.array([[1.0], [2.0], [6.0]]), seed=0).value
        array([2.])
    """
    columns = [column[~np.isnan(column)] for column in values.T]
    middle, low, high = (np.full(len(columns), np.nan) for _ in range(3))
    random = np.random.default_rng(seed)
    for index, songs in enumerate(columns):
        if len(songs):
            middle[index] = np.median(songs)
        if len(songs) > 1:
            drawn = np.median(songs[random.integers(0, len(songs), (_RESAMPLES, len(songs)))], axis=1)
            low[index], high[index] = np.quantile(drawn, [0.025, 0.975])
    return Estimate(middle, low, high, np.array([len(songs) for songs in columns]))
