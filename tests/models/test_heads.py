"""Heads of two layers and the joint head: numpy against torch, invalid weights, and a model with both kinds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from conftest import RATE, TUNES, tune, write
from soundalike.backbones.base import Features
from soundalike.core import plugins
from soundalike.core.errors import ModelError
from soundalike.core.types import Descriptors
from soundalike.models.heads import KINDS, Head, MlpHead, PartsHead, load_head
from soundalike.models.joint_head import JointShape, attention_mask, load_joint
from soundalike.models.model import Model
from soundalike.models.space_heads import join_features

WHY_TORCH = "numpy is compared with torch, which is not installed"
SHAPE = JointShape(blocks=(5, 9, 4), width=24, layers=3, attention_heads=4, out_dim=7, spaces=("melody", "rhythm"))
JOINED = "melody+rhythm+timbre+harmony"

Tensors = dict[str, np.ndarray]


def mlp_tensors(name: str, in_dim: int, hidden: int, out_dim: int, seed: int = 0) -> Tensors:
    rng = np.random.default_rng(seed)
    shapes = {"hidden.weight": (hidden, in_dim), "hidden.bias": (hidden,), "out.weight": (out_dim, hidden)}
    return {f"{name}.{part}": rng.standard_normal(shape).astype(np.float32) for part, shape in shapes.items()}


def joint_tensors(shape: JointShape, seed: int = 0) -> Tensors:
    """Return random weights and biases. None is 0 or 1, so omitting one changes the result."""
    rng = np.random.default_rng(seed)
    tensors = {
        name: (rng.standard_normal(size) / np.sqrt(size[-1] if len(size) > 1 else 1)).astype(np.float32)
        for name, size in shape.tensors().items()
        if size
    }
    return tensors | {"joint.attention_heads": np.array(shape.attention_heads)}


def random_features(n: int, dims: int, seed: int = 1) -> np.ndarray:
    """Return features whose columns differ in scale, as those of descriptors do."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dims)) * rng.uniform(0.1, 5.0, dims)).astype(np.float32)


def assert_unit_or_zero(rows: np.ndarray, audible: np.ndarray) -> None:
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows[audible], axis=1), 1, atol=1e-5)
    assert not rows[~audible].any()


def test_an_mlp_head_equals_torch() -> None:
    torch = pytest.importorskip("torch", reason=WHY_TORCH)
    tensors, features = mlp_tensors("x", 40, 33, 12), random_features(50, 40)
    network = torch.nn.Sequential(torch.nn.Linear(40, 33), torch.nn.ReLU(), torch.nn.Linear(33, 12, bias=False))
    names = {"0.weight": "hidden.weight", "0.bias": "hidden.bias", "2.weight": "out.weight"}
    network.load_state_dict({theirs: torch.from_numpy(tensors[f"x.{ours}"]) for theirs, ours in names.items()})
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network(torch.from_numpy(features))).numpy()
    head = load_head("mlp", "x", tensors, blocks=[("f", 40)], out_dim=12)
    np.testing.assert_allclose(head(features, np.ones(50, np.bool_)), expected, atol=1e-5)


def test_an_mlp_head_has_its_rectifier_between_the_layers() -> None:
    head = MlpHead(
        np.array([[1, 0], [-1, 0]], np.float32), np.array([0, 0.5], np.float32), np.array([[3, 0], [0, 4]], np.float32)
    )
    audible = np.array([True, True, True, False])
    rows = head(np.array([[2, 9], [-1, 9], [0.25, 9], [2, 9]], np.float32), audible)
    # Hidden units relu(x) and relu(0.5 - x): only the first, only the second, both equal, inaudible.
    np.testing.assert_allclose(rows, [[1, 0], [0, 1], [0.6, 0.8], [0, 0]], atol=1e-6)


def torch_joint(tensors: Tensors, shape: JointShape, features: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the rows with torch's layers, with the queries of all spaces in one pass."""
    import torch

    weights = {name.removeprefix("joint."): torch.from_numpy(value) for name, value in tensors.items()}
    parts = torch.from_numpy(features).split(shape.blocks, dim=1)
    tokens = [part @ weights[f"blocks.{b}.weight"].T + weights[f"blocks.{b}.bias"] for b, part in enumerate(parts)]
    tokens = [token + weights["embedding"][b] for b, token in enumerate(tokens)]
    tokens += [weights[f"query.{space}"].expand(len(features), -1) for space in shape.spaces]
    state, mask = torch.stack(tokens, dim=1), attention_mask(len(shape.blocks), len(shape.spaces))
    for number in range(shape.layers):
        layer = torch.nn.TransformerEncoderLayer(
            shape.width,
            shape.attention_heads,
            2 * shape.width,
            dropout=0.0,
            activation="relu",
            batch_first=True,
            norm_first=True,
        )
        prefix = f"layers.{number}."
        layer.load_state_dict({name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)})
        state = layer(state, src_mask=torch.from_numpy(mask))
    norm = torch.nn.LayerNorm(shape.width)
    norm.load_state_dict({"weight": weights["norm.weight"], "bias": weights["norm.bias"]})
    rows = {}
    for number, space in enumerate(shape.spaces):
        out = norm(state[:, len(shape.blocks) + number]) @ weights[f"out.{space}.weight"].T
        rows[space] = torch.nn.functional.normalize(out).detach().numpy()
    return rows


@pytest.mark.parametrize(
    "shape",
    [SHAPE, JointShape(blocks=(30, 11, 8, 20), spaces=("melody", "rhythm", "timbre")), JointShape((6,), spaces=("x",))],
    ids=["small", "default", "one block"],
)
def test_a_joint_head_equals_torch(shape: JointShape) -> None:
    pytest.importorskip("torch", reason=WHY_TORCH)
    tensors, features = joint_tensors(shape), random_features(40, sum(shape.blocks))
    expected = torch_joint(tensors, shape, features)
    for space in shape.spaces:
        head = load_joint(space, tensors, blocks=shape.blocks, out_dim=shape.out_dim)
        assert head.shape == JointShape(
            shape.blocks, shape.width, shape.layers, shape.attention_heads, shape.out_dim, (space,)
        )
        np.testing.assert_allclose(head(features, np.ones(40, np.bool_)), expected[space], atol=1e-5)


def joint_rows(tensors: Tensors, features: np.ndarray) -> np.ndarray:
    return load_joint("melody", tensors, blocks=SHAPE.blocks, out_dim=7)(features, np.ones(len(features), np.bool_))


@pytest.mark.parametrize("name", [name for name, size in SHAPE.tensors().items() if size and "rhythm" not in name])
def test_every_joint_tensor_matters(name: str) -> None:
    tensors, features = joint_tensors(SHAPE), random_features(6, 18)
    # The bias of the keys adds one number to all logits of a softmax, which changes nothing, so it is excluded.
    part = np.s_[2 * SHAPE.width :] if name.endswith("in_proj_bias") else np.s_[...]
    changed = tensors[name].copy()
    changed[part] += joint_tensors(SHAPE, seed=5)[name][part]
    moved = joint_rows(tensors | {name: changed}, features) - joint_rows(tensors, features)
    assert np.abs(moved).max() > 1e-3


def test_a_joint_row_depends_on_every_block_and_on_no_other_space() -> None:
    tensors, features = joint_tensors(SHAPE), random_features(6, 18)
    rows = joint_rows(tensors, features)
    for low, high in ((0, 5), (5, 14), (14, 18)):
        changed = features.copy()
        changed[:, low:high] += 1
        assert np.abs(joint_rows(tensors, changed) - rows).max(axis=1).min() > 1e-3
    alone = {name: value for name, value in tensors.items() if "rhythm" not in name}
    assert len(alone) == len(tensors) - 2
    assert np.array_equal(joint_rows(alone, features), rows)


def test_no_token_attends_to_the_query_of_another_space() -> None:
    assert attention_mask(2, 2).astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0]]


def heads_of_both_kinds() -> list[Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    return [
        load_head("mlp", "x", mlp_tensors("x", 18, 10, 7), blocks=[("f", 18)], out_dim=7),
        load_joint("melody", joint_tensors(SHAPE), blocks=SHAPE.blocks, out_dim=7),
    ]


@pytest.mark.parametrize("head", heads_of_both_kinds(), ids=["mlp", "joint"])
def test_inaudible_rows_are_zero_and_do_not_change_others(head: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    features, audible = random_features(8, 18), np.arange(8) % 3 != 1
    before = features.copy()
    rows = head(features, audible)
    assert_unit_or_zero(rows, audible)
    np.testing.assert_allclose(rows[audible], head(features[audible], audible[audible]), atol=1e-6)
    assert np.array_equal(features, before)
    assert head(features[:0], audible[:0]).shape == (0, 7)
    assert not head(features, np.zeros(8, np.bool_)).any()


def invalidate(tensors: Tensors, name: str, how: str) -> Tensors:
    changed = dict(tensors)
    if how == "missing":
        del changed[name]
    elif how == "shape":
        changed[name] = np.zeros((3, 3, 3), np.float32)
    else:
        changed[name] = np.full_like(tensors[name], {"nan": np.nan, "infinite": np.inf}[how])
    return changed


MESSAGES = {
    "missing": r"space \w+: the weights have no tensor {}; install or fit the model again",
    "shape": r"space \w+: {} has shape \(3, 3, 3\), expected \(.*\); fit the model again",
    "nan": r"space \w+: {} contains NaN or infinite weights; fit the model again",
    "infinite": r"space \w+: {} contains NaN or infinite weights; fit the model again",
}


@pytest.mark.parametrize("how", MESSAGES)
@pytest.mark.parametrize("name", mlp_tensors("x", 1, 1, 1))
def test_invalid_mlp_tensors_are_named(name: str, how: str) -> None:
    tensors = invalidate(mlp_tensors("x", 18, 10, 7), name, how)
    with pytest.raises(ModelError, match=MESSAGES[how].format(name)):
        load_head("mlp", "x", tensors, blocks=[("f", 18)], out_dim=7)


@pytest.mark.parametrize("how", MESSAGES)
@pytest.mark.parametrize("name", [name for name in SHAPE.tensors() if "rhythm" not in name])
def test_invalid_joint_tensors_are_named(name: str, how: str) -> None:
    tensors = joint_tensors(SHAPE)
    if name == "joint.attention_heads":
        tensors[name] = tensors[name].astype(np.float32)  # an integer cannot be NaN, but a file may contain floats
    with pytest.raises(ModelError, match=MESSAGES[how].format(name)):
        load_joint("melody", invalidate(tensors, name, how), blocks=SHAPE.blocks, out_dim=7)


def test_heads_of_other_sizes_are_rejected() -> None:
    tensors = mlp_tensors("x", 18, 10, 7)
    with pytest.raises(ModelError, match=r"x.hidden.weight has shape \(10, 18\), expected \(10, 17\)"):
        load_head("mlp", "x", tensors, blocks=[("f", 17)], out_dim=7)
    with pytest.raises(ModelError, match=r"x.out.weight has shape \(7, 10\), expected \(8, 10\)"):
        load_head("mlp", "x", tensors, blocks=[("f", 18)], out_dim=8)
    joint = joint_tensors(SHAPE)
    with pytest.raises(ModelError, match=r"joint.blocks.1.weight has shape \(24, 9\), expected \(24, 8\)"):
        load_joint("melody", joint, blocks=(5, 8, 4), out_dim=7)
    with pytest.raises(ModelError, match=r"joint.embedding has shape \(3, 24\), expected \(2, 24\)"):
        load_joint("melody", joint, blocks=(5, 9), out_dim=7)
    with pytest.raises(ModelError, match=r"space mood: the weights have no tensor joint.query.mood"):
        load_joint("mood", joint, blocks=SHAPE.blocks, out_dim=7)
    for wrong in (0, 5):
        with pytest.raises(ModelError, match=f"attention_heads is {wrong}, expected a divisor of the width 24"):
            load_joint("melody", joint | {"joint.attention_heads": np.array(wrong)}, blocks=SHAPE.blocks, out_dim=7)
    with pytest.raises(ModelError, match=f"unknown head 'gru'; known: {', '.join(KINDS)}"):
        load_head("gru", "x", {}, blocks=[("f", 18)], out_dim=7)


def test_a_silent_part_has_a_row_of_zeros_and_the_other_part_all_the_weight() -> None:
    random = np.random.default_rng(0)
    means, weights = (random.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (2, 4, 3)))
    head = PartsHead((3, 3), tuple(Head(mean, weight) for mean, weight in zip(means, weights, strict=True)))
    features = random.standard_normal((3, 6)).astype(np.float32)
    features[1, :3] = features[2, 3:] = 0
    expected = []
    for row in features:
        parts = [weight @ (part - mean) if part.any() else np.zeros(4)
                 for part, mean, weight in zip((row[:3], row[3:]), means, weights, strict=True)]  # fmt: skip
        joined = np.concatenate([part / max(np.linalg.norm(part), 1e-9) for part in parts])
        expected.append(joined / np.linalg.norm(joined))
    assert head(features, np.ones(3, np.bool_)) == pytest.approx(np.array(expected), abs=1e-5)


def test_features_are_joined_side_by_side() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2), -np.ones((3, 1), np.float32)
    audible_parts = {"a": np.array([True, False, True]), "b": np.array([False, True, True])}
    features = Features(np.zeros((3, 2)), {"a": a, "b": b}, audible_parts, Descriptors(), 3.0)
    rows, audible = join_features(features, "b+a")
    assert rows.tolist() == [[-1, 0, 1], [-1, 2, 3], [-1, 4, 5]] and rows.dtype == np.float32
    assert audible.tolist() == [False, True, True]
    rows, audible = join_features(features, "a")
    assert np.array_equal(rows, a) and audible.tolist() == [True, False, True]


def make_model(folder: Path, spaces: dict[str, tuple[str, str]]) -> Path:
    """Write a model folder with random weights and 16 dimensions. `spaces` are {name: (head, feature)}."""
    backbone = plugins.load("backbones", "dsp")
    calibration = {"mu": 0.0, "sigma": 1.0, "quantiles": np.linspace(-1, 1, 101).tolist()}
    tensors: Tensors = {}
    for seed, (name, (head, feature)) in enumerate(spaces.items()):
        sizes = tuple(backbone.dims.get(part, 1) for part in feature.split("+"))
        if head == "mlp":
            tensors |= mlp_tensors(name, sum(sizes), 32, 16, seed)
        else:
            tensors |= joint_tensors(JointShape(sizes, 32, out_dim=16, spaces=(name,)), seed) | tensors
    weights = save(tensors)
    recipe = {
        "magic": "soundalike-model",
        "format": 1,
        "name": "random",
        "summary": "Heads with random weights.",
        "licence": "CC0-1.0",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "spaces": [
            {
                "name": name,
                "source": "mix",
                "backbone": "dsp",
                "backbone_version": backbone.version,
                "feature": feature,
                "head": head,
                "dim": 16,
                "calibration": {"track": calibration, "passage": calibration},
            }
            for name, (head, feature) in spaces.items()
        ],
    }
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def test_a_model_with_trained_heads_encodes(tmp_path: Path) -> None:
    spaces = {
        "melody": ("mlp", JOINED),
        "rhythm": ("mlp", "rhythm+timbre"),
        "timbre": ("joint", JOINED),
        "harmony": ("joint", JOINED),
    }
    model = Model.load(str(make_model(tmp_path / "model", spaces)))
    clip = write(tmp_path / "tune.wav", tune(TUNES["up"], seconds=12))
    encoding = model.encode(clip)
    for vectors in (encoding.passages, encoding.track):
        for rows in vectors.rows.values():
            assert rows.shape == (len(vectors), 16)
            assert_unit_or_zero(rows, np.ones(len(rows), np.bool_))
    assert np.abs(encoding.track.rows["timbre"] - encoding.track.rows["harmony"]).max() > 1e-3
    again = Model.load(str(tmp_path / "model")).encode(clip)
    for name, rows in encoding.passages.rows.items():
        assert np.array_equal(rows, again.passages.rows[name])
    other = model.encode(write(tmp_path / "other.wav", tune(TUNES["leaps"], seconds=12, drums=(0, 3, 6))))
    for name, rows in encoding.track.rows.items():
        assert np.abs(rows - other.track.rows[name]).max() > 1e-3
    # Clicks have a rhythm but no melody, and melody is the first of the four joined features.
    clicks = np.zeros(12 * RATE, np.float32)
    clicks[:: RATE // 4] = 0.8
    encoded = model.encode(write(tmp_path / "clicks.wav", clicks)).track.rows
    assert {name for name, rows in encoded.items() if rows.any()} == {"rhythm"}
    assert model.encode(write(tmp_path / "silence.wav", np.zeros(50_000, np.float32))).silent


def test_an_unknown_feature_is_an_error_that_names_it(tmp_path: Path) -> None:
    wrong = {
        "melody+mood": "dsp has no feature 'mood'; it has melody, rhythm, timbre, harmony",
        "melody+": "'' cannot be the name of a feature",
        "+melody": "'' cannot be the name of a feature",
    }
    for number, (feature, message) in enumerate(wrong.items()):
        folder = make_model(tmp_path / str(number), {"melody": ("mlp", feature)})
        with pytest.raises(ModelError, match=message):
            Model.load(str(folder))


def test_joint_heads_of_a_model_must_have_the_same_input(tmp_path: Path) -> None:
    folder = make_model(
        tmp_path / "model", {"melody": ("joint", "melody+timbre"), "rhythm": ("joint", "timbre+melody")}
    )
    with pytest.raises(
        ModelError,
        match="model random: the inputs of its joint heads are melody.timbre of dsp and timbre.melody of dsp",
    ):
        Model.load(str(folder))
