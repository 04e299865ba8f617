"""Key and meter: transposition changes the key, and a meter is reported only if it is probable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from soundalike.backbones.analysis.descriptors import KEYS
from soundalike.backbones.analysis.key_and_meter import (
    KEY_SOURCES,
    METER_EVIDENCE,
    METERS,
    KeyMeterClassifier,
    key_evidence,
    meter_evidence,
)
from soundalike.backbones.analysis.transcriber import STROKES
from soundalike.core.errors import ModelError

RANDOM = np.random.default_rng(0)
CLASSIFIER = KeyMeterClassifier(
    RANDOM.normal(size=(2, KEY_SOURCES, 12)),
    RANDOM.normal(size=2),
    RANDOM.normal(size=(METER_EVIDENCE, len(METERS))),
    np.zeros(len(METERS)),
)
PERIOD = 256 / 22050


@given(semitones=st.integers(1, 11), seed=st.integers(0, 2**32))
def test_transposing_the_evidence_transposes_the_key(semitones: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    chroma, tones, lead = random.random(12), random.random(12), random.random(72)
    first = CLASSIFIER.key(key_evidence(chroma, tones, lead))
    moved = CLASSIFIER.key(
        key_evidence(np.roll(chroma, semitones), np.roll(tones, semitones), np.roll(lead, semitones))
    )
    assert (first is None) == (moved is None)
    if not first or not moved:
        return
    here, there = KEYS.index(first[0]), KEYS.index(moved[0])
    assert here // 12 == there // 12 and (here + semitones) % 12 == there % 12
    assert first[1] == pytest.approx(moved[1]) and 1 / 24 <= first[1] <= 1


def test_key_evidence_starts_at_c_and_does_not_depend_on_level() -> None:
    chroma = np.eye(12)[3]  # from A, so C
    found = key_evidence(chroma, 5 * chroma, np.zeros(72))
    assert found.shape == (KEY_SOURCES, 12)
    np.testing.assert_allclose(found[0], found[1])
    assert found[0].argmax() == 0 and np.square(found[0]).sum() == pytest.approx(1)
    assert not found[2].any() and CLASSIFIER.key(np.zeros((KEY_SOURCES, 12))) is None


def test_meter_evidence_is_taken_at_multiples_of_the_beat() -> None:
    lags = np.arange(430) * PERIOD
    beat = 0.5
    pulse = 0.5 + 0.5 * np.cos(2 * np.pi * lags / beat)
    strokes = np.zeros((430, len(STROKES)))
    strokes[:, 0] = 7.0 * (0.5 + 0.5 * np.cos(2 * np.pi * lags / (2 * beat)))  # every other beat
    found = meter_evidence(pulse, strokes, 60 / beat, PERIOD)
    assert found.shape == (METER_EVIDENCE,)
    table = found[:-2].reshape(-1, 1 + len(STROKES))
    halves, ones, twos = table[2], table[5], table[8]
    assert halves[0] < 0.1 < 0.9 < ones[0] and twos[0] > 0.9
    assert ones[1] < 0.1 < 0.9 < twos[1] and not table[:, 2:].any()
    assert not table[-1].any() or 6 * beat < 430 * PERIOD  # zero beyond the last lag
    np.testing.assert_allclose(found[-2:], 0, atol=1e-12)  # at 120 BPM


def test_a_meter_is_reported_only_if_it_is_probable() -> None:
    flat = np.zeros((2, KEY_SOURCES, 12)), np.zeros(2), np.zeros((METER_EVIDENCE, len(METERS)))
    probable, improbable = (KeyMeterClassifier(*flat, np.array([0, bias, 0, 0])) for bias in (9.0, 1.0))
    assert improbable.meter(np.zeros(METER_EVIDENCE)) is None
    meter = probable.meter(np.zeros(METER_EVIDENCE))
    assert meter and meter[0] == "3/4" and meter[1] == pytest.approx(np.exp(9) / (np.exp(9) + 3))


def test_a_key_is_reported_only_if_it_is_probable() -> None:
    chroma = np.array([0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0.0])
    evidence = key_evidence(chroma, chroma, np.zeros(72))
    weights = np.stack([evidence, np.zeros_like(evidence)])
    rest = np.zeros((METER_EVIDENCE, len(METERS))), np.zeros(len(METERS))
    found = KeyMeterClassifier(4 * weights, np.zeros(2), *rest).key(evidence)
    assert found and found[0] == "C major" and 0.3 <= found[1] <= 1
    assert KeyMeterClassifier(0.1 * weights, np.zeros(2), *rest).key(evidence) is None


def test_missing_and_invalid_weights_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"readings\.safetensors cannot be read .*; install the model again"):
        KeyMeterClassifier.load(tmp_path)
    (tmp_path / "readings.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="install the model again"):
        KeyMeterClassifier.load(tmp_path)
    save_file({"key": np.zeros((2, 3, 12), np.float32)}, tmp_path / "readings.safetensors")
    with pytest.raises(ModelError, match="expected"):
        KeyMeterClassifier.load(tmp_path)


def test_fitting_recovers_key_and_meter() -> None:
    pytest.importorskip("torch", reason="readings are fitted with torch")
    from soundalike.train.transcriber.readings import Example, fit

    random = np.random.default_rng(0)
    scale = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1.0])
    examples = []
    for number in range(300):
        tonic, meter = number % 12, number % 2
        tones = np.roll(scale + 0.1 * random.random(12), tonic - 9 + 12)  # from A
        evidence = random.normal(size=METER_EVIDENCE)
        evidence[0] += 4 * meter
        lead = np.tile(np.roll(np.eye(12)[0], tonic - 9 + 12), 6)
        examples.append(Example(key_evidence(tones, tones, lead), tonic, evidence, meter))
    classifier = KeyMeterClassifier(**fit(examples[:200]))
    keys = [classifier.key(one.key_evidence) for one in examples[200:]]
    assert all(found and found[0] == KEYS[one.key] for found, one in zip(keys, examples[200:], strict=True))
    reported = [(classifier.meter(one.meter_evidence), METERS[one.meter]) for one in examples[200:]]
    probable = [(found[0], true) for found, true in reported if found]
    assert len(probable) > 50 and np.mean([found == true for found, true in probable]) > 0.9
