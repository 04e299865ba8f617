"""Attribution: planted weights give the planted shares, scaling changes nothing, and models are read from disk."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import FloatArray
from soundalike.evaluate import reports
from soundalike.evaluate.attribution import attribute_model, attribution, draw_attribution
from soundalike.models.recipes import load_recipe

ALL = "melody+rhythm+timbre+harmony"
SIZES = {"melody": 500, "rhythm": 576, "timbre": 137, "harmony": 312}
BLOCKS = {"low": 3, "middle": 1, "high": 4}


def planted(shares: Mapping[str, float], sizes: Mapping[str, int], hidden: int = 4, seed: int = 0) -> FloatArray:
    """Random weights (h, D) whose blocks have these Frobenius norms."""
    random = np.random.default_rng(seed)
    columns = []
    for name, size in sizes.items():
        block = random.standard_normal((hidden, size))
        columns.append(shares.get(name, 0.0) * block / np.linalg.norm(block))
    return np.concatenate(columns, axis=1).astype(np.float32)


@given(
    st.lists(st.floats(0, 9), min_size=3, max_size=3).filter(lambda norms: sum(norms) > 0.1),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_shares_equal_planted_norms(norms: list[float], hidden: int, seed: int) -> None:
    expected = dict(zip(BLOCKS, norms, strict=True))
    found = attribution(planted(expected, BLOCKS, hidden, seed), BLOCKS)
    assert list(found) == list(BLOCKS)
    assert sum(found.values()) == pytest.approx(1)
    assert found == pytest.approx({name: norm / sum(norms) for name, norm in expected.items()}, abs=1e-6)


@given(st.integers(0, 99), st.floats(0.01, 100))
def test_shares_do_not_depend_on_the_scale_of_inputs_and_weights(seed: int, factor: float) -> None:
    random = np.random.default_rng(seed)
    weight, deviation = random.standard_normal((5, 8)), random.uniform(0.1, 3, 8)
    units = random.uniform(0.01, 100, 8)  # features in other units: y = units * x
    plain = attribution(weight, BLOCKS, deviation)
    assert attribution(factor * weight / units, BLOCKS, deviation * units) == pytest.approx(plain)
    # Plain weights of standardised features give the same shares.
    assert attribution(weight * deviation, BLOCKS) == pytest.approx(plain)


def test_a_constant_feature_has_no_share() -> None:
    weight = np.ones((2, 8))
    found = attribution(weight, BLOCKS, np.array([1, 1, 1, 0, 1, 1, 1, 1.0]))
    assert found["middle"] == 0
    assert found["high"] / found["low"] == pytest.approx(np.sqrt(4 / 3))


@pytest.mark.parametrize(
    ("weight", "deviation", "message"),
    [
        (np.ones((2, 9)), None, "the blocks have 8 dimensions, but the weight has 9 columns"),
        (np.ones((2, 8)), np.ones(7), r"standard deviations have shape \(7,\), but the weight has 8 columns"),
        (np.zeros((2, 8)), None, "all weights are 0"),
    ],
)
def test_invalid_weights_are_rejected(weight: FloatArray, deviation: FloatArray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attribution(weight, BLOCKS, deviation)


# Models -------------------------------------------------------------------------------------------------------------


def make_model(
    folder: Path, spaces: Mapping[str, tuple[str, str]], tensors: Mapping[str, FloatArray], name: str = "made"
) -> str:
    """Write a model of {space: (head, feature)} with these tensors; everything else is copied from `dsp`."""
    body = json.loads((load_recipe("dsp").weights.parent / "recipe.json").read_text())
    entry, weights = body["spaces"][0], save(dict(tensors))
    body["spaces"] = [
        entry | {"name": space, "head": head, "feature": feature} for space, (head, feature) in spaces.items()
    ]
    body |= {"name": name, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    folder.mkdir(exist_ok=True)
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "recipe.json").write_text(json.dumps(body))
    return str(folder)


def test_a_model_with_joined_features(tmp_path: Path) -> None:
    shares = {"melody": {"melody": 3.0, "harmony": 1.0}, "timbre": {"timbre": 1.0}}
    tensors = {f"{space}.hidden.weight": planted(norms, SIZES) for space, norms in shares.items()}
    deviation = np.concatenate([np.full(size, 10.0**n) for n, size in enumerate(SIZES.values())]).astype(np.float32)
    tensors["melody.hidden.weight"] /= deviation
    tensors["melody.spread"] = deviation
    report = attribute_model(make_model(tmp_path / "model", dict.fromkeys(shares, ("mlp", ALL)), tensors))
    assert report.rows == ("melody", "timbre") and report.columns == tuple(SIZES)
    assert report.values == pytest.approx(np.array([[75, 0, 0, 25], [0, 0, 100, 0]]), abs=1e-3)
    assert report.n.tolist() == [list(SIZES.values())] * 2
    uniform = np.sqrt(list(SIZES.values()))
    assert report.chance == pytest.approx(100 * uniform / uniform.sum())
    assert "no standard deviations of the features: timbre." in " ".join(report.notes)
    assert report.command == "soundalike train attribution made"
    saved = reports.load_reports(reports.save_reports([report], tmp_path))
    assert np.array_equal(saved[0].values, report.values) and str(tmp_path) not in reports.markdown(report)


def test_linear_heads_and_heads_without_a_first_layer(tmp_path: Path) -> None:
    spaces = {"one": ("linear", "melody+timbre"), "two": ("identity", "rhythm"), "three": ("mlp", "harmony")}
    tensors = {
        "one.weight": planted({"melody": 1, "timbre": 4}, {"melody": 500, "timbre": 137}),
        "three.hidden.weight": planted({"harmony": 1}, {"harmony": 312}),
    }
    report = attribute_model(make_model(tmp_path / "model", spaces, tensors))
    assert report.rows == ("one", "three") and report.columns == ("melody", "timbre", "harmony")
    expected = np.array([[20, 80, np.nan], [np.nan, np.nan, 100]])
    assert report.values == pytest.approx(expected, nan_ok=True, abs=1e-3)
    assert report.n.tolist() == [[500, 137, 0], [0, 0, 312]]
    assert np.isnan(report.chance).all(), "heads with different inputs have no common chance level"
    assert "Left out because their heads have no first layer of their own: two (identity)." in report.notes


def test_every_space_of_the_bundled_model_uses_one_feature() -> None:
    report = attribute_model("dsp")
    assert np.array_equal(np.nan_to_num(report.values), 100 * np.eye(4))


GOOD = planted({"melody": 1}, SIZES)


@pytest.mark.parametrize(
    ("head", "feature", "tensors", "message"),
    [
        (
            "identity",
            "melody",
            {},
            "model made has no head of kind mlp or linear, which attribution needs; it has identity",
        ),
        ("mlp", "melody+mood", {}, "space made/melody: dsp has no feature 'mood'; it has melody, rhythm"),
        ("mlp", ALL, {"melody.weight": GOOD}, "the weights have no tensor melody.hidden.weight; download or fit"),
        ("mlp", "melody", {"melody.hidden.weight": GOOD}, r"has shape \(4, 1525\), expected \(h, 500\)"),
        ("mlp", ALL, {"melody.hidden.weight": GOOD[0]}, r"has shape \(1525,\), expected \(h, 1525\)"),
        (
            "mlp",
            ALL,
            {"melody.hidden.weight": GOOD * np.float32("nan")},
            "contain NaN or infinity; fit the model again",
        ),
        ("mlp", ALL, {"melody.hidden.weight": 0 * GOOD}, "all weights are 0; fit the model again"),
        ("mlp", ALL, {"melody.hidden.weight": GOOD, "melody.spread": np.ones(3)}, r"spread has shape \(3,\), expected"),
        (
            "mlp",
            ALL,
            {"melody.hidden.weight": GOOD, "melody.spread": np.full(1525, np.inf)},
            "contain NaN or infinity; fit the model again",
        ),
    ],
)
def test_an_invalid_model_is_one_clear_error(
    tmp_path: Path, head: str, feature: str, tensors: dict[str, FloatArray], message: str
) -> None:
    folder = make_model(tmp_path / "model", {"melody": (head, feature)}, tensors)
    with pytest.raises(ModelError, match=message) as caught:
        attribute_model(folder)
    assert "\n" not in str(caught.value)


def test_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'soundalike[plot]'")
    from matplotlib.image import imread

    report = attribute_model("dsp")
    draw_attribution(report, tmp_path / "map.png")
    picture = imread(tmp_path / "map.png")[..., :3]
    assert min(picture.shape[:2]) > 200
    blue = (picture[..., 2] - picture[..., 0]) > 0.2
    assert 0.03 < blue.mean() < 0.5, "four of sixteen cells, and the colour bar"
    with pytest.raises(UsageError, match=r"must end in .png, .svg or .pdf"):
        draw_attribution(report, tmp_path / "map.txt")
    with pytest.raises(UsageError, match="cannot write .*map.png"):
        (tmp_path / "folder" / "map.png").mkdir(parents=True)
        draw_attribution(report, tmp_path / "folder" / "map.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"--plot needs matplotlib; install it with: pip install"):
        draw_attribution(report, tmp_path / "again.png")
