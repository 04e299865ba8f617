"""The inputs of concept networks against librosa, and the tempograms against their formulas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound

from soundalike.backbones.analysis import InputSettings, TempogramKind, concept_inputs, fit_segment
from soundalike.backbones.analysis.cens import chroma_energies, chroma_statistics, estimate_tuning
from soundalike.backbones.analysis.segment_inputs import mel_power
from soundalike.backbones.analysis.tempogram import cyclic_tempogram, onset_strength, tempogram
from soundalike.core.errors import UsageError

SETTINGS = InputSettings()
RATE, HOP = SETTINGS.rate, SETTINGS.hop
FRAMES_PER_SECOND = RATE / HOP


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def clicks(bpm: float, seconds: float = 3.0) -> np.ndarray:
    """Short bursts of noise on every beat."""
    time = np.arange(round(seconds * RATE)) / RATE
    return noise(seconds) * (time % (60.0 / bpm) < 0.02)


SOUNDS = {
    "music": formula_sound(3.0, RATE),
    "short": formula_sound(1.0, RATE),
    "an odd length": np.roll(formula_sound(3.01, RATE), 5000)[:66_149],
    "noise": noise(3.0),
    "clicks": clicks(120.0) + 0.01 * noise(3.0),
}


REFERENCE = json.loads((Path(__file__).parent / "segment_inputs_reference.json").read_text())


@pytest.mark.parametrize("sound", SOUNDS)
def test_inputs_are_those_that_librosa_gave(sound: str) -> None:
    expected, found = REFERENCE["sounds"][sound], concept_inputs(SOUNDS[sound], SETTINGS)
    assert list(found) == ["mel", "tempogram", "chroma"]
    for name, values in found.items():
        assert values.dtype == np.float32
        chosen = values[:: REFERENCE["bins"][name], :: REFERENCE["frames"]]
        np.testing.assert_allclose(chosen, expected[name], atol=1e-4, err_msg=name)
    assert estimate_tuning(SOUNDS[sound], RATE) == pytest.approx(expected["tuning"], abs=1e-9)


@pytest.mark.slow  # librosa compiles for half a minute when it is used for the first time
@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.filterwarnings("ignore")  # of bands without a bin, of frames longer than the sound, of numba's
def test_inputs_are_those_of_librosa(sound: str) -> None:
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    samples = SOUNDS[sound]
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=128)
    levels = np.log10(1 + 10 * power)
    onsets = librosa.onset.onset_strength(y=samples, sr=RATE, n_fft=512, hop_length=HOP)
    expected = {
        "mel": (levels - levels.mean()) / levels.std(),
        "tempogram": librosa.feature.tempogram(onset_envelope=onsets, sr=RATE, hop_length=HOP, win_length=384),
        "chroma": np.pad(librosa.feature.chroma_cens(y=samples, sr=RATE, hop_length=HOP), ((0, 4), (0, 0))),
    }
    for name, values in concept_inputs(samples, SETTINGS).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-4, err_msg=name)
    np.testing.assert_allclose(onset_strength(mel_power(samples, SETTINGS), 1), onsets, atol=1e-4)
    tuning = librosa.estimate_tuning(y=samples, sr=RATE, bins_per_octave=36)
    assert estimate_tuning(samples, RATE) == pytest.approx(tuning, abs=1e-9)
    for chosen in (None, 0.25):
        energies = librosa.feature.chroma_cqt(y=samples, sr=RATE, hop_length=HOP, norm=None, tuning=chosen)
        found = chroma_energies(samples, RATE, HOP, chosen)
        np.testing.assert_allclose(found, energies, atol=1e-5 * energies.max())


def test_frames_of_inputs_are_those_of_the_settings() -> None:
    for settings in (SETTINGS, replace(SETTINGS, names=("mel",)), replace(SETTINGS, tempogram="cyclic", bands=96)):
        found = concept_inputs(fit_segment(noise(4.0), settings), settings)
        assert {name: values.shape for name, values in found.items()} == {
            name: (settings.bins(name), settings.frames) for name in settings.names
        }


@pytest.mark.parametrize("level", [0.0, 0.7, 1e-6])
def test_silence_has_finite_inputs_and_no_tempo_or_key(level: float) -> None:
    found = concept_inputs(level * np.sign(noise(3.0)) if level < 0.5 else np.full(66_150, level), SETTINGS)
    assert all(np.isfinite(values).all() for values in found.values())
    if level < 0.5:
        assert not found["chroma"].any()
    if not level:
        assert not any(values.any() for values in found.values())


@pytest.mark.parametrize("kind", ["autocorrelation", "cyclic"])
@pytest.mark.parametrize("length", [1, 2, 63, 255, 256, 2047])
def test_short_and_hot_sounds_have_finite_inputs(length: int, kind: TempogramKind) -> None:
    settings = replace(SETTINGS, tempogram=kind)
    for gain in (1.0, 1e6):
        found = concept_inputs((gain * SOUNDS["music"][:length]).astype(np.float32), settings)
        for name, values in found.items():
            assert values.shape == (settings.bins(name), 1 + length // HOP) and np.isfinite(values).all()


def test_the_level_changes_no_tempo_and_no_key() -> None:
    loud, soft = (concept_inputs(gain * SOUNDS["music"], SETTINGS) for gain in (np.float32(2.0), np.float32(0.1)))
    for name in ("tempogram", "chroma"):
        np.testing.assert_allclose(loud[name], soft[name], atol=1e-4, err_msg=name)


def naive_autocorrelation(onsets: np.ndarray, lags: int, frame: int) -> np.ndarray:
    half = lags // 2
    inside = [onsets[k] if 0 <= k < len(onsets) else 0.0 for k in range(frame - half, frame + half)]
    shown = [value * 0.5 * (1 - np.cos(2 * np.pi * k / lags)) for k, value in enumerate(inside)]
    return np.array([sum(shown[k] * shown[k + lag] for k in range(lags - lag)) for lag in range(lags)])


def test_autocorrelation_equals_a_loop() -> None:
    onsets = np.abs(np.random.default_rng(1).standard_normal(40)).astype(np.float32)
    onsets[[0, -1]] = 0.0  # beyond the ends it falls to 0 in a line, here at once
    found = tempogram(onsets, 16)
    for frame in (0, 7, 20, 39):
        expected = naive_autocorrelation(onsets, 16, frame)
        np.testing.assert_allclose(found[:, frame], expected / expected[0], atol=1e-6)


def test_the_cyclic_tempogram_equals_its_formula() -> None:
    onsets = np.abs(np.random.default_rng(1).standard_normal(500)).astype(np.float32)
    half = round(0.75 * FRAMES_PER_SECOND)
    means = [onsets[max(0, k - half) : k + half + 1].mean() for k in range(len(onsets))]
    sharp = np.maximum(onsets - means, 0.0)
    found = cyclic_tempogram(onsets, 384, 24, FRAMES_PER_SECOND)
    correlation = naive_autocorrelation(sharp, 384, 250) / (384 - np.arange(384))
    expected = np.zeros(24)
    for k in range(24):
        for octave in (-1, 0, 1, 2):
            lag = 60 * FRAMES_PER_SECOND / (60 * 2 ** (octave + k / 24))
            expected[k] += np.interp(lag, np.arange(384), correlation)
    np.testing.assert_allclose(found[:, 250], expected / expected.max(), atol=1e-4)


@pytest.mark.parametrize("bpm", [70.0, 95.0, 120.0, 160.0])
def test_the_cyclic_tempogram_knows_tempi_but_no_octaves(bpm: float) -> None:
    settings = replace(SETTINGS, names=("tempogram",), tempogram="cyclic")
    for octave in (0.5, 1.0, 2.0):
        found = concept_inputs(clicks(bpm * octave, 6.0), settings)["tempogram"].mean(axis=1)
        wanted = np.log2(bpm / 60.0) % 1.0 * settings.tempi
        distance = (found.argmax() - wanted + settings.tempi / 2) % settings.tempi - settings.tempi / 2
        assert abs(distance) <= 0.03 * settings.tempi  # 2 % of the tempo


@pytest.mark.parametrize("semitone", range(0, 12, 5))
@pytest.mark.parametrize("cents", [-10, 0, 10])
def test_chroma_follows_the_pitch_and_its_tuning(semitone: int, cents: float) -> None:
    time = np.arange(66_150) / RATE
    tone = sum(np.sin(2 * np.pi * 440.0 * 2 ** (octave + semitone / 12 + cents / 1200) * time) for octave in (-1, 0))
    samples = (0.2 * tone).astype(np.float32)
    assert estimate_tuning(samples, RATE) == pytest.approx(cents * 36 / 1200, abs=0.15)
    statistics = chroma_statistics(chroma_energies(samples, RATE, HOP))
    assert (statistics.argmax(axis=0) == (9 + semitone) % 12).all()
    np.testing.assert_allclose(np.linalg.norm(statistics, axis=0), 1.0, atol=1e-6)


@pytest.mark.parametrize("change", [{"rate": 8000}, {"hop": 160}])
def test_settings_that_the_chromagram_cannot_have_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="for the chromagram, or leave chroma out"):
        replace(SETTINGS, **change)
    assert replace(SETTINGS, names=("mel", "tempogram"), **change).names
