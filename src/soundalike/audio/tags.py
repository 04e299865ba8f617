"""Interpret the tags of a file. Tags are optional: missing or unreadable tags never cause an error."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from soundalike.audio.keys import parse_key
from soundalike.audio.tag_fields import read_fields
from soundalike.core.text import fold

__all__ = ["TAGS_VERSION", "Tags", "is_artist", "read_tags", "split_genres"]

TAGS_VERSION = 1
"""The version of what `read_tags` returns. `soundalike index` reads the tags of tracks with a lower one again."""

_YEAR = re.compile(r"(?<!\d)(1\d{3}|2\d{3})(?!\d)")
_COMPACT_DATE = re.compile(r"(?<!\d)(1\d{3}|2\d{3})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)")
_BPM = re.compile(r"(?i:bpm)?\s*(\d{1,5}(?:[.,]\d+)?)\s*(?i:bpm)?")
_BPM_RANGE = (20.0, 400.0)
_HUNDREDTHS = 2000.0
"""A tempo from here on is in hundredths: some programs write 128 as 12800."""
# Mixed In Key writes the key at the start of the comment.
_COMMENTED_KEY = re.compile(r"\s*(\S{1,8}) - Energy \d")
MAX_TEXT = 1000
"""Characters kept of a value."""
MAX_VALUES = 50
"""Values kept of a list."""
_BETWEEN_GENRES = re.compile(r"[;/\0]")
_BETWEEN_MOODS = re.compile(r"[;/,\0]")
# "AC/DC" is one artist, and so is "Simon & Garfunkel".
_BETWEEN_ARTISTS = re.compile(r";|\0| / |\s+[(\[]?(?i:feat\.|ft\.|featuring)\s+")
_VARIOUS = frozenset(
    ("various artists", "various", "va", "v.a.", "v/a", "diverse interpreten", "verschiedene interpreten",
     "artistes divers", "artistes variés", "varios artistas", "artisti vari", "vários artistas")
)  # fmt: skip
_UNKNOWN = frozenset(("unknown artist", "unknown", "[unknown]", "<unknown>", "<unknown artist>"))


@dataclass(frozen=True, slots=True)
class Tags:
    """Normalised tags of a recording; None, or an empty tuple, if a tag is missing or invalid.

    Attributes:
        title: Title.
        artists: All artists; the album artist if no other is given. "Various Artists" is no artist.
        album: Album.
        genres: All genres.
        year: Year of the first release if the tags state it, else of this one; 1000 to 2999.
        bpm: Beats per minute, 20 to 400.
        key: Such as "F# minor", always with sharps.
        album_artist: The artist of the album, such as "Various Artists".
        moods: All moods, such as ("calm",).
    """

    title: str | None = None
    artists: tuple[str, ...] = ()
    album: str | None = None
    genres: tuple[str, ...] = ()
    year: int | None = None
    bpm: float | None = None
    key: str | None = None
    album_artist: str | None = None
    moods: tuple[str, ...] = ()


def read_tags(path: str | os.PathLike[str]) -> Tags:
    """Read the tags of a file.

    Args:
        path: The file.

    Returns:
        The tags; empty if there are none or the file cannot be read. This function raises no errors.

    Example:
        >>> read_tags("so-what.flac").artists
        ('Miles Davis',)
    """
    try:
        fields = read_fields(path)
    # Ignored on purpose: if the file itself is invalid, decoding reports it. ValueError: a null byte in the name.
    except (OSError, ValueError):
        return Tags()

    def values(*names: str) -> list[str]:
        return [value for name in names for value in fields.get(name, ())]

    credits = _split(_BETWEEN_ARTISTS, values("artist"))
    album_artists = _split(_BETWEEN_ARTISTS, values("album_artist"))
    artists = [name for name in credits if is_artist(name)] or [name for name in album_artists if is_artist(name)]
    # "Various Artists" as the artist of a track says what it says as the artist of an album.
    various = [name for name in credits if fold(name) in _VARIOUS]
    comments = [found[1] for value in values("comment") if (found := _COMMENTED_KEY.match(value))]
    return Tags(
        title=_first(values("title")),
        artists=_without_credit(artists),
        album=_first(values("album")),
        genres=tuple(split_genres(values("genre"))),
        year=next((year for value in values("original_year", "year", "release_year") if (year := _year(value))), None),
        bpm=next((bpm for value in values("bpm", "precise_bpm", "tempo") if (bpm := _bpm(value))), None),
        key=next((key for value in [*values("key", "named_key"), *comments] if (key := parse_key(value))), None),
        album_artist=_first(name for name in [*values("album_artist"), *various] if fold(name.strip()) not in _UNKNOWN),
        moods=tuple(_split(_BETWEEN_MOODS, values("mood"))),
    )


def is_artist(name: str) -> bool:
    """Return whether a name is that of an artist, not "Various Artists" or "Unknown Artist".

    Example:
        >>> is_artist("Various Artists")
        False
    """
    return fold(name) not in _VARIOUS and fold(name) not in _UNKNOWN


def split_genres(values: Iterable[str]) -> list[str]:
    """Return the genres that `values` name, without repetition: ";", "/" and NUL separate them.

    Example:
        >>> split_genres(["Jazz; Funk", "Hip-Hop/Rap"])
        ['Jazz', 'Funk', 'Hip-Hop', 'Rap']
    """
    return _split(_BETWEEN_GENRES, values)


def _split(separator: re.Pattern[str], values: Iterable[str]) -> list[str]:
    """The parts of the values, cleaned; those that differ in case only are one."""
    parts = [cleaned for value in values for part in separator.split(value) if (cleaned := _clean(part))]
    return list({fold(part): part for part in reversed(parts)}.values())[::-1][:MAX_VALUES]


def _without_credit(artists: list[str]) -> tuple[str, ...]:
    """The artists without a line that names all others: ["A & B", "A", "B"] is ("A", "B")."""
    if len(artists) < 3:
        return tuple(artists)
    words = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE) for name in artists]
    return tuple(artist for artist in artists if not all(name.search(artist) for name in words))


def _first(values: Iterable[str]) -> str | None:
    return next((cleaned for value in values if (cleaned := _clean(value))), None)


def _clean(text: str) -> str | None:
    """Return the text on one line, without control characters and surrogates; None if nothing remains."""
    text = text[: 4 * MAX_TEXT]
    printable = "".join(" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text)
    return " ".join(printable.split())[:MAX_TEXT].strip() or None


def _year(text: str) -> int | None:
    """Return the first four-digit year in the text, or that of a date such as 19990503."""
    found = _YEAR.search(text) or _COMPACT_DATE.search(text)
    return int(found[1]) if found else None


def _bpm(text: str) -> float | None:
    """Return the first plausible tempo in the text: "128", "128,5", "128 BPM", "12800" (hundredths), "128/64"."""
    for part in re.split(r"[/;|]|,\s", text):
        if found := _BPM.fullmatch(part.strip("\0 \t\r\n")):
            value = float(found[1].replace(",", "."))
            value = value / 100 if value >= _HUNDREDTHS else value
            if _BPM_RANGE[0] <= value <= _BPM_RANGE[1]:
                return value
    return None
