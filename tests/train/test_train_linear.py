"""Linear heads in closed form keep what folders share, at any scale of the features."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.models.heads import Head, load_head
from soundalike.train.data.sampling import TripletSet
from soundalike.train.heads.linear import FLOORS, train_linear
from soundalike.train.heads.settings import HeadSettings

SETTINGS = HeadSettings(negatives="both", out=8)


def make_material(folders: int) -> tuple[np.ndarray, TripletSet, TripletSet]:
    """Return features with six dims that a folder of eight clips shares and ten noise dims of three times the scale."""
    random = np.random.default_rng(0)
    code = np.repeat(random.standard_normal((folders, 6)), 8, axis=0)
    code[6::8], code[7::8] = random.standard_normal((2, folders, 6))  # the negatives
    rows = np.hstack([code + 0.3 * random.standard_normal(code.shape), 3 * random.standard_normal((8 * folders, 10))])
    table = np.arange(8 * folders).reshape(folders, 8)
    return rows.astype(np.float32), TripletSet(table[: folders // 2]), TripletSet(table[folders // 2 :])


def accuracy(rows: np.ndarray, validation: TripletSet) -> float:
    a, p, n = rows[validation.expand("both").rows.T]
    return float(np.mean((a * (p - n)).sum(axis=1) > 0))


def test_linear_head_keeps_what_folders_share() -> None:
    rows, train, validation = make_material(120)
    assert accuracy(rows, validation) < 0.8, "the raw features separate the folders already"
    fitted = train_linear(rows, [("all", 16)], [train], train, validation, SETTINGS)
    accuracies = fitted.accuracies["all"]
    assert fitted.floors["all"] in FLOORS and accuracies[fitted.floors["all"]] == max(accuracies.values()) > 0.97
    head = Head(fitted.tensors["mean"], fitted.tensors["weight"])
    assert accuracy(head(rows, np.ones(len(rows), np.bool_)), validation) == pytest.approx(max(accuracies.values()))


def test_parts_are_projected_separately_with_equal_weight() -> None:
    rows, train, validation = make_material(120)
    # The parts have different scales, and only the second one depends on the folder.
    rows = np.hstack([rows[:, 6:], 64 * rows[:, :6] + 1000])
    fitted = train_linear(rows, [("noise", 10), ("code", 6)], [train], train, validation, SETTINGS)
    assert {name: tensor.shape for name, tensor in fitted.tensors.items()} == {
        "noise.mean": (10,), "noise.weight": (4, 10), "code.mean": (6,), "code.weight": (4, 6)
    }  # fmt: skip
    tensors = {f"x.{name}": tensor for name, tensor in fitted.tensors.items()}
    head = load_head("parts", "x", tensors, blocks=[("noise", 10), ("code", 6)], out_dim=8)
    out = head(rows, np.ones(len(rows), np.bool_))
    np.testing.assert_allclose(np.linalg.norm(out[:, :4], axis=1), np.sqrt(0.5), atol=1e-5)
    assert max(fitted.accuracies["code"].values()) > 0.9 > 0.6 > max(fitted.accuracies["noise"].values())
    rows[3, :10] = 0.0  # if one part is silent, the other has norm 1
    row = head(rows, np.ones(len(rows), np.bool_))[3]
    assert not row[:4].any() and np.linalg.norm(row[4:]) == pytest.approx(1, abs=1e-5)


def test_no_audible_clip_is_an_error() -> None:
    rows, _, validation = make_material(20)
    silent = TripletSet(np.full((3, 8), -1))
    with pytest.raises(UsageError, match="no clip of the training folders is audible"):
        train_linear(rows, [("all", 16)], [validation], silent, validation, SETTINGS)
