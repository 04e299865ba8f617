"""Simulated listeners who judge single instruments: what they compare decides, and silent segments are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from similarity_songs import SETTINGS, STEMS, write_songs

from soundalike.core.errors import UsageError
from soundalike.reproduce.simulated_listeners import simulate_judgements
from soundalike.train.metric.material import Material, load_material

SECONDS = 0.3


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"), (1, 1, 6))


@pytest.fixture(scope="module")
def material(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return load_material(songs, SETTINGS, tmp_path_factory.mktemp("cache"), jobs=1)


def test_half_of_the_judgements_share_a_song(songs: Path, material: Material) -> None:
    pieces = material.songs["test"]
    found = simulate_judgements(songs, pieces, tuple(STEMS), 30, SECONDS, seed=0)
    assert found == simulate_judgements(songs, pieces, tuple(STEMS), 30, SECONDS, seed=0)
    names = {piece.name for piece in pieces}
    for instrument in STEMS:
        for test in ("XAB", "XYC"):
            own = [one for one in found if (one.instrument, one.test) == (instrument, test)]
            assert len(own) == 30
            for one in own:
                heard = [one.reference.song, *(place.song for place in one.samples)]
                assert set(heard) <= names and 3 <= sum(one.votes) <= 9
                assert len(set(heard)) == (3 if test == "XAB" else 2)
    # Two segments of one song are made of the same programs and pitches, so listeners prefer them.
    agreed = [found for one in found if one.test == "XYC" and (found := one.preference())]
    same = np.mean([one.positive.song == one.anchor.song for one in agreed])
    assert len(agreed) > 45 and same > 0.7


def test_segments_without_the_instrument_are_not_judged(songs: Path, material: Material) -> None:
    pieces = []
    for piece in material.songs["test"]:
        active = piece.active.copy()
        active[0, : active.shape[1] // 2] = False
        pieces.append(replace(piece, active=active))
    found = simulate_judgements(songs, pieces, ("bass", "piano", "other"), 10, SECONDS, seed=0)
    starts = [place.start for one in found if one.instrument == "bass" for place in (one.reference, *one.samples)]
    assert min(starts) > 0.8 and any(one.reference.start < 0.8 for one in found if one.instrument == "piano")


def test_too_few_songs_are_named(songs: Path, material: Material) -> None:
    silent = [replace(piece, active=np.zeros_like(piece.active)) for piece in material.songs["test"]]
    with pytest.raises(UsageError, match="bass sounds in 0 of 6 test songs; expected at least 3 songs"):
        simulate_judgements(songs, silent, tuple(STEMS), 5, SECONDS, seed=0)
