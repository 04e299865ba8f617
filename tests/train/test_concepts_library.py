"""Concepts learned from tags: training against naive loops, wrong and missing tags, suggestions, the model folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundalike.backbones import FeatureRows
from soundalike.backbones.base import Features
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import Descriptors
from soundalike.models import Model
from soundalike.train.concepts.discriminants import find_discriminants, pair_scatter
from soundalike.train.concepts.labels import TrackLabels
from soundalike.train.concepts.library_model import CONCEPTS_FILE, ConceptInput, read_calibrations, write_concepts
from soundalike.train.concepts.library_settings import LibrarySettings
from soundalike.train.concepts.library_tracks import LibraryTracks, fold_numbers
from soundalike.train.concepts.library_training import (
    Components,
    LearnedConcepts,
    learn_concepts,
    triplet_shares,
)

SETTINGS = LibrarySettings(dim=8, folds=3)
KINDS = ("Jazz", "Rock", "Folk")
TRACKS, PASSAGES, DIMS = 90, 3, 40


def make_tracks(*, wrong: float = 0.0, missing: float = 0.0, related: bool = True) -> LibraryTracks:
    """Tracks of three genres, which differ in three dims of noise, and of eras that have nothing to do with them."""
    random = np.random.default_rng(5)
    genre = np.arange(TRACKS) % 3
    passages = random.standard_normal((TRACKS, PASSAGES, DIMS))
    passages[np.arange(TRACKS), :, genre if related else random.permutation(genre)] += 2.5
    told = np.where(random.random(TRACKS) < wrong, random.integers(0, 3, TRACKS), genre)
    known = random.random(TRACKS) >= missing
    labels = [
        TrackLabels(genre=(KINDS[one],) if there else (), era=("1990s",))
        for one, there in zip(told, known, strict=True)
    ]
    return LibraryTracks(
        passages.reshape(-1, DIMS).astype(np.float32),
        np.repeat(np.arange(TRACKS), PASSAGES),
        tuple(labels),
        tuple(f"artist {n // 3}" for n in range(TRACKS)),
    )


@pytest.fixture(scope="module")
def learned() -> LearnedConcepts:
    """Genre, learned from tracks whose genres can be heard; era, of which there is one kind, and mood."""
    return learn_concepts(make_tracks(), ("genre", "mood", "era"), SETTINGS)


def test_what_can_be_heard_is_learned(learned: LearnedConcepts) -> None:
    held_out = learned.concepts["genre"].held_out
    assert len(held_out.accuracy) == TRACKS and held_out.accuracy.mean() > 0.85
    assert len(held_out.tags_right) == TRACKS and held_out.tags_right.mean() > 0.75
    assert held_out.tags_chance == pytest.approx(1 / 3)


def test_a_concept_without_enough_labels_says_what_is_missing(learned: LearnedConcepts) -> None:
    assert learned.lacking["mood"] == "0 tracks are labelled; 20 more are needed"
    assert "all 90 labelled tracks are alike (1990s)" in learned.lacking["era"]
    with pytest.raises(UsageError, match=r"no concept can be learned from this library \(mood: 0 tracks are labelled"):
        learn_concepts(make_tracks(), ("mood",), SETTINGS)


def test_a_concept_of_which_groups_hold_only_one_kind() -> None:
    tracks = make_tracks()
    together = replace(tracks, groups=tuple(f"artist {n % 3}" for n in range(TRACKS)))  # an artist per genre
    with pytest.raises(UsageError, match=r"0 labelled tracks have others .* 20 more are needed \(Jazz: 30"):
        learn_concepts(together, ("genre",), SETTINGS)


def test_labels_that_mean_nothing_are_left_out() -> None:
    with pytest.raises(
        UsageError, match=r"genre: (4|5)\d\.\d % of the triplets of 90 held-out tracks are right, and 55"
    ):
        learn_concepts(make_tracks(related=False), ("genre",), SETTINGS)


def test_wrong_and_missing_tags(learned: LearnedConcepts) -> None:
    """Held-out tracks are judged by their true genres: wrong labels of them would count as errors."""
    truth = make_tracks().labels
    wrong, missing = (
        learn_concepts(tracks, ("genre",), SETTINGS, truth=truth).concepts["genre"]
        for tracks in (make_tracks(wrong=0.2), make_tracks(missing=0.2))
    )
    for held_out in (wrong.held_out, missing.held_out):
        assert len(held_out.accuracy) == len(held_out.tags_right) == TRACKS
        assert held_out.accuracy.mean() > 0.8 and held_out.tags_right.mean() > 0.7
    assert missing.labelled < wrong.labelled == TRACKS
    by_its_own = learn_concepts(make_tracks(wrong=0.2), ("genre",), SETTINGS).concepts["genre"].held_out
    assert by_its_own.accuracy.mean() < wrong.held_out.accuracy.mean() - 0.03
    same = learn_concepts(make_tracks(), ("genre",), SETTINGS, truth=truth).concepts["genre"].held_out
    np.testing.assert_array_equal(same.accuracy, learned.concepts["genre"].held_out.accuracy)


def test_the_same_seed_gives_the_same_projection(learned: LearnedConcepts) -> None:
    again = learn_concepts(make_tracks(), ("genre",), SETTINGS).concepts["genre"]
    np.testing.assert_array_equal(again.head.weight, learned.concepts["genre"].head.weight)
    other = learn_concepts(make_tracks(), ("genre",), replace(SETTINGS, seed=1)).concepts["genre"]
    assert not np.array_equal(other.held_out.accuracy, again.held_out.accuracy)  # other folds


def test_folds_keep_groups_together() -> None:
    groups = np.random.default_rng(0).integers(0, 20, 200)
    folds = fold_numbers(groups, 4, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in range(20))
    assert np.bincount(folds).min() > 30


def test_components_are_white_and_the_same_from_both_gram_matrices() -> None:
    random = np.random.default_rng(0)
    tall = (random.standard_normal((60, 8)) * np.arange(1, 9)).astype(np.float32)
    found = Components.of(tall, 8, seed=0).apply(tall)
    assert np.abs(found.mean(axis=0)).max() < 1e-4
    covariance = found.T @ found / 60
    assert np.abs(covariance - np.diag(covariance.diagonal())).max() < 1e-4
    # Columns that are repeated change the scale of all components alike, and make the matrix wide.
    wide = np.tile(tall, (1, 10))
    again = Components.of(wide, 8, seed=0).apply(wide)
    ratio = (again @ again.T) / (found @ found.T)
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-2)


def test_scatter_of_pairs_against_loops() -> None:
    random = np.random.default_rng(0)
    rows, kind = random.standard_normal((9, 3)), np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    pairs = (kind[:, None] == kind).astype(float) - np.eye(9)
    total, weights = np.zeros((3, 3)), 0.0
    for i in range(9):
        for j in range(9):
            if pairs[i, j]:
                weight = (1 / pairs[i].sum() + 1 / pairs[j].sum()) / 2
                total, weights = total + weight * np.outer(rows[i] - rows[j], rows[i] - rows[j]), weights + weight
    np.testing.assert_allclose(pair_scatter(rows, pairs), total / weights)
    assert not pair_scatter(rows, np.zeros((9, 9))).any()


def test_discriminants_find_the_dims_that_differ() -> None:
    random = np.random.default_rng(0)
    kind = np.arange(60) % 3
    rows = random.standard_normal((60, 10))
    rows[np.arange(60), kind] += 4.0
    found = find_discriminants(rows, (kind[:, None] == kind).astype(np.int8), 4, floor=0.1)
    assert found.shape == (4, 10)
    size = np.linalg.norm(found, axis=0)
    assert size[:3].min() > 2 * size[3:].max()


def test_shares_of_triplets_against_loops() -> None:
    random = np.random.default_rng(1)
    rows = np.round(random.standard_normal((14, 2)))  # with ties
    kind, groups = random.integers(0, 3, 14), random.integers(0, 6, 14)
    related = (kind[:, None] == kind).astype(np.int8)
    related[3, :] = related[:, 3] = -1
    anchors, shares = triplet_shares(rows, related, groups)
    expected = {}
    for a in range(14):
        right = []
        for p in range(14):
            for n in range(14):
                if related[a, p] == 1 and related[a, n] == 0 and groups[a] != groups[p] and groups[a] != groups[n]:
                    right.append(np.heaviside(rows[a] @ rows[p] - rows[a] @ rows[n], 0.5))
        if right:
            expected[a] = np.mean(right)
    assert anchors.tolist() == list(expected) and 3 not in anchors
    np.testing.assert_allclose(shares, list(expected.values()))


def features_of(passages: np.ndarray, blocks: dict[str, int]) -> FeatureRows:
    parts = np.split(passages, np.cumsum(list(blocks.values()))[:-1], axis=1)
    there = np.ones(len(passages), np.bool_)
    rows = dict(zip(blocks, parts, strict=True))
    return Features(np.zeros((len(passages), 2)), rows, dict.fromkeys(blocks, there), Descriptors(), 10.0)


@pytest.fixture(scope="module")
def timbres() -> LibraryTracks:
    """The tracks of `make_tracks`, with as many dims as the feature timbre of `dsp`."""
    tracks = make_tracks()
    size = Model.load("dsp").backbones["dsp"].dims["timbre"]
    padded = np.zeros((len(tracks.passages), size), np.float32)
    padded[:, :DIMS] = tracks.passages
    return replace(tracks, passages=padded)


def test_the_model_that_is_written(timbres: LibraryTracks, tmp_path: Path) -> None:
    learned = learn_concepts(timbres, ("genre", "mood"), SETTINGS)
    base = Model.load("dsp")
    source = ConceptInput(base.recipe, base.backbones["dsp"], "timbre", stacked=False)
    write_concepts(tmp_path / "concepts", "concepts", "CC0-1.0", learned, timbres, source, 0)
    model = Model.load(tmp_path / "concepts")
    assert [space.name for space in model.spaces] == ["genre"] and model.recipe.licence == "CC0-1.0"
    rows = model.project({"dsp": features_of(timbres.passages, {"timbre": timbres.passages.shape[1]})})["genre"]
    head = learned.concepts["genre"].head
    np.testing.assert_array_equal(rows, head(timbres.passages, np.ones(len(rows), np.bool_)))
    facts = json.loads((tmp_path / "concepts" / CONCEPTS_FILE).read_text())
    assert facts["lacking"] == {"mood": "0 tracks are labelled; 20 more are needed"}
    assert "n/a: 0 tracks are labelled" in (tmp_path / "concepts" / "card.md").read_text()
    assert read_calibrations(tmp_path / "concepts")["genre"] == learned.concepts["genre"].calibration
    for change, message in (
        (lambda file: file.write_text("{}"), "cannot be read"),
        (Path.unlink, "has no concepts.json"),
    ):
        change(tmp_path / "concepts" / CONCEPTS_FILE)
        with pytest.raises(ModelError, match=message):
            read_calibrations(tmp_path / "concepts")


def test_a_model_of_stems_is_refused(tmp_path: Path) -> None:
    base = Model.load("dsp")
    two = replace(base.recipe, backbone_versions={"dsp": 1, "other": 1})
    with pytest.raises(UsageError, match="concepts cannot be learned from dsp; expected a model whose spaces"):
        ConceptInput(two, base.backbones["dsp"], "timbre", stacked=True)
