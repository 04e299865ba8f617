"""Backbone `dsp`: fixed descriptors, no training, all frames computed once over the whole stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from soundalike.backbones.analysis.passage_descriptors import FIXED_DIMS, PassageSum, describe
from soundalike.backbones.analysis.spectra import RATE, spectra_of
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect, cut
from soundalike.core.types import FloatArray

__all__ = ["DspBackbone", "create"]

_HOP = 2048  # samples between slow frames


class DspBackbone:
    """Descriptors of `soundalike.backbones.analysis.descriptors` over windows of mono sound at 22,050 Hz."""

    name: ClassVar[str] = "dsp"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = FIXED_DIMS

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`."""
        frames, together = spectra_of(blocks, _HOP), PassageSum()

        def hear(start: float, end: float) -> Mapping[str, FloatArray]:
            passage = describe(frames, start, end)
            together.add(passage)
            return passage.rows

        windows = cut(grid, frames.duration)
        return collect(self.dims, windows, frames.duration, hear, lambda: together.describe(frames))


def create() -> Backbone:
    """The backbone, ready to listen."""
    return DspBackbone()
