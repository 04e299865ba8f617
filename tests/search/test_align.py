"""Alignment finds what was done to a passage: transposition, tempo and offset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import tune, write
from soundalike.core.types import Span
from soundalike.search.align import align

NOTES = np.random.default_rng(1).integers(55, 80, 40).tolist()


def made(path: Path, semitones: int = 0, ratio: float = 1.0, lead: float = 0.0, pitched: bool = True) -> Span:
    beat, seconds = 0.5 / ratio, 10 / ratio
    drums = [0, 3, 4, 6]
    samples = tune([n + semitones for n in NOTES], seconds=seconds, beat=beat, drums=drums, seed=semitones + 9,
                   harmonics=6 if pitched else 0)  # fmt: skip
    write(path, np.concatenate([np.zeros(round(lead * 22050), np.float32), samples]))
    return Span(str(path), 0.0, lead + seconds)


@pytest.mark.parametrize(
    ("semitones", "ratio", "lead"),
    [(0, 1.0, 0.0), (5, 1.0, 0.0), (-4, 1.0, 2.0), (3, 1.06, 1.0), (-6, 0.9, 0.5), (0, 1.1, 4.0), (2, 0.9, 3.0)],
)
def test_what_was_done_is_found(tmp_path: Path, semitones: int, ratio: float, lead: float) -> None:
    found = align(made(tmp_path / "a.wav"), made(tmp_path / "b.wav", semitones, ratio, lead))
    assert found is not None
    assert found.semitones == semitones
    assert found.tempo_ratio == pytest.approx(ratio, abs=0.01)
    assert found.offset == pytest.approx(lead, abs=0.1)
    assert found.agreement > 0.3


def test_the_other_way_round_is_the_inverse(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a.wav"), made(tmp_path / "b.wav", 3, 1.06, 1.0)
    back = align(b, a)
    assert back is not None
    assert back.semitones == -3
    assert back.tempo_ratio == pytest.approx(1 / 1.06, abs=0.01)
    assert back.offset == pytest.approx(-1.06, abs=0.1)


def test_a_span_inside_a_file(tmp_path: Path) -> None:
    whole = made(tmp_path / "a.wav")
    found = align(Span(whole.track, 2.0, 9.0), whole)
    assert found is not None
    assert (found.semitones, found.tempo_ratio) == (0, pytest.approx(1.0, abs=0.005))
    assert found.offset == pytest.approx(2.0, abs=0.05)


def test_drums_alone_line_up(tmp_path: Path) -> None:
    a = made(tmp_path / "a.wav", pitched=False)
    b = made(tmp_path / "b.wav", 0, 1.05, 1.0, pitched=False)
    found = align(a, b)
    assert found is not None
    assert found.tempo_ratio == pytest.approx(1.05, abs=0.01)


def test_silence_lines_up_with_nothing(tmp_path: Path) -> None:
    write(tmp_path / "silent.wav", np.zeros(22050 * 5))
    silent = Span(str(tmp_path / "silent.wav"), 0.0, 5.0)
    assert align(silent, silent) is None
    assert align(made(tmp_path / "a.wav"), silent) is None
