"""Backbone `openl3`: embeddings of OpenL3 for music, by the package torchopenl3.

Cramer, Wu, Salamon and Bello, "Look, listen and learn more: design choices for deep audio embeddings", ICASSP 2019.
The network has 256 mel bands and an embedding of 512. The weights are `torchopenl3_mel256_music_512.pth.tar` of the
repository torchopenl3-models, given by path.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, window_bounds
from soundalike.backbones.weight_files import read_torch_tensors
from soundalike.core.errors import ModelError
from soundalike.core.tensors import tensors_version
from soundalike.core.types import BoolArray, Descriptors, FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["OpenL3Backbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_RATE, _DIM = 48_000, 512
_BATCH = 16
_SILENT = 10 ** (-70 / 20)
"""The root mean square at or below which a second is silent."""


class OpenL3Backbone:
    """The embedding of OpenL3, in windows of mono audio at 48 kHz.

    The network takes one second at a time. Seconds do not overlap, and what remains at the end of a stream is filled up
    with zeros. The row of a window is the mean of the audible seconds that have their middle in it.

    Args:
        weights: A state dict of torchopenl3 (`.pth.tar`), or the same tensors as `.safetensors`.

    Raises:
        ModelError: torch or torchopenl3 is missing, or the file is not a state dict of this network.
    """

    name: ClassVar[str] = "openl3"
    rate: ClassVar[int] = _RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType({"embedding": _DIM})

    def __init__(self, weights: Path) -> None:
        tensors = read_torch_tensors(weights, "soundalike[mert]")
        self._network = _load_network(tensors, weights)
        self.version = tensors_version(_CODE, {name: tensor.numpy() for name, tensor in tensors.items()})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 48 kHz, in each window of `grid`."""
        rows: list[FloatArray] = []
        loud: list[bool] = []
        rest = np.zeros(0, np.float32)
        length = 0
        for block in blocks:
            length += len(block)
            rest = np.concatenate([rest, block])
            whole = len(rest) // (_BATCH * _RATE) * _BATCH
            self._embed(rest[: whole * _RATE], rows, loud)
            rest = rest[whole * _RATE :]
        if len(rest):
            self._embed(np.pad(rest, (0, -len(rest) % _RATE)), rows, loud)
        windows = window_bounds(grid, length / _RATE)
        return _pool(windows, np.array(rows).reshape(-1, _DIM), np.array(loud, np.bool_), length / _RATE)

    def _embed(self, samples: FloatArray, rows: list[FloatArray], loud: list[bool]) -> None:
        """Embed whole seconds, batch by batch, and say which are audible."""
        import torch

        seconds = samples.reshape(-1, 1, _RATE)
        loud += (np.sqrt(np.mean(np.square(seconds, dtype=np.float64), axis=(1, 2))) > _SILENT).tolist()
        with torch.inference_mode():
            for first in range(0, len(seconds), _BATCH):
                found = self._network(torch.from_numpy(np.ascontiguousarray(seconds[first : first + _BATCH])))
                rows += list(found.reshape(len(found), _DIM).numpy().astype(np.float32))


def _pool(windows: FloatArray, rows: FloatArray, loud: BoolArray, duration: float) -> Features:
    """The features of windows (n, 2) from the rows of seconds."""
    middles = np.arange(len(rows)) + 0.5
    found = np.zeros((len(windows), _DIM), np.float32)
    audible = np.zeros(len(windows), np.bool_)
    for at, (start, end) in enumerate(windows):
        inside = (middles >= start) & (middles < end)
        if not inside.any():  # shorter than a second: the second that it lies in
            inside[min(int(start), len(inside) - 1)] = True
        inside &= loud
        if inside.any():
            found[at], audible[at] = rows[inside].mean(axis=0), True
    return Features(windows, {"embedding": found}, {"embedding": audible}, Descriptors(), duration)


def _load_network(tensors: Mapping[str, torch.Tensor], weights: Path) -> Any:
    """The network of torchopenl3 with these weights."""
    try:
        models = import_module("torchopenl3.models")
    except ImportError as error:
        raise ModelError(
            f"openl3 runs in torchopenl3, which is not installed ({error}); install it with: "
            "pip install torchopenl3 'setuptools<81'"
        ) from error
    network = models.PytorchOpenl3(input_repr="mel256", content_type="music", embedding_size=_DIM).eval()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{weights} is not torchopenl3_mel256_music_512: {str(error).splitlines()[0]}") from error
    return network


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone. Raises ModelError without weights, or if they are not of this network."""
    if weights is None:
        raise ModelError(
            "the backbone openl3 needs its weights; install them with `soundalike models install openl3 --backbone "
            "torchopenl3_mel256_music_512.pth.tar`"
        )
    return OpenL3Backbone(weights)
