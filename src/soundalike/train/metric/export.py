"""Export trained networks to ONNX: one graph from magnitudes to rows, or to masks.

The settings that are needed to run a file are in its metadata (`UnetSettings`). The same networks give the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.audio.separators import UNET_KEY, UnetSettings
from soundalike.core.files import make_folder, write_atomic
from soundalike.train.metric.presence import OPEN
from soundalike.train.metric.settings import MetricSettings, Precision
from soundalike.train.metric.unet import Direct, ExtractorBank, SeparatorBank

if TYPE_CHECKING:
    import onnx

__all__ = ["Rows", "export_rows", "export_separators", "relative_levels"]

_OPSET = 17
_FRAMES = 100  # of the example; any number of frames may follow
_SMALLEST = 64  # numbers of a tensor that half precision is worth it for


def relative_levels(separated: Tensor, spectrum: Tensor) -> Tensor:
    """Return the level of each separated instrument relative to the mix.

    Args:
        separated: Magnitudes (n, K, b, f) of the instruments.
        spectrum: Magnitudes (n, b, f) of the mix.

    Returns:
        (n, K) in dB, `presence.OPEN` or more.

    Example:
        >>> relative_levels(torch.ones(1, 1, 2, 3), 10 * torch.ones(1, 2, 3))
        tensor([[-20.0000]])
    """
    share = separated.square().sum(dim=(2, 3)) / spectrum.square().sum(dim=(1, 2)).clamp(min=1e-20)[:, None]
    return 10 * torch.log10(share.clamp(min=10 ** (OPEN / 10)))


class Rows(nn.Module):
    """The networks of one method, from the magnitudes (n, b, f) of a mix to rows (n, K, d) and perhaps levels (n, K).

    Args:
        describe: `ExtractorBank` (Clean, Cascade) or `Direct`.
        separate: The separators before the extractors of Cascade. None: the extractors see `spectrum` itself.
        levels: Whether to return `relative_levels` too; only with separators.

    Example:
        >>> network = Rows(Direct(SMALL.spectrum, SMALL.network))
        >>> network(torch.rand(1, SMALL.spectrum.bins, 100)).shape
        torch.Size([1, 6, 32])
    """

    def __init__(
        self, describe: ExtractorBank | Direct, separate: SeparatorBank | None = None, levels: bool = False
    ) -> None:
        super().__init__()
        self.describe, self.separate, self.levels = describe, separate, levels

    def forward(self, spectrum: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Compute rows, and levels if they are asked for."""
        if self.separate is None:
            rows: Tensor = self.describe(spectrum)
            return rows
        separated = self.separate(spectrum)
        rows = self.describe(separated)
        return (rows, relative_levels(separated, spectrum)) if self.levels else rows


class _Masks(nn.Module):
    def __init__(self, separate: SeparatorBank) -> None:
        super().__init__()
        self.separate = separate

    def forward(self, spectrum: Tensor) -> Tensor:
        return self.separate.masks(spectrum)


def export_rows(
    method: str,
    describe: ExtractorBank | Direct,
    settings: MetricSettings,
    out: Path,
    *,
    licence: str,
    separate: SeparatorBank | None = None,
    gates: Sequence[float] | None = None,
    precision: Precision = "float32",
) -> None:
    """Write the graph of a method for the backbone `unet`.

    Args:
        method: Its name, such as "cascade-ft".
        describe: The extractors, or the one of Direct.
        settings: What the networks were made with.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        separate: The separators of Cascade.
        gates: Level in dB relative to the mix from which each instrument counts as audible (`fit_gates`). None: always.
        precision: How weights are stored.

    Raises:
        UsageError: The file cannot be written.
        ValueError: Gates without separators, or not one per instrument.

    Example:
        >>> export_rows("direct", network, SMALL, Path("unet.onnx"), licence="Apache-2.0")
    """
    if gates is not None and (separate is None or len(gates) != len(settings.network.instruments)):
        raise ValueError("gates need separators, and one gate per instrument")
    about = UnetSettings(
        output="rows",
        method=method,
        rate=settings.spectrum.rate,
        size=settings.spectrum.size,
        hop=settings.spectrum.hop,
        instruments=settings.network.instruments,
        dim=settings.network.dim,
        gates=None if gates is None else tuple(float(gate) for gate in gates),
        licence=licence,
    )
    _write(Rows(describe, separate, gates is not None), about, out, precision)


def export_separators(
    separate: SeparatorBank, settings: MetricSettings, out: Path, *, licence: str, precision: Precision = "float32"
) -> None:
    """Write the graph of separators for the separator `unet`.

    Args:
        separate: The separators.
        settings: What they were made with.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        precision: How weights are stored.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> export_separators(separators, SMALL, Path("separators.onnx"), licence="Apache-2.0")
    """
    about = UnetSettings(
        output="masks",
        method="separators",
        rate=settings.spectrum.rate,
        size=settings.spectrum.size,
        hop=settings.spectrum.hop,
        instruments=settings.network.instruments,
        dim=None,
        gates=None,
        licence=licence,
    )
    _write(_Masks(separate), about, out, precision)


def _write(network: nn.Module, about: UnetSettings, out: Path, precision: Precision) -> None:
    import onnx

    model = _traced(network, about)
    _state_sizes(model, about)
    _share_constants(model)
    _store_weights(model, precision)
    entry = model.metadata_props.add()
    entry.key, entry.value = UNET_KEY, about.to_json()
    onnx.checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    make_folder(out.parent, "--out")
    write_atomic(out, lambda file: file.write(content))


def _traced(network: nn.Module, about: UnetSettings) -> onnx.ModelProto:
    """Return the graph of a network, and leave the network as it was."""
    import onnx

    modes = [(module, module.training) for module in network.modules()]
    example = torch.rand(2, about.size // 2, _FRAMES, device=next(network.parameters()).device)
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs only torch and onnx is deprecated; the new one needs onnxscript too.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (example,),
            content,
            input_names=["spectrum"],
            output_names=list(about.outputs),
            dynamic_axes={"spectrum": {0: "n", 2: "frames"}},
            dynamo=False,
            opset_version=_OPSET,
        )
    for module, training in modes:
        module.training = training
    return onnx.load_from_string(content.getvalue())


def _state_sizes(model: onnx.ModelProto, about: UnetSettings) -> None:
    """Write the sizes of the outputs, of which the exporter knows some only."""
    count = len(about.instruments)
    sizes: Mapping[str, Sequence[int | str]] = {
        "rows": ("n", count, about.dim or 0),
        "masks": ("n", count, about.size // 2, "frames"),
        "level": ("n", count),
    }
    for output in model.graph.output:
        shape = output.type.tensor_type.shape
        del shape.dim[:]
        for size in sizes[output.name]:
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
