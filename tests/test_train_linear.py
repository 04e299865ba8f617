"""A linear head in closed form: it keeps what folders share, whatever the scale of the features."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.errors import UsageError
from soundalike.heads import Head
from soundalike.train.linear import FLOORS, train_linear
from soundalike.train.sampling import TripletSet
from soundalike.train.settings import HeadSettings

SETTINGS = HeadSettings(negatives="both", out=8)
BLOCKS = (6, 10)


def material(folders: int, scale: float) -> tuple[np.ndarray, TripletSet, TripletSet]:
    """Six dims that a folder of eight clips shares, among ten that differ three times as much; second half scaled."""
    random = np.random.default_rng(0)
    code = np.repeat(random.standard_normal((folders, 6)), 8, axis=0)
    code[6::8], code[7::8] = random.standard_normal((2, folders, 6))  # the negatives
    rows = np.hstack([code + 0.3 * random.standard_normal(code.shape), 3 * random.standard_normal((8 * folders, 10))])
    rows[:, 6:] *= scale
    table = np.arange(8 * folders).reshape(folders, 8)
    return rows.astype(np.float32), TripletSet(table[: folders // 2]), TripletSet(table[folders // 2 :])


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_what_folders_share_is_kept_at_any_scale(scale: float) -> None:
    rows, train, held = material(120, scale)
    found = train_linear(rows, BLOCKS, [train], train, held, SETTINGS)
    assert found.floor in FLOORS and found.accuracies[found.floor] == max(found.accuracies.values())
    assert found.accuracies[found.floor] > 0.97
    projected = Head(found.tensors["mean"], found.tensors["weight"])(rows, np.ones(len(rows), np.bool_))
    a, p, n = projected[held.expand("both").rows.T]
    assert np.mean((a * (p - n)).sum(axis=1) > 0) == pytest.approx(found.accuracies[found.floor])
    a, p, n = rows[held.expand("both").rows.T]
    assert np.mean((a * (p - n)).sum(axis=1) > 0) < 0.8, "or there is nothing to learn"


def test_scale_of_a_feature_changes_nothing() -> None:
    heads = []
    for scale in (1.0, 64.0):
        rows, train, held = material(60, scale)
        found = train_linear(rows, BLOCKS, [train], train, held, SETTINGS)
        heads.append(Head(found.tensors["mean"], found.tensors["weight"])(rows, np.ones(len(rows), np.bool_)))
    first, second = (head @ head.T for head in heads)
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_nothing_audible_is_said() -> None:
    rows, _, held = material(20, 1.0)
    silent = TripletSet(np.full((3, 8), -1))
    with pytest.raises(UsageError, match="no clip of the training folders is audible"):
        train_linear(rows, BLOCKS, [held], silent, held, SETTINGS)
