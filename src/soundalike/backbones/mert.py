"""Backbone `mert`: mean hidden states of MERT-v1, as MERIT uses them (section 3.2), from weights on disk."""

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
from soundalike.backbones.mert_network import DEVICE_VARIABLE, MertNetwork, MertSettings, chosen_device, named_device
from soundalike.backbones.mert_onnx import MertOnnx
from soundalike.backbones.weight_files import weights_version
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = ["CLIP", "MertBackbone", "create", "normalised"]

CLIP = 10.0
"""Seconds of a clip. A shorter window is padded with zeros, as MERIT does for training; a longer one stays whole."""
_CODE, _CODE_INT8 = 1, 1_000_001
"""Versions of the code. Products in 8 bits give other rows, which are never compared with exact ones."""
_LOADING = threading.Lock()
"""Held while a network is loaded, so that threads that share a model do not load it twice."""


class MertBackbone:
    """Mean hidden states of MERT-v1-330M or MERT-v1-95M in windows of mono audio, as the feature `layers`.

    The feature is the mean over time of the outputs of the transformer layers 3, 4, 5, 6 and the last but one, which is
    23 for 330M (5 x 1024 numbers) and 11 for 95M (5 x 768), one after the other. Each window is one clip of 10 s or
    more.

    Args:
        folder: The model in the layout of the hub: config.json, preprocessor_config.json, and model.safetensors or
            pytorch_model.bin.

    The device is that of the environment variable SOUNDALIKE_DEVICE when the backbone is created.

    Raises:
        ModelError: A file is missing or invalid.
        UsageError: SOUNDALIKE_DEVICE has an unknown value.

    Example:
        >>> backbone = MertBackbone(Path("MERT-v1-330M"))
        >>> backbone.features(MonoStream("song.wav", backbone.rate), windows).rows["layers"].shape
        (47, 5120)
    """

    name: ClassVar[str] = "mert"

    def __init__(self, folder: Path) -> None:
        self.settings = MertSettings.read(folder)
        self._device = named_device()
        self._network: MertNetwork | MertOnnx | None = None

    @property
    def rate(self) -> int:
        """Sample rate in Hz, from preprocessor_config.json: 24,000."""
        return self.settings.rate

    @property
    def dims(self) -> Mapping[str, int]:
        """The feature `layers` and its size."""
        return MappingProxyType({"layers": len(self.settings.layers) * self.settings.hidden_size})

    @property
    def parts(self) -> Mapping[str, Mapping[str, int]]:
        """The layers in the feature `layers`, in order, with their sizes, for attribution."""
        sizes = {f"layer {number}": self.settings.hidden_size for number in self.settings.layers}
        return MappingProxyType({"layers": MappingProxyType(sizes)})

    @cached_property
    def version(self) -> int:
        """Version of the code and the weights. Of all devices, only `int8` has its own: others differ by rounding."""
        return weights_version(_CODE_INT8 if self._device == "int8" else _CODE, self.settings.files)

    @property
    def variants(self) -> Mapping[int, str]:
        """The versions that these weights give, and what to set for each."""
        files = self.settings.files
        return {
            weights_version(_CODE, files): f"{DEVICE_VARIABLE} to another device than int8",
            weights_version(_CODE_INT8, files): f"{DEVICE_VARIABLE}=int8",
        }

    @property
    def network(self) -> MertNetwork | MertOnnx:
        """The network on the chosen device. Raises ModelError if the weights are invalid or an extra is missing."""
        with _LOADING:
            if self._network is None:
                device = chosen_device(self._device)
                if device in ("onnx", "int8"):
                    self._network = MertOnnx(self.settings, self.version, int8=device == "int8")
                else:
                    self._network = MertNetwork(self.settings, device)
            return self._network

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the feature `layers` of `blocks`, mono (t,) float32 at `rate`, in each window of `grid`.

        A window without sound is inaudible. The descriptors are empty.

        Raises:
            ModelError: The weights are invalid, or an extra is not installed.
            UsageError: The device in SOUNDALIKE_DEVICE does not exist.
        """
        return embed_clips(blocks, self.rate, grid, "layers", self.dims["layers"], self._clips, lambda: self.network)

    def _clips(self, samples: Samples, first: int, last: int) -> Iterator[FloatArray]:
        """Yield a window as a clip (t,); nothing if it is silent."""
        found = samples(first, last)
        if not len(found) or found.var() < SILENT:
            return
        clip = np.zeros(max(round(CLIP * self.rate), last - first), np.float32)
        clip[: len(found)] = found
        yield normalised(clip) if self.settings.normalise else clip


def normalised(clip: FloatArray) -> FloatArray:
    """Return a clip (t,) with mean 0 and variance 1, zeros at its end included, as the processor of MERT does."""
    scaled: FloatArray = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
    return scaled


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone.

    Args:
        weights: Folder of the model in the layout of the hub.

    Raises:
        ModelError: There are no weights, or a file is missing or invalid.
    """
    if weights is None:
        raise ModelError("the backbone mert comes without weights; install them with: soundalike models install mert")
    return MertBackbone(weights)
