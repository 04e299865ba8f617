"""Plug-in folder: who listens. One file per member; `registry.load("backbones", name)` finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import numpy as np

from soundalike.core.types import BoolArray, Descriptors, FloatArray

__all__ = ["Backbone", "Blocks", "FeatureRows", "Features", "WindowGrid", "collect", "cut"]

Blocks: TypeAlias = Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]]
"""A mono stream in pieces (t,) of any lengths."""
WindowGrid = Callable[[float], FloatArray]
"""From a duration in seconds to the (n, 2) float64 starts and ends of its windows (`audio.windows`)."""


class FeatureRows(Protocol):
    """What heads are given of n windows: of `Features` these two."""

    @property
    def rows(self) -> Mapping[str, FloatArray]:
        """(n, D) float32 by a feature's name."""
        ...

    @property
    def audible(self) -> Mapping[str, BoolArray]:
        """(n,) bool by a feature's name."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a backbone heard in n windows of one recording, before any head.

    `windows` (n, 2) seconds; `rows` maps a feature's name to (n, D) float32, finite; `audible` maps it to (n,) bool:
    False where there is nothing of that kind to hear (the row is then all zero). `duration` in seconds.
    """

    windows: FloatArray
    rows: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]
    descriptors: Descriptors
    duration: float


def cut(grid: WindowGrid, duration: float) -> FloatArray:
    """The windows (n, 2) of a stream; a stream without a sample has no duration that a grid could cut."""
    return grid(duration) if duration else np.zeros((0, 2))


def collect(
    dims: Mapping[str, int],
    windows: FloatArray,
    duration: float,
    hear: Callable[[float, float], Mapping[str, FloatArray]],
    say: Callable[[], Descriptors],
) -> Features:
    """The features of a stream: `hear` gives what is audible from a start to an end, rows (D,) by feature, and is asked
    for every window in turn; `say` describes the recording after that.
    """
    rows = {name: np.zeros((len(windows), dim), np.float32) for name, dim in dims.items()}
    audible = {name: np.zeros(len(windows), np.bool_) for name in dims}
    for index, (start, end) in enumerate(windows):
        for name, row in hear(start, end).items():
            rows[name][index], audible[name][index] = row, True
    return Features(windows, rows, audible, say(), duration)


class Backbone(Protocol):
    """Turns a stream of sound into features of its windows. Stateless between calls, deterministic."""

    name: ClassVar[str]
    rate: ClassVar[int]
    """Samples a second it wants, mono."""
    dims: ClassVar[Mapping[str, int]]
    """The features it offers and their sizes D."""

    @property
    def version(self) -> int:
        """Another one whenever the numbers change: part of every model's digest."""
        ...

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 pieces at `rate` of any lengths, and pool each window.

        Memory must not grow by more than 30 kB a second of sound (a 3-hour recording stays under 500 MB).
        """
        ...
