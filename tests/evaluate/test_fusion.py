"""Fusions against plain loops, their properties, and their rows in the tables of triplets and probes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TUNES, tune, write
from soundalike.core.errors import UsageError
from soundalike.core.types import Calibration, FloatArray, Report, Space, Triplet
from soundalike.evaluate import fusion, reports
from soundalike.evaluate.base import EncodedClips, full_span, margins
from soundalike.evaluate.fused_rows import margins_with_fusions
from soundalike.evaluate.protocols.probes import Probes
from soundalike.evaluate.protocols.triplets import TripletFolders
from soundalike.models.recipes import load_recipe

Rows = list[FloatArray]


@st.composite
def spaces_rows(draw: st.DrawFn) -> Rows:
    """Unit rows of 6 clips in 2 to 4 spaces of 5 dimensions; some are inaudible."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows = random.standard_normal((draw(st.integers(2, 4)), 6, 5))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    silent = draw(st.lists(st.tuples(st.integers(0, len(rows) - 1), st.integers(0, 5)), max_size=6))
    for space, clip in silent:
        rows[space, clip] = 0
    return list(rows.astype(np.float32))


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row] if length > 1e-6 else [0.0] * len(row)


# Scores -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_scores_equal_plain_loops(pairs: list[list[float]]) -> None:
    cosines = np.array(pairs)
    weights = [0.4, 0.4, -0.2]
    assert fusion.mean_scores(cosines) == pytest.approx([sum(pair) / 3 for pair in pairs])
    weighted = [sum(w * c for w, c in zip(weights, pair, strict=True)) for pair in pairs]
    assert fusion.mean_scores(cosines, weights) == pytest.approx(weighted)
    assert fusion.mean_scores(cosines, [10 * weight for weight in weights]) == pytest.approx(weighted)
    assert fusion.product_scores(cosines) == pytest.approx([math.prod((1 + c) / 2 for c in pair) for pair in pairs])
    assert fusion.max_scores(cosines) == pytest.approx([max(pair) for pair in pairs])


def test_the_product_rises_with_every_cosine_even_below_zero() -> None:
    worse, better = fusion.product_scores(np.array([[-0.9, -0.9], [-0.5, -0.5]]))
    assert worse < better
    assert fusion.product_scores(np.array([[-1.0, 1.0]])) == 0


def test_equal_pairs_tie_exactly_in_any_row() -> None:
    cosines = np.tile(np.random.default_rng(0).uniform(-1, 1, 7), (33, 1))
    for fuse in (*fusion.SCORE_FUSIONS.values(), lambda c: fusion.mean_scores(c, range(1, 8))):
        assert len(set(fuse(cosines).tolist())) == 1


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [0.0, 0.0]])
def test_weights_are_one_per_space_and_not_all_zero(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="expected 2 weights, not all 0"):
        fusion.mean_scores(np.zeros((1, 2)), weights)
    with pytest.raises(ValueError, match="expected 2 weights, not all 0"):
        fusion.mean_vectors([np.zeros((1, 3))] * 2, weights)


# Vectors ------------------------------------------------------------------------------------------------------------


@given(spaces_rows())
def test_vectors_equal_plain_loops(rows: Rows) -> None:
    weights = [0.4, 0.4, 0.2, -0.5][: len(rows)]
    found = {name: fuse(rows) for name, fuse in fusion.VECTOR_FUSIONS.items()}
    found["weighted mean"] = fusion.mean_vectors(rows, weights)
    for clip in range(6):
        all_rows = [part[clip].tolist() for part in rows]
        audible = [row for row in all_rows if any(row)]
        columns = list(zip(*audible, strict=True)) or [()] * 5
        audible_everywhere = len(audible) == len(rows)
        expected = {
            "mean": unit([sum(column) for column in columns]),
            "weighted mean": unit(
                [sum(w * x for w, x in zip(weights, c, strict=True)) for c in zip(*all_rows, strict=True)]
            ),
            "product": unit([5 ** (len(rows) / 2) * math.prod(c) for c in columns])
            if audible_everywhere
            else [0.0] * 5,
            "max": unit([max(column, default=0.0) for column in columns]),
            "concatenation": unit([x for row in all_rows for x in row]),
        }
        for name, row in expected.items():
            assert found[name].dtype == np.float32
            assert found[name][clip] == pytest.approx(row, abs=2e-6), name


@given(spaces_rows())
def test_the_cosine_of_a_concatenation_is_the_mean_of_the_cosines(rows: Rows) -> None:
    joined = fusion.concatenate_vectors(rows).astype(np.float64)
    cosines = np.array([part.astype(np.float64) @ part.astype(np.float64).T for part in rows])
    audible = np.array([part.any(axis=1) for part in rows]).sum(axis=0)
    expected = cosines.sum(axis=0) / np.sqrt(np.maximum(np.outer(audible, audible), 1))
    assert joined @ joined.T == pytest.approx(expected, abs=1e-6)
    everywhere = np.ix_(audible == len(rows), audible == len(rows))
    assert (joined @ joined.T)[everywhere] == pytest.approx(cosines.mean(axis=0)[everywhere], abs=1e-6)


@given(spaces_rows(), st.randoms(use_true_random=False))
def test_the_order_of_spaces_does_not_matter(rows: Rows, random) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = [rows[space] for space in order]
    weights = [1.0, 2.0, 4.0, 8.0]
    for fuse in (fusion.mean_vectors, fusion.product_vectors, fusion.max_vectors):
        assert fuse(shuffled) == pytest.approx(fuse(rows), abs=1e-6)
    joined, joined_shuffled = (fusion.concatenate_vectors(spaces) for spaces in (rows, shuffled))
    assert joined @ joined.T == pytest.approx(joined_shuffled @ joined_shuffled.T, abs=1e-6)
    weighted = fusion.mean_vectors(rows, weights[: len(rows)])
    assert weighted == pytest.approx(fusion.mean_vectors(shuffled, [weights[n] for n in order]), abs=1e-6)
    cosines = np.stack([part[:3] @ part[3:].T for part in rows], axis=2).reshape(9, -1)
    for score in fusion.SCORE_FUSIONS.values():
        assert score(cosines[:, order]) == pytest.approx(score(cosines))


def test_all_fusions_but_the_product_ignore_inaudible_rows() -> None:
    partly, silent = np.array([[0.6, 0.8], [0, 0]], np.float32), np.zeros((2, 2), np.float32)
    for name, fuse in fusion.VECTOR_FUSIONS.items():
        fused = fuse([partly, silent])
        assert not fused[1].any(), "inaudible in every space"
        assert fused[0, :2] == pytest.approx([0, 0] if name == "product" else [0.6, 0.8])
    # The maximum over a single space is that space, even below zero.
    assert fusion.max_vectors([-partly, silent])[0] == pytest.approx([-0.6, -0.8])


def test_a_product_of_many_spaces_does_not_underflow() -> None:
    rows = np.random.default_rng(0).standard_normal((12, 3, 128))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    assert np.linalg.norm(fusion.product_vectors(list(rows)), axis=1) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("name", ["mean", "product", "max"])
def test_vectors_of_different_dimensions_can_only_be_concatenated(name: str) -> None:
    rows = [np.ones((2, 3)), np.ones((2, 4)), np.ones((2, 3))]
    with pytest.raises(
        UsageError, match="have 3, 4, 3 dimensions; .* fuse their scores, or concatenate them"
    ) as caught:
        fusion.VECTOR_FUSIONS[name](rows)
    assert "\n" not in str(caught.value)
    assert fusion.concatenate_vectors(rows).shape == (2, 10)


# Rows of a report ---------------------------------------------------------------------------------------------------


def arguments(**options: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{"model": None, "seed": 0, "jobs": 1, "fusion": True, "weights": None, "all_anchors": False, "chosen": ()}
        | options
    )


def encoded_rows(rows: Rows) -> EncodedClips:
    """Clips with these rows in spaces `a`, `b`, ...; random pairs have mean similarity 0.1, 0.2, ..."""
    names = "abcd"[: len(rows)]
    spaces = []
    for number, (name, part) in enumerate(zip(names, rows, strict=True), start=1):
        chance = Calibration(number / 10, 0.2, tuple(np.linspace(-1, 1, 101)))
        spaces.append(
            Space("m", name, "mix", "x", name, "identity", part.shape[1], {"track": chance, "passage": chance})
        )
    index = {full_span(Path(f"{clip}.wav")): clip for clip in range(len(rows[0]))}
    return EncodedClips("m", "0123456789abcdef", tuple(spaces), index, dict(zip(names, rows, strict=True)))


@given(spaces_rows(), st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=8))
def test_margins_of_fusions_equal_a_plain_loop(rows: Rows, numbers: list[tuple[int, int, int]]) -> None:
    encoded = encoded_rows(rows)
    clips = list(encoded.index)
    triplets = [Triplet(clips[a], clips[p], clips[n], "a") for a, p, n in numbers]
    found = margins_with_fusions(encoded, triplets, arguments(weights="a=3,b=1"))
    assert found.values[:, : len(rows)] == pytest.approx(margins(encoded, triplets), abs=0)
    vectors = {
        "fused vectors: mean": fusion.mean_vectors(rows),
        "fused vectors: product": fusion.product_vectors(rows),
        "fused vectors: max": fusion.max_vectors(rows),
        "fused vectors: concatenation": fusion.concatenate_vectors(rows),
        "fused vectors: weighted mean": fusion.mean_vectors(rows, [3, 1, 0, 0][: len(rows)]),
    }
    for row, (a, p, n) in enumerate(numbers):

        def cosines(one: int, two: int) -> list[float]:
            return [
                float(part[one].astype(float) @ part[two].astype(float))
                if part[one].any() and part[two].any()
                else (number + 1) / 10
                for number, part in enumerate(rows)
            ]

        positive, negative = cosines(a, p), cosines(a, n)
        expected = {
            "fused scores: mean": (sum(positive) - sum(negative)) / len(rows),
            "fused scores: product": math.prod((1 + c) / 2 for c in positive)
            - math.prod((1 + c) / 2 for c in negative),
            "fused scores: max": max(positive) - max(negative),
            "fused scores: weighted mean": 0.75 * (positive[0] - negative[0]) + 0.25 * (positive[1] - negative[1]),
        }
        for name, part in vectors.items():
            known = part[a].any() and part[p].any() and part[n].any()
            expected[name] = float(part[a] @ part[p] - part[a] @ part[n]) if known else 0.0
        got = dict(zip(found.rows[len(rows) :], found.values[row, len(rows) :], strict=True))
        assert got == pytest.approx(expected, abs=1e-6)


def test_without_the_option_the_rows_are_the_spaces() -> None:
    encoded = encoded_rows([np.eye(3, dtype=np.float32)] * 2)
    clips = list(encoded.index)
    found = margins_with_fusions(encoded, [Triplet(*clips, "a")], arguments(fusion=False))
    assert (found.rows, found.options, found.notes) == (("a", "b"), "", ())
    assert np.array_equal(found.values, margins(encoded, [Triplet(*clips, "a")]))


SCORES = ["fused scores: mean", "fused scores: product", "fused scores: max"]
VECTORS = ["fused vectors: mean", "fused vectors: product", "fused vectors: max", "fused vectors: concatenation"]
SPACES = ["melody", "rhythm", "timbre", "harmony"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two melody triplet folders; the same triplets as probes, and a probe of all combinations of clips."""
    root, probes = tmp_path_factory.mktemp("clips"), []
    for number, (one, two) in enumerate((("up", "leaps"), ("down", "pedal"))):
        place = root / "melody" / f"triplets_{number}" / "triplet"
        write(place / "anchor.wav", tune(TUNES[one], seconds=3, harmonics=1))
        write(place / "positive_01.wav", tune(TUNES[one], seconds=3, harmonics=9))
        write(place / "negative.wav", tune(TUNES[two], seconds=3, harmonics=9))
        names = {name: f"melody/triplets_{number}/triplet/{name}.wav" for name in ("anchor", "negative")}
        positive = names["anchor"].replace("anchor", "positive_01")
        probes.append({"probe": "melody", "song": str(number), "positive": positive} | names)
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*.wav"))
    probes += [
        {"probe": "any", "song": anchor, "anchor": anchor, "positive": positive, "negative": negative}
        for anchor in paths
        for positive, negative in combinations(paths, 2)
        if anchor not in (positive, negative)
    ]
    (root / "triplets.json").write_text(json.dumps(probes))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a model named `plain` from the first spaces of `compact`, without heads, so that their dimensions differ."""

    def make(spaces: int) -> Path:
        folder = tmp_path_factory.mktemp("plain")
        body = json.loads((load_recipe("compact").weights.parent / "recipe.json").read_text())
        dims = {"melody": 500, "rhythm": 576, "timbre": 137, "harmony": 312}
        weights = (2).to_bytes(8, "little") + b"{}"  # a safetensors file without tensors
        body["spaces"] = [
            entry | {"head": "identity", "feature": entry["name"], "dim": dims[entry["name"]]}
            for entry in body["spaces"][:spaces]
        ]
        body |= {"name": "plain", "weights_sha256": hashlib.sha256(weights).hexdigest()}
        (folder / "weights.safetensors").write_bytes(weights)
        (folder / "recipe.json").write_text(json.dumps(body))
        return folder

    return make


def triplets(clips: Path, **options: object) -> tuple[Report, ...]:
    return TripletFolders().run(arguments(data=clips / "melody", split=[], part="test", **options))


def test_fused_rows_follow_the_rows_of_the_spaces(clips: Path) -> None:
    plain = triplets(clips, fusion=False)
    fused = triplets(clips, weights="timbre=1, melody=3")
    for without, with_fusion in zip(plain, fused, strict=True):
        assert (
            list(without.rows) == SPACES and "Fused" not in " ".join(without.notes) and "fusion" not in without.command
        )
        assert list(with_fusion.rows) == [
            *SPACES,
            *SCORES,
            "fused scores: weighted mean",
            *VECTORS,
            "fused vectors: weighted mean",
        ]
        assert "Fused spaces: melody, rhythm, timbre, harmony." in " ".join(with_fusion.notes)
        assert (
            with_fusion.command
            == "soundalike evaluate triplets DIR --fusion --weights melody=3,timbre=1 --model compact"
        )
        # The rows of the spaces are equal, and the tables still merge into one.
        for field in ("values", "low", "high", "n"):
            assert getattr(with_fusion, field)[:4] == pytest.approx(getattr(without, field), nan_ok=True)
    assert len(reports.merge([*plain, *fused])) == 4
    margin = dict(zip(fused[2].rows, fused[2].values[:, 0], strict=True))
    spaces = [margin[name] for name in SPACES]
    assert margin["fused scores: mean"] == pytest.approx(np.mean(spaces))
    assert margin["fused scores: weighted mean"] == pytest.approx(0.75 * spaces[0] + 0.25 * spaces[2])
    # All clips are audible in all spaces, so the concatenation equals the mean of the scores.
    assert margin["fused vectors: concatenation"] == pytest.approx(margin["fused scores: mean"], abs=1e-6)


def test_probes_of_two_models_with_fusions(clips: Path, model: Callable[..., Path]) -> None:
    rival = str(model(3))
    report, difference = Probes().run(arguments(data=clips, against=rival))
    (rival_report,) = Probes().run(arguments(data=clips, model=rival, against=None))
    assert list(report.rows) == [*SPACES, *SCORES, *VECTORS]
    assert report.columns == ("melody", "any") and report.n.tolist() == [[2, 60]] * 11
    expected = report.values[[report.rows.index(name) for name in rival_report.rows]] - rival_report.values
    assert difference.values == pytest.approx(expected) and len(set(expected[:, 1])) > 3
    # The spaces of the other model differ in dimension, so concatenation is its only fusion of vectors.
    assert list(difference.rows) == list(rival_report.rows) == [*SPACES[:3], *SCORES, VECTORS[-1]]
    assert difference.command == "soundalike evaluate probes --data DIR --against plain --fusion --model compact"


def test_a_note_names_vectors_that_cannot_be_fused(clips: Path, model: Callable[..., Path]) -> None:
    found = triplets(clips, model=str(model(2)), weights="melody=1")
    assert list(found[0].rows) == [*SPACES[:2], *SCORES, "fused scores: weighted mean", VECTORS[-1]]
    assert "differ in dimension (melody 500, rhythm 576) and can only be concatenated" in " ".join(found[0].notes)
    margin = dict(zip(found[2].rows, found[2].values[:, 0], strict=True))
    assert margin["fused scores: weighted mean"] == pytest.approx(margin["melody"])


def test_invalid_options_are_rejected_before_any_clip_is_encoded(
    clips: Path, model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a clip was encoded")

    monkeypatch.setattr("soundalike.evaluate.protocols.triplets.encode_clips", fail)
    monkeypatch.setattr("soundalike.evaluate.protocols.probes.encode_clips", fail)
    with pytest.raises(UsageError, match="--weights needs --fusion; add --fusion"):
        triplets(clips, fusion=False, weights="melody=1")
    with pytest.raises(UsageError, match="unknown space 'mood'; known: melody, rhythm, timbre, harmony"):
        triplets(clips, weights="mood=1")
    with pytest.raises(UsageError, match="every weight is 0"):
        triplets(clips, weights="melody=0")
    with pytest.raises(UsageError, match="cannot read the weight 'melody=x'"):
        triplets(clips, weights="melody=x")
    with pytest.raises(UsageError, match="--fusion needs at least two spaces; plain has only melody"):
        triplets(clips, model=str(model(1)))
    with pytest.raises(UsageError, match="unknown space 'harmony'; known: melody, rhythm, timbre"):
        Probes().run(arguments(data=clips, against=str(model(3)), weights="harmony=1"))
