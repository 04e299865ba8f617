"""Linear heads in closed form: they keep what folders share, whatever the scale of the features."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.models.heads import Head, load_head
from soundalike.train.data.sampling import TripletSet
from soundalike.train.heads.linear import FLOORS, train_linear
from soundalike.train.heads.settings import HeadSettings

SETTINGS = HeadSettings(negatives="both", out=8)


def material(folders: int) -> tuple[np.ndarray, TripletSet, TripletSet]:
    """Six dims that a folder of eight clips shares, among ten that differ three times as much."""
    random = np.random.default_rng(0)
    code = np.repeat(random.standard_normal((folders, 6)), 8, axis=0)
    code[6::8], code[7::8] = random.standard_normal((2, folders, 6))  # the negatives
    rows = np.hstack([code + 0.3 * random.standard_normal(code.shape), 3 * random.standard_normal((8 * folders, 10))])
    table = np.arange(8 * folders).reshape(folders, 8)
    return rows.astype(np.float32), TripletSet(table[: folders // 2]), TripletSet(table[folders // 2 :])


def accuracy(rows: np.ndarray, held: TripletSet) -> float:
    a, p, n = rows[held.expand("both").rows.T]
    return float(np.mean((a * (p - n)).sum(axis=1) > 0))


def test_what_folders_share_is_kept() -> None:
    rows, train, held = material(120)
    assert accuracy(rows, held) < 0.8, "or there is nothing to learn"
    found = train_linear(rows, [("all", 16)], [train], train, held, SETTINGS)
    told = found.accuracies["all"]
    assert found.floors["all"] in FLOORS and told[found.floors["all"]] == max(told.values()) > 0.97
    head = Head(found.tensors["mean"], found.tensors["weight"])
    assert accuracy(head(rows, np.ones(len(rows), np.bool_)), held) == pytest.approx(max(told.values()))


def test_each_part_is_projected_by_itself_and_weighs_the_same() -> None:
    rows, train, held = material(120)
    rows = np.hstack([rows[:, 6:], 64 * rows[:, :6] + 1000])  # parts of any scale; only the second knows the folder
    found = train_linear(rows, [("noise", 10), ("code", 6)], [train], train, held, SETTINGS)
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
        "noise.mean": (10,), "noise.weight": (4, 10), "code.mean": (6,), "code.weight": (4, 6)
    }  # fmt: skip
    tensors = {f"x.{name}": tensor for name, tensor in found.tensors.items()}
    head = load_head("parts", "x", tensors, blocks=[("noise", 10), ("code", 6)], out_dim=8)
    out = head(rows, np.ones(len(rows), np.bool_))
    np.testing.assert_allclose(np.linalg.norm(out[:, :4], axis=1), np.sqrt(0.5), atol=1e-5)
    assert max(found.accuracies["code"].values()) > 0.9 > 0.6 > max(found.accuracies["noise"].values())
    rows[3, :10] = 0.0  # a silent part leaves everything to the other
    lone = head(rows, np.ones(len(rows), np.bool_))[3]
    assert not lone[:4].any() and np.linalg.norm(lone[4:]) == pytest.approx(1, abs=1e-5)


def test_nothing_audible_is_said() -> None:
    rows, _, held = material(20)
    silent = TripletSet(np.full((3, 8), -1))
    with pytest.raises(UsageError, match="no clip of the training folders is audible"):
        train_linear(rows, [("all", 16)], [held], silent, held, SETTINGS)
