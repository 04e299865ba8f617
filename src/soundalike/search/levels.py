"""Whether whole tracks or passages are compared."""

from __future__ import annotations

from soundalike.core.types import Level, LevelReason
from soundalike.library import SHORT

__all__ = ["choose_level"]


def choose_level(by: Level | None, *, region: bool, seconds: float) -> tuple[Level, LevelReason]:
    """The level to compare at, and why.

    Args:
        by: The level that was requested, if any.
        region: Whether the query is a region of a recording.
        seconds: The duration of the query; of several examples, that of the shortest.

    Example:
        >>> choose_level(None, region=False, seconds=12.0)
        ('passage', 'short')
    """
    if by is not None:
        return by, "requested"
    if region:
        return "passage", "region"
    return ("passage", "short") if seconds < SHORT else ("track", "long")
