"""Heads on the rows of other heads: the same rows from features and from rows, and recipes that say so wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from stacked_model import INPUTS, make_stacked

from soundalike.backbones.base import Features
from soundalike.core.errors import ModelError
from soundalike.core.types import Descriptors
from soundalike.models import recipes
from soundalike.models.model import Model


def random_features() -> Features:
    """Features of four windows of `dsp`; the second is silent, and the third has no rhythm."""
    dims = Model.load("dsp").backbones["dsp"].dims
    random = np.random.default_rng(1)
    rows = {name: random.random((4, dim)).astype(np.float32) for name, dim in dims.items()}
    audible = {name: np.array([True, False, name != "rhythm", True]) for name in dims}
    for name in dims:
        rows[name][~audible[name]] = 0.0
    return Features(np.array([[0.0, 10.0]] * 4), rows, audible, Descriptors(), 10.0)


def test_rows_and_features_give_the_same_rows(tmp_path: Path) -> None:
    base, stacked = Model.load("dsp"), Model.load(make_stacked(tmp_path / "moods"))
    features = {"dsp": random_features()}
    found = stacked.project(features)["mood"]
    np.testing.assert_array_equal(found, stacked.project_rows(base.project(features))["mood"])
    assert found.any(axis=1).tolist() == [True, False, True, True]  # audible where any of the inputs is
    tensors = load_file(tmp_path / "moods" / "weights.safetensors")
    joined = np.hstack([base.project(features)[name] for name in INPUTS])[3].astype(np.float64)
    hidden = np.maximum(tensors["concept.mood.hidden.weight"] @ joined + tensors["concept.mood.hidden.bias"], 0)
    naive = tensors["concept.mood.out.weight"] @ hidden
    np.testing.assert_allclose(found[3], naive / np.linalg.norm(naive), atol=1e-6)


def test_the_digest_depends_on_the_inputs(tmp_path: Path) -> None:
    def swap(recipe: dict) -> None:
        recipe["spaces"][0]["inputs"].reverse()

    one, other = (make_stacked(tmp_path / name, change) for name, change in (("a", lambda _: None), ("b", swap)))
    assert recipes.load_recipe(str(one)).digest != recipes.load_recipe(str(other)).digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda recipe: recipe.pop("rows_of"), "inputs of no model"),
        (lambda recipe: recipe["spaces"][0].pop("inputs"), "with and without inputs"),
        (lambda recipe: recipe["spaces"][0]["inputs"][0].pop("dim"), "dim"),
    ],
    ids=["no model", "no inputs", "no size"],
)
def test_recipes_that_contradict_themselves(tmp_path: Path, change: Callable[[dict], object], message: str) -> None:
    folder = make_stacked(tmp_path / "moods", change)
    with pytest.raises(ModelError, match=message):
        recipes.load_recipe(str(folder))


def test_an_unknown_feature_of_an_input(tmp_path: Path) -> None:
    def rename(recipe: dict) -> None:
        recipe["spaces"][0]["inputs"][0]["feature"] = "groove"

    with pytest.raises(ModelError, match="dsp has no feature 'groove'"):
        Model.load(make_stacked(tmp_path / "moods", rename))


def test_a_model_on_features_does_not_project_rows() -> None:
    with pytest.raises(ModelError, match="projects features, not the rows"):
        Model.load("dsp").project_rows({})
