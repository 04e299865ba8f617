"""What a run that removed tracks did, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RemoveRecord"]


@dataclass(frozen=True, slots=True)
class RemoveRecord:
    """The number of tracks removed, and of those left."""

    library: str
    removed: int
    tracks: int
