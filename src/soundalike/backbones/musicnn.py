"""Backbone `musicnn`: embeddings of musicnn, a convolutional network that tags MagnaTagATune, in numpy.

Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", 2019. The weights are
those of the PyPI package musicnn 0.1.0 (ISC licence), which needs no TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.backbones.analysis.mel_frames import Levels, MelSettings, embed_windows, mel_frames, slaney_mel_matrix
from soundalike.backbones.analysis.musicnn_checkpoint import installed_package, read_checkpoint
from soundalike.backbones.analysis.musicnn_network import BANDS, DIM, Musicnn
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid
from soundalike.core.errors import ModelError
from soundalike.core.tensors import tensors_version
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["MusicnnBackbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_RATE, _SIZE, _HOP = 16_000, 512, 256
_PATCH = 187  # frames: 3 s
_LEVELS = Levels(0.0, 10.0)  # of log10(1 + 10,000 power): a sine at full scale is below 7


class MusicnnBackbone:
    """The layer of 200 units before the tags of musicnn, in windows of mono audio at 16 kHz.

    Args:
        weights: A safetensors file that `musicnn_checkpoint.convert` wrote, or what that function reads.

    Raises:
        ModelError: The weights are missing, damaged, or of another network.
    """

    name: ClassVar[str] = "musicnn"
    rate: ClassVar[int] = _RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType({"embedding": DIM})

    def __init__(self, weights: Path) -> None:
        tensors = _read(weights)
        self._network = Musicnn(tensors, weights)
        self.version = tensors_version(_CODE, tensors)

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 16 kHz, in each window of `grid`.

        As in the package, a window is divided into patches of 3 s from its start, a shorter rest is left out, and the
        rows are the means of the embeddings of the patches. A window of less than 3 s is repeated. The spectra are not
        rounded to half precision, as the package does, where they overflow in loud music.
        """
        return embed_windows(mel_frames(blocks, _settings()), grid, "embedding", DIM, _patches, self._embed)

    def _embed(self, patches: AnyArray) -> FloatArray:
        """Embed patches (n, p, 96) of stored frames as (n, 200)."""
        return np.stack([self._network.embed(_LEVELS.decode(patch)) for patch in patches])


def _patches(frames: AnyArray) -> list[AnyArray]:
    """Divide the frames (f, 96) of a window into patches (187, 96)."""
    if len(frames) < _PATCH:
        return [np.resize(frames, (_PATCH, BANDS))]
    return [frames[start : start + _PATCH] for start in range(0, len(frames) - _PATCH + 1, _PATCH)]


@cache
def _settings() -> MelSettings:
    """Return the settings of the frames: a Hann window of 32 ms every 16 ms, and 96 bands to 8 kHz."""
    return MelSettings(
        rate=_RATE,
        window=0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SIZE) / _SIZE),
        hop=_HOP,
        matrix=slaney_mel_matrix(_SIZE, _RATE, BANDS, 0.0, _RATE / 2),
        store=lambda power: _LEVELS.encode(np.log10(1.0 + 10_000.0 * power)),
    )


def _read(weights: Path) -> Mapping[str, FloatArray]:
    """Return the tensors of a safetensors file, or of the package."""
    if weights.suffix != ".safetensors":
        return read_checkpoint(weights)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{weights} cannot be read ({error}); install the model musicnn again") from error


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone. Without weights, those of the installed package musicnn are used.

    Raises ModelError if there are no weights, or they are of another network.
    """
    weights = weights or installed_package()
    if weights is None:
        raise ModelError(
            "the backbone musicnn needs its weights; install them with `soundalike models install musicnn`, or the "
            "package with `pip install --no-deps musicnn`"
        )
    return MusicnnBackbone(weights)
