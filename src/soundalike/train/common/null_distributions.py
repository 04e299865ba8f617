"""Measure the null distributions of a model's spaces on clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.types import Calibration, FloatArray, Level
from soundalike.models import at_levels
from soundalike.train.common.calibration import calibrate_random_pairs

__all__ = ["SEED", "CalibrationClip", "Progress", "measure_null_distributions"]

SEED = 0
Progress: TypeAlias = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class CalibrationClip:
    """A clip to calibrate with: its file, and properties such as its tune. The clips of a pair differ in all."""

    path: Path
    properties: tuple[str, ...]


def measure_null_distributions(
    encode: Callable[[Path], tuple[Mapping[str, FloatArray], float]],
    clips: Sequence[CalibrationClip],
    progress: Progress | None = None,
    *,
    fewest: int = 1,
) -> dict[str, dict[Level, Calibration]]:
    """Encode clips, and measure the null distribution of every space at both levels.

    Args:
        encode: Returns the rows (n, d) of the passages of a file by space, and its length in seconds.
        clips: The clips.
        progress: Called with clips done, all clips, and seconds of audio.
        fewest: A space that is audible in fewer clips is left out.

    Returns:
        The calibration per level, by space.

    Raises:
        ModelError: In some space no row is audible, or all are equally similar.
    """
    rows: dict[str, dict[Level, list[FloatArray]]] = {}
    seconds = 0.0
    for done, clip in enumerate(clips, start=1):
        passages, length = encode(clip.path)
        for level, of_level in at_levels(passages).items():
            for name, part in of_level.items():
                rows.setdefault(name, {}).setdefault(level, []).append(part)
        seconds += length
        if progress:
            progress(done, len(clips), seconds)
    numbers = [
        [sorted({c.properties[n] for c in clips}).index(p) for n, p in enumerate(clip.properties)] for clip in clips
    ]
    calibrations: dict[str, dict[Level, Calibration]] = {}
    for name, of_space in rows.items():
        if sum(bool(part.any()) for part in of_space["track"]) < fewest:
            continue
        for level, parts in of_space.items():
            groups = np.repeat(numbers, [len(part) for part in parts], axis=0)
            try:
                found = calibrate_random_pairs(np.vstack(parts), groups, np.random.default_rng(SEED))
            except ValueError as error:
                raise ModelError(f"the weights cannot be used: in the space {name}, {error}") from error
            calibrations.setdefault(name, {})[level] = found
    return calibrations
