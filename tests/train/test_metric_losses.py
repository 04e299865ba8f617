"""Losses, conditioning and spectra of instrument similarity, compared with loops and with numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.train.metric import FIVE, PUBLISHED, SIX, SMALL, NetworkSettings, SpectrumSettings

torch = pytest.importorskip("torch", reason="training needs torch")
from soundalike.train.metric.conditioning import condition_1d, condition_3d  # noqa: E402
from soundalike.train.metric.losses import pretraining_l2, separation_l1, triplet_distance  # noqa: E402
from soundalike.train.metric.spectra import LogMel, magnitudes, mel_filters  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@given(SEEDS, st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_condition_1d_keeps_one_slice(seed: int, instruments: int, dim: int) -> None:
    vector = drawn(seed, 5, instruments * dim)
    target = np.random.default_rng(seed).integers(instruments, size=5)
    expected = np.zeros_like(vector)
    for i in range(5):
        for j in range(instruments * dim):
            if j // dim == target[i]:
                expected[i, j] = vector[i, j]
    found = condition_1d(torch.tensor(vector), torch.tensor(target), instruments)
    np.testing.assert_array_equal(found, expected)


@given(SEEDS, st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_condition_3d_keeps_the_channels_of_one_instrument(seed: int, instruments: int, width: int) -> None:
    features = drawn(seed, 4, instruments * width, 3, 2)
    target = np.random.default_rng(seed).integers(instruments, size=4)
    expected = np.zeros_like(features)
    for i in range(4):
        for channel in range(target[i] * width, (target[i] + 1) * width):
            for b in range(3):
                for f in range(2):
                    expected[i, channel, b, f] = features[i, channel, b, f]
    found = condition_3d(torch.tensor(features), torch.tensor(target), instruments)
    np.testing.assert_array_equal(found, expected)


def test_no_gradient_reaches_the_other_slices() -> None:
    vector = torch.ones(2, 6, requires_grad=True)
    condition_1d(vector, torch.tensor([0, 2]), 3).square().sum().backward()
    assert vector.grad.tolist() == [[2, 2, 0, 0, 0, 0], [0, 0, 0, 0, 2, 2]]
    features = torch.ones(1, 4, 1, 2, requires_grad=True)
    condition_3d(features, torch.tensor([1]), 2).sum().backward()
    assert features.grad[0, :, 0, 0].tolist() == [0, 0, 1, 1]


@given(SEEDS, st.floats(0, 3))
@settings(max_examples=30, deadline=None)
def test_triplet_distance_is_the_mean_of_a_loop(seed: int, margin: float) -> None:
    anchor, positive, negative = drawn(seed, 3, 7, 4)
    total = 0.0
    for a, p, n in zip(anchor, positive, negative, strict=True):
        near = sum((x - y) ** 2 for x, y in zip(a, p, strict=True)) ** 0.5
        far = sum((x - y) ** 2 for x, y in zip(a, n, strict=True)) ** 0.5
        total += max(0.0, near - far + margin)
    found = triplet_distance(torch.tensor(anchor), torch.tensor(positive), torch.tensor(negative), margin)
    assert found.item() == pytest.approx(total / 7, abs=1e-12)


def test_triplet_distance_of_masked_vectors_is_that_of_the_slices() -> None:
    vectors = torch.tensor(drawn(1, 3, 5, 12))
    target = torch.tensor([0, 1, 2, 2, 0])
    masked = [condition_1d(each, target, 3) for each in vectors]
    slices = [each.unflatten(1, (3, 4))[torch.arange(5), target] for each in vectors]
    assert triplet_distance(*masked, 0.7).item() == pytest.approx(triplet_distance(*slices, 0.7).item(), abs=1e-12)


def test_triplet_distance_of_equal_rows_has_a_finite_gradient() -> None:
    rows = torch.ones(2, 3, requires_grad=True)
    loss = triplet_distance(rows, rows * 1.0, rows.detach() + 1, 2.0)
    loss.backward()
    assert loss.item() == pytest.approx(2 - 3**0.5)
    assert torch.isfinite(rows.grad).all()


def test_separation_l1_is_the_mean_of_a_loop() -> None:
    separated, clean = drawn(2, 2, 3, 4, 5)
    total = 0.0
    for i in range(3):
        for b in range(4):
            for f in range(5):
                total += abs(separated[i, b, f] - clean[i, b, f])
    found = separation_l1(torch.tensor(separated), torch.tensor(clean))
    assert found.item() == pytest.approx(total / 60)


def test_pretraining_l2_draws_absent_instruments_towards_zero() -> None:
    rows, clean = drawn(3, 2, 4, 3, 5)
    present = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=bool)
    total = 0.0
    for i in range(4):
        for k in range(3):
            for j in range(5):
                total += (rows[i, k, j] - (clean[i, k, j] if present[i, k] else 0.0)) ** 2
    found = pretraining_l2(torch.tensor(rows), torch.tensor(clean), torch.tensor(present))
    assert found.item() == pytest.approx(total / 60)


@pytest.mark.parametrize(("size", "hop", "length"), [(64, 16, 200), (64, 48, 191), (32, 32, 64)])
def test_magnitudes_equal_numpy(size: int, hop: int, length: int) -> None:
    spectrum = SpectrumSettings(rate=8000, size=size, hop=hop)
    samples = drawn(4, 2, length)
    padded = np.pad(samples, ((0, 0), (size // 2, size // 2)))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    frames = spectrum.frames(length / 8000)
    expected = np.stack(
        [np.abs(np.fft.rfft(padded[:, i * hop : i * hop + size] * window))[:, : size // 2] for i in range(frames)], 2
    )
    found = magnitudes(torch.tensor(samples), spectrum)
    assert found.shape == (2, spectrum.bins, frames)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_sine_of_full_scale_peaks_at_a_quarter_of_the_window() -> None:
    spectrum = SpectrumSettings(rate=8000, size=256, hop=128)
    sine = np.sin(2 * np.pi * 20 / 256 * np.arange(2560))
    found = magnitudes(torch.tensor(sine)[None], spectrum)[0, :, 5]
    assert found.argmax() == 20
    assert found[20].item() == pytest.approx(64)


@pytest.mark.parametrize(
    ("spectrum", "bands"),
    [(PUBLISHED.spectrum, PUBLISHED.network.bands), (SMALL.spectrum, SMALL.network.bands), (SpectrumSettings(), 400)],
)
def test_every_mel_band_hears_a_bin(spectrum: SpectrumSettings, bands: int) -> None:
    filters = mel_filters(spectrum, bands)
    assert filters.shape == (bands, spectrum.bins)
    assert (filters.max(dim=1).values > 0).all()
    assert filters.min() == 0
    assert filters.max() <= 1


def test_mel_bands_follow_slaneys_scale() -> None:
    # 200 / 3 Hz per mel up to 1 kHz (mel 15); then 6.4 times the frequency takes 27 mels. 6,400 Hz is mel 42.
    spectrum = SpectrumSettings(rate=12800, size=12800, hop=100)  # a bin is 1 Hz
    peaks = mel_filters(spectrum, 41).argmax(dim=1)  # a band per mel
    assert peaks[2] == 200
    assert peaks[14] == 1000
    assert peaks[40].item() == pytest.approx(6400 / 6.4 ** (1 / 27), abs=1)


def test_log_mel_is_a_loop_over_bands() -> None:
    spectrum = SpectrumSettings(rate=8000, size=128, hop=64)
    values = np.abs(drawn(5, 2, 64, 3))
    filters = mel_filters(spectrum, 10).double().numpy()
    expected = np.empty((2, 10, 3))
    floor = 128 / 4 * 10 ** (-60 / 20)  # a sine of full scale reaches a quarter of the size
    for i in range(2):
        for band in range(10):
            for f in range(3):
                expected[i, band, f] = np.log(sum(filters[band] * values[i, :, f]) + floor)
    np.testing.assert_allclose(LogMel(spectrum, 10, floor=-60.0)(torch.tensor(values).float()), expected, atol=1e-5)


def test_published_settings_are_those_of_the_paper() -> None:
    spectrum, network = PUBLISHED.spectrum, PUBLISHED.network
    assert (spectrum.rate, spectrum.size, spectrum.hop, spectrum.bins) == (44100, 2048, 512, 1024)
    assert spectrum.frames(PUBLISHED.segment) == 259
    assert network.channels == (16, 32, 64, 128, 256, 512)
    assert (network.kernel, network.stride, network.leak, network.dropout) == (5, 2, 0.2, 0.5)
    assert (network.dim, network.bands, network.instruments) == (128, 259, FIVE)
    assert (PUBLISHED.batch, PUBLISHED.epochs, PUBLISHED.patience, PUBLISHED.paft_epochs) == (64, 400, 100, 100)
    assert (PUBLISHED.segment, PUBLISHED.paft_segment, PUBLISHED.test_segment) == (3, 5, 10)
    assert (PUBLISHED.lr_extractors, PUBLISHED.lr_tuning, PUBLISHED.lr_direct, PUBLISHED.lr_paft) == (
        5e-5,
        1e-5,
        1e-4,
        5e-5,
    )
    assert SMALL.network.instruments == SIX


@pytest.mark.parametrize(
    ("settings_", "changes", "message"),
    [
        (SpectrumSettings(), {"size": 1023}, "size is 1023; expected an even number"),
        (SpectrumSettings(), {"hop": 4096}, r"hop is 4096; expected 1 to size \(2048\)"),
        (SpectrumSettings(), {"rate": 0}, "rate is 0"),
        (NetworkSettings(), {"instruments": ("bass", "bass")}, "instruments are bass, bass; expected different names"),
        (NetworkSettings(), {"instruments": ()}, "instruments are missing"),
        (NetworkSettings(), {"channels": (8,)}, "expected at least two layers"),
        (NetworkSettings(), {"kernel": 4}, "kernel is 4; expected an odd number"),
        (NetworkSettings(), {"bands": 0}, "bands is 0; expected at least 1"),
        (NetworkSettings(), {"dropout": 1.0}, "dropout is 1.0; expected 0 to below 1"),
        (PUBLISHED, {"batch": 0}, "batch is 0; expected at least 1"),
        (PUBLISHED, {"segment": 0.0}, "segment is 0.0; expected more than 0 seconds"),
        (PUBLISHED, {"margin": -1.0}, "margin is -1.0; expected a number of at least 0"),
        (PUBLISHED, {"lr_paft": float("nan")}, "lr_paft is nan; expected a number of at least 0"),
        (PUBLISHED, {"seed": -1}, "seed is -1"),
    ],
)
def test_values_out_of_range_are_refused(settings_: object, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(settings_, **changes)  # type: ignore[type-var]
