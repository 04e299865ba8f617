"""The `dsp` backbone on synthetic music: the invariances of its descriptors, and what they distinguish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.backbones.analysis.spectra import spectra_of
from soundalike.backbones.base import Features
from soundalike.backbones.dsp import DspBackbone, create

RATE = 22050
BACKBONE = create()

TUNE = (0, 4, 7, 5, 4, 2, 0, 7, 9, 7, 5, 4, 2, 4, 0, -5, 0, 2, 4, 7)
OTHER_TUNE = (0, 2, 3, 7, 8, 7, 3, 2, 0, -2, 0, 3, 5, 3, 2, -1, 0, 0, 7, 0)
CHORDS = ((0, 4, 7), (7, 11, 14), (9, 12, 16), (5, 9, 12))
OTHER_CHORDS = ((0, 3, 7), (1, 5, 8), (0, 3, 7), (10, 14, 17))
BEAT = "k.h.s.h.k.khs.h."
OTHER_BEAT = "k..hk..hk..hs.kh"


def one_window(duration: float) -> np.ndarray:
    return np.array([[0.0, duration]])


def grid(duration: float) -> np.ndarray:
    starts = np.arange(0.0, max(duration - 9.0, 0.1), 5.0)
    return np.stack([starts, np.minimum(starts + 10.0, duration)], axis=1)


def tone(midi: float, seconds: float, partials: Sequence[float] = (1.0, 0.5, 0.3, 0.2, 0.1)) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    frequency = 440.0 * 2 ** ((midi - 69) / 12)
    sound = sum(
        a * np.sin(2 * np.pi * frequency * (h + 1) * t) for h, a in enumerate(partials) if frequency * (h + 1) < 10000
    )
    return sound * np.minimum(t / 0.01, 1) * np.exp(-1.5 * t) * np.minimum((seconds - t) / 0.02, 1)


def melody(pitches: Sequence[int], key: int = 67, beat: float = 0.5, **kwargs: Sequence[float]) -> np.ndarray:
    return (0.2 * np.concatenate([tone(key + p, beat, **kwargs) for p in pitches])).astype(np.float32)


def mix_of(*parts: np.ndarray) -> np.ndarray:
    length = min(map(len, parts))
    return np.sum([part[:length] for part in parts], axis=0, dtype=np.float32)


def progression(chords: Sequence[Sequence[int]], key: int = 52, beat: float = 1.25) -> np.ndarray:
    bars = [sum(tone(key + note, beat) for note in chord) + tone(key + chord[0] - 12, beat) for chord in chords]
    return (0.1 * np.concatenate(bars * 2)).astype(np.float32)


def drums(pattern: str, step: float = 0.125, bars: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    sounds = {
        "k": np.sin(2 * np.pi * 60 * np.arange(2000) / RATE) * np.exp(-np.arange(2000) / 600),
        "s": rng.standard_normal(2500) * np.exp(-np.arange(2500) / 500) * 0.5,
        "h": np.diff(rng.standard_normal(801)) * np.exp(-np.arange(800) / 150) * 0.3,
    }
    out = np.zeros(int(step * RATE * len(pattern) * bars) + 3000)
    for k, stroke in enumerate(pattern * bars):
        if stroke != ".":
            start = int(k * step * RATE)
            out[start : start + len(sounds[stroke])] += sounds[stroke]
    return 0.3 * out.astype(np.float32)


def extract(samples: np.ndarray, piece: int = 30000) -> Features:
    blocks = [samples[i : i + piece].astype(np.float32) for i in range(0, len(samples), piece)]
    return BACKBONE.features(blocks, one_window)


def similarity(feature: str, first: np.ndarray, second: np.ndarray) -> float:
    a, b = (extract(samples).rows[feature][0] for samples in (first, second))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def rotate(samples: np.ndarray, seconds: float) -> np.ndarray:
    """The same loop with another starting point."""
    return np.roll(samples, int(seconds * RATE))


def check(features: Features) -> None:
    assert set(features.rows) == set(features.audible) == set(DspBackbone.dims)
    for name, dim in DspBackbone.dims.items():
        rows, audible = features.rows[name], features.audible[name]
        assert rows.shape == (len(features.windows), dim) and rows.dtype == np.float32
        assert audible.shape == (len(features.windows),) and audible.dtype == np.bool_
        assert np.isfinite(rows).all()
        assert not rows[~audible].any()


def test_every_feature_has_one_row_per_window() -> None:
    samples = np.concatenate([melody(TUNE), drums(BEAT), progression(CHORDS)])
    features = BACKBONE.features([samples], grid)
    check(features)
    assert features.duration == pytest.approx(len(samples) / RATE)
    assert all(audible.any() for audible in features.audible.values())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 200_000), max_size=12))
def test_rows_do_not_depend_on_the_block_size(cuts: list[int]) -> None:
    samples = mix_of(melody(TUNE), drums(BEAT))
    first = BACKBONE.features([samples], one_window)
    second = BACKBONE.features(np.split(samples, sorted(cuts)), one_window)
    assert all(np.array_equal(first.rows[name], second.rows[name]) for name in first.rows)
    assert first.descriptors == second.descriptors


def test_a_passage_has_the_same_row_within_a_recording_and_alone() -> None:
    # A whole number of hops, so that the frames coincide; only those at the two ends differ.
    passage = mix_of(melody(TUNE), drums(BEAT))[: 106 * 2048]
    before, after = drums(OTHER_BEAT)[: 40 * 2048], melody(OTHER_TUNE)
    start = len(before) / RATE
    inside = BACKBONE.features(
        [np.concatenate([before, passage, after])], lambda _: np.array([[start, start + len(passage) / RATE]])
    )
    alone = extract(passage)
    for name in inside.rows:
        a, b = inside.rows[name][0], alone.rows[name][0]
        assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) > 0.98, name


@pytest.mark.parametrize("gain", [0.03, 0.3, 3.0])
def test_descriptors_are_invariant_to_level(gain: float) -> None:
    samples = mix_of(melody(TUNE), drums(BEAT), progression(CHORDS))
    for feature in DspBackbone.dims:
        assert similarity(feature, samples, gain * samples) > 0.995, feature


@pytest.mark.parametrize("semitones", [-5, -1, 3, 6])
def test_melody_is_robust_to_transposition_shift_and_tempo(semitones: int) -> None:
    changed = rotate(melody(TUNE, 67 + semitones, beat=0.52), 1.3)
    same, other = similarity("melody", melody(TUNE), changed), similarity("melody", melody(OTHER_TUNE), changed)
    assert same > 0.95 and same > other + 0.1


def test_melody_is_found_over_an_accompaniment() -> None:
    mix = mix_of(melody(TUNE, 69), 0.5 * progression(OTHER_CHORDS, 50), 0.5 * drums(BEAT))
    assert similarity("melody", melody(TUNE), mix) > similarity("melody", melody(OTHER_TUNE), mix) + 0.1


@pytest.mark.parametrize("semitones", [-4, 1, 5])
def test_harmony_is_robust_to_transposition_and_shift(semitones: int) -> None:
    changed = rotate(progression(CHORDS, 52 + semitones), 0.7)
    same, other = (
        similarity("harmony", progression(CHORDS), changed),
        similarity("harmony", progression(OTHER_CHORDS), changed),
    )
    assert same > 0.98 and same > other + 0.05


@pytest.mark.parametrize("tempo", [0.93, 1.0, 1.08])
def test_rhythm_is_robust_to_small_changes_of_tempo(tempo: float) -> None:
    changed = rotate(drums(BEAT, 0.125 / tempo), 0.4)
    same, other = similarity("rhythm", drums(BEAT), changed), similarity("rhythm", drums(OTHER_BEAT), changed)
    assert same > 0.7 and same > other + 0.4


def test_timbre_follows_the_instrument() -> None:
    bright, dull = (1.0, 0.9, 0.8, 0.8, 0.7, 0.6, 0.6, 0.5), (1.0, 0.05)
    reference = extract(melody(TUNE, partials=bright)).rows["timbre"][0]
    same = extract(melody(OTHER_TUNE, 65, partials=bright)).rows["timbre"][0]
    other = extract(melody(TUNE, partials=dull)).rows["timbre"][0]
    assert np.linalg.norm(reference - same) < 0.5 * np.linalg.norm(reference - other)


@pytest.mark.parametrize("bpm", [72, 100, 120, 168])
def test_tempo_of_clicks(bpm: int) -> None:
    samples = np.zeros(12 * RATE, np.float32)
    samples[(np.arange(0, 12 - 0.01, 60 / bpm) * RATE).astype(int)] = 0.8
    assert extract(samples).descriptors.tempo == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("tonic", [0, 3, 6, 10])
def test_key_of_a_cadence(tonic: int) -> None:
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    major = progression(((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)), 48 + tonic)
    minor = progression(((9, 12, 16), (2, 5, 9), (4, 8, 11), (9, 12, 16)), 48 + tonic)
    assert extract(major).descriptors.key == f"{names[tonic]} major"
    assert extract(minor).descriptors.key == f"{names[(tonic + 9) % 12]} minor"


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(3 * RATE),
        np.full(3 * RATE, 0.7),
        np.zeros(1),
        np.ones(1),
        1e-5 * np.random.default_rng(0).standard_normal(3 * RATE),
    ],
    ids=["zeros", "constant", "one zero", "one sample", "-100 dB noise"],
)
def test_silence_is_inaudible(samples: np.ndarray) -> None:
    features = extract(samples)
    check(features)
    assert not any(audible.any() for audible in features.audible.values())
    assert (features.descriptors.tempo, features.descriptors.key) == (None, None)


def test_an_empty_stream() -> None:
    features = BACKBONE.features([], grid)
    check(features)
    assert len(features.windows) == 0 and features.duration == 0.0


def test_a_steady_sine_has_pitch_but_no_rhythm() -> None:
    sine = 0.3 * np.sin(2 * np.pi * 440 * np.arange(10 * RATE) / RATE)
    audible = extract(sine).audible
    assert {name: bool(rows[0]) for name, rows in audible.items()} == {
        "melody": True,
        "rhythm": False,
        "timbre": True,
        "harmony": True,
    }
    assert extract(sine).descriptors.tempo is None


def test_noise_has_no_pitch_and_no_tempo() -> None:
    features = extract(0.1 * np.random.default_rng(0).standard_normal(30 * RATE))
    check(features)
    assert not features.audible["melody"][0] and not features.audible["harmony"][0]
    assert features.audible["timbre"][0]
    assert (features.descriptors.key, features.descriptors.tempo) == (None, None)


def test_music_is_audible_in_full() -> None:
    for samples in (melody(TUNE), progression(CHORDS), mix_of(melody(TUNE), drums(BEAT))):
        assert all(audible.all() for audible in extract(samples).audible.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9000), st.sampled_from(["noise", "tone", "impulse", "step", "hot"]))
def test_short_input_gives_finite_rows(length: int, kind: str) -> None:
    t = np.arange(length)
    samples = {
        "noise": np.random.default_rng(length).standard_normal(length),
        "tone": np.sin(0.1 * t),
        "impulse": (t == length // 2) * 1.0,
        "step": (t > length // 2) * 1.0,
        "hot": 1e6 * np.sin(0.3 * t),
    }
    check(extract(samples[kind]))


def test_spectra_take_less_than_15_kb_per_second() -> None:
    frames = spectra_of([np.zeros(60 * RATE, np.float32)], 2048)
    size = sum(part.nbytes for part in (frames.fast, frames.energy, frames.colour, frames.pitch))
    assert size < 60 * 15_000
