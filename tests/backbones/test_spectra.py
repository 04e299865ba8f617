"""The spectra that networks are trained on: golden values, which must not change, and the frames of a stream."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.backbones.analysis.spectra import RATE, FrameList, frames_between, spectra_of


def sweep() -> np.ndarray:
    """Three seconds without randomness: a tone that rises from 110 to 1,760 Hz, three clicks, and a quiet hum."""
    time = np.arange(3 * RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 110 * 3 / np.log(16) * (16 ** (time / 3) - 1))
    hum = 0.01 * np.sin(2 * np.pi * 50 * time)
    clicks = np.zeros(len(time))
    clicks[[RATE // 2, RATE, 2 * RATE]] = 0.9
    return (tone + hum + clicks).astype(np.float32)


def test_spectra_have_their_golden_values() -> None:
    """Changing these values changes the input of trained networks: increase `_FRONT_END` and train again."""
    frames = spectra_of([sweep()], 1024)
    assert frames.fast.shape == (259, 32) and frames.colour.shape == (65, 64) and frames.pitch.shape == (65, 252)
    assert {array.dtype for array in (frames.fast, frames.colour, frames.pitch)} == {np.dtype(np.float16)}
    found = {
        name: [float(getattr(frames, name)[at].astype(float).sum()) for at in places]
        for name, places in (("fast", (43, 60, 200)), ("colour", (11, 20, 50)), ("pitch", (11, 20, 50)))
    }
    for name, expected in GOLDEN.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, err_msg=name)
    assert [int(frames.pitch[at].argmax()) for at in (5, 20, 35, 50)] == PEAKS
    np.testing.assert_allclose(frames.energy[100], ENERGY, rtol=1e-3)


GOLDEN: dict[str, list[float]] = {
    "fast": [2.5941, 0.8846, 0.7802],
    "colour": [2.5007, 1.3957, 0.8125],
    "pitch": [11.0788, 6.2233, 2.6394],
}
PEAKS: list[int] = [47, 81, 114, 147]
ENERGY = 0.045048


@pytest.mark.parametrize("piece", [700, 50_000])
def test_every_second_frame_is_returned_and_all_frames_are_passed_on(piece: int) -> None:
    samples = sweep()
    whole = spectra_of([samples], 1024)
    passed_on: list[tuple[np.ndarray, ...]] = []
    blocks = [samples[start : start + piece] for start in range(0, len(samples), piece)]
    halved = spectra_of(blocks, 1024, keep_every=2, on_frames=lambda *frames: passed_on.append(frames))
    assert halved.hop == 2048 and halved.duration == whole.duration
    for column, name in enumerate(("fast", "colour", "pitch")):
        np.testing.assert_array_equal(np.concatenate([frames[column] for frames in passed_on]), getattr(whole, name))
    for name, kept in (("fast", whole.fast), ("colour", whole.colour[::2]), ("pitch", whole.pitch[::2])):
        np.testing.assert_array_equal(getattr(halved, name), kept)


def test_frames_of_a_window_have_their_centres_in_it() -> None:
    assert frames_between(0.0, 1.0, RATE // 10, 100) == slice(0, 10)
    assert frames_between(0.95, 1.05, RATE // 10, 100) == slice(10, 11)
    assert frames_between(0.96, 0.97, RATE // 10, 100) == slice(10, 11)  # none, so the next one
    assert frames_between(50.0, 60.0, RATE // 10, 100) == slice(99, 100)


def test_a_frame_list_joins_copies() -> None:
    frames, parts = FrameList(), [np.full((n, 300), n, np.float32) for n in (1, 5000, 3, 4000, 2)]
    for part in parts:
        view = part[:]
        frames.append(view)
        view[:] = -1  # the list holds a copy
    whole = frames.joined()
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole[:, 0], np.repeat([1, 5000, 3, 4000, 2], [1, 5000, 3, 4000, 2]))
    assert frames.joined().shape == (0, 0)
