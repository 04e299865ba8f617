"""Plug-in folder: who listens. One file per member; `registry.load("backbones", name)` finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from soundalike.types import BoolArray, Descriptors, FloatArray

__all__ = ["Backbone", "Features", "WindowGrid", "collect_rows"]

WindowGrid = Callable[[float], FloatArray]
"""From a duration in seconds to the (n, 2) float64 starts and ends of its windows (`audio.windows`)."""


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


def collect_rows(
    dims: Mapping[str, int], count: int, passages: Iterable[Mapping[str, FloatArray]]
) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
    """The `rows` and `audible` of Features from what is audible in each of `count` passages: rows (D,) by feature."""
    rows = {name: np.zeros((count, dim), np.float32) for name, dim in dims.items()}
    audible = {name: np.zeros(count, np.bool_) for name in dims}
    for index, passage in enumerate(passages):
        for name, row in passage.items():
            rows[name][index], audible[name][index] = row, True
    return rows, audible


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

    def features(self, blocks: Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]], grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 pieces at `rate` of any lengths, and pool each window.

        Memory must not grow by more than 30 kB a second of sound (a 3-hour recording stays under 500 MB).
        """
        ...
