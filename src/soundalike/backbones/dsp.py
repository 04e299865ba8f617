"""Backbone `dsp`: fixed descriptors without training. Spectra are computed once for the whole stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from soundalike.backbones.analysis.passage_descriptors import FIXED_DIMS, PassageSum, describe
from soundalike.backbones.analysis.spectra import RATE, spectra_of
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect_features, window_bounds
from soundalike.core.types import FloatArray

__all__ = ["DspBackbone", "create"]

_HOP = 2048  # samples between slow frames


class DspBackbone:
    """The descriptors of `soundalike.backbones.analysis.descriptors` in windows of mono audio at 22,050 Hz."""

    name: ClassVar[str] = "dsp"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = FIXED_DIMS

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 22,050 Hz, in each window of `grid`."""
        frames, totals = spectra_of(blocks, _HOP), PassageSum()

        def extract(start: float, end: float) -> Mapping[str, FloatArray]:
            passage = describe(frames, start, end)
            totals.add(passage)
            return passage.rows

        windows = window_bounds(grid, frames.duration)
        return collect_features(self.dims, windows, frames.duration, extract, totals.describe)


def create() -> Backbone:
    """Return the backbone."""
    return DspBackbone()
