"""Export trained networks to ONNX, from root spectra to logits, so that training and inference cannot differ."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from soundalike.backbones.analysis import (
    COLOUR_FILE,
    PITCH_BANDS,
    PITCH_FILE,
    PITCH_OUTPUTS,
    RHYTHM_BANDS,
    STROKE_FILE,
    TIMBRE_BANDS,
)
from soundalike.core.files import make_folder, write_atomic

__all__ = ["export"]

_OPSET = 17


def export(pitch: nn.Module, strokes: nn.Module, colour: nn.Module, out: Path) -> None:
    """Export a pitch, a stroke and a colour network to `out`, for any number of frames.

    The same networks give the same bytes.

    Raises:
        UsageError: The files cannot be written.
    """
    make_folder(out, "--out")
    _write(pitch, torch.rand(1, 256, PITCH_BANDS), PITCH_OUTPUTS, out / PITCH_FILE)
    _write(strokes, torch.rand(1, 1024, RHYTHM_BANDS), ("strokes",), out / STROKE_FILE)
    _write(colour, torch.rand(1, 128, TIMBRE_BANDS), ("colours",), out / COLOUR_FILE)


def _write(network: nn.Module, example: Tensor, outputs: tuple[str, ...], path: Path) -> None:
    with TemporaryDirectory() as place, warnings.catch_warnings():
        # The exporter that needs only torch and onnx is deprecated; the new one needs onnxscript too.
        warnings.simplefilter("ignore")
        written = Path(place) / path.name
        torch.onnx.export(
            network.eval(),
            (example,),
            written,
            input_names=["roots"],
            output_names=list(outputs),
            dynamic_axes={"roots": {1: "frames"}},
            dynamo=False,
            opset_version=_OPSET,
        )
        content = written.read_bytes()
    write_atomic(path, lambda file: file.write(content))
