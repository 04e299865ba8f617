"""Backbone `logmel`: mean and spread of 64 log-mel bands, the plainest thing to hear; what others have to beat."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.backbones.analysis.descriptors import TIMBRE_BANDS
from soundalike.backbones.analysis.passage_descriptors import PassageSum, describe
from soundalike.backbones.analysis.spectra import RATE, spectra_of
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect, cut
from soundalike.core.types import FloatArray

__all__ = ["LogMelBackbone", "create"]

_HOP = 2048
_FLOOR = 1e-10  # of the power of a full-scale sine


class LogMelBackbone:
    """Statistics of log-mel spectra over windows of mono sound at 22,050 Hz."""

    name: ClassVar[str] = "logmel"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType({"logmel": 2 * TIMBRE_BANDS})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`."""
        frames, together = spectra_of(blocks, _HOP), PassageSum()

        def hear(start: float, end: float) -> Mapping[str, FloatArray]:
            passage = describe(frames, start, end)
            together.add(passage)
            roots = frames.colour[frames.slow_frames(start, end)].astype(np.float32)
            bands = np.log(np.square(np.square(roots)) + _FLOOR)
            return {"logmel": np.concatenate([bands.mean(axis=0), bands.std(axis=0)])} if passage.rows else {}

        windows = cut(grid, frames.duration)
        return collect(self.dims, windows, frames.duration, hear, lambda: together.describe(frames))


def create() -> Backbone:
    """The backbone, ready to listen."""
    return LogMelBackbone()
