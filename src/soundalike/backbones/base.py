"""The protocol of a backbone, and its features. `core.plugins.load("backbones", name)` creates a backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from soundalike.core.types import BoolArray, Descriptors, FloatArray

__all__ = ["Backbone", "Blocks", "FeatureRows", "Features", "WindowGrid", "collect_features", "window_bounds"]

Blocks: TypeAlias = Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]]
"""A mono stream in (t,) blocks of any lengths."""
WindowGrid = Callable[[float], FloatArray]
"""Maps a duration in seconds to the starts and ends of its windows, (n, 2) float64, as `audio.windows` does."""


class FeatureRows(Protocol):
    """The features of n windows as heads need them: two of the attributes of `Features`."""

    @property
    def rows(self) -> Mapping[str, FloatArray]:
        """(n, D) float32 per feature name."""
        ...

    @property
    def audible(self) -> Mapping[str, BoolArray]:
        """(n,) bool per feature name."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The features that a backbone extracts from n windows of one recording, before any head.

    Attributes:
        windows: Starts and ends of the windows in seconds, (n, 2).
        rows: (n, D) float32 per feature name, finite.
        audible: (n,) bool per feature name. False means that the window has no content of that kind, such as no pitch;
            the row is then all zero.
        descriptors: Tempo, key and other properties of the recording.
        duration: Length of the recording in seconds.
    """

    windows: FloatArray
    rows: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]
    descriptors: Descriptors
    duration: float


def window_bounds(grid: WindowGrid, duration: float) -> FloatArray:
    """Return the windows (n, 2) of a stream; none if the stream is empty."""
    return grid(duration) if duration else np.zeros((0, 2))


def collect_features(
    dims: Mapping[str, int],
    windows: FloatArray,
    duration: float,
    extract: Callable[[float, float], Mapping[str, FloatArray]],
    describe: Callable[[], Descriptors],
) -> Features:
    """Collect the features of all windows of a stream.

    Args:
        dims: Size D of each feature.
        windows: Starts and ends of the windows in seconds, (n, 2).
        duration: Length of the stream in seconds.
        extract: Called for every window in order, with its start and end. Returns the rows (D,) of the features that
            are audible there.
        describe: Called once after the last window. Returns the descriptors of the recording.

    Returns:
        The features.
    """
    rows = {name: np.zeros((len(windows), dim), np.float32) for name, dim in dims.items()}
    audible = {name: np.zeros(len(windows), np.bool_) for name in dims}
    for index, (start, end) in enumerate(windows):
        for name, row in extract(start, end).items():
            rows[name][index], audible[name][index] = row, True
    return Features(windows, rows, audible, describe(), duration)


class Backbone(Protocol):
    """Turns an audio stream into features of its windows. It is deterministic and keeps no state between calls.

    A backbone whose weights are not part of this package is created with `create(weights: Path | None = None)`. The
    weights are a file or a folder. `create` raises ModelError without them, and says how to install them.
    """

    @property
    def name(self) -> str:
        """Name of the backbone in recipes."""
        ...

    @property
    def rate(self) -> int:
        """Sample rate of the mono input in Hz."""
        ...

    @property
    def dims(self) -> Mapping[str, int]:
        """Names and sizes D of its features."""
        ...

    @property
    def version(self) -> int:
        """Version of the features. It changes whenever their values change, and is part of every model's digest.

        It depends on the weights too, if they are not part of this package.
        """
        ...

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of a stream.

        Memory must not grow by more than 30 kB per second of audio, so that a recording of 3 hours stays below 500 MB.

        Args:
            blocks: Mono (t,) float32 blocks at `rate`, of any lengths. They are read once.
            grid: Called with the duration at the end of the stream. Returns the windows.

        Returns:
            The features of every window.

        Example:
            >>> backbone = plugins.load("backbones", "dsp")
            >>> backbone.features(MonoStream("song.wav", backbone.rate), windows).rows["melody"].shape
            (47, 500)
        """
        ...
