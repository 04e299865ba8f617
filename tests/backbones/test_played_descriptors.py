"""Descriptors of what is played: they distinguish tunes, grooves and progressions, and are invariant to the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.backbones.analysis.played_descriptors import (
    CHORDS_DIM,
    COLOUR_DIM,
    LINE_DIM,
    STROKES_DIM,
    chords,
    colour,
    line,
    strokes,
)
from soundalike.backbones.analysis.transcriber import CELLS, COLOURS, STROKES

PERIOD = 0.05
TUNE = [0, 0, 2, 4, 4, 2, 7, 7, 5, 4, 2, 0, -1, 0, 2, 0] * 2
OTHER = [0, 7, 4, 7, 0, 7, 4, 7, 2, 5, 9, 5, 2, 5, 9, 5] * 2
GROOVE = "k.h.s.h.k.kks.h." * 3
OTHER_GROOVE = "k..k..s.k..k..s." * 3


def lead_of(tune: list[int], lowest: int = 30, step: float = 0.3) -> np.ndarray:
    """Lead probabilities (g, n) of a tune whose notes last `step` seconds."""
    frames = round(len(tune) * step / PERIOD)
    lead = np.zeros((frames, CELLS), np.float16)
    for frame in range(frames):
        lead[frame, lowest + tune[min(int(frame * PERIOD / step), len(tune) - 1)]] = 0.9
    return lead


def struck_of(groove: str, step: int = 10) -> np.ndarray:
    struck = np.zeros((len(groove) * step, len(STROKES)), np.float16)
    for place, what in enumerate(groove):
        for name in {"k": ["kick", "bass"], "s": ["snare"], "h": ["hat"]}.get(what, []):
            struck[place * step, STROKES.index(name)] = 0.8
    return struck


def tones_of(roots: list[int], minor: str) -> np.ndarray:
    tones = np.zeros((len(roots) * 12, 12), np.float16)
    for place, (root, kind) in enumerate(zip(roots, minor, strict=True)):
        for step in (0, 3 if kind == "m" else 4, 7):
            tones[place * 12 : place * 12 + 12, (root + step) % 12] = 0.9
    return tones


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


@given(st.integers(-17, 17))
@settings(max_examples=10, deadline=None)
def test_line_is_invariant_to_transposition(semitones: int) -> None:
    plain, moved = line(lead_of(TUNE), PERIOD), line(lead_of(TUNE, 30 + semitones), PERIOD)
    assert plain.shape == (LINE_DIM,) and plain.dtype == np.float32
    np.testing.assert_allclose(plain, moved, atol=1e-5)


@pytest.mark.parametrize("tempo", [0.93, 1.07])
def test_a_tune_is_more_similar_to_itself_than_to_another(tempo: float) -> None:
    plain = line(lead_of(TUNE), PERIOD)
    same, other = line(lead_of(TUNE[5:] + TUNE[:5], 35, 0.3 / tempo), PERIOD), line(lead_of(OTHER), PERIOD)
    assert cosine(plain, same) > 0.9 > cosine(plain, other) + 0.05


def test_a_groove_is_more_similar_to_itself_than_to_another() -> None:
    plain = strokes(struck_of(GROOVE), 0.0116)
    assert plain.shape == (STROKES_DIM,) and plain.dtype == np.float32
    same = strokes(struck_of(GROOVE[6:] + GROOVE[:6]), 0.0116 * 1.03)
    other = strokes(struck_of(OTHER_GROOVE), 0.0116)
    assert cosine(plain, same) > 0.85 > cosine(plain, other) + 0.1
    kicks = strokes(struck_of(GROOVE.replace("s", "x").replace("k", "s").replace("x", "k")), 0.0116)
    assert cosine(plain, kicks) < 0.85, "kick and snare are distinguished"


@given(st.integers(0, 11))
@settings(max_examples=10, deadline=None)
def test_chords_are_invariant_to_transposition(semitones: int) -> None:
    roots, kinds = [0, 5, 7, 0, 9, 2, 7, 0], "MMMMmmMM"
    plain = chords(tones_of(roots, kinds), 0.093)
    assert plain.shape == (CHORDS_DIM,)
    np.testing.assert_allclose(plain, chords(tones_of([r + semitones for r in roots], kinds), 0.093), atol=1e-5)
    assert cosine(plain, chords(tones_of([0, 3, 8, 10, 0, 1, 6, 11], "mMMMmMmM"), 0.093)) < 0.9


def test_colour_ignores_quiet_frames() -> None:
    random = np.random.default_rng(0)
    colours = random.random((40, COLOURS)).astype(np.float16)
    roots = np.full((40, 64), 0.5, np.float16)
    found = colour(colours, roots)
    assert found.shape == (COLOUR_DIM,)
    np.testing.assert_allclose(found[:COLOURS], colours.astype(np.float32).mean(axis=0), atol=1e-3)
    colours[20:], roots[20:] = 7.0, 0.01  # 68 dB below
    np.testing.assert_allclose(colour(colours, roots), colour(colours[:20], roots[:20]), atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_input_is_finite(frames: int) -> None:
    silent = np.zeros((frames, CELLS), np.float16)
    assert np.isfinite(line(silent, PERIOD)).all()
    assert np.isfinite(strokes(np.zeros((frames, len(STROKES)), np.float16), 0.0116)).all()
    assert np.isfinite(chords(np.zeros((frames, 12), np.float16), 0.093)).all()
