"""Backbone `dsp`: fixed descriptors, no training, all frames computed once over the whole stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import numpy as np

from soundalike.backbones import Backbone, Features, WindowGrid, collect_rows
from soundalike.passages import FIXED_DIMS, PassageSum, describe
from soundalike.spectra import RATE, spectra_of
from soundalike.types import FloatArray

__all__ = ["DspBackbone", "create"]

_HOP = 2048  # samples between slow frames


class DspBackbone:
    """Descriptors of `soundalike.descriptors` over windows of mono sound at 22,050 Hz."""

    name: ClassVar[str] = "dsp"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = FIXED_DIMS

    def features(self, blocks: Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]], grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`."""
        frames = spectra_of(blocks, _HOP)
        # A stream without a sample has no duration that a grid could cut.
        windows = grid(frames.duration) if frames.duration else np.zeros((0, 2))
        together = PassageSum()

        def heard() -> Iterator[Mapping[str, FloatArray]]:
            for start, end in windows:
                passage = describe(frames, start, end)
                together.add(passage)
                yield passage.rows

        rows, audible = collect_rows(self.dims, len(windows), heard())
        return Features(windows, rows, audible, together.describe(frames), frames.duration)


def create() -> Backbone:
    """The backbone, ready to listen."""
    return DspBackbone()
