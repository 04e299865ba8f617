"""Exported concept networks equal torch, with one input or several; what is inside a file, and its size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("onnx", reason="torch writes networks with onnx")

import torch
from toy_concepts import toy_settings

from soundalike.backbones.analysis import ConceptGraph
from soundalike.backbones.analysis.concept_network import ConceptOnnx
from soundalike.train.common.onnx_files import Precision
from soundalike.train.concepts.export import export_concepts
from soundalike.train.concepts.networks import ConceptNetwork
from soundalike.train.concepts.settings import SMALL, ConceptSettings

SETTINGS = toy_settings()


def drawn_inputs(settings: ConceptSettings, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random, inputs = np.random.default_rng(seed), settings.inputs
    shapes = {name: (count, inputs.bins(name), inputs.frames) for name in inputs.names}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def made(settings: ConceptSettings) -> ConceptNetwork:
    """A random network with the running statistics of some batches."""
    torch.manual_seed(0)
    network = ConceptNetwork(settings)
    with torch.no_grad():
        for seed in range(3):
            network({name: torch.from_numpy(one) for name, one in drawn_inputs(settings, 4, seed).items()})
    return network


def expected(network: ConceptNetwork, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = network.eval()({name: torch.from_numpy(one) for name, one in inputs.items()}).numpy()
    return found


@pytest.mark.parametrize("names", [("mel", "tempogram", "chroma"), ("mel",), ("tempogram", "chroma")])
def test_a_file_equals_torch(names: tuple[str, ...], tmp_path: Path) -> None:
    settings = toy_settings(inputs=replace(SETTINGS.inputs, names=names, tempogram="cyclic", tempi=30))
    network, path = made(settings), tmp_path / "new" / "concepts.onnx"
    export_concepts(network, settings, path, licence="CC0-1.0")
    assert network.training
    found = ConceptOnnx(path, code=1)
    assert found.graph == ConceptGraph(("genre", "tempo", "key"), 8, "CC0-1.0", settings.inputs)
    for count in (1, 5):
        inputs = drawn_inputs(settings, count, seed=9)
        np.testing.assert_allclose(found(inputs), expected(network, inputs), atol=1e-5)


def test_rounded_weights_take_less_space_and_change_embeddings_by_little(tmp_path: Path) -> None:
    settings = replace(SMALL, inputs=replace(SMALL.inputs, names=("chroma",)))
    network, inputs = made(settings), drawn_inputs(settings, 2)
    right, sizes = expected(network, inputs), {}
    least: dict[Precision, float] = {"float32": 1.0, "float16": 0.9999, "int8": 0.998}
    for precision, lowest in least.items():
        path = tmp_path / precision
        export_concepts(network, settings, path, licence="CC0-1.0", precision=precision)
        found = ConceptOnnx(path, code=1)(inputs)
        cosines = (found * right).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(right, axis=1)
        assert cosines.min() >= lowest - 1e-6
        assert (np.abs(found - right).max() > 1e-5) == (precision != "float32")
        sizes[precision] = path.stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"] and sizes["int8"] < 0.4 * sizes["float32"]


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_concepts(made(SETTINGS), SETTINGS, tmp_path / name, licence="CC0-1.0", precision="float16")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
