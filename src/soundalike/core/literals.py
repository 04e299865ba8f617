"""Words that records hold: levels, why a level was chosen, and where percentiles come from. Does not need numpy."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["LEVELS", "Level", "LevelReason", "PercentileSource"]

Level: TypeAlias = Literal["track", "passage"]
PercentileSource: TypeAlias = Literal["library", "model"]
LevelReason: TypeAlias = Literal["requested", "region", "short", "long"]
"""Why a level is compared: it was requested, the query is a region, or the query is shorter than 30 s or not."""

LEVELS: tuple[Level, ...] = ("track", "passage")
