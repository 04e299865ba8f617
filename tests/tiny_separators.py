"""Small weights for the separators that come without their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from formulas import formula_tensor
from safetensors.numpy import save_file

from soundalike.audio.separators.spleeter_network import tensor_shapes
from soundalike.audio.separators.spleeter_weights import NETWORKS
from tiny_unet import write_tiny_masks


def write_tiny_spleeter(path: Path, width: int = 1) -> Path:
    """Save networks of Spleeter's form with weights from a formula."""
    path = path.with_suffix(".safetensors")
    shapes = tensor_shapes(width)
    tensors = {f"{net}.{name}": formula_tensor(net + name, shape) for net in NETWORKS for name, shape in shapes.items()}
    save_file({name: tensor.astype("float16") for name, tensor in tensors.items()}, path)
    return path


def write_tiny_demucs(folder: Path, stems: tuple[str, ...]) -> Path:
    """Save a small random HTDemucs with segments of half a second, in the layout of the hub."""
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file as save_tensors

    torch.manual_seed(0)
    plain = {"channels": 4, "dconv_comp": 2, "t_layers": 1, "t_heads": 2, "t_hidden_scale": 1.0}
    network = HTDemucs(list(stems), **plain, segment=Fraction(1, 2))
    segment = {"_type": "fraction", "numerator": 1, "denominator": 2}
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": [list(stems)], "kwargs": {**plain, "segment": segment}}
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text("models: ['0a1b2c3d']\n")
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    save_tensors(tensors, folder / "0a1b2c3d.safetensors", metadata=text)
    return folder


FOUR = ("drums", "bass", "other", "vocals")
_WRITERS: Mapping[str, tuple[tuple[str, ...], Callable[[Path], Path]]] = {
    "demucs": (("torch", "demucs"), lambda folder: write_tiny_demucs(folder, FOUR)),
    "demucs6": (("torch", "demucs"), lambda folder: write_tiny_demucs(folder, (*FOUR, "guitar", "piano"))),
    "spleeter": ((), write_tiny_spleeter),
    "unet": (("torch", "onnx"), write_tiny_masks),
}
WITHOUT_WEIGHTS = tuple(_WRITERS)
"""The separators that come without weights."""


def separator_options(name: str, folder: Path) -> dict[str, Path]:
    """Return the options with which a separator loads: its weights, written to a folder, if it has none of its own.

    Skips the test if the separator needs a module that is not installed.
    """
    if name not in _WRITERS:
        return {}
    modules, write = _WRITERS[name]
    extra = "train" if name == "unet" else "demucs"
    for module in modules:
        pytest.importorskip(module, reason=f"{name} runs in {module}: pip install 'soundalike[{extra}]'")
    return {"weights": write(folder / name)}
