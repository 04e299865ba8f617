"""Backbone `logmel`: mean and standard deviation of 64 log-mel bands, a simple baseline."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.backbones.analysis.descriptors import TIMBRE_BANDS
from soundalike.backbones.analysis.passage_descriptors import PassageSum, describe
from soundalike.backbones.analysis.spectra import RATE, spectra_of
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect_features, window_bounds
from soundalike.core.types import FloatArray

__all__ = ["LogMelBackbone", "create"]

_HOP = 2048  # samples between slow frames
_FLOOR = 1e-10  # relative to the power of a full-scale sine


class LogMelBackbone:
    """Statistics of log-mel spectra in windows of mono audio at 22,050 Hz."""

    name: ClassVar[str] = "logmel"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType({"logmel": 2 * TIMBRE_BANDS})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 22,050 Hz, in each window of `grid`."""
        frames, totals = spectra_of(blocks, _HOP), PassageSum()

        def extract(start: float, end: float) -> Mapping[str, FloatArray]:
            passage = describe(frames, start, end)
            totals.add(passage)
            roots = frames.colour[frames.slow_frames(start, end)].astype(np.float32)
            bands = np.log(np.square(np.square(roots)) + _FLOOR)
            return {"logmel": np.concatenate([bands.mean(axis=0), bands.std(axis=0)])} if passage.rows else {}

        windows = window_bounds(grid, frames.duration)
        return collect_features(self.dims, windows, frames.duration, extract, totals.describe)


def create() -> Backbone:
    """Return the backbone."""
    return LogMelBackbone()
