"""Kiviat diagrams, also called radar charts: one spoke per dimension, and a line around per model.

Reference: figure 3 of Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation
Learning for Multi-Dimensional Modeling of Music Similarity, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.evaluate.reports import check_plot

__all__ = ["draw_kiviat"]

_RINGS = (20, 40, 60, 80, 100)
_UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def draw_kiviat(
    spokes: Sequence[str],
    lines: Mapping[str, Sequence[float]],
    path: Path,
    *,
    title: str = "",
    chance: float | None = 50.0,
    option: str = "--kiviat",
) -> None:
    """Draw scores in per cent as a Kiviat diagram, the first spoke at the top and the others clockwise.

    Args:
        spokes: Names of k dimensions, at least three.
        lines: k scores per line, 0 to 100, by the name of the line; NaN leaves a gap.
        path: The picture; its suffix, .png, .svg or .pdf, selects the format.
        title: What is above the diagram.
        chance: The score that chance gives, drawn as a dashed ring; None for no ring.
        option: What messages call the option that asks for the picture.

    Raises:
        UsageError: There are fewer than three dimensions, matplotlib is missing, or the file cannot be written.
        ValueError: A line has another number of scores, or one that is not 0 to 100.

    Example:
        >>> draw_kiviat(["genre", "tempo", "key"], {"printed": [75.4, 58.0, 63.6]}, Path("figure3.png"))
    """
    check_plot(path, option=option)
    if len(spokes) < 3:
        raise UsageError(f"{option} needs three dimensions at least; there are {len(spokes)}: {', '.join(spokes)}")
    for name, scores in lines.items():
        known = [score for score in scores if not math.isnan(score)]
        if len(scores) != len(spokes) or any(not 0 <= score <= 100 for score in known):
            raise ValueError(f"{name} has the scores {list(scores)}; expected {len(spokes)} scores from 0 to 100")
    figure = import_module("matplotlib.figure").Figure(figsize=(6.4, 6.0), layout="constrained")
    axis = figure.add_subplot(projection="polar")
    axis.set_theta_zero_location("N")
    axis.set_theta_direction(-1)
    angles = 2 * np.pi * np.arange(len(spokes)) / len(spokes)
    closed = np.append(angles, 2 * np.pi)
    for name, scores in lines.items():
        around = np.append(scores, scores[0])
        (drawn,) = axis.plot(closed, around, marker="o", markersize=4, linewidth=1.5, label=name)
        if not np.isnan(around).any():
            axis.fill(closed, around, color=drawn.get_color(), alpha=0.12)
    if chance is not None:
        ring = np.linspace(0, 2 * np.pi, 181)
        axis.plot(ring, np.full(len(ring), chance), color="0.4", linestyle="--", linewidth=1, label="chance")
    axis.set_ylim(0, 100)
    axis.set_yticks(_RINGS, [f"{ring} %" for ring in _RINGS], fontsize="x-small", color="0.3")
    axis.set_xticks(angles, spokes)
    axis.legend(loc="lower left", bbox_to_anchor=(-0.1, -0.1), fontsize="small", frameon=False)
    if title:
        axis.set_title(title, fontsize="medium")
    try:
        # Without the date, so that the same scores are the same file.
        figure.savefig(path, dpi=130, metadata=_UNDATED.get(path.suffix.lower()))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
