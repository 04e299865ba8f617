"""Small weights for the separators that come without their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from formulas import formula_tensor
from safetensors.numpy import save_file

from soundalike.audio.separators.spleeter_network import tensor_shapes
from soundalike.audio.separators.spleeter_weights import NETWORKS


def write_tiny_spleeter(path: Path, width: int = 1) -> Path:
    """Save networks of Spleeter's form with weights from a formula."""
    path = path.with_suffix(".safetensors")
    shapes = tensor_shapes(width)
    tensors = {f"{net}.{name}": formula_tensor(net + name, shape) for net in NETWORKS for name, shape in shapes.items()}
    save_file({name: tensor.astype("float16") for name, tensor in tensors.items()}, path)
    return path


_WRITERS: Mapping[str, tuple[tuple[str, ...], Callable[[Path], Path]]] = {"spleeter": ((), write_tiny_spleeter)}
WITHOUT_WEIGHTS = tuple(_WRITERS)
"""The separators that come without weights."""


def separator_options(name: str, folder: Path) -> dict[str, Path]:
    """Return the options with which a separator loads: its weights, written to a folder, if it has none of its own."""
    return {"weights": _WRITERS[name][1](folder / name)} if name in _WRITERS else {}
