"""Backbone `muq`: joint embeddings of the audio tower of MuQ-MuLan, from weights on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.backbones.analysis.clips import SILENT, Samples, embed_clips
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid
from soundalike.backbones.mert_network import named_device
from soundalike.backbones.muq_network import RATE, SHORTEST, MuqNetwork, MuqSettings
from soundalike.backbones.weight_files import weights_version
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = ["MuqBackbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_LOADING = threading.Lock()
"""Held while a network is loaded, so that threads that share a model do not load it twice."""


class MuqBackbone:
    """The joint embedding of MuQ-MuLan in windows of mono audio at 24 kHz, as the feature `embedding`.

    The row of a window is what `MuQMuLan` of the authors' package muq 0.1.0 returns for its samples: the mean of the
    unit embeddings of its clips of 10 s, which is not normalised again. The last clip is completed from the start of
    the window, so a window of 5 s is played twice and one of 3 s gives a clip of 6 s. The authors' code refuses
    windows below 22 ms; here they are repeated.

    Args:
        folder: The model in the layout of the hub: config.json, and model.safetensors or pytorch_model.bin.

    The device is that of the environment variable SOUNDALIKE_DEVICE when the backbone is created.

    Raises:
        ModelError: A file is missing or invalid.
        UsageError: SOUNDALIKE_DEVICE has an unknown value.

    Example:
        >>> backbone = MuqBackbone(Path("MuQ-MuLan-large"))
        >>> backbone.features(MonoStream("song.wav", backbone.rate), windows).rows["embedding"].shape
        (47, 512)
    """

    name: ClassVar[str] = "muq"
    rate: ClassVar[int] = RATE

    def __init__(self, folder: Path) -> None:
        self.settings = MuqSettings.read(folder)
        self._device = named_device()
        self._network: MuqNetwork | None = None

    @property
    def dims(self) -> Mapping[str, int]:
        """The feature `embedding` and its size."""
        return MappingProxyType({"embedding": self.settings.sizes[-1]})

    @cached_property
    def version(self) -> int:
        """Version of the code and the weights. Devices differ by rounding alone."""
        return weights_version(_CODE, self.settings.files)

    @property
    def network(self) -> MuqNetwork:
        """The network on the chosen device. Raises ModelError if the weights are invalid or an extra is missing."""
        with _LOADING:
            if self._network is None:
                # onnx and int8 are ways in which mert computes on the processor.
                device = "cpu" if self._device in ("onnx", "int8") else self._device
                self._network = MuqNetwork(self.settings, device)
            return self._network

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the feature `embedding` of `blocks`, mono (t,) float32 at 24 kHz, in each window of `grid`.

        A window without sound is inaudible. The descriptors are empty.

        Raises:
            ModelError: The weights are invalid, or an extra is not installed.
            UsageError: The device in SOUNDALIKE_DEVICE does not exist.
        """
        return embed_clips(
            blocks, self.rate, grid, "embedding", self.dims["embedding"], self._clips, lambda: self.network
        )

    def _clips(self, samples: Samples, first: int, last: int) -> Iterator[FloatArray]:
        """Yield the clips (t,) of a window; nothing if it is silent. One is in memory at a time."""
        size = self.settings.seconds * self.rate
        bounds = [(start, min(start + size, last)) for start in range(first, last, size)]
        if all(samples(*one).var() < SILENT for one in bounds):
            return
        for start, end in bounds:
            clip = samples(start, end)
            if (missing := size - len(clip)) > 0:
                clip = np.concatenate([clip, samples(first, min(first + missing, last))])
            yield clip if len(clip) >= SHORTEST else np.resize(clip, SHORTEST)


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone.

    Args:
        weights: Folder of the model in the layout of the hub.

    Raises:
        ModelError: There are no weights, or a file is missing or invalid.
    """
    if weights is None:
        raise ModelError("the backbone muq comes without weights; install them with: soundalike models install muq")
    return MuqBackbone(weights)
