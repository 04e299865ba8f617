"""Tracks as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from soundalike.library.catalog import Track

__all__ = ["TrackRecord"]


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Tags and measurements of a track. `bpm` and `key` are those of the tags, or else the measured ones."""

    path: str
    title: str | None
    artist: str | None
    album: str | None
    genre: str | None
    year: int | None
    bpm: float | None
    key: str | None
    key_confidence: float | None
    meter: str | None
    loudness: float | None
    duration: float
    rate: int
    channels: int
    codec: str
    silent: bool
    missing: bool
    unreadable: bool

    @classmethod
    def of(cls, track: Track) -> Self:
        """Return the record of a track."""
        return cls(
            path=str(track.path),
            title=track.title,
            artist=track.artist,
            album=track.album,
            genre=track.genre,
            year=track.year,
            bpm=track.bpm,
            key=track.key_tag or track.key,
            key_confidence=track.key_confidence,
            meter=track.meter,
            loudness=track.loudness,
            duration=track.duration,
            rate=track.rate,
            channels=track.channels,
            codec=track.codec,
            silent=track.silent,
            missing=track.missing,
            unreadable=track.unreadable,
        )
