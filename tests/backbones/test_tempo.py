"""Tempo: loops at known tempi, its confidence, and what has no tempo."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from loops import RATE, STYLES, draw_loop
from safetensors.numpy import save_file

from soundalike.audio import windows
from soundalike.backbones.analysis.descriptors import onsets
from soundalike.backbones.analysis.passage_descriptors import PULSE_FRAMES
from soundalike.backbones.analysis.spectra import FAST_HOP, spectra_of
from soundalike.backbones.analysis.tempo import (
    TEMPI,
    TEMPO_EVIDENCE,
    TempoEstimator,
    bundled_estimator,
    onset_correlations,
    tempo_evidence,
)
from soundalike.backbones.dsp import DspBackbone
from soundalike.core.errors import ModelError
from soundalike.core.types import Descriptors

PERIOD = FAST_HOP / RATE
BACKBONE = DspBackbone()
RANDOM = np.random.default_rng(0)


def describe(samples: np.ndarray) -> Descriptors:
    return BACKBONE.features([np.asarray(samples, np.float32)], windows).descriptors


def clicks(bpm: float, seconds: float = 12.0) -> np.ndarray:
    samples = np.zeros(int(seconds * RATE), np.float32)
    samples[(np.arange(0, seconds - 0.01, 60 / bpm) * RATE).astype(int)] = 0.8
    return samples


@lru_cache
def answers() -> tuple[tuple[str, float, Descriptors], ...]:
    """The descriptors of eight loops of each style."""
    loops = [draw_loop(seed, style, seconds=16.0) for style in STYLES for seed in range(8)]
    return tuple((style, bpm, describe(samples)) for style, bpm, samples in loops)


def is_right(found: Descriptors, bpm: float) -> bool:
    return found.tempo is not None and abs(found.tempo / bpm - 1) <= 0.04


def test_at_least_17_of_20_loops_are_read_at_their_tempo_in_every_style_most() -> None:
    right = {style: [is_right(found, bpm) for name, bpm, found in answers() if name == style] for style in STYLES}
    assert np.mean([value for values in right.values() for value in values]) >= 17 / 20
    assert all(sum(values) >= 5 for values in right.values()), right


@pytest.mark.parametrize(("style", "bpm"), [("house", 140.0), ("dnb", 174.0), ("hiphop", 72.0), ("trap", 140.0)])
def test_half_and_double_tempo_are_told_apart(style: str, bpm: float) -> None:
    found = [describe(draw_loop(seed, style, bpm, seconds=12.0)[2]) for seed in (21, 22, 23)]
    assert sum(is_right(one, bpm) for one in found) >= 2, [one.tempo for one in found]


def test_confident_tempi_are_right_more_often_than_doubtful_ones() -> None:
    said = sorted((found.tempo_confidence, is_right(found, bpm)) for _, bpm, found in answers() if found.tempo)
    confidence, right = np.array(said).T
    assert (confidence >= 0.5).all() and (confidence <= 1).all()
    half = len(right) // 2
    assert right[half:].mean() >= right[:half].mean() and right[half:].mean() >= 0.95
    assert abs(confidence.mean() - right.mean()) < 0.12  # calibrated


@pytest.mark.parametrize("bpm", [45, 60, 84, 96, 110, 120, 132, 150, 176, 190])
def test_a_metronome_has_its_own_tempo(bpm: int) -> None:
    found = describe(clicks(bpm))
    assert found.tempo == pytest.approx(bpm, rel=0.01) and found.tempo_confidence


def test_tempo_does_not_depend_on_level_and_hardly_on_the_start() -> None:
    _, _, samples = draw_loop(4, "house", 124.0, seconds=16.0)
    found, quiet = describe(samples), describe(0.01 * samples)
    assert quiet.tempo == pytest.approx(found.tempo, rel=1e-3)
    assert quiet.tempo_confidence == pytest.approx(found.tempo_confidence, abs=0.02)
    for delay in (0.1, 0.37, 1.3):
        later = describe(samples[int(delay * RATE) :])
        assert later.tempo == pytest.approx(found.tempo, rel=0.01)


@pytest.mark.parametrize("bpm", [62.0, 70.0, 88.0])
def test_playing_twice_as_fast_doubles_the_periods_that_fit(bpm: float) -> None:
    """The correlations of a loop at double speed are those of the loop at half the lags."""
    fast, slow = describe(clicks(2 * bpm)).tempo, describe(clicks(bpm)).tempo
    assert fast and slow and fast / slow == pytest.approx(2.0, rel=0.01)


def test_without_a_beat_there_is_no_tempo() -> None:
    time = np.arange(12 * RATE) / RATE
    strokes = np.zeros(12 * RATE)
    for first in RANDOM.integers(0, len(strokes) - 2000, 40):
        strokes[first : first + 2000] += np.exp(-np.arange(2000) / 300) * RANDOM.normal(size=2000)
    for samples in (
        np.zeros(5 * RATE),
        0.1 * RANDOM.normal(size=3 * RATE),
        0.1 * RANDOM.normal(size=20 * RATE),
        0.3 * np.sin(2 * np.pi * 440 * time),
        0.1 * strokes,
        clicks(120, 0.4),
    ):
        found = describe(samples)
        assert (found.tempo, found.tempo_confidence) == (None, None)


def test_the_evidence_of_slower_music_is_that_of_fewer_beats_per_minute() -> None:
    def seen(bpm: float, ratio: float = 1.0) -> np.ndarray:
        frames = spectra_of([clicks(bpm, 20.0)], 2048)
        return tempo_evidence(onset_correlations(onsets(frames.fast), PULSE_FRAMES), PERIOD, ratio)

    found = seen(120.0, 1.2)
    assert found.shape == (len(TEMPI), TEMPO_EVIDENCE) and np.isfinite(found).all()
    estimator = bundled_estimator()
    best = [TEMPI[int(np.argmax(estimator.probabilities(one)))] for one in (found, seen(100.0))]
    assert best[0] == pytest.approx(best[1], rel=0.035) and best[1] == pytest.approx(100.0, rel=0.035)
    assert estimator.probabilities(found).sum() == pytest.approx(1.0)


def test_missing_and_invalid_weights_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "tempo.safetensors"
    with pytest.raises(ModelError, match=r"tempo\.safetensors cannot be read .*; install soundalike again"):
        TempoEstimator.load(path)
    save_file({"weight_0": np.zeros((3, 2), np.float32)}, path)
    with pytest.raises(ModelError, match="does not hold the weights of a tempo network"):
        TempoEstimator.load(path)


def regular_onsets(bpm: float) -> np.ndarray:
    """Correlations with peaks at multiples of the beat."""
    lags = np.arange(PULSE_FRAMES) * PERIOD
    peaks = np.exp(-0.5 * np.square((lags * bpm / 60 + 0.5) % 1 - 0.5) / 0.03**2)
    return np.repeat(peaks[:, None], 10, axis=1)


def test_fewer_examples_than_a_batch_are_fitted_too() -> None:
    pytest.importorskip("torch", reason="the tempo network is fitted with torch")
    from soundalike.train.descriptors.fit import Beat, fit_tempo

    weights = [fit_tempo([Beat(regular_onsets(bpm), bpm)], PERIOD, seed=0)["weight_1"] for bpm in (90.0, 150.0)]
    assert not np.array_equal(*weights)  # the initial weights of both are equal


@pytest.mark.slow
def test_fitting_learns_where_the_beat_is() -> None:
    pytest.importorskip("torch", reason="the tempo network is fitted with torch")
    from soundalike.train.descriptors.fit import Beat, fit_tempo

    tempi = np.random.default_rng(0).uniform(80, 160, 96).tolist()
    examples = [Beat(regular_onsets(bpm), bpm) for bpm in tempi]
    estimator = TempoEstimator(fit_tempo(examples, PERIOD, seed=0))
    found = [estimator.most_probable(one.correlations, PERIOD) for one in examples]
    assert (
        np.mean([abs(one.bpm / true.tempo - 1) < 0.04 for one, true in zip(found, examples, strict=True) if one]) > 0.9
    )
