"""The backbone `mfcc` against librosa, whose statistics were recorded, and what changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound

from soundalike.backbones.mfcc import MfccBackbone

LIBROSA = json.loads((Path(__file__).parent / "mfcc_reference.json").read_text())
SOUND = formula_sound(7.0, MfccBackbone.rate)


def row(sound: np.ndarray, start: float = 0.0, end: float | None = None) -> np.ndarray:
    found = MfccBackbone().features([sound], lambda duration: np.array([[start, duration if end is None else end]]))
    assert found.audible["mfcc"].all()
    return found.rows["mfcc"][0]


def test_statistics_are_those_of_librosa() -> None:
    expected = LIBROSA["mean"][1:] + LIBROSA["std"]  # the mean of the first coefficient is the level
    np.testing.assert_allclose(row(SOUND), expected, atol=1e-3)


@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_level_changes_nothing(gain: float) -> None:
    np.testing.assert_allclose(row(SOUND * np.float32(gain)), row(SOUND), atol=0.02)


def test_a_window_of_a_recording_has_the_row_of_the_excerpt() -> None:
    sound = np.concatenate([formula_sound(2.0, 11_025), SOUND, SOUND[::-1]])
    start = 22_050 / MfccBackbone.rate
    found, alone = row(sound, start, start + 7.0), row(SOUND)
    assert found @ alone / np.linalg.norm(found) / np.linalg.norm(alone) > 0.999  # but for frames at both ends


def test_blocks_change_nothing() -> None:
    windows = np.array([[0.0, 3.0], [2.5, 7.0], [6.99, 7.0]])
    whole = MfccBackbone().features([SOUND], lambda _: windows)
    parts = MfccBackbone().features(np.split(SOUND, [1, 700, 50_000]), lambda _: windows)
    assert np.array_equal(whole.rows["mfcc"], parts.rows["mfcc"]) and whole.rows["mfcc"].shape == (3, 39)
