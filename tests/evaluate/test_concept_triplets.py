"""Triplets of concepts and masks against naive loops, Kiviat diagrams, and the printed numbers."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.evaluate.concepts import alike_triplets, all_masks, mask_outcomes, masks_of, triplet_distances
from soundalike.evaluate.estimates import clopper_pearson
from soundalike.evaluate.kiviat import draw_kiviat
from soundalike.evaluate.printed import printed_remarks, printed_tables

SIX = ("genre", "mood", "instrument", "era", "tempo", "key")


def test_triplets_are_alike_known_and_of_other_songs() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(-1, 4, 40)
    alike = np.where((kinds[:, None] >= 0) & (kinds >= 0), kinds[:, None] == kinds, -1).astype(np.int8)
    songs = [f"song {number // 2}" for number in range(40)]
    triplets = alike_triplets(alike, songs, seed=3, count=500)
    assert triplets.shape == (500, 3)
    for anchor, positive, negative in triplets:
        assert kinds[anchor] == kinds[positive] >= 0 and kinds[negative] >= 0 and kinds[anchor] != kinds[negative]
        assert songs[anchor] != songs[positive] and songs[anchor] != songs[negative]
    turns = Counter(triplets[:, 0].tolist()).values()
    assert max(turns) - min(turns) <= 1, "anchors take turns"
    assert np.array_equal(triplets, alike_triplets(alike, songs, seed=3, count=500))
    assert not np.array_equal(triplets, alike_triplets(alike, songs, seed=4, count=500))


@pytest.mark.parametrize("alike", [np.ones((3, 3)), np.eye(3), np.full((3, 3), -1)])
def test_one_class_or_no_pairs_are_one_clear_line(alike: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"^tempo gives no triplets: [03] of 3 recordings have a label; expected"):
        alike_triplets(alike, ["a", "b", "c"], seed=0, what="tempo")


def test_masks_are_all_combinations() -> None:
    masks = all_masks(SIX)
    naive = [set(one) for one in chain.from_iterable(combinations(SIX, size) for size in range(1, 7))]
    assert len(masks) == 63 and [set(mask) for mask in masks.values()] == naive
    assert masks["all"] == SIX and masks["genre + key"] == ("genre", "key")
    assert list(masks_of(SIX)) == [*SIX, "all"] and masks_of(SIX)["all"] == SIX
    assert all_masks(["tempo"]) == {"tempo": ("tempo",)}


def test_outcomes_are_those_of_distances_in_masked_embeddings() -> None:
    rng = np.random.default_rng(1)
    embedding = rng.normal(size=(30, 12))
    rows = {name: embedding[:, 2 * at : 2 * at + 2] for at, name in enumerate(SIX)}
    triplets = np.stack([rng.permutation(30)[:3] for _ in range(50)])
    masks = all_masks(SIX)
    found = mask_outcomes(rows, triplets, masks)
    for at, mask in enumerate(masks.values()):
        kept = np.repeat([name in mask for name in SIX], 2)
        for m, (a, p, n) in enumerate(triplets):
            near, far = (math.dist(embedding[a] * kept, embedding[other] * kept) for other in (p, n))
            assert found[m, at] == float(near < far)
    positives, negatives = triplet_distances(embedding, triplets)
    assert np.array_equal(found[:, -1], positives < negatives)
    one, silent = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [0.0], [1.0]])
    assert mask_outcomes({"x": one[[0, 1, 1]]}, np.array([[0, 1, 2]]), {"x": ("x",)}).tolist() == [[0.5]]
    found = mask_outcomes({"x": one, "y": silent}, np.array([[0, 1, 2]]), masks_of(["x", "y"]))
    assert found.tolist() == [[1.0, 0.5, 1.0]], "an inaudible row decides nothing"


def test_kiviat(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    lines = {"printed": [75.35, 75.35, 69.01, 75.59, 57.98, 63.62], "measured": [60.0, math.nan, 50, 40, 100, 0]}
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        draw_kiviat(SIX, lines, path, title="Figure 3")
    picture = (tmp_path / "a.png").read_bytes()
    assert picture[:4] == b"\x89PNG" and picture == (tmp_path / "b.png").read_bytes()
    draw_kiviat(SIX, lines, tmp_path / "c.svg", chance=None)
    svg = (tmp_path / "c.svg").read_text()
    assert all(f"<!-- {name} -->" in svg for name in (*SIX, *lines)) and "<!-- chance -->" not in svg
    with pytest.raises(UsageError, match="three dimensions at least; there are 2: tempo, key"):
        draw_kiviat(SIX[4:], {}, tmp_path / "d.png")
    with pytest.raises(ValueError, match="expected 6 scores from 0 to 100"):
        draw_kiviat(SIX, {"printed": [101.0] * 6}, tmp_path / "d.png")
    with pytest.raises(UsageError, match=r"must end in \.png, \.svg or \.pdf"):
        draw_kiviat(SIX, lines, tmp_path / "d.txt")


def test_printed_numbers_are_counts_of_426_triplets() -> None:
    tables = printed_tables("concepts")
    values = [value for table in tables.values() for row in table.values for value in row]
    assert len(values) == 18
    for value in values:
        assert abs(round(value / 100 * 426) / 426 - value / 100) < 5.1e-5
    models, single = tables["models"], tables["dimensions"]
    assert models.values[models.rows.index("6 dimensions, multi-input, 384")] == (83.80,)
    assert round(0.8192 * 426) == 349 and round(0.8380 * 426) == 357 and round(0.7958 * 426) == 339
    assert "357 for the best network, 349 for the baseline and 339 for OpenL3" in printed_remarks("concepts")[0]
    interval = clopper_pearson(np.array([357]), np.array([426]))
    assert (round(100 * interval.low[0], 1), round(100 * interval.high[0], 1)) == (80.0, 87.2)
    assert round(426 * float(interval.high[0] - interval.low[0])) == 31
    assert single.rows == SIX and single.values[SIX.index("tempo")] == (57.98,)
