"""Write networks as ONNX files, with their settings inside and with weights in fewer bits if asked for.

The same networks give the same bytes. This module needs torch and onnx only when a file is written.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from soundalike.core.files import make_folder, write_atomic

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

__all__ = ["Precision", "Sizes", "write_onnx"]

Precision: TypeAlias = Literal["float32", "float16", "int8"]
"""How the weights in an exported file are stored. Networks are computed in float32 whatever it is."""
Sizes: TypeAlias = Mapping[str, Sequence[int | str]]
"""The sizes of tensors by name. A name instead of a number stands for any number."""

_OPSET = 17
_SMALLEST = 64  # numbers of a tensor that half precision is worth it for


def write_onnx(
    network: nn.Module,
    examples: Mapping[str, Tensor],
    out: Path,
    *,
    inputs: Sizes,
    outputs: Sizes,
    metadata: Mapping[str, str],
    precision: Precision = "float32",
) -> None:
    """Write the graph of a network, and leave the network as it was.

    Args:
        network: The network. Its arguments are the inputs in order, and it returns one tensor or a tuple of them.
        examples: An example of every input, on the device of the network.
        out: The file to write. Its folder is made if it does not exist.
        inputs: The sizes of the inputs.
        outputs: The names and sizes of the outputs, in order.
        metadata: Texts to keep in the file.
        precision: How weights are stored.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> sizes = {"inputs": {"x": ("n", 3)}, "outputs": {"y": ("n", 2)}}
        >>> write_onnx(nn.Linear(3, 2), {"x": torch.rand(2, 3)}, Path("line.onnx"), **sizes, metadata={})
    """
    import onnx

    model = _traced(network, examples, inputs, outputs)
    _state_sizes(model, outputs)
    _share_constants(model)
    _store_weights(model, precision)
    for key, text in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    make_folder(out.parent, "--out")
    write_atomic(out, lambda file: file.write(content))


def _traced(network: nn.Module, examples: Mapping[str, Tensor], inputs: Sizes, outputs: Sizes) -> onnx.ModelProto:
    import onnx
    import torch

    modes = [(module, module.training) for module in network.modules()]
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs only torch and onnx is deprecated; the new one needs onnxscript too.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(examples.values()),
            content,
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_axes={
                name: {axis: size for axis, size in enumerate(inputs[name]) if isinstance(size, str)}
                for name in examples
            },
            dynamo=False,
            opset_version=_OPSET,
        )
    for module, training in modes:
        module.training = training
    return onnx.load_from_string(content.getvalue())


def _state_sizes(model: onnx.ModelProto, outputs: Sizes) -> None:
    """Write the sizes of the outputs, of which the exporter knows some only."""
    for output in model.graph.output:
        shape = output.type.tensor_type.shape
        del shape.dim[:]
        for size in outputs[output.name]:
            dim = shape.dim.add()
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size


def _share_constants(model: onnx.ModelProto) -> None:
    """Keep large constants once: each extractor brings the same mel filters, as a node of its own."""
    from onnx import numpy_helper

    names: dict[tuple[tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    for node in list(model.graph.node):
        if node.op_type != "Constant" or np.prod(node.attribute[0].t.dims) < _SMALLEST:
            continue
        values = numpy_helper.to_array(node.attribute[0].t)
        key = (values.shape, values.tobytes())
        if key not in names:
            names[key] = node.output[0]
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        renamed[node.output[0]] = names[key]
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _store_weights(model: onnx.ModelProto, precision: Precision) -> None:
    """Store large tensors in fewer bits; nodes turn them to float32 when the file is loaded.

    Whole numbers have one scale per filter, the first axis, whose largest weight is 127. Matrices of mel filters and
    vectors are stored in half precision.
    """
    from onnx import TensorProto, helper, numpy_helper

    if precision == "float32":
        return
    nodes = []
    for tensor in list(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALLEST:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if precision == "float16" or not _is_weight(model, name):
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
            nodes.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
            continue
        scales = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / np.float32(127)
        scales[scales == 0] = 1
        tensor.CopyFrom(numpy_helper.from_array(np.rint(values / scales).astype(np.int8), f"{name}.int8"))
        model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
        nodes.append(helper.make_node("Cast", [tensor.name], [f"{name}.whole"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.whole", f"{name}.scales"], [name]))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def _is_weight(model: onnx.ModelProto, name: str) -> bool:
    """Return whether a tensor holds the filters of a convolution or the rows of a projection."""
    kinds = {node.op_type for node in model.graph.node if name in node.input[1:2]}
    return bool(kinds & {"Conv", "ConvTranspose", "Gemm"})
