"""Rows of windows from a network that takes samples: the samples of a stream wait, then its windows become clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Protocol, TypeAlias

import numpy as np

from soundalike.backbones.base import Blocks, Features, WindowGrid, window_bounds
from soundalike.core.types import Descriptors, FloatArray

__all__ = ["SILENT", "ClipNetwork", "Samples", "embed_clips"]

SILENT = 1e-7
"""Variance of samples below which they are silent: -70 dBFS."""
Samples: TypeAlias = Callable[[int, int], FloatArray]
"""Returns the samples of a stream from a first one to before a last one, fewer at its end."""
_IN_MEMORY = 32 * 2**20  # bytes of samples, about six minutes; longer recordings wait in a temporary file


class ClipNetwork(Protocol):
    """Embeds clips of equal length."""

    @property
    def batch_size(self) -> int:
        """How many clips to compute at a time."""
        ...

    def __call__(self, clips: FloatArray) -> FloatArray:
        """Return the rows (b, D) of clips (b, t)."""
        ...


def embed_clips(
    blocks: Blocks,
    rate: int,
    grid: WindowGrid,
    feature: str,
    dim: int,
    divide: Callable[[Samples, int, int], Iterator[FloatArray]],
    network: Callable[[], ClipNetwork],
) -> Features:
    """Embed every audible window: its row is the mean of the rows of its clips.

    Args:
        blocks: Mono (t,) float32 blocks of any lengths, read once.
        rate: Sample rate in Hz.
        grid: Called with the duration. Returns the windows.
        feature: Name of the feature.
        dim: Size D of a row.
        divide: Yields the clips (t,) of the window between two samples; none if it is silent.
        network: Returns the network. It is called for the first clip, not for a silent stream.

    Returns:
        The features, without descriptors.
    """
    # The windows are known only at the end of the stream, and the samples of a long one would not fit in memory.
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as held:
        count = 0
        for block in blocks:
            held.write(np.ascontiguousarray(block, np.float32).data)
            count += len(block)
        duration = count / rate
        bounds = window_bounds(grid, duration)
        rows, counts = np.zeros((len(bounds), dim), np.float32), np.zeros(len(bounds), np.int64)
        waiting: list[tuple[int, FloatArray]] = []

        def samples(first: int, last: int) -> FloatArray:
            held.seek(4 * first)
            return np.frombuffer(held.read(4 * max(last - first, 0)), np.float32)

        def compute() -> None:
            if waiting:
                for (index, _), row in zip(waiting, network()(np.stack([clip for _, clip in waiting])), strict=True):
                    rows[index] += row
                waiting.clear()

        for index, (start, end) in enumerate(bounds):
            for clip in divide(samples, round(start * rate), min(round(end * rate), count)):
                if waiting and (len(waiting) == network().batch_size or len(clip) != len(waiting[0][1])):
                    compute()
                waiting.append((index, clip))
                counts[index] += 1
        compute()
    rows /= np.maximum(counts, 1)[:, None]
    return Features(bounds, {feature: rows}, {feature: counts > 0}, Descriptors(), duration)
