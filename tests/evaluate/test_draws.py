"""Triplets of the probes: laws of our draws, and the counts of MERIT's own code on the same vectors.

`merit_probes.json` was recorded with MERIT's code; its field "how" says how.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.types import Calibration, Item, Space
from soundalike.evaluate.base import EncodedClips
from soundalike.evaluate.draws import (
    CLASS_ROWS,
    PAIR_ROWS,
    draw_pairs,
    draw_triplets,
    published_pairs,
    published_triplets,
    shares_label,
)
from soundalike.evaluate.label_probe import LabelProbe, Measured, measure, triplets_of_row
from soundalike.evaluate.ranking import average_precision_at, chance_precision_at
from soundalike.evaluate.recordings import item_span
from soundalike.evaluate.tuned_weights import simplex, tune_weights

RECORDED = json.loads(Path(__file__).with_name("merit_probes.json").read_text())
SIZES = {"raw": (12, 1), "melody": (8, 2), "rhythm": (8, 3), "timbre": (8, 4)}

clips = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "a,b"]), st.sampled_from("12345")), min_size=2, max_size=24)


@given(clips, st.booleans(), st.integers(1, 4), st.integers(0, 9))
def test_drawn_triplets_are_what_they_should_be(
    given_clips: list[tuple[str, str]], same_song: bool, most: int, seed: int
) -> None:
    labels, songs = [label for label, _ in given_clips], [song for _, song in given_clips]
    sets = [set(label.split(",")) for label in labels]
    found = draw_triplets(labels, songs, same_song=same_song, most=most, seed=seed)
    assert np.array_equal(found, draw_triplets(labels, songs, same_song=same_song, most=most, seed=seed))
    assert len(np.unique(found, axis=0)) == len(found)
    for anchor, positive, negative in found.tolist():
        assert sets[anchor] & sets[positive] and songs[anchor] != songs[positive]
        assert not sets[anchor] & sets[negative] and (not same_song or songs[anchor] == songs[negative])
    for query in range(len(labels)):
        others = range(len(labels))
        positives = [n for n in others if sets[n] & sets[query] and songs[n] != songs[query]]
        negatives = [n for n in others if not sets[n] & sets[query] and (not same_song or songs[n] == songs[query])]
        assert (found[:, 0] == query).sum() == min(most, len(positives)) * min(most, len(negatives))


@given(st.integers(2, 12), st.integers(1, 30), st.integers(0, 9))
def test_both_versions_of_a_pair_meet_the_same_negatives(count: int, most: int, seed: int) -> None:
    labels = [str(number // 2) for number in range(2 * count)]
    pairs = [(2 * number, 2 * number + 1) for number in range(count)]
    found = draw_pairs(pairs, labels, most, seed)
    assert len(found) == 2 * count * min(most, 2 * count - 2)
    for first, second in pairs:
        here = [found[found[:, 0] == anchor] for anchor in (first, second)]
        assert here[0][:, 1].tolist() == [second] * len(here[0]) and here[1][:, 1].tolist() == [first] * len(here[1])
        assert here[0][:, 2].tolist() == here[1][:, 2].tolist()
        assert not {labels[negative] for negative in here[0][:, 2]} & {labels[first]}


def test_further_versions_are_no_negatives_of_ours_but_of_the_code() -> None:
    labels = ["a", "a", "a", "b"]
    assert set(draw_pairs([(0, 1)], labels)[:, 2]) == {3}
    assert set(published_pairs([(0, 1)], 4, ["raw"])["raw"][:, 2]) == {2, 3}


@given(clips)
def test_shared_labels_equal_a_plain_loop(given_clips: list[tuple[str, str]]) -> None:
    sets = [set(label.split(",")) for label, _ in given_clips]
    assert shares_label([label for label, _ in given_clips]).tolist() == [
        [bool(one & two) for two in sets] for one in sets
    ]


@given(st.lists(st.sampled_from("ab"), min_size=2, max_size=9), st.integers(1, 12), st.integers(0, 50))
def test_average_precision_at_k_equals_a_plain_loop_and_its_chance(labels: list[str], k: int, seed: int) -> None:
    right = shares_label(labels)
    allowed = ~np.eye(len(labels), dtype=np.bool_)
    similarity = np.random.default_rng(seed).random(right.shape)
    found = average_precision_at(similarity, allowed, right, k)
    for query in range(len(labels)):
        others = sorted((n for n in range(len(labels)) if n != query), key=lambda n: -similarity[query, n])
        hits = [right[query, n] for n in others]
        if not any(hits):
            assert np.isnan(found[query])
            continue
        precision = [sum(hits[: n + 1]) / (n + 1) for n in range(min(k, len(hits))) if hits[n]]
        assert found[query] == pytest.approx(sum(precision) / min(k, sum(hits)))


def test_chance_of_the_average_precision_is_the_mean_over_random_rankings() -> None:
    labels = ["a"] * 3 + ["b"] * 6
    right, allowed = shares_label(labels), ~np.eye(9, dtype=np.bool_)
    random = np.random.default_rng(0)
    found = np.mean([average_precision_at(random.random((9, 9)), allowed, right, 4) for _ in range(4000)], axis=0)
    assert chance_precision_at(allowed, right, 4) == pytest.approx(found, abs=0.01)


# MERIT's code -------------------------------------------------------------------------------------------------------


def vectors(count: int, dim: int, salt: int) -> np.ndarray:
    """The unit vectors on which MERIT's code was run."""

    def coordinate(i: int, j: int) -> float:
        return (i * 7919 + j * 104729 + salt * 1299709 + i * j * 31) * 2654435761 % 2**32 / 2**32 - 0.5

    rows = np.array([[coordinate(i, j) for j in range(dim)] for i in range(count)], dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def encoded(paths: list[str], *spaces: str) -> tuple[EncodedClips, list[Item]]:
    """The recorded vectors of some paths, as encoded clips."""
    level = Calibration(0.0, 1.0, tuple(np.linspace(-1, 1, 101)))
    items = [Item(Path(path)) for path in paths]
    found = tuple(
        Space("m", name, "mix", "b", "f", "identity", SIZES[name][0], {"track": level, "passage": level})
        for name in spaces
    )
    rows = {name: vectors(len(paths), *SIZES[name]) for name in spaces}
    return EncodedClips("m", "0" * 16, found, {item_span(item): n for n, item in enumerate(items)}, rows), items


def run(kind: str, labels: list[str], triplets, keep: list[int], spaces: tuple[str, ...]) -> Measured:
    clips_, items = encoded(RECORDED[kind]["paths"], *spaces)
    probe = LabelProbe(
        protocol=kind,
        title="",
        items=[Item(items[n].path, labels={"label": labels[n]}) for n in keep],
        groups=[str(n) for n in keep],
        triplets=triplets_of_row(triplets),
        classes=(),
        candidates=~np.eye(len(keep), dtype=np.bool_),
        options="",
    )
    args = SimpleNamespace(fusion=len(spaces) > 1, weights="published" if len(spaces) > 1 else None, seed=0)
    return measure(probe, clips_, args)


def rows_of_code(kind: str, labels: list[str], triplets, keep: list[int]):
    """Outcomes, average precision and anchors by row of MERIT's code; of fusions those of vectors."""
    for spaces in (("raw",), ("melody", "rhythm", "timbre")):
        found = run(kind, labels, triplets, keep, spaces)
        for column, row in enumerate(found.rows):
            if not row.startswith("fused scores"):
                name = row.removeprefix("fused vectors: ")
                yield name, found.outcomes(0.0)[:, column], found.precision[:, column], found.anchors


@pytest.mark.parametrize("kind", ["musdb", "ballroom"])
def test_published_classes_give_the_numbers_of_the_code(kind: str) -> None:
    paths = [Path(path) for path in RECORDED[kind]["paths"]]
    labels = [path.stem if kind == "musdb" else path.parent.name for path in paths]
    keep = [n for n, label in enumerate(labels) if label != "mixture"]
    kept = [labels[n] for n in keep]
    names = []
    for name, outcomes, _, anchors in rows_of_code(kind, labels, published_triplets(kept, CLASS_ROWS), keep):
        expected = RECORDED[kind]["results"][name]
        assert len(outcomes) == expected["n_triplets"]
        assert round(outcomes.mean(), 4) == expected["triplet_accuracy"], name
        of_anchor = np.array(kept)[anchors]
        for label, accuracy in expected["per_class_accuracy"].items():
            assert round(outcomes[of_anchor == label].mean(), 4) == accuracy, (name, label)
        names.append(name)
    assert sorted(names) == sorted(RECORDED[kind]["results"]) and len(names) == 9


def test_published_pairs_give_the_numbers_of_the_code() -> None:
    paths = [Path(path) for path in RECORDED["covers80"]["paths"]]
    labels = [path.parent.name for path in paths]
    pairs = [(labels.index(song), labels.index(song) + 1) for song in dict.fromkeys(labels)]
    triplets = published_pairs(pairs, len(paths), PAIR_ROWS)
    names = []
    for name, outcomes, _, _ in rows_of_code("covers80", labels, triplets, list(range(len(paths)))):
        expected = RECORDED["covers80"]["results"][name]
        assert len(outcomes) == expected["n_triplets"]
        assert round(outcomes.mean(), 4) == expected["triplet_accuracy"], name
        names.append(name)
    assert len(names) == 9
    unit = [vectors(len(paths), *SIZES[name]) for name in ("melody", "rhythm", "timbre")]
    for song, *similarities in RECORDED["covers80"]["profiles"]:
        first = labels.index(song)
        assert [float(rows[first] @ rows[first + 1]) for rows in unit] == pytest.approx(similarities, abs=6e-5)


def test_the_average_precision_of_tags_is_that_of_the_code() -> None:
    tags = RECORDED["jamendo"]["labels"]
    labels = [",".join(own) for own in tags]
    keep = list(range(len(labels)))
    triplets = draw_triplets(labels, [str(n) for n in keep], same_song=False)
    for name, _, precision, _ in rows_of_code("jamendo", labels, triplets, keep):
        expected = RECORDED["jamendo"]["results"][name]
        for tag, value in expected["per_tag_map10"].items():
            assert precision[[tag in own for own in tags]].mean() == pytest.approx(value, abs=6e-5), (name, tag)


# Tuned weights ------------------------------------------------------------------------------------------------------


def test_the_simplex_holds_every_weight_once() -> None:
    weights = simplex(3)
    assert len(weights) == 66 and len(np.unique(weights, axis=0)) == 66
    assert weights.sum(axis=1) == pytest.approx(np.ones(66)) and (weights >= 0).all()


def test_tuning_finds_the_space_that_is_right() -> None:
    clips_, items = encoded(RECORDED["covers80"]["paths"], "melody", "rhythm")
    rows = clips_.rows["melody"].copy()
    rows[1::2] = rows[0:-1:2]  # every second clip equals the one before it
    clips_ = EncodedClips("m", "0" * 16, clips_.spaces, clips_.index, {**clips_.rows, "melody": rows})
    order = np.arange(len(items))
    triplets = draw_pairs([(n, n + 1) for n in range(0, 20, 2)], [str(n // 2) for n in order])
    weights, note = tune_weights(clips_, order, triplets, [str(n // 2) for n in triplets[:, 0]])
    assert weights == "melody=1" and "right on 100.0 %" in note and note.endswith("in 5 parts: 99.3 %.")
