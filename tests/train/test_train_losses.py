"""Losses compared with loops over triplets and pairs in float64, their gradients, and the sampling of batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.train.data.sampling import TripletSet

torch = pytest.importorskip("torch", reason="training needs torch")
from soundalike.train.common import losses  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)


def unit_rows(rows: int, dims: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dims))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def cosines(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    sp, sn = np.random.default_rng(seed).uniform(-1, 1, (2, count))
    return sp, sn


@given(SEEDS, st.floats(0.5, 300), st.floats(0, 0.5))
@settings(max_examples=30, deadline=None)
def test_circle_merit_is_a_sum_over_triplets(seed: int, gamma: float, m: float) -> None:
    sp, sn = cosines(7, seed)
    expected = 0.0
    for p, n in zip(sp, sn, strict=True):
        alpha_p, alpha_n = max(0.0, 1 - m - p), max(0.0, n - m)
        expected += np.logaddexp(0, gamma * (alpha_n * (n - m) + alpha_p * (1 - m - p)))
    assert losses.circle_merit(torch.tensor(sp), torch.tensor(sn), gamma, m).item() == pytest.approx(expected)


def test_circle_merit_has_the_published_defaults() -> None:
    # sp = 0.3, sn = 0.5: alpha_p = 0.5, alpha_n = 0.3, so softplus(10 (0.3 * 0.3 + 0.5 * 0.5)) = softplus(3.4)
    found = losses.circle_merit(torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64))
    assert found.item() == pytest.approx(math.log1p(math.exp(3.4)))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_circle_sun_compares_all_positives_with_all_negatives(seed: int) -> None:
    rows, gamma, m = unit_rows(8, 3, seed), 20.0, 0.25
    drawn = np.random.default_rng(seed + 1).integers(0, 3, (8, 8))  # 0 neither, 1 positive, 2 negative
    s, each = rows @ rows.T, []
    for a in range(8):
        positives, negatives = s[a, drawn[a] == 1], s[a, drawn[a] == 2]
        if len(positives) and len(negatives):
            total = 0.0
            for p in positives:
                for n in negatives:
                    alpha_p, alpha_n = max(0.0, 1 + m - p), max(0.0, n + m)
                    total += math.exp(gamma * (alpha_n * (n - m) - alpha_p * (p - (1 - m))))
            each.append(math.log1p(total))
    found = losses.circle_sun(torch.tensor(s), torch.tensor(drawn == 1), torch.tensor(drawn == 2), gamma, m)
    assert found.item() == pytest.approx(np.mean(each))


@given(SEEDS, st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_triplet_margin_is_a_mean_of_hinges(seed: int, margin: float) -> None:
    sp, sn = cosines(7, seed)
    expected = np.mean([max(0.0, n - p + margin) for p, n in zip(sp, sn, strict=True)])
    assert losses.triplet_margin(torch.tensor(sp), torch.tensor(sn), margin).item() == pytest.approx(expected)


def test_triplet_margin_is_half_of_facenets_loss_on_squared_distances() -> None:
    a, p, n = unit_rows(9, 4, 0), unit_rows(9, 4, 1), unit_rows(9, 4, 2)
    facenet = np.maximum(0, ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 2 * 0.2).mean()
    loss = losses.triplet_margin(torch.tensor((a * p).sum(axis=1)), torch.tensor((a * n).sum(axis=1)), 0.2)
    assert loss.item() == pytest.approx(facenet / 2)


@given(SEEDS, st.floats(0.05, 1))
@settings(max_examples=30, deadline=None)
def test_supervised_contrastive_is_khoslas_l_out(seed: int, temperature: float) -> None:
    rows = unit_rows(9, 3, seed)
    labels = np.append(np.random.default_rng(seed).integers(0, 3, 8), 9)  # no other row has the label of the last
    each = []
    for i in range(9):
        others = [a for a in range(9) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        denominator = sum(math.exp(rows[i] @ rows[a] / temperature) for a in others)
        if positives:
            terms = [math.log(math.exp(rows[i] @ rows[p] / temperature) / denominator) for p in positives]
            each.append(-sum(terms) / len(positives))
    found = losses.supervised_contrastive(torch.tensor(rows), torch.tensor(labels), temperature)
    assert found.item() == pytest.approx(np.mean(each))


def naive_merit(sp: torch.Tensor, sn: torch.Tensor, detach: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    alpha_p, alpha_n = detach((0.8 - sp).clamp(min=0)), detach((sn - 0.2).clamp(min=0))
    return torch.log1p(torch.exp(10 * (alpha_n * (sn - 0.2) + alpha_p * (0.8 - sp)))).sum()


def naive_sun(s: torch.Tensor, detach: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Row 0 is the anchor, column 1 its positive, column 2 its negative."""
    alpha_p, alpha_n = detach((1.4 - s[0, 1]).clamp(min=0)), detach((s[0, 2] + 0.4).clamp(min=0))
    return torch.log1p(torch.exp(80 * (alpha_n * (s[0, 2] - 0.4) - alpha_p * (s[0, 1] - 0.6))))


def gradient(loss: Callable[..., torch.Tensor], *values: np.ndarray) -> np.ndarray:
    tensors = [torch.tensor(value, requires_grad=True) for value in values]
    loss(*tensors).backward()
    return np.concatenate([tensor.grad.numpy().ravel() for tensor in tensors])


def test_no_gradient_flows_through_the_alphas() -> None:
    sp, sn = np.array([0.1, 0.5, 0.95]), np.array([0.6, 0.3, -0.5])
    found = gradient(losses.circle_merit, sp, sn)
    np.testing.assert_allclose(found, gradient(lambda p, n: naive_merit(p, n, torch.Tensor.detach), sp, sn))
    through = gradient(lambda p, n: naive_merit(p, n, lambda alpha: alpha), sp, sn)
    assert np.abs(found - through).max() > 0.5
    s = np.zeros((3, 3))
    s[0] = 1.0, 0.5, 0.45
    positive, negative = np.zeros((2, 3, 3), np.bool_)
    positive[0, 1] = negative[0, 2] = True
    masks = torch.tensor(positive), torch.tensor(negative)
    found = gradient(lambda t: losses.circle_sun(t, *masks), s)
    np.testing.assert_allclose(found, gradient(lambda t: naive_sun(t, torch.Tensor.detach), s), atol=1e-12)
    assert np.abs(found - gradient(lambda t: naive_sun(t, lambda alpha: alpha), s)).max() > 0.5


def test_batch_without_anchors_is_zero_and_differentiable() -> None:
    rows = torch.tensor(unit_rows(3, 4, 0), requires_grad=True)
    nothing = torch.zeros((3, 3), dtype=torch.bool)
    for loss in (
        losses.circle_sun(rows @ rows.T, nothing, ~nothing),
        losses.supervised_contrastive(rows, torch.arange(3)),
    ):
        loss.backward()
        assert loss.item() == 0.0 and not rows.grad.any()


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_semi_hard_equals_an_exhaustive_search(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, labels = unit_rows(10, 2, seed), random.integers(0, 4, 10)
    s = rows @ rows.T
    pairs = [(a, p) for a, p in permutations(range(10), 2) if labels[a] == labels[p]]
    expected = []
    for a, p in pairs:
        others = [n for n in range(10) if labels[n] != labels[a]]
        easier = [n for n in others if s[a, n] < s[a, p]]
        expected.append(
            max(easier, key=lambda n: s[a, n]) if easier else min(others, key=lambda n: s[a, n], default=-1)
        )
    if pairs:
        anchor, positive = torch.tensor(pairs).unbind(1)
        assert losses.semi_hard(torch.tensor(s), torch.tensor(labels), anchor, positive).tolist() == expected


def test_semi_hard_without_another_label() -> None:
    s = torch.eye(3)
    assert losses.semi_hard(s, torch.zeros(3), torch.tensor([0]), torch.tensor([1])).tolist() == [-1]


# Sampling -----------------------------------------------------------------------------------------------------------


def make_folders(count: int, k: int, seed: int) -> TripletSet:
    """Return folders with distinct rows, of which some are missing."""
    random = np.random.default_rng(seed)
    folders = random.permutation(count * (k + 3) + 5)[: count * (k + 3)].reshape(count, k + 3)
    folders[random.random(folders.shape) < 0.15] = -1
    folders[0] = np.arange(k + 3) + 1000  # one folder is complete
    return TripletSet(folders)


def expected_triplets(folders: TripletSet, negatives: str) -> list[tuple[int, int, int]]:
    """List triplets by MERIT's definition: (A, P_i, N), and (P_i, P_j, N) for i != j."""
    columns = {"neutral": [-2], "adversarial": [-1], "both": [-2, -1]}[negatives]
    found = []
    for anchor, *rest in folders.folders.tolist():
        positives = rest[:-2]
        for negative in (rest[column] for column in columns):
            pairs = [(anchor, p) for p in positives]
            pairs += [(p, q) for i, p in enumerate(positives) for j, q in enumerate(positives) if i != j]
            found += [(a, p, negative) for a, p in pairs if min(a, p, negative) >= 0]
    return found


@given(SEEDS, st.integers(1, 6), st.integers(1, 12), st.sampled_from(["neutral", "adversarial", "both"]))
@settings(max_examples=40, deadline=None)
def test_epoch_has_every_triplet_once(seed: int, k: int, count: int, negatives: str) -> None:
    folders = make_folders(count, k, seed)
    expected = sorted(expected_triplets(folders, negatives))
    triplets = folders.expand(negatives)
    assert sorted(map(tuple, triplets.rows.tolist())) == expected
    for sampling in ("folders", "triplets"):
        steps = triplets.steps(40, sampling)
        batches = list(triplets.batches(steps, sampling, np.random.default_rng(seed)))
        assert len(batches) == steps
        found = [tuple(batch.rows[triplet]) for batch in batches for triplet in batch.triplets]
        assert sorted(found) == expected
        for batch in batches:
            assert len(set(batch.rows.tolist())) == len(batch.rows) == len(batch.labels)


def test_folder_of_five_positives_has_25_triplets_of_7_rows() -> None:
    triplets = TripletSet(np.arange(8 * 100).reshape(100, 8)).expand("neutral")
    assert len(triplets) == 2500 and triplets.steps(1024, "folders") == 3 and triplets.steps(1024, "triplets") == 3
    for batch in triplets.batches(3, "folders", np.random.default_rng(0)):
        owners = batch.rows // 8
        assert len(batch.triplets) in (33 * 25, 34 * 25) and len(batch.rows) * 25 == len(batch.triplets) * 7
        assert (owners[batch.triplets] == owners[batch.triplets][:, :1]).all()


def test_batches_depend_on_the_generator_only() -> None:
    triplets = TripletSet(np.arange(8 * 50).reshape(50, 8)).expand("both")
    for sampling in ("folders", "triplets"):
        orders = [
            [
                tuple(row)
                for batch in triplets.batches(5, sampling, np.random.default_rng(seed))
                for row in batch.triplets
            ]
            for seed in (1, 1, 2)
        ]
        assert orders[0] == orders[1] != orders[2]


def test_labels_connect_folders_that_share_a_clip() -> None:
    # Folders 0 and 1 share the anchor 0. Row 3 is a positive of folder 2 and the neutral negative of folder 0.
    folders = np.array([[0, 1, 2, 3, 4], [0, 5, 6, 7, 8], [-1, 3, 9, 10, 11]])
    labels = TripletSet(folders).expand("in-batch").labels
    assert len({labels[row] for row in (0, 1, 2, 5, 6)}) == 1
    assert labels[3] == labels[9] != labels[0]
    assert len({labels[row] for row in (0, 3, 4, 7, 8, 10, 11)}) == 7


def test_in_batch_pairs_need_no_negative() -> None:
    folders = np.array([[0, 1, 2, -1, -1]])
    triplets = TripletSet(folders).expand("in-batch")
    assert triplets.rows[:, :2].tolist() == [[0, 1], [0, 2], [1, 2], [2, 1]]
    with pytest.raises(UsageError, match=r"none of 1 folders has .* with a neutral negative"):
        TripletSet(folders).expand("neutral")


def test_renumbered_triplets_have_the_same_clips() -> None:
    triplets = make_folders(9, 3, 4).expand("both")
    used = np.union1d(np.unique(triplets.rows), [1, 17, 2000])
    renumbered = triplets.renumber(used)
    assert (used[renumbered.rows] == triplets.rows).all()
    assert (renumbered.labels[renumbered.rows] == triplets.labels[triplets.rows]).all()


@pytest.mark.parametrize("folders", [np.zeros((3, 3), np.int64), np.zeros(4, np.int64), np.zeros((3, 8))])
def test_folders_of_another_shape_or_type(folders: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected integers"):
        TripletSet(folders)
