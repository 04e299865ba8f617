"""Embeddings and heads equal those of MERIT's own code, recorded in `fixtures` on models and clips made by formula."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="MERT needs torch: pip install 'soundalike[mert]'")
pytest.importorskip("transformers", reason="MERT needs transformers: pip install 'soundalike[mert]'")

from tiny_mert import CONFIG, OLD, PROCESSOR, reference  # noqa: E402

from soundalike.backbones.mert import CLIP, MertBackbone  # noqa: E402
from soundalike.core.types import FloatArray  # noqa: E402
from soundalike.models.heads import load_head  # noqa: E402
from soundalike.train.heads.merit_checkpoints import read_merit_head  # noqa: E402

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "merit_official.json").read_text())
SECONDS = (6, 11)
HEAD_SIZES = {"net.0.weight": (24, 160), "net.0.bias": (24,), "net.2.weight": (16, 24)}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stable": ({}, {}),
    "post": ({"do_stable_layer_norm": False, "attention_relax": -1.0}, {}),
    "plain": ({}, {"do_normalize": False}),
}
"""Changes to the settings of the network and of the processor."""


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32 on processors that are made for bfloat16 too."""
    monkeypatch.setattr("soundalike.backbones.mert_network.processor_flags", frozenset)


def formula_tensor(name: str, shape: tuple[int, ...]) -> FloatArray:
    """The tensor of a name, the same everywhere."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("weight_g") or ("norm" in name and name.endswith("weight")):
        return (1 + 0.1 * noise).astype(np.float32)
    return (0.1 * noise if len(shape) < 2 else noise / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def formula_signal(seconds: int) -> FloatArray:
    """A rising tone that is struck twice a second, a steady tone and an offset, at 24 kHz."""
    t = np.arange(24_000 * seconds) / 24_000
    rising = np.sin(2 * np.pi * (110 * t + 40 * t**2))
    return (0.4 * rising * np.exp(-2 * (t % 0.5)) + 0.1 * np.sin(2 * np.pi * 1760 * t) + 0.05).astype(np.float32)


def write_formula_model(folder: Path, name: str) -> Path:
    """Save one of `MODELS` in the layout of the hub, as it was saved for the official code."""
    config = CONFIG | {"num_hidden_layers": 24} | MODELS[name][0]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | MODELS[name][1]))
    tensors = {}
    for key, tensor in reference(config).state_dict().items():
        old = key
        for new, short in OLD.items():
            old = old.replace(new, short)
        tensors[old] = torch.from_numpy(formula_tensor(old, tuple(tensor.shape)))
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_and_heads_equal_the_official_ones(tmp_path: Path, name: str) -> None:
    backbone = MertBackbone(write_formula_model(tmp_path / "model", name))
    whole = [
        backbone.features([formula_signal(seconds)], lambda duration: np.array([[0.0, min(duration, CLIP)]]))
        for seconds in SECONDS
    ]
    rows = np.concatenate([features.rows["layers"] for features in whole])
    expected = np.array(RECORDED["models"][name]["embedding"])
    assert np.abs(rows - expected).max() <= 1e-4

    state = {key: torch.from_numpy(formula_tensor(f"head.{key}", shape)) for key, shape in HEAD_SIZES.items()}
    body = {"state_dict": state, "in_dim": 160, "hidden_dim": 24, "out_dim": 16, "encoder": "mert", "model_id": "tiny"}
    torch.save(body | {"epoch": 1, "val_loss": 0.5, "val_acc": 0.5}, tmp_path / "best_head.pt")
    tensors = {f"melody.{key}": one for key, one in read_merit_head(tmp_path / "best_head.pt").tensors.items()}
    head = load_head("mlp", "melody", tensors, blocks=[("layers", 160)], out_dim=16)
    projected = head(rows, np.ones(2, np.bool_))
    assert np.abs(projected - np.array(RECORDED["models"][name]["head"])).max() <= 1e-4


def test_the_recorded_models_differ() -> None:
    rows = [np.array(RECORDED["models"][name]["embedding"]) for name in MODELS]
    assert np.abs(rows[0] - rows[1]).max() > 1
    assert np.abs(rows[0] - rows[2]).max() > 1e-3
