"""Backbone `unet`: one row per instrument of a mix, by U-Nets that `soundalike train instruments` trained.

Imamura, Hashizume, Huang and Toda, "Music similarity representation learning focusing on individual instruments with
source separation and human preference", 2025. The weights are an ONNX file, given by path; onnxruntime runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.audio.separators import UnetNetwork, magnitudes
from soundalike.backbones.analysis.clips import SILENT, Samples, embed_clips
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = ["UnetBackbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_LONGEST = 30.0  # seconds that the networks see at a time, so that memory stays bounded


class UnetBackbone:
    """The rows of instruments in windows of mono audio, one feature per instrument, named after it.

    A window is one segment of audio, as in the training; one of more than 30 s is divided into equal parts, and its row
    is their mean. Rows have the length that the networks give them, not 1.

    Where the file has gates, the networks of `cascade` and `cascade-ft` separate the instruments first, and an
    instrument is audible in a window if the level of what was separated, relative to the mix, reaches its gate. Without
    gates, every instrument is audible wherever there is sound.

    Args:
        weights: An ONNX file with rows.

    Raises:
        ModelError: The file is missing, damaged or of another kind.

    Example:
        >>> backbone = UnetBackbone(Path("instruments/unet.onnx"))
        >>> backbone.features(MonoStream("song.wav", backbone.rate), windows).rows["drums"].shape
        (47, 32)
    """

    name: ClassVar[str] = "unet"
    batch_size: ClassVar[int] = 1  # more segments at a time take more memory, and no less time

    def __init__(self, weights: Path) -> None:
        self._network = UnetNetwork(weights, "rows", code=_CODE)
        self._settings = self._network.settings
        self.version = self._network.version
        self.rate = self._settings.rate
        self._dim = self._settings.dim or 0
        self.dims: Mapping[str, int] = MappingProxyType(dict.fromkeys(self._settings.instruments, self._dim))

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at `rate`, in each window of `grid`.

        A window without sound above -70 dBFS is inaudible. The descriptors are empty.
        """
        count = len(self.dims)
        found = embed_clips(blocks, self.rate, grid, "all", count * (self._dim + 1), self._clips, lambda: self)
        table = found.rows["all"].reshape(-1, count, self._dim + 1)
        gates = np.array(self._settings.gates or [-np.inf] * count)
        audible = found.audible["all"][:, None] & (table[:, :, -1] >= gates)
        rows = np.where(audible[:, :, None], table[:, :, :-1], np.float32(0.0))
        return Features(
            found.windows,
            {name: np.ascontiguousarray(rows[:, index]) for index, name in enumerate(self.dims)},
            {name: audible[:, index].copy() for index, name in enumerate(self.dims)},
            found.descriptors,
            found.duration,
        )

    def __call__(self, clips: FloatArray) -> FloatArray:
        """Return the rows of clips (b, t), each followed by its level in dB or 0: (b, K (d + 1))."""
        rows, *levels = self._network(magnitudes(clips, self._settings.size, self._settings.hop))
        level = levels[0] if levels else np.zeros(rows.shape[:2], np.float32)
        return np.concatenate([rows, level[:, :, None]], axis=2).reshape(len(clips), -1)

    def _clips(self, samples: Samples, first: int, last: int) -> Iterator[FloatArray]:
        """Yield a window as clips (t,) of equal lengths; nothing if it is silent."""
        parts = max(1, int(np.ceil((last - first) / (_LONGEST * self.rate))))
        length = (last - first) // parts
        clips = [samples(first + part * length, first + (part + 1) * length) for part in range(parts)]
        if any(len(clip) and clip.var() >= SILENT for clip in clips):
            yield from clips


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone. Raises ModelError without weights, or if they are damaged or of another kind."""
    if weights is None:
        raise ModelError(
            "the backbone unet needs its weights, which a model brings; train one with `soundalike train instruments`, "
            "and give its folder with --model"
        )
    return UnetBackbone(weights)
