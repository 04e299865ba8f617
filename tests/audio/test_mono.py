"""The downmix: the mean of the channels, or the strongest one where the mean is nearly empty; DC is silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.audio import Fingerprint, Fingerprinter, MonoStream
from soundalike.core.types import Span
from soundalike.models import Model
from soundalike.search.align import align

RATE = 22050


def write(path: Path, *channels: np.ndarray) -> Path:
    soundfile.write(path, np.stack(channels, axis=1).astype(np.float32), RATE, subtype="FLOAT")
    return path


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def mono(path: Path, **region: float) -> np.ndarray:
    """The mono signal, the same by iteration and by `read`, and with the same facts."""
    stream, other = MonoStream(path, RATE, **region), MonoStream(path, RATE, **region)
    signal = np.concatenate(list(stream))
    assert np.array_equal(np.concatenate(other.read(list)), signal)
    assert other.info == stream.info
    assert np.array_equal(np.concatenate(list(stream)), signal)
    return signal


def chords(seconds: float) -> np.ndarray:
    """A chord progression with onsets."""
    time = np.arange(round(seconds * RATE)) / RATE
    signal = np.zeros_like(time)
    for bar in range(int(seconds)):
        inside = (time >= bar) & (time < bar + 1)
        for semitone in (0, 4, 7):
            hertz = 220.0 * 2 ** ((semitone + (0, 5, 7, 3)[bar % 4]) / 12)
            signal += inside * np.sin(2 * np.pi * hertz * time) * np.exp(-3.0 * (time - bar)) / 6
    return signal.astype(np.float32)


def test_channels_out_of_phase_keep_the_strongest(tmp_path: Path) -> None:
    one = noise(3.0)
    assert np.array_equal(mono(write(tmp_path / "a.wav", one, -one)), one)
    assert np.array_equal(mono(write(tmp_path / "b.wav", 0.9 * one, -one)), -one)
    other = noise(3.0, 1)
    assert np.array_equal(mono(write(tmp_path / "c.wav", one, 0.1 * other - one)), 0.1 * other - one)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6, 8])
def test_other_recordings_are_the_mean(tmp_path: Path, channels: int) -> None:
    """Equal channels, unrelated channels, and one channel of many."""
    lfe = channels >= 6
    for number, parts in enumerate((
        [noise(1.0)] * channels,
        [noise(1.0, seed) for seed in range(channels)],
        [noise(1.0), *[np.zeros(RATE, np.float32)] * (channels - 1)],
    )):  # fmt: skip
        used = [part for index, part in enumerate(parts) if not (lfe and index == 3)]
        total = used[0].copy()
        for part in used[1:]:
            total = total + part
        expected = total * np.float32(1 / len(used)) if len(used) > 1 else used[0]
        assert np.array_equal(mono(write(tmp_path / f"{number}.wav", *parts)), expected)


@settings(max_examples=25, deadline=None)
@given(st.floats(-1.0, 1.0))
def test_the_mean_is_used_from_a_tenth_of_the_energy_on(tmp_path_factory: pytest.TempPathFactory, mix: float) -> None:
    left = noise(0.5)
    right = (mix * left + np.sqrt(1 - mix * mix) * noise(0.5, 1)).astype(np.float32)
    mean = (left + right) * np.float32(0.5)
    energy = [float(np.square(one - one.mean(), dtype=np.float64).sum()) for one in (mean, left, right)]
    ratio = energy[0] / (sum(energy[1:]) / 2)
    if abs(ratio - 0.1) < 0.001:
        return
    found = mono(write(tmp_path_factory.mktemp("mix") / "a.wav", left, right))
    strongest = left if energy[1] >= energy[2] else right
    assert np.array_equal(found, mean if ratio > 0.1 else strongest)


def test_the_whole_recording_decides_and_a_region_for_itself(tmp_path: Path) -> None:
    one = noise(2.0)
    inverted = np.concatenate([one, -one])
    path = write(tmp_path / "a.wav", np.concatenate([one, one]), inverted)
    assert np.array_equal(mono(path), np.concatenate([one, np.zeros_like(one)]))
    assert np.array_equal(mono(path, start=2.0), one)
    assert np.array_equal(mono(path, end=2.0), one)


def test_the_hash_is_that_of_the_mono_signal(tmp_path: Path) -> None:
    one = noise(1.0)
    hashes = set()
    for name, channels in (("a", (one,)), ("b", (one, -one)), ("c", (one, one))):
        stream = MonoStream(write(tmp_path / f"{name}.wav", *channels), RATE)
        stream.read(list)
        hashes.add(stream.info.audio_hash)
    assert len(hashes) == 1


def test_a_consumer_that_stops_early_is_finished(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(9.0))
    stream = MonoStream(path, RATE)

    def first(blocks: Iterator[np.ndarray]) -> int:
        return len(next(blocks))

    assert stream.read(first) < 9 * RATE
    assert stream.info.duration == 9.0


@pytest.mark.parametrize("model", ["dsp", "compact"])
def test_music_out_of_phase_has_the_rows_of_its_channel(tmp_path: Path, model: str) -> None:
    one = chords(6.0)
    loaded = Model.load(model)
    plain = loaded.encode(write(tmp_path / "mono.wav", one))
    inverted = loaded.encode(write(tmp_path / "inverted.wav", one, -one))
    assert not inverted.silent
    for name, rows in plain.passages.rows.items():
        assert np.array_equal(inverted.passages.rows[name], rows)
    assert np.array_equal(inverted.fingerprint, plain.fingerprint)
    assert inverted.info.audio_hash == plain.info.audio_hash
    assert inverted.descriptors.loudness == pytest.approx((plain.descriptors.loudness or 0.0) + 3.01, abs=0.01)


def test_alignment_hears_music_out_of_phase(tmp_path: Path) -> None:
    one = chords(10.0)
    a, b = write(tmp_path / "a.wav", one), write(tmp_path / "b.wav", one, -one)
    found = align(Span(str(a), 0.0, 10.0), Span(str(b), 0.0, 10.0))
    assert found is not None and (found.semitones, found.offset) == (0, 0.0)
    assert found.agreement > 0.95


# -- DC ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [22050, 44100, 48000])
@pytest.mark.parametrize("level", [-1.0, 0.5, 1e-3])
def test_a_constant_is_silence(tmp_path: Path, native: int, level: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full((3 * native, 2), level, np.float32), native, subtype="FLOAT")
    signal = mono(path)
    assert np.abs(signal).max() < 1e-6
    for name in ("dsp", "compact"):
        encoding = Model.load(name).encode(path)
        assert encoding.silent
        assert not Fingerprint.of(encoding.fingerprint).signs.any()
        assert encoding.descriptors.loudness is None


def test_an_offset_below_noise_is_subtracted_and_music_keeps_it(tmp_path: Path) -> None:
    hiss = noise(2.0, level=1e-5)
    assert np.abs(mono(write(tmp_path / "hiss.wav", hiss + 0.25))).max() < 1e-4
    loud = noise(2.0)
    assert np.array_equal(mono(write(tmp_path / "loud.wav", loud + np.float32(0.05))), loud + np.float32(0.05))


def test_an_inaudible_offset_does_not_hide_the_side_signal(tmp_path: Path) -> None:
    """The mean of the channels is a constant: the sound is in their difference."""
    one = noise(2.0)
    path = write(tmp_path / "a.wav", one + np.float32(0.2), np.float32(0.2) - one)
    assert mono(path).std() == pytest.approx(one.std(), rel=1e-3)


def test_the_fingerprint_of_a_constant_is_silent() -> None:
    fingerprinter = Fingerprinter(RATE)
    for _ in fingerprinter.tap([np.full(5 * RATE, 0.5, np.float32)]):
        pass
    assert not Fingerprint.of(fingerprinter.words()).signs[8:-8].any()
