"""The timbre descriptor equals its definition, and leaves quiet frames out."""

from __future__ import annotations

import numpy as np

from soundalike.backbones.analysis import descriptors

CEPSTRA = 20
MEANS, DEVIATIONS, CHANGES = slice(0, 19), slice(19, 39), slice(39, 59)


def roots(power: np.ndarray) -> np.ndarray:
    return power.astype(np.float32) ** 0.25


def frames(count: int, bands: int, seed: int, level: float = 1.0) -> np.ndarray:
    """Power spectra (count, bands) between 0.2 and 1 times the level."""
    return level * np.random.default_rng(seed).uniform(0.2, 1.0, (count, bands))


def timbre(colour: np.ndarray) -> np.ndarray:
    others = roots(frames(40, descriptors.RHYTHM_BANDS, 8)), roots(frames(20, descriptors.PITCH_BANDS, 9))
    return descriptors.timbre(roots(colour), *others)


def test_cepstra_equal_the_definition_and_the_mean_of_the_first_is_left_out() -> None:
    power = frames(12, descriptors.TIMBRE_BANDS, 0)
    bands = np.arange(descriptors.TIMBRE_BANDS)
    cepstra = np.zeros((len(power), CEPSTRA))
    for frame, spectrum in enumerate(power):
        logarithm = np.log(spectrum / power.max())
        for k in range(CEPSTRA):  # the orthonormal DCT-II
            scale = np.sqrt((1 if k == 0 else 2) / len(bands))
            cepstra[frame, k] = scale * np.sum(logarithm * np.cos(np.pi * k * (2 * bands + 1) / (2 * len(bands))))
    row = timbre(power)
    assert np.allclose(row[MEANS], cepstra.mean(axis=0)[1:], atol=1e-4)
    assert np.allclose(row[DEVIATIONS], cepstra.std(axis=0), atol=1e-4)
    assert np.allclose(row[CHANGES], np.diff(cepstra, axis=0).std(axis=0), atol=1e-4)


def test_frames_40_db_below_the_loudest_are_left_out() -> None:
    loud = frames(12, descriptors.TIMBRE_BANDS, 0)
    faint = np.zeros_like(loud)
    faint[:, 3] = 1.0  # another sound: a whistle
    faint *= 0.5e-4 * loud.sum(axis=1).max()
    assert np.allclose(timbre(np.concatenate([loud, faint]))[:59], timbre(loud)[:59], atol=1e-5)
    audible = 10 * faint
    assert not np.allclose(timbre(np.concatenate([loud, audible]))[:59], timbre(loud)[:59], atol=0.1)
