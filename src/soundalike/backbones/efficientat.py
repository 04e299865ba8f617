"""Backbone `efficientat`: embeddings of EfficientAT, MobileNetV3 networks that were trained on AudioSet.

Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN knowledge distillation", ICASSP
2023. The weights are one of the authors' files, such as `mn04_as_mAP_432.pt`, given by path. They are MIT-licensed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from soundalike.backbones.analysis.mel_frames import Levels, MelSettings, embed_windows, kaldi_mel_matrix, mel_frames
from soundalike.backbones.analysis.mobilenet import MobileNet
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid
from soundalike.backbones.weight_files import read_torch_tensors
from soundalike.core.errors import ModelError
from soundalike.core.tensors import tensors_version
from soundalike.core.types import AnyArray, FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["EfficientAtBackbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_RATE, _SIZE, _WINDOW, _HOP, _BANDS = 32_000, 1024, 800, 320, 128
# (ln(power + 1e-5) + 4.5) / 5 of silence, and of a sine 34 dB above full scale.
_LEVELS = Levels((np.log(1e-5) + 4.5) / 5, 5.0)


class EfficientAtBackbone:
    """The embedding before the classifier of an EfficientAT network, in windows of mono audio at 32 kHz.

    Args:
        weights: A state dict of the authors (`.pt`), or the same tensors as `.safetensors`.

    Raises:
        ModelError: torch is missing, or the file is not a state dict of an EfficientAT `mn` network.
    """

    name: ClassVar[str] = "efficientat"
    rate: ClassVar[int] = _RATE

    def __init__(self, weights: Path) -> None:
        tensors = read_torch_tensors(weights, "soundalike[mert]")
        self._network = MobileNet(tensors, weights)
        self.version = tensors_version(_CODE, {name: tensor.numpy() for name, tensor in tensors.items()})
        self.dims: Mapping[str, int] = MappingProxyType({"embedding": self._network.dim})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 32 kHz, in each window of `grid`.

        The network takes windows of any length. The frames at the edges of a window depend on what lies beyond it; in a
        window that is the whole stream the embedding is that of the authors' code.
        """
        frames = mel_frames(blocks, _settings())
        return embed_windows(frames, grid, "embedding", self._network.dim, lambda window: [window], self._embed)

    def _embed(self, frames: AnyArray) -> FloatArray:
        """Embed windows (n, f, 128) of stored frames as (n, D)."""
        import torch

        spectra: torch.Tensor = torch.from_numpy(_LEVELS.decode(frames)).transpose(1, 2)[:, None]
        return np.asarray(self._network.embed(spectra).numpy())


@cache
def _settings() -> MelSettings:
    """Return the settings of the frames: a symmetric Hann window of 25 ms every 10 ms, and 128 bands to 15 kHz."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / (_WINDOW - 1))
    return MelSettings(
        rate=_RATE,
        window=np.pad(hann, (_SIZE - _WINDOW) // 2),
        hop=_HOP,
        matrix=kaldi_mel_matrix(_SIZE, _RATE, _BANDS, 0.0, 15_000.0),
        store=lambda power: _LEVELS.encode((np.log(power + 1e-5) + 4.5) / 5),
        preemphasis=0.97,
    )


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone. Raises ModelError without weights, or if they are not of an EfficientAT network."""
    if weights is None:
        raise ModelError(
            "the backbone efficientat needs its weights; install them with `soundalike models install efficientat "
            "--backbone mn04_as_mAP_432.pt`"
        )
    return EfficientAtBackbone(weights)
