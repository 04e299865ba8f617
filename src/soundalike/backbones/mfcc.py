"""Backbone `mfcc`: mean and standard deviation of 20 mel-frequency cepstral coefficients, a classic baseline.

Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition in continuously
spoken sentences", 1980. The coefficients are those of `librosa.feature.mfcc` with its default settings, but the stream
is continued by reflection at both ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import scipy.fft

from soundalike.backbones.analysis.mel_frames import MelSettings, embed_windows, mel_frames, slaney_mel_matrix
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["MfccBackbone", "create"]

_RATE, _SIZE, _HOP, _BANDS = 22_050, 2048, 512, 128
_COEFFICIENTS = 20
_FLOOR = 1e-10  # smallest power of a band
_RANGE = 80.0  # dB below the loudest band of a window; anything quieter counts as this


class MfccBackbone:
    """Statistics of mel-frequency cepstral coefficients in windows of mono audio at 22,050 Hz.

    A row holds the means of the coefficients 1 to 19, then the standard deviations of the coefficients 0 to 19. The
    mean of coefficient 0 is the level of the recording, which says nothing about its sound, and is left out.
    """

    name: ClassVar[str] = "mfcc"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = _RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType({"mfcc": 2 * _COEFFICIENTS - 1})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 22,050 Hz, in each window of `grid`."""
        frames = mel_frames(blocks, _settings())
        return embed_windows(frames, grid, "mfcc", self.dims["mfcc"], lambda window: [window], _statistics, batch=1)


def _statistics(levels: AnyArray) -> FloatArray:
    """Return the statistics (n, 39) of bands (n, f, 128) in dB."""
    audible = np.maximum(levels, levels.max(axis=(1, 2), keepdims=True) - _RANGE)
    cepstra = scipy.fft.dct(audible, axis=2, norm="ortho")[:, :, :_COEFFICIENTS]
    return np.concatenate([cepstra.mean(axis=1)[:, 1:], cepstra.std(axis=1)], axis=1)


@cache
def _settings() -> MelSettings:
    """Return the settings of the frames: a Hann window of 93 ms every 23 ms, and 128 bands to 11,025 Hz."""
    return MelSettings(
        rate=_RATE,
        window=0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SIZE) / _SIZE),
        hop=_HOP,
        matrix=slaney_mel_matrix(_SIZE, _RATE, _BANDS, 0.0, _RATE / 2),
        store=lambda power: (10.0 * np.log10(np.maximum(power, _FLOOR))).astype(np.float32),
    )


def create() -> Backbone:
    """Return the backbone."""
    return MfccBackbone()
