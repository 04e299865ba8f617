"""The times of passages in a region count from the start of the recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import soundalike
from soundalike.models import Model

RATE = 22050


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s: a new note every half second."""
    path, time = tmp_path_factory.mktemp("regions") / "song.wav", np.arange(RATE // 2) / RATE
    notes = np.random.default_rng(4).integers(0, 24, 80)
    played = [0.4 * np.sin(2 * np.pi * 220 * 2 ** (note / 12) * time) * np.exp(-4 * time) for note in notes]
    soundfile.write(path, np.concatenate(played), RATE)
    return path


def test_passages_of_a_region(song: Path) -> None:
    encoding = Model.load("dsp").encode(song, start=12.0, end=31.5)
    expected = [(12.0, 22.0), (17.0, 27.0), (22.0, 31.5)]
    assert [(span.start, round(span.end, 6)) for span in encoding.passages.spans] == expected
    (track,) = encoding.track.spans
    assert (track.start, track.end) == pytest.approx((12.0, 31.5))


def test_a_region_has_the_rows_of_the_recording(song: Path) -> None:
    """A passage at 15 s is the same whether the recording or a region is encoded."""
    model = Model.load("dsp")
    whole, region = model.encode(song), model.encode(song, start=15.0, end=25.0)
    place = [span.start for span in whole.passages.spans].index(region.passages.spans[0].start)
    for name, rows in region.passages.rows.items():
        similarity = float(rows[0] @ whole.passages.rows[name][place])
        assert similarity > 0.98, name
        assert similarity == max(float(rows[0] @ row) for row in whole.passages.rows[name])


def test_compare_shows_the_times_of_the_recording(song: Path) -> None:
    found = soundalike.compare(song, song, region=(20.0, 30.0), region_b=(10.0, 40.0), model="dsp")
    assert found.match.query_span is not None and found.match.query_span.start == 20.0
    assert (found.match.span.start, found.match.span.end) == (20.0, 30.0)
    for pair in found.pairs.values():
        assert pair is not None
        assert (pair.a.start, pair.a.end, pair.b.start, pair.b.end) == (20.0, 30.0, 20.0, 30.0)
