"""Weights, recipes and heads: parsing, and the messages for invalid input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from soundalike.core.errors import ModelError, UsageError
from soundalike.models.heads import load_head, unit_rows
from soundalike.models.installed import installed_models
from soundalike.models.model import Model, mean_rows
from soundalike.models.recipes import load_recipe, parse_weights, resolve_weights

SPACES = load_recipe("dsp").spaces
BUNDLED = load_recipe("dsp").weights.parent


def test_weights_are_parsed() -> None:
    assert dict(parse_weights("melody=2, timbre=-1,rhythm")) == {"melody": 2.0, "timbre": -1.0, "rhythm": 1.0}
    assert dict(resolve_weights({"dsp/melody": 3}, SPACES)) == {"melody": 3, "rhythm": 0, "timbre": 0, "harmony": 0}
    assert set(resolve_weights(None, SPACES).values()) == {1.0}


@given(st.dictionaries(st.sampled_from([s.name for s in SPACES]), st.floats(-1e6, 1e6), min_size=1))
def test_weights_survive_a_round_trip(weights: dict[str, float]) -> None:
    assert dict(parse_weights(",".join(f"{name}={value!r}" for name, value in weights.items()))) == weights


@pytest.mark.parametrize("text", ["melody=", "=2", "melody=loud", "melody=nan", "melody=inf", "", "melody=1,,"])
def test_invalid_weights_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the weight .*expected NAME=NUMBER"):
        parse_weights(text)


def test_a_weight_that_no_float_can_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="the weight of melody is too large; give 0, or a magnitude"):
        resolve_weights({"melody": 10**400}, load_recipe("dsp").spaces)


def test_unknown_and_repeated_names_are_rejected() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_weights("melody=1,melody=2")
    with pytest.raises(UsageError, match="unknown space 'mood'; known: melody, rhythm, timbre, harmony"):
        resolve_weights({"mood": 1}, SPACES)
    with pytest.raises(UsageError, match="every weight is 0"):
        resolve_weights({"melody": 0}, SPACES)


@given(arrays(np.float32, (4, 3), elements=st.floats(-(2.0**60), 2.0**60, width=32)))
def test_rows_are_unit_or_zero(rows: np.ndarray) -> None:
    made = unit_rows(rows)
    norms = np.linalg.norm(made.astype(np.float64), axis=1)
    small = np.linalg.norm(rows.astype(np.float64), axis=1) < 1e-6
    assert made.dtype == np.float32
    assert np.all(np.abs(norms[~small] - 1) < 1e-6)
    assert not made[small].any()


def test_a_track_is_the_mean_of_its_audible_passages() -> None:
    rows = np.array([[1, 0], [0, 0], [0, 1]], dtype=np.float32)
    assert mean_rows({"a": rows})["a"].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert not mean_rows({"a": np.array([[1, 0], [-1, 0]], dtype=np.float32)})["a"].any()
    assert not mean_rows({"a": np.zeros((2, 2), np.float32)})["a"].any()


def test_a_linear_head_follows_its_formula() -> None:
    random = np.random.default_rng(0)
    mean, weight = random.standard_normal(7).astype(np.float32), random.standard_normal((3, 7)).astype(np.float32)
    head = load_head("linear", "x", {"x.mean": mean, "x.weight": weight}, blocks=[("f", 7)], out_dim=3)
    features = random.standard_normal((4, 7)).astype(np.float32)
    rows = head(features, np.array([True, True, False, True]))
    for number in range(4):
        expected = [
            sum(float(w) * float(f - m) for w, f, m in zip(line, features[number], mean, strict=True))
            for line in weight
        ]
        expected = np.array(expected) / np.linalg.norm(expected) * (number != 2)
        assert rows[number].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "tensors", "message"),
    [
        ("mlp9", {}, "unknown head 'mlp9'; known: identity, linear"),
        ("identity", {}, "has 7 dimensions, expected 3"),
        ("linear", {}, "have no tensor x.mean"),
        ("linear", {"x.mean": np.zeros(6, np.float32)}, r"shape \(6,\), expected \(7,\)"),
        ("linear", {"x.mean": np.zeros(7, np.float32), "x.weight": np.full((3, 7), np.nan, np.float32)}, "NaN"),
    ],
)
def test_heads_that_do_not_fit_are_rejected(kind: str, tensors: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_head(kind, "x", tensors, blocks=[("f", 7)], out_dim=3)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the bundled model, to be edited."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "model"))


def edit(model: Path, **changes: object) -> None:
    recipe = json.loads((model / "recipe.json").read_text())
    (model / "recipe.json").write_text(json.dumps(recipe | changes))


def test_a_model_is_found_by_name_or_folder(copy: Path) -> None:
    assert "dsp" in installed_models()
    assert load_recipe(str(copy)).digest == load_recipe("dsp").digest
    with pytest.raises(ModelError, match="unknown model 'nope'; installed: .*dsp"):
        load_recipe("nope")


def test_a_digest_changes_only_with_the_rows(copy: Path) -> None:
    before = load_recipe(str(copy)).digest
    recipe = json.loads((copy / "recipe.json").read_text())
    recipe["spaces"][0]["calibration"]["track"]["mu"] += 0.1
    edit(copy, summary="another summary", spaces=recipe["spaces"])
    assert load_recipe(str(copy)).digest == before
    for space in recipe["spaces"]:
        space["backbone_version"] += 1
    edit(copy, spaces=recipe["spaces"])
    assert load_recipe(str(copy)).digest != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": "zip"}, "not a soundalike recipe"),
        ({"format": 2}, "recipe format 2, this version reads 1; upgrade"),
        ({"weights_sha256": "0" * 64}, "does not match its recipe's digest"),
        ({"spaces": []}, "at least one"),
        ({"spaces": [{}]}, "incomplete"),
        (
            {"spaces": [json.loads((BUNDLED / "recipe.json").read_text())["spaces"][0]] * 2},
            "two spaces are called 'melody' and 'melody'",
        ),
    ],
)
def test_invalid_recipes_are_rejected(copy: Path, changes: dict[str, object], message: str) -> None:
    edit(copy, **changes)
    with pytest.raises(ModelError, match=message):
        load_recipe(str(copy))


def test_invalid_files_are_rejected(copy: Path) -> None:
    (copy / "recipe.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        load_recipe(str(copy))
    shutil.copy(BUNDLED / "recipe.json", copy)
    weights = copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(ModelError, match="does not match"):
        load_recipe(str(copy))
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_recipe(str(copy))


def test_calibration_is_checked(copy: Path) -> None:
    recipe = json.loads((copy / "recipe.json").read_text())
    recipe["spaces"][0]["calibration"]["track"]["sigma"] = 0
    edit(copy, spaces=recipe["spaces"])
    with pytest.raises(ModelError, match="sigma must be positive"):
        load_recipe(str(copy))


def test_unsupported_recipes_are_rejected(copy: Path) -> None:
    recipe = json.loads((copy / "recipe.json").read_text())
    for field, value, message in (
        ("source", "drums", "the source 'drums' is a stem, and the recipe names no separator"),
        ("feature", "mood", "has no feature 'mood'"),
        ("backbone", "nope", "unknown backbone 'nope'; known: .*dsp"),
        ("backbone_version", 99, "made for version 99 of dsp"),
    ):
        spaces = [dict(space) for space in recipe["spaces"]]
        for space in spaces if field == "backbone_version" else spaces[:1]:
            space[field] = value
        edit(copy, spaces=spaces)
        with pytest.raises((ModelError, UsageError), match=message):
            Model.load(str(copy))


def test_weights_are_plain_tensors() -> None:
    tensors = load_file(BUNDLED / "weights.safetensors")
    assert {name.partition(".")[0] for name in tensors} == {space.name for space in SPACES}
