"""A concept network of one layer, as an ONNX file, and the same in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soundalike.backbones.analysis import CONCEPT_KEY, ConceptGraph, InputSettings

TINY = ConceptGraph(("tempo", "key"), 5, "CC0-1.0", InputSettings())


def tiny_weights(graph: ConceptGraph) -> np.ndarray:
    """(bins of all inputs, D)."""
    bins = sum(graph.inputs.bins(name) for name in graph.inputs.names)
    values = np.random.default_rng(0).standard_normal((bins, graph.dim * len(graph.concepts)))
    return (values / np.sqrt(bins)).astype(np.float32)


def embed_tiny(inputs: dict[str, np.ndarray], graph: ConceptGraph = TINY) -> np.ndarray:
    """The embedding (D,) of a segment: the mean over time of all inputs, projected."""
    return np.concatenate([inputs[name].mean(axis=1) for name in graph.inputs.names]) @ tiny_weights(graph)


def write_tiny_concepts(path: Path, graph: ConceptGraph = TINY, metadata: str | None = None) -> Path:
    """Write the network; `metadata` in the place of what it says about itself."""
    from onnx import TensorProto, helper, numpy_helper

    names, frames = graph.inputs.names, graph.inputs.frames
    nodes = [helper.make_node("ReduceMean", [name], [f"{name}.mean"], axes=[2], keepdims=0) for name in names]
    nodes.append(helper.make_node("Concat", [f"{name}.mean" for name in names], ["means"], axis=1))
    nodes.append(helper.make_node("MatMul", ["means", "weight"], ["embedding"]))
    taken = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", graph.inputs.bins(name), frames]) for name in names
    ]
    size = graph.dim * len(graph.concepts)
    given = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", size])]
    weight = numpy_helper.from_array(tiny_weights(graph), "weight")
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", taken, given, [weight]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 10
    entry = model.metadata_props.add()
    entry.key, entry.value = CONCEPT_KEY, graph.to_json() if metadata is None else metadata
    path = path.with_suffix(".onnx")
    path.write_bytes(model.SerializeToString())
    return path
