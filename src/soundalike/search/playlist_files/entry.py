"""What a playlist says about one track."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from soundalike.audio import parse_key
from soundalike.core.errors import one_line
from soundalike.library.catalog import Track

__all__ = ["PlaylistEntry", "xml_misfit", "xml_text"]

# XML 1.0 cannot hold these characters, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class PlaylistEntry:
    """A track of a playlist.

    Attributes:
        path: The absolute path.
        duration: Seconds; 0 if unknown.
        title, artist, album, genre, year: Tags; None if missing. Several artists or genres are joined by commas.
        bpm: Beats per minute, the tag or measured; None if unknown.
        key: As `soundalike.audio.parse_key` returns it; None if unknown.
    """

    path: str
    duration: float = 0.0
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    year: int | None = None
    bpm: float | None = None
    key: str | None = None

    @classmethod
    def of(cls, track: Track) -> Self:
        """The entry of a track."""
        key = track.known_key
        return cls(
            path=str(track.path),
            duration=track.duration,
            title=track.title,
            artist=track.artist,
            album=track.album,
            genre=track.genre,
            year=track.year,
            bpm=track.bpm,
            key=parse_key(key) if key else None,
        )

    @property
    def shown(self) -> str:
        """What players show: artist and title where both are known, else the title or the name of the file."""
        return f"{self.artist} - {self.title}" if self.artist and self.title else self.named

    @property
    def named(self) -> str:
        """The title, or else the name of the file."""
        return self.title or Path(self.path).stem


def xml_misfit(entry: PlaylistEntry) -> str | None:
    """Why XML cannot hold the path of an entry; None if it can."""
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    return "its name contains a control character" if _NOT_XML.search(entry.path) or "\n" in entry.path else None


def xml_text(text: str | None) -> str:
    """A tag as one line of characters that XML can hold."""
    return one_line(_NOT_XML.sub("", text or ""))
