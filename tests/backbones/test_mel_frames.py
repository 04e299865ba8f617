"""Frames of streams against plain numpy, and windows that are embedded in batches."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from formulas import formula_sound
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from soundalike.backbones.analysis.mel_frames import (
    Levels,
    MelFrames,
    MelSettings,
    embed_windows,
    kaldi_mel_matrix,
    mel_frames,
    slaney_mel_matrix,
)

RATE = 16_000


def settings(preemphasis: float = 0.0) -> MelSettings:
    return MelSettings(
        RATE, np.hanning(512), 256, slaney_mel_matrix(512, RATE, 8, 0.0, 8000.0), np.asarray, preemphasis
    )


def naive_frames(samples: np.ndarray, chosen: MelSettings) -> np.ndarray:
    samples = samples.astype(np.float64)
    if chosen.preemphasis:
        samples = samples[1:] - chosen.preemphasis * samples[:-1]
    padded = np.pad(samples, 256, mode="reflect")
    frames = [padded[start : start + 512] * chosen.window for start in range(0, len(samples) + 1, 256)]
    return np.abs(np.fft.rfft(frames)) ** 2 @ chosen.matrix


@pytest.mark.parametrize("preemphasis", [0.0, 0.97])
@pytest.mark.parametrize("length", [400, 512, 16_000, 81_920, 81_921, 82_176, 200_001])
def test_frames_are_those_of_the_whole_signal_reflected_at_its_ends(length: int, preemphasis: float) -> None:
    samples, chosen = formula_sound(length / RATE, RATE), settings(preemphasis)
    np.testing.assert_allclose(
        mel_frames([samples], chosen).frames, naive_frames(samples, chosen), rtol=1e-9, atol=1e-9
    )


@examples(max_examples=10)
@given(st.lists(st.integers(0, 100_000), max_size=8))
def test_frames_do_not_depend_on_the_blocks(cuts: list[int]) -> None:
    samples = formula_sound(100_000 / RATE, RATE)
    whole, parts = (mel_frames(b, settings(0.97)) for b in ([samples], np.split(samples, sorted(cuts))))
    assert np.array_equal(whole.frames, parts.frames) and np.array_equal(whole.variances, parts.variances)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 255, 257, 511])
def test_short_streams_have_finite_frames(length: int) -> None:
    for preemphasis in (0.0, 0.97):
        found = mel_frames([np.ones(length, np.float32)], settings(preemphasis))
        assert np.isfinite(found.frames).all() and found.duration == length / RATE
        assert found.silent(0.0, 1.0)


def test_windows_take_the_frames_with_centres_inside() -> None:
    frames = MelFrames(np.arange(11)[:, None], np.ones(10, np.float32), rate=10.0, duration=1.0)
    assert frames.between(0.0, 1.0).ravel().tolist() == list(range(11))
    assert frames.between(0.25, 0.5).ravel().tolist() == [3, 4, 5]
    assert frames.between(0.52, 0.53).ravel().tolist() == [6]
    assert frames.between(3.0, 4.0).ravel().tolist() == [10]


def test_a_window_is_silent_by_its_own_sound() -> None:
    sound = np.zeros(4 * RATE, np.float32)
    sound[2 * RATE :] = formula_sound(2.0, RATE)
    sound[: 64 * 256] = 0.7  # a constant, to the end of a hop
    frames = mel_frames([sound], settings())
    assert frames.silent(0.0, 1.0) and frames.silent(1.1, 1.98) and not frames.silent(1.1, 2.5)


def test_rows_are_the_means_of_the_patches_of_audible_windows() -> None:
    frames = MelFrames(np.arange(40.0)[:, None], np.repeat([1.0, 0.0], 20).astype(np.float32), rate=1.0, duration=40.0)
    windows = np.array([[0.0, 9.0], [25.0, 30.0], [0.0, 3.0], [5.0, 18.0]])
    sizes = []

    def network(patches: np.ndarray) -> np.ndarray:
        sizes.append(len(patches))
        return np.stack([patches.mean(axis=(1, 2)), np.ones(len(patches))], axis=1)

    found = embed_windows(
        frames, lambda _: windows, "mean", 2, lambda f: [f[:4], f[-4:]] if len(f) > 4 else [f], network, batch=3
    )
    assert found.audible["mean"].tolist() == [True, False, True, True]
    expected = [[4.5, 1], [0, 0], [1.5, 1], [(6.5 + 16.5) / 2, 1]]
    np.testing.assert_allclose(found.rows["mean"], expected)
    assert found.rows["mean"].dtype == np.float32 and sizes == [3, 2]


def test_levels_round_to_the_nearest_and_stay_inside() -> None:
    levels = Levels(-1.4, 5.0)
    values = np.linspace(-1.4, 5.0, 1001)
    assert np.abs(levels.decode(levels.encode(values)) - values).max() < 0.51 * 6.4 / 65535
    assert levels.decode(levels.encode(np.array([-9.0, np.inf]))) == pytest.approx([-1.4, 5.0])


def test_filters_by_example() -> None:
    """Slaney's filters have unit area over frequency; Kaldi's have peak 1 and none at half the rate."""
    slaney = slaney_mel_matrix(4096, RATE, 32, 0.0, 8000.0)
    np.testing.assert_allclose(slaney.sum(axis=0) * RATE / 4096, 1.0, rtol=0.02)
    centres = slaney.argmax(axis=0) * RATE / 4096
    assert np.ptp(np.diff(centres[centres < 1000])) <= RATE / 4096 * 1.01  # linear below 1 kHz
    kaldi = kaldi_mel_matrix(4096, RATE, 16, 0.0, 8000.0)
    assert kaldi.max(axis=0) == pytest.approx(1.0, abs=0.05) and not kaldi[-1].any()
    np.testing.assert_allclose(kaldi[1:-1].sum(axis=1)[200:1500], 1.0)  # neighbours sum to 1


def test_memory_grows_with_the_frames_alone() -> None:
    block = formula_sound(10.0, RATE)
    chosen = MelSettings(RATE, np.hanning(512), 256, np.ones((257, 96)), lambda power: power.astype(np.float16))
    tracemalloc.start()
    mel_frames((block for _ in range(30)), chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300 * 96 * 62.5 * 2 * 1.25 + 12e6
