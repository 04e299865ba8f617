"""How numbers, times, scores and tracks read in a line or in a cell of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.core.types import SpaceScore
    from soundalike.library import FeatureCost
    from soundalike.library.catalog import Track

__all__ = [
    "clock",
    "closeness",
    "count",
    "feature_cost",
    "near",
    "percent",
    "share",
    "tempo_and_key",
    "track_name",
    "weights_text",
]


def clock(seconds: float) -> str:
    """Return 1:02:03, 2:03 or, below one minute, 0:03.5."""
    if seconds < 59.95:
        return f"0:{seconds:04.1f}"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def count(number: int, noun: str) -> str:
    """Return "1 file" or "1,234 files"."""
    plural = noun if number == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {plural}"


def feature_cost(cost: FeatureCost) -> str:
    """Return what the stored features of a backbone take on disk."""
    each = f", {cost.bytes / cost.tracks / 1e3:,.0f} kB per track" if cost.tracks else ""
    return f"{cost.backbone}: {count(cost.tracks, 'track')}, {cost.bytes / 1e6:,.1f} MB{each}"


def share(score: SpaceScore) -> str:
    """Return the share of a space in the score and, if known, the percentile of its similarity."""
    if not score.audible:
        return "n/a"
    return (
        f"{score.share:+.2f}"
        if score.percentile is None
        else f"{score.share:+.2f} {_below_100(score.percentile, 1):5.1f}%"
    )


def percent(percentile: float | None) -> str:
    """Return a percentile with two decimals, or n/a."""
    return "n/a" if percentile is None else f"{_below_100(percentile, 2):.2f}%"


def closeness(score: SpaceScore) -> str:
    """Return the percentage of random pairs that are less similar in a space."""
    return "n/a" if score.percentile is None else f"{_below_100(score.percentile, 0):.0f}%"


def _below_100(percentile: float, decimals: int) -> float:
    """Round a percentile, but to 100 only if it is exactly 100: down where it would round to 100."""
    rounded = round(percentile, decimals)
    return 100.0 - 10.0**-decimals if rounded >= 100 > percentile else rounded


def tempo_and_key(track: Track | None) -> list[str]:
    """Return two cells: beats per minute and key; empty if unknown."""
    if track is None:
        return ["", ""]
    return [f"{track.bpm:.0f}" if track.bpm else "", one_line(track.key_tag or track.key or "")]


def track_name(path: str, track: Track | None = None) -> str:
    """Return artist and title, if both are known, and the path."""
    credit = f"{track.artist} - {track.title}  " if track and track.artist and track.title else ""
    return one_line(f"{credit}{near(path)}")


def near(path: str) -> str:
    """Return the path relative to the current folder if it is below it."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the current folder was removed; the path is on another drive of Windows
        return path
    return path if Path(relative).parts[:1] == ("..",) else relative


def weights_text(weights: Mapping[str, float]) -> str:
    """Return the weights that are not zero."""
    return ", ".join(f"{name} {value:g}" for name, value in weights.items() if value != 0)
