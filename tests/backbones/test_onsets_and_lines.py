"""Onsets, the order of drums, and the predominant line, on arrays that are made for them."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.backbones.analysis import descriptors
from soundalike.models import recipes

PERIOD = 0.0116


def strokes(*places: int, frames: int = 860, every: int = 43) -> np.ndarray:
    """Onset strength (f,) of strokes at these places in every beat of 0.5 s."""
    strength = np.zeros(frames)
    for place in places:
        strength[place::every] = 1.0
    return strength


def test_the_order_of_drums_is_part_of_the_rhythm_although_each_drum_stays_the_same() -> None:
    def rhythm(snare: int) -> np.ndarray:
        strength = np.zeros((860, 6))
        strength[:, 0], strength[:, 2], strength[:, 5] = strokes(0), strokes(snare), strokes(0, 21)
        return descriptors.rhythm(strength, PERIOD)

    within = 48 * 6
    early, late = rhythm(11), rhythm(29)
    assert np.allclose(early[:within], late[:within], atol=0.05)
    assert np.dot(early[within:], late[within:]) < 0.8


@pytest.mark.parametrize("frame", [1, 2])
def test_the_beginning_and_the_end_of_a_passage_are_no_onsets(frame: int) -> None:
    """The frames there reach beyond the passage."""
    for start in (frame, 40 - frame):
        roots = np.full((40, descriptors.RHYTHM_BANDS), 0.1, np.float32)
        roots[start:] = 1.0
        assert not descriptors.onsets(roots).any()
    roots = np.full((40, descriptors.RHYTHM_BANDS), 0.1, np.float32)
    roots[20:] = 1.0
    assert np.flatnonzero(descriptors.onsets(roots).any(axis=1)).tolist() == [20]


def test_new_weights_need_new_rows_and_a_new_calibration_does_not() -> None:
    spaces = recipes.load_recipe("dsp").spaces
    versions = {"dsp": 1}
    digest = recipes._digest(spaces, versions, "one", None)
    assert digest == recipes._digest(spaces, versions, "one", None)
    assert digest != recipes._digest(spaces, versions, "other", None)
    assert digest != recipes._digest(spaces, {"dsp": 2}, "one", None)
    assert digest != recipes._digest(spaces, versions, "one", recipes.SeparatorVersion("halves", 1))


def test_a_held_note_of_the_accompaniment_leaves_the_melody_as_it_is() -> None:
    line = (0, 4, 7, 5, 4, 2, 0, 7, 9, 7, 5, 4, 2, 4, 0, 2, 0, 2, 4, 7)
    alone = np.zeros((430, descriptors.PITCH_BANDS), np.float32)
    for frame in range(len(alone)):
        alone[frame, 3 * (30 + line[frame // 21 % len(line)]) + 1] = 1.0
    with_drone = alone.copy()
    with_drone[:, 3 * 20 + 1] += 4.0
    rows = [descriptors.melody(peaks, 0.0, 0.0232) for peaks in (alone, with_drone)]
    assert np.dot(*rows) > 0.999
