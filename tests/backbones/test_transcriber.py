"""The transcriber: training targets, network inputs, and equal results for pieces and the whole stream."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from soundalike.backbones.analysis.spectra import FAST_HOP, RATE
from soundalike.backbones.analysis.transcriber import CELLS, HOP, LOWEST_NOTE, STROKES
from soundalike.render.score.music import Played, SoundingChord
from soundalike.train.transcriber.targets import NO_CHORD, SCORE_FIELDS, pitch_targets, stroke_targets


def score(*notes: tuple[str, float, float, int]) -> np.ndarray:
    roles = ("lead", "comp", "bass", "drums")
    rows = [(roles.index(role), start, end, note, 90) for role, start, end, note in notes]
    return np.array(rows, np.float32).reshape(-1, len(SCORE_FIELDS))


def test_targets_of_lead_notes_and_chords() -> None:
    period = HOP / RATE
    notes = score(
        ("lead", 10 * period, 14 * period, 69),
        ("comp", 0, 5 * period, 60),
        ("bass", 0, 20 * period, 33),
        ("drums", 0, 1, 40),
        ("lead", 16 * period, 16.1 * period, 20),
        ("lead", 18 * period, 18.1 * period, 70),
    )
    chords = np.array([(0, 8 * period, 0, 0), (8 * period, 16 * period, 9, 1)], np.float32)  # C major, A minor
    found = pitch_targets(notes, chords, 21)
    expected = np.full(21, CELLS)
    expected[10:14], expected[18] = 69 - LOWEST_NOTE, 70 - LOWEST_NOTE
    np.testing.assert_array_equal(
        found.lead, expected
    )  # notes below the range are ignored; the shortest note has one frame
    assert found.notes[:5, 60 - LOWEST_NOTE].all() and not found.notes[5:, 60 - LOWEST_NOTE].any()
    assert found.notes[:20, 0].all() and found.notes.sum() == 5 + 20 + 4 + 1, "drums have no pitch"
    assert found.root.tolist() == [3] * 4 + [0] * 4 + [NO_CHORD] * 3
    assert np.flatnonzero(found.tones[0]).tolist() == [3, 7, 10]
    assert np.flatnonzero(found.tones[4]).tolist() == [0, 3, 7]
    assert not found.tones[8:].any()


def test_targets_of_strokes() -> None:
    period = FAST_HOP / RATE
    notes = score(("drums", 3 * period, 1, 36), ("drums", 3 * period, 1, 38), ("drums", 5.4 * period, 1, 44),
                  ("drums", 6 * period, 1, 56), ("bass", 7 * period, 1, 40), ("comp", 8 * period, 1, 60),
                  ("lead", 9 * period, 1, 70), ("lead", 99 * period, 1, 70), ("lead", -3 * period, 1, 70))  # fmt: skip
    found = stroke_targets(notes, 12)
    places = {name: np.flatnonzero(found[:, k]).tolist() for k, name in enumerate(STROKES)}
    assert places == {"kick": [3], "snare": [3], "hat": [5], "tom": [], "cymbal": [], "percussion": [6],
                      "bass": [7], "comp": [8], "lead": [9]}  # fmt: skip


torch = pytest.importorskip("torch", reason="the transcriber is trained with torch")
from soundalike.train.transcriber.augment import augment  # noqa: E402
from soundalike.train.transcriber.nets import ColourNetwork, HarmonicStack, PitchNetwork, StrokeNetwork  # noqa: E402


def test_the_stack_contains_the_harmonics_of_a_tone() -> None:
    roots = torch.zeros(1, 9, 252)
    cell = 30
    for harmonic in (1, 2, 3, 4, 5):
        roots[:, :, 3 * cell + round(36 * np.log2(harmonic))] = 1.0
    stacked = HarmonicStack()(roots)[0, :, 4]  # (27, n)
    assert stacked.shape == (27, CELLS)
    centres = stacked[1:24:3, cell]  # the octave below and harmonics 1, 2, 3, 4, 5, 6, 8
    assert (centres[1:6] > 1).all() and centres[[0, 6, 7]].max() == 0
    assert stacked[1:24:3].sum(dim=0).argmax() == cell


@pytest.mark.parametrize("gain", [0.1, 30.0])
def test_networks_are_invariant_to_level(gain: float) -> None:
    torch.manual_seed(0)
    roots = torch.rand(1, 40, 252) + 0.1
    pitch, strokes = PitchNetwork().eval(), StrokeNetwork().eval()
    colour = ColourNetwork().eval()
    fast, wide = torch.rand(1, 300, 32) + 0.1, torch.rand(1, 60, 64) + 0.1
    with torch.inference_mode():
        for plain, louder in zip(pitch(roots), pitch(gain * roots), strict=True):
            torch.testing.assert_close(plain, louder, atol=2e-3, rtol=0)
        torch.testing.assert_close(strokes(fast), strokes(gain * fast), atol=2e-3, rtol=0)
        torch.testing.assert_close(colour(wide), colour(gain * wide), atol=2e-3, rtol=0)


def test_transposing_the_input_transposes_the_notes() -> None:
    torch.manual_seed(0)
    pitch, up = PitchNetwork().eval(), 2
    roots = torch.zeros(1, 30, 252)
    roots[:, :, 60:160] = torch.rand(1, 30, 100)
    moved = roots.roll(3 * up, dims=2)
    with torch.inference_mode():
        original, higher = pitch(roots), pitch(moved)
    middle = slice(20, 50)
    shifted = slice(20 + up, 50 + up)
    torch.testing.assert_close(original.notes[..., middle], higher.notes[..., shifted], atol=0.02, rtol=0)


def test_augmentation_preserves_shape_and_peaks() -> None:
    roots = 0.01 * torch.ones(6, 50, 252)
    roots[:, 20:, 100] = 1.0
    first = augment(roots, np.random.default_rng(0))
    again = augment(roots, np.random.default_rng(0))
    assert first.shape == roots.shape and first.dtype == torch.float32 and torch.equal(first, again)
    assert torch.isfinite(first).all() and (first >= 0).all()
    assert (first[:, 25].argmax(dim=1) == 100).float().mean() >= 0.5
    assert not torch.equal(first, augment(roots, np.random.default_rng(1)))
    silent = augment(torch.zeros(2, 5, 32), np.random.default_rng(0))
    assert torch.equal(silent, torch.zeros(2, 5, 32))


def test_pieces_give_the_results_of_the_whole_stream(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="torch writes networks with onnx")
    from soundalike.backbones.analysis.transcriber import Transcriber
    from soundalike.train.transcriber.export import export

    torch.manual_seed(0)
    pitch, strokes, colour = PitchNetwork().eval(), StrokeNetwork().eval(), ColourNetwork().eval()
    export(pitch, strokes, colour, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2_000_000
    transcriber, random = Transcriber(tmp_path), np.random.default_rng(0)
    for frames in (1, 2, 2047, 2049, 4300):
        roots, fast = random.random((frames, 252), np.float32), random.random((4 * frames, 32), np.float32)
        wide = random.random((frames, 64), np.float32)
        transcription = transcriber.transcribe(roots, fast, wide)
        with torch.inference_mode():
            whole = pitch(torch.from_numpy(roots)[None])
            struck = torch.sigmoid(strokes(torch.from_numpy(fast)[None]))[0]
            sounds = colour(torch.from_numpy(wide[::2].copy())[None])[0]
        lead = torch.softmax(whole.lead[0], dim=1)[:, :CELLS]
        tones = torch.sigmoid(whole.tones[0])
        for ours, theirs in ((transcription.lead, lead), (transcription.tones, tones), (transcription.strokes, struck)):
            assert ours.shape == tuple(theirs.shape) and ours.dtype == np.uint8
            np.testing.assert_allclose(ours / 255, theirs.numpy(), atol=1e-3 + 0.5 / 255)
        assert transcription.colours.shape == tuple(sounds.shape)
        np.testing.assert_allclose(transcription.colours, sounds.numpy(), atol=1e-3)
        open_stream, cuts = transcriber.open_stream(), sorted(random.integers(0, frames + 1, 3))
        for first, last in pairwise([0, *cuts, frames]):
            open_stream.push(fast[4 * first : 4 * last], wide[first:last], roots[first:last])
        streamed = open_stream.finish()
        for name in ("lead", "tones", "strokes", "colours"):
            np.testing.assert_array_equal(getattr(streamed, name), getattr(transcription, name))
    empty = transcriber.transcribe(*(np.zeros((0, bands), np.float32) for bands in (252, 32, 64)))
    assert len(empty.lead) == len(empty.strokes) == 0


def test_a_stream_keeps_at_most_a_piece_and_its_margins(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="torch writes networks with onnx")
    from soundalike.backbones.analysis.transcriber import Transcriber
    from soundalike.train.transcriber.export import export

    export(PitchNetwork().eval(), StrokeNetwork().eval(), ColourNetwork().eval(), tmp_path)
    open_stream = Transcriber(tmp_path).open_stream()
    for _ in range(40):
        open_stream.push(
            np.zeros((512, 32), np.float16), np.zeros((128, 64), np.float16), np.zeros((128, 252), np.float16)
        )
        assert sum(len(frames) for frames in open_stream._pitch._waiting) <= 512 + 2 * 96 + 128
    assert len(open_stream.finish().lead) == 40 * 128


def test_the_ground_truth_as_a_score() -> None:
    from soundalike.train.transcriber.targets import write_score

    parts = {"lead": (Played(0.5, 1.0, 60, 80),), "drums": (Played(0.25, 0.3, 36, 99),)}
    truth = SimpleNamespace(parts=parts, chords=(SoundingChord(0.0, 2.0, 9, "min"),))
    notes, chords = write_score(truth)  # type: ignore[arg-type]
    np.testing.assert_allclose(notes, [(0, 0.5, 1, 60, 80), (3, 0.25, 0.3, 36, 99)], rtol=1e-6)
    np.testing.assert_allclose(chords, [(0, 2, 9, 1)])
