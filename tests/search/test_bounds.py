"""Bounds of percentiles: the matches are those of a full scan that meet them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.core.errors import UsageError
from soundalike.core.types import Calibration, Space, Weights
from soundalike.library.folder import LibraryFolder
from soundalike.models import Model, Reference
from soundalike.models.score import percentiles
from soundalike.search.bounds import Bounds
from soundalike.search.compare import compare_encodings
from soundalike.search.compiled_query import CompiledQuery, ExampleTerms
from soundalike.search.query import Query, as_bounds
from soundalike.search.search import search_library


@pytest.mark.parametrize("level", ["track", "passage"])
def test_matches_are_the_best_that_meet_the_bounds(library: LibraryFolder, music: Path, level) -> None:
    """A bound on a space without a weight too; every k gives the first k of all."""
    song = music / "up" / "0.wav"
    everything = search_library(library, Query(song, weights="melody", by=level, k=100)).matches
    low, high = (sorted(match.spaces[name].percentile for match in everything)[5] for name in ("melody", "timbre"))
    expected = [
        match.path for match in everything
        if match.spaces["melody"].percentile >= low and match.spaces["timbre"].percentile <= high
    ]  # fmt: skip
    assert 0 < len(expected) < 7
    for k in (1, 2, 100):
        query = Query(song, weights="melody", by=level, k=k, at_least={"melody": low}, at_most={"compact/timbre": high})
        found = search_library(library, query)
        assert [match.path for match in found] == expected[:k]
        assert (found.at_least, found.at_most) == ({"melody": low}, {"timbre": high})


def test_percentages_of_spaces_are_those_of_the_passage_whatever_the_length_of_its_track(
    library: LibraryFolder, music: Path
) -> None:
    """The passage is the best of its track by its score, so its similarity in one space is an ordinary draw."""
    found = search_library(library, Query(music / "up" / "0.wav", weights="melody", by="passage", k=100))
    spaces = {space.name: space for space in library.model().spaces}
    for match in found:
        for name, part in match.spaces.items():
            if part.audible and part.similarity < 0.999:
                alone = percentiles(np.array(part.similarity), spaces[name].calibration["passage"])
                assert part.percentile == pytest.approx(float(alone), abs=1e-6)


def test_files_that_do_not_meet_the_bounds_are_not_looked_up(
    library: LibraryFolder, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(music / "up" / "0.wav", weights="melody", by="track", k=100, at_least={"melody": 90.0})
    expected = {match.path for match in search_library(library, query)}
    looked_up: set[str] = set()

    def note(path: Path) -> bool:
        looked_up.add(str(path))
        return True

    monkeypatch.setattr("soundalike.search.search.is_there", note)
    search_library(library, query)
    assert expected <= looked_up
    assert 0 < len(looked_up) < len(library.catalog.ids()) - 1


def test_a_space_that_is_not_audible_meets_no_bound() -> None:
    rows = {"a": np.array([[1, 0], [0, 0]], np.float32)}
    table = tuple(np.linspace(-1, 1, 101).tolist())
    calibration = dict.fromkeys(("track", "passage"), Calibration(0.0, 0.2, table))
    reference = Reference((Space("m", "a", "mix", "b", "a", "identity", 2, calibration),), "track")
    example = ExampleTerms("q.wav", True, Weights({"a": 1.0}), {"a": np.array([1, 0], np.float32)})
    compiled = CompiledQuery(reference, (example,), (), ())
    for bounds in (Bounds({"a": 0.0}, {}), Bounds({}, {"a": 100.0})):
        assert bounds.met(compiled, rows).tolist() == [True, False]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"at_least": "mood=5"},
            "unknown space 'mood' in --at-least; known: melody, rhythm, timbre, harmony",
        ),
        ({"at_most": {"mood": 5}}, "unknown space 'mood' in --at-most; known: melody"),
        ({"at_least": "melody=101"}, "the bound of melody is 101; expected a percentile of 0 to 100"),
        ({"at_most": {"melody": -1}}, "the bound of melody is -1; expected a percentile of 0 to 100"),
        ({"at_least": "melody"}, "cannot read the bound 'melody'; expected SPACE=PERCENTILE"),
        ({"at_least": "melody=50,melody=60"}, "melody has two bounds, 50 and 60; give one"),
        ({"at_least": "melody=80", "at_most": "melody=20"}, "melody is at least 80 and at most 20; no track can meet"),
        ({"at_least": 5}, "at_least is 5; expected a mapping"),
    ],
)
def test_wrong_bounds_are_errors(library: LibraryFolder, music: Path, fields, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        search_library(library, Query(music / "up" / "0.wav", **fields))


def test_bounds_read_as_text() -> None:
    assert as_bounds("rhythm=95, timbre=30") == {"rhythm": 95.0, "timbre": 30.0}
    assert as_bounds(None) is None


def test_alignment_says_nothing_without_pitch(tmp_path: Path) -> None:
    """Drums have onsets to align, but no melody and no harmony."""
    model = Model.load("dsp")
    silence = tune(TUNES["up"], seconds=12) * 0
    for name in ("a", "b"):
        random = np.random.default_rng(ord(name))
        samples = silence.copy()
        for beat in range(24):
            start = beat * 11025
            samples[start : start + 900] = 0.3 * random.standard_normal(900)
        write(tmp_path / f"{name}.wav", samples)
    a, b = (model.encode(tmp_path / f"{name}.wav") for name in ("a", "b"))
    found = compare_encodings(model, a, b, {"rhythm": 1.0}, level="track", aligned=True).match
    assert not found.spaces["melody"].audible and not found.spaces["harmony"].audible
    assert found.alignment is None
