"""MERT in ONNX Runtime on the processor, in float32 or with 8-bit matrix products.

The network is exported once, to a file beside the weights. A later run needs neither torch nor transformers.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from soundalike.backbones.mert_network import MertNetwork, MertSettings
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.executors.cores import usable_cores
from soundalike.core.types import FloatArray

__all__ = ["MertOnnx"]

_OPSET = 17


class MertOnnx:
    """A MERT that ONNX Runtime computes, with the same layers as `MertNetwork`.

    With `int8`, the weights of matrix products are rounded to 8 bits per output channel, and their inputs to 8 bits per
    clip when they are computed. The rows change slightly; `benchmarks/embed_mert.py` reports by how much.

    Args:
        settings: What to load.
        version: The version of the weights, which is part of the name of the file.
        int8: Whether to round to 8 bits.

    Raises:
        ModelError: The weights or the exported file are invalid, or an extra that the export needs is not installed.
        UsageError: The file cannot be written.

    Example:
        >>> network = MertOnnx(MertSettings.read(Path("MERT-v1-330M")), version=1, int8=True)
        >>> network(np.zeros((1, 240_000), np.float32)).shape
        (1, 5120)
    """

    batch_size = 1

    def __init__(self, settings: MertSettings, version: int, *, int8: bool) -> None:
        import onnxruntime

        self.path = settings.folder / f"soundalike-{version}-{'int8' if int8 else 'float32'}.onnx"
        if not self.path.is_file():
            _export(settings, self.path, int8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or usable_cores())
        options.log_severity_level = 3
        try:
            # From the path, not from bytes: a network of a gigabyte would be in memory twice.
            self._session = onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises exception types that it does not export
            raise ModelError(f"{self.path} is not a valid network ({type(error).__name__}); delete it") from error

    def __call__(self, clips: FloatArray) -> FloatArray:
        """Return the hidden states of clips (b, t), their mean over time, one layer after the other: (b, D) float32."""
        found: list[FloatArray] = self._session.run(None, {"clips": clips})
        return np.concatenate(found, axis=1)


def _export(settings: MertSettings, path: Path, int8: bool) -> None:
    """Write the network as an ONNX file, with one output per layer."""
    try:
        import onnx  # noqa: F401 - the exporter needs it, and says so in many lines
        import torch
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ModelError(
            f"the export to ONNX needs torch and onnx ({error}); install: pip install 'soundalike[mert,train]'"
        ) from error

    network = MertNetwork(settings, "cpu")
    # Inside the folder of the file, so that the complete file can be renamed to its place.
    try:
        with TemporaryDirectory(dir=path.parent, prefix=".soundalike-") as place, warnings.catch_warnings():
            # The exporter that needs only torch and onnx is deprecated; the new one needs onnxscript too.
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)  # advice on preparing the network, which changes nothing for this one
            written = Path(place) / "float32.onnx"
            with torch.no_grad():
                torch.onnx.export(
                    _as_module(network),
                    (torch.randn(1, settings.rate),),
                    str(written),
                    input_names=["clips"],
                    output_names=[f"layer{number}" for number in settings.layers],
                    dynamic_axes={"clips": {0: "clip", 1: "sample"}},
                    dynamo=False,
                    opset_version=_OPSET,
                )
            if int8:
                rounded = Path(place) / "int8.onnx"
                # Unsigned weights: the sums of products of signed ones overflow on processors without VNNI.
                quantize_dynamic(
                    written,
                    rounded,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    per_channel=True,
                    weight_type=QuantType.QUInt8,
                )
                written = rounded
            written.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; set SOUNDALIKE_DEVICE=cpu") from error
    finally:
        logging.disable(logging.NOTSET)


def _as_module(network: MertNetwork) -> Any:
    """Return a network as a module that returns one mean (b, hidden size) per layer."""
    import torch

    class Layers(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = network.model

        def forward(self, clips: Any) -> Any:
            return network.means(clips)

    return Layers()
