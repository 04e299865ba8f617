"""What a library knows about one recording."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from soundalike.audio import MAX_TEXT, MAX_VALUES, TAGS_VERSION, Tags
from soundalike.core.types import Descriptors

__all__ = ["Track", "cut_text", "measured_fields", "parse_list", "tag_fields"]


@dataclass(frozen=True, slots=True)
class Track:
    """What a library knows about one recording.

    Attributes:
        path: The absolute path.
        size: Bytes, as the file system reports them.
        mtime_ns: Modification time in nanoseconds.
        content_hash: Hash of the file.
        audio_hash: Hash of the decoded samples; equal for copies in lossless formats.
        duration: Seconds.
        rate: Sample rate in Hz.
        channels: Number of channels.
        codec: Name of the codec.
        bit_rate: Bits per second of the audio without tags and pictures; None for PCM and FLAC, and for
            tracks that were indexed before format 5.
        title, album, album_artist, year, bpm_tag, key_tag: Tags; None if missing.
        artists, genres: Tags; empty if missing.
        tempo: Measured tempo in BPM.
        key: Measured key, such as "F# minor".
        loudness: LUFS.
        silent: No space is audible anywhere.
        missing: The file no longer exists.
        unreadable: The file can no longer be decoded.
        key_confidence: Probability of the measured key, 0 to 1.
        meter: Such as "3/4", only where it is certain.
        tempo_confidence, meter_confidence: Probabilities of the measured tempo and meter, 0 to 1.
        described_by: The model that measured tempo, key and meter.
        warning: What could not be decoded; None if everything could.
        tags_version: `soundalike.audio.TAGS_VERSION` of the version that read the tags; 0 before format 4.
        id: Number in the catalogue; 0 if it is not stored yet.
    """

    path: Path
    size: int
    mtime_ns: int
    content_hash: str
    audio_hash: str
    duration: float
    rate: int
    channels: int
    codec: str
    title: str | None
    artists: tuple[str, ...]
    album: str | None
    genres: tuple[str, ...]
    year: int | None
    bpm_tag: float | None
    key_tag: str | None
    tempo: float | None
    key: str | None
    loudness: float | None
    silent: bool
    missing: bool = False
    unreadable: bool = False
    key_confidence: float | None = None
    meter: str | None = None
    album_artist: str | None = None
    tempo_confidence: float | None = None
    meter_confidence: float | None = None
    described_by: str | None = None
    warning: str | None = None
    tags_version: int = 0
    bit_rate: int | None = None
    id: int = 0

    @property
    def artist(self) -> str | None:
        """All artists as one text, or None."""
        return ", ".join(self.artists) or None

    @property
    def genre(self) -> str | None:
        """All genres as one text, or None."""
        return ", ".join(self.genres) or None

    @property
    def bpm(self) -> float | None:
        """Beats per minute: the tag, or else the measured tempo, as in filters."""
        return self.bpm_tag if self.bpm_tag is not None else self.tempo

    @property
    def known_key(self) -> str | None:
        """The key: the tag, or else the measured key, as in filters."""
        return self.key_tag or self.key


def tag_fields(tags: Tags) -> dict[str, Any]:
    """The fields of a track that come from its tags."""
    return {
        "title": tags.title,
        "artists": tags.artists,
        "album": tags.album,
        "album_artist": tags.album_artist,
        "genres": tags.genres,
        "year": tags.year,
        "bpm_tag": tags.bpm,
        "key_tag": tags.key,
        "tags_version": TAGS_VERSION,
    }


def measured_fields(descriptors: Descriptors, model: str) -> dict[str, Any]:
    """The fields of a track that a model measured."""
    return {one.name: getattr(descriptors, one.name) for one in fields(descriptors)} | {"described_by": model}


def cut_text(value: Any) -> Any:
    """Return a text that is as long as tags are at most, and anything else as it is.

    Indexing and imports store no longer ones, but something else may have written the catalogue.
    """
    return value[:MAX_TEXT] if isinstance(value, str) else value


def parse_list(text: object) -> tuple[str, ...]:
    """The values of a column that holds a JSON list of text, or null; as many and as long as tags are.

    Anything else has no values. It occurs in corrupt entries, which the checksum reports.
    """
    if not isinstance(text, str):
        return ()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return ()
    return tuple([value[:MAX_TEXT] for value in values[:MAX_VALUES]])
