"""The backbone `pulse`: how regularly a passage gets louder, at 64 intervals from 0.2 to 2 s."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect_features, window_bounds
from soundalike.core.types import Descriptors, FloatArray

__all__ = ["PulseBackbone", "create"]

_RATE = 22_050
_FRAME = 256  # samples per frame, 11.6 ms
_FLOOR = 1e-8  # frame energies below this (-80 dB) are silence
_INTERVALS = np.geomspace(0.2, 2.0, 64)  # in seconds


class PulseBackbone:
    """The autocorrelation of the increases of energy."""

    name: ClassVar[str] = "pulse"
    # Raise this whenever the features of any recording change: libraries then know that their rows are old.
    version: ClassVar[int] = 1
    rate: ClassVar[int] = _RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType({"pulse": len(_INTERVALS)})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 22,050 Hz, in each window of `grid`."""
        energies, length = _frame_energies(blocks)
        duration = length / _RATE
        onsets = np.maximum(np.diff(np.log(np.maximum(energies, _FLOOR)), prepend=np.log(_FLOOR)), 0.0)

        def extract(start: float, end: float) -> Mapping[str, FloatArray]:
            frames = onsets[round(start * _RATE / _FRAME) : round(end * _RATE / _FRAME)]
            # The first frame would count as an onset wherever a window begins.
            frames = frames[1:] - frames[1:].mean() if len(frames) > 1 else frames[:0]
            spectrum = np.fft.rfft(frames, 2 * len(frames) + 512)
            correlation = np.fft.irfft(np.abs(spectrum) ** 2)
            if not len(frames) or correlation[0] < 1e-6:
                return {}  # nothing gets louder: the feature is inaudible, and its row stays zero
            row = np.interp(_INTERVALS * _RATE / _FRAME, np.arange(256), correlation[:256] / correlation[0])
            return {"pulse": row.astype(np.float32)}

        return collect_features(self.dims, window_bounds(grid, duration), duration, extract, Descriptors)


def _frame_energies(blocks: Blocks) -> tuple[FloatArray, int]:
    """Return the mean energy of every whole frame (n,), and the number of samples."""
    parts, rest, length = [np.zeros(0)], np.zeros(0, np.float32), 0
    for block in blocks:
        length += len(block)
        samples = np.concatenate([rest, block])
        whole = len(samples) // _FRAME * _FRAME
        parts.append(np.mean(samples[:whole].astype(np.float64).reshape(-1, _FRAME) ** 2, axis=1))
        rest = samples[whole:]
    return np.concatenate(parts), length


def create() -> Backbone:
    """Return the backbone."""
    return PulseBackbone()
