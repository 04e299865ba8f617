"""Tracks, and what a library knows about one, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from soundalike.api.details import TrackDetails
    from soundalike.library.catalog import Track

__all__ = ["TrackDetailsRecord", "TrackRecord"]


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Tags and measurements of a track.

    `id` is the number of the track in its library. `bpm` and `key` are those of the tags, or else the measured ones.
    `tempo_confidence`, `key_confidence` and `meter_confidence` are the probabilities of the measured values. `artist`
    and `genre` join all values. `bit_rate` is that of the audio in bits per second, without tags and pictures; null for
    PCM and FLAC.
    """

    id: int
    path: str
    title: str | None
    artist: str | None
    artists: tuple[str, ...]
    album_artist: str | None
    album: str | None
    genre: str | None
    genres: tuple[str, ...]
    year: int | None
    bpm: float | None
    tempo_confidence: float | None
    key: str | None
    key_confidence: float | None
    meter: str | None
    meter_confidence: float | None
    loudness: float | None
    duration: float
    rate: int
    channels: int
    codec: str
    bit_rate: int | None
    silent: bool
    missing: bool
    unreadable: bool
    warning: str | None

    @classmethod
    def of(cls, track: Track, *, missing: bool | None = None) -> Self:
        """Return the record of a track. `missing` tells what was found now, if that was looked up."""
        return cls(
            id=track.id,
            path=str(track.path),
            title=track.title,
            artist=track.artist,
            artists=track.artists,
            album_artist=track.album_artist,
            album=track.album,
            genre=track.genre,
            genres=track.genres,
            year=track.year,
            bpm=track.bpm,
            tempo_confidence=track.tempo_confidence,
            key=track.known_key,
            key_confidence=track.key_confidence,
            meter=track.meter,
            meter_confidence=track.meter_confidence,
            loudness=track.loudness,
            duration=track.duration,
            rate=track.rate,
            channels=track.channels,
            codec=track.codec,
            bit_rate=track.bit_rate,
            silent=track.silent,
            missing=track.missing if missing is None else missing,
            unreadable=track.unreadable,
            warning=track.warning,
        )


@dataclass(frozen=True, slots=True)
class TrackDetailsRecord:
    """A track with what is stored of it.

    `copies` are other tracks with the same audio, `versions` those of the same piece, where the files are there;
    `described_by` is the model that measured tempo, key, meter and loudness; `current` tells whether the file still has
    the size and time that it had when it was indexed.
    """

    track: TrackRecord
    models: Sequence[str]
    described_by: str | None
    passages: int
    features: Sequence[str]
    copies: Sequence[str]
    versions: Sequence[str]
    current: bool

    @classmethod
    def of(cls, found: TrackDetails) -> Self:
        """Return the record of what a library knows about a track."""
        return cls(
            track=TrackRecord.of(found.track, missing=not found.there),
            models=found.models,
            described_by=found.track.described_by,
            passages=found.passages,
            features=found.features,
            copies=found.copies,
            versions=found.versions,
            current=found.current,
        )
