"""Retrieval: measures against plain loops, chance levels against all orders, and folders and tables of labels."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_protocols import SPACES, evaluate

from soundalike.core.errors import UsageError
from soundalike.evaluate.protocols.retrieval import Labelled, read_csv, read_folders
from soundalike.evaluate.ranking import CUTS, among_best, chance_scores, hubness, occurrences, relevance, scores


def naive_scores(similarity: np.ndarray, labels: list[str], groups: list[str]) -> list[list[float]]:
    """A plain loop over queries and candidates, without ties."""
    rows = []
    for query in range(len(labels)):
        candidates = [
            other
            for other in range(len(labels))
            if other != query and not (groups[query] and groups[query] == groups[other])
        ]
        candidates.sort(key=lambda other: similarity[query, other], reverse=True)
        right = [labels[other] == labels[query] for other in candidates]
        if not any(right):
            continue
        precisions = [sum(right[: n + 1]) / (n + 1) for n in range(len(right)) if right[n]]
        cuts = [float(any(right[:cut])) for cut in CUTS]
        rows.append([sum(precisions) / len(precisions), *cuts, right.index(True) + 1])
    return rows


collections = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "y"])), min_size=2, max_size=14)


def symmetric(n: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed).random((n, n))
    return random + random.T


@given(collections, st.integers(0, 99))
def test_scores_equal_a_plain_loop(items: list[tuple[str, str]], seed: int) -> None:
    labels, groups = [label for label, _ in items], [group for _, group in items]
    similarity = symmetric(len(items), seed)
    expected = naive_scores(similarity, labels, groups)
    allowed, right = relevance(labels, groups)
    if not expected:
        assert not right.any()
        return
    found = scores(similarity, allowed, right, seed)
    assert found == pytest.approx(np.array(expected))
    assert ((found[:, :-1] >= 0) & (found[:, :-1] <= 1)).all()


@given(collections, st.integers(0, 99), st.randoms())
def test_the_order_of_the_files_does_not_matter(items: list[tuple[str, str]], seed: int, random) -> None:
    similarity = symmetric(len(items), seed)
    order = random.sample(range(len(items)), len(items))
    means = []
    for chosen in (list(range(len(items))), order):
        allowed, right = relevance([items[n][0] for n in chosen], [items[n][1] for n in chosen])
        if not right.any():
            return
        means.append(scores(similarity[np.ix_(chosen, chosen)], allowed, right).mean(axis=0))
    assert means[0] == pytest.approx(means[1])


def test_equal_similarities_score_at_chance_level() -> None:
    labels = ["a"] * 30 + ["b"] * 30  # sorted by label, as folders are
    allowed, right = relevance(labels, [""] * 60)
    found = np.mean([scores(np.zeros((60, 60)), allowed, right, seed).mean(axis=0) for seed in range(200)], axis=0)
    assert found == pytest.approx(chance_scores(allowed, right), rel=0.05)


@pytest.mark.parametrize(("candidates", "answers"), [(1, 1), (4, 1), (4, 3), (6, 2), (7, 7)])
def test_the_chance_level_is_the_mean_over_all_orders(candidates: int, answers: int) -> None:
    label = ["q"] + ["q"] * answers + [f"other {n}" for n in range(candidates - answers)]
    allowed, right = relevance(label, [""] * len(label))
    right[1:] = False  # one query is enough
    found = []
    for order in set(itertools.permutations([True] * answers + [False] * (candidates - answers))):
        precisions = [sum(order[: n + 1]) / (n + 1) for n in range(candidates) if order[n]]
        found.append(
            [sum(precisions) / answers, *(float(any(order[:cut])) for cut in CUTS), float(order.index(True) + 1)]
        )
    assert chance_scores(allowed, right) == pytest.approx(np.mean(found, axis=0))


@given(collections, st.integers(0, 99), st.integers(1, 5))
def test_occurrences_equal_a_plain_loop(items: list[tuple[str, str]], seed: int, k: int) -> None:
    similarity = symmetric(len(items), seed)
    allowed, _ = relevance([label for label, _ in items], [group for _, group in items])
    expected = [0] * len(items)
    for query in range(len(items)):
        nearest = sorted(np.flatnonzero(allowed[query]), key=lambda other: -similarity[query, other])
        for other in nearest[:k]:
            expected[other] += 1
    assert occurrences(similarity, allowed, k).tolist() == expected


def test_hubness_is_the_skewness() -> None:
    from scipy.stats import skew

    counts = np.random.default_rng(0).poisson(3, 50)
    assert hubness(counts) == pytest.approx(skew(counts))
    assert np.isnan(hubness(np.full(5, 3)))
    # All recordings have the same five nearest neighbours.
    hub = np.zeros((40, 40))
    hub[:, :5] = 1
    allowed, _ = relevance(["a"] * 40, [""] * 40)
    assert hubness(occurrences(hub, allowed, 5)) > 2


def test_retrieval_from_folders_to_report(music: Path) -> None:
    shares, first, hubs = evaluate("retrieval", music)
    assert shares.columns == ("mAP", "R@1", "R@5", "R@10")
    assert shares.rows == first.rows == hubs.rows == tuple(SPACES)
    assert shares.n[0].tolist() == [12] * 4
    assert shares.chance[1] == pytest.approx(100 * 2 / 11)
    assert first.chance == pytest.approx([12 / 3])
    assert shares.values[0, 0] > 90 > shares.values[2, 0], "folders are tunes: melody finds them, timbre does not"
    assert first.values[0, 0] < first.values[2, 0]
    assert hubs.n[0].tolist() == [12] and np.isnan(hubs.low).all()


def test_members_of_a_group_are_not_compared(music: Path, tmp_path: Path) -> None:
    lines = ["path,label,group"]
    for name in ("up", "down"):
        lines += [f"{name}/0.wav,{name},{name}", f"{name}/1.wav,{name},{name}", f"{name}/2.wav,{name},"]
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    report = evaluate("retrieval", music, "--labels", tmp_path / "labels.csv")[0]
    assert report.n[0].tolist() == [6] * 4
    assert "4 groups" in report.notes[0]
    assert report.command == "soundalike evaluate retrieval DIR --labels CSV --model compact"


def test_the_label_is_the_first_folder_of_the_path(tmp_path: Path) -> None:
    for name in ("rock/a.wav", "rock/album/b.WAV", "jazz/c.flac", "jazz/._c.flac", "jazz/cover.jpg", "loose.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [(item.label, item.path.name, item.group) for item in read_folders(tmp_path)]
    assert found == [("jazz", "c.flac", ""), ("rock", "a.wav", ""), ("rock", "b.WAV", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("", "has no column path; expected path,label"),
        ("path,genre\na.wav,x", "has no column label"),
        ("path,label\n", "names no recordings"),
        ("path,label\na.wav", "line 2: path and label must not be empty"),
        ("path,label\na.wav,x\na.wav,y", "line 3: a.wav appears twice"),
        ("path,label\nb.wav,x", "line 2: .*b.wav does not exist"),
        ("path,label\n\udcff,x", "is not a UTF-8 CSV file"),
    ],
)
def test_invalid_tables_of_labels_are_rejected(tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    if content is not None:
        (tmp_path / "labels.csv").write_text(content, errors="surrogateescape")
    with pytest.raises(UsageError, match=message) as caught:
        read_csv(tmp_path / "labels.csv", tmp_path)
    assert "\n" not in str(caught.value)


def test_data_without_queries_is_rejected(tmp_path: Path, music: Path) -> None:
    with pytest.raises(UsageError, match="expected DIR/<label>/<file>, or give --labels"):
        read_folders(tmp_path)
    (tmp_path / "labels.csv").write_text("path,label\nup/0.wav,a\ndown/0.wav,b\n")
    with pytest.raises(UsageError, match="no two of the 2 recordings of .* share a label without sharing a group"):
        evaluate("retrieval", music, "--labels", tmp_path / "labels.csv")


def test_a_recording_has_no_group_by_default() -> None:
    assert Labelled(Path("a"), "b").group == ""


def test_recordings_of_one_label_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "jazz").mkdir()
    for name in ("a", "b"):
        (tmp_path / "jazz" / f"{name}.wav").touch()
    with pytest.raises(UsageError, match=r"all 2 recordings of .* have the label 'jazz'.*; give recordings of two"):
        evaluate("retrieval", tmp_path)


@given(collections, st.integers(0, 9), st.integers(0, 50))
def test_the_best_candidates_equal_a_plain_loop(items: list[tuple[str, str]], count: int, seed: int) -> None:
    allowed, _ = relevance([label for label, _ in items], [group for _, group in items])
    similarity = symmetric(len(items), seed)
    found = among_best(similarity, allowed, count)
    for query in range(len(items)):
        candidates = sorted(np.flatnonzero(allowed[query]), key=lambda other: -similarity[query, other])
        assert set(np.flatnonzero(found[query])) == set(candidates[:count])


def test_the_union_of_all_spaces_beside_one_score(music: Path, tmp_path: Path) -> None:
    union = evaluate("retrieval", music, "--union")[3]
    assert union.rows == ("union of 10 per space", "as many by one score")
    assert union.columns == ("precision", "recall", "hits")
    # Ten or eleven of eleven candidates are answers, so that one of the two right ones is always among them.
    assert union.values[:, 2].tolist() == [100, 100] and union.chance[2] == pytest.approx(100)
    assert (union.values[:, 0] >= 100 / 11).all() and (union.values[:, 0] <= 20).all()
    assert union.chance[0] == pytest.approx(200 / 11)
    assert union.command.endswith("DIR --union --model compact")
    lines = ["path,label", *(f"{name}/{take}.wav,{name}" for name in ("up", "down") for take in (0, 1))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    few = evaluate("retrieval", music, "--labels", tmp_path / "labels.csv", "--union")[3]
    assert np.array_equal(few.values, np.array([few.chance] * 2)), "every candidate is an answer"
