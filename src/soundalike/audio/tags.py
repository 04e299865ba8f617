"""Read the tags of a file. Tags are optional: missing or unreadable tags never cause an error."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Tags", "parse_key", "read_tags"]

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_PITCH = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTAL = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}
_NAMED_KEY = re.compile(
    r"(?P<note>[A-Ga-g])[ -]?(?P<accidental>#|♯|b|♭|sharp|flat)?"
    r"[ -]?(?P<mode>M|[Mm]aj|[Mm]ajor|MAJ|MAJOR|[Dd]ur|m|[Mm]in|[Mm]inor|MIN|MINOR|[Mm]oll)?"
)
_WHEEL_KEY = re.compile(r"0?(?P<hour>[1-9]|1[0-2])(?P<ring>[ABabdm])")
_YEAR = re.compile(r"(?<!\d)(1\d{3}|2\d{3})(?!\d)")
# tinytag maps ID3's TKEY and the other formats' INITIALKEY to the first name. ID3's TXXX frames and MP4's freeform
# atoms appear under their own names.
_KEY_FIELDS = ("initial_key", "initialkey", "key")
_BPM_RANGE = (20.0, 400.0)


@dataclass(frozen=True, slots=True)
class Tags:
    """Normalised tags of a recording; None if a tag is missing or invalid.

    Attributes:
        title: Title.
        artist: Artist.
        album: Album.
        genre: Genre.
        year: Year of release, 1000 to 2999.
        bpm: Beats per minute, 20 to 400.
        key: Such as "F# minor", always with sharps.
    """

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    year: int | None = None
    bpm: float | None = None
    key: str | None = None


def read_tags(path: str | os.PathLike[str]) -> Tags:
    """Read the tags of a file.

    Args:
        path: The file.

    Returns:
        The tags; empty if there are none or the file cannot be read. This function raises no errors.

    Example:
        >>> read_tags("so-what.flac").artist
        'Miles Davis'
    """
    from tinytag import TinyTag, TinyTagException

    try:
        tag = TinyTag.get(path, duration=False)
    # Ignored on purpose: if the file itself is invalid, decoding reports it. ValueError: a null byte in the name.
    except (TinyTagException, OSError, ValueError):
        return Tags()
    keys = [value for name in _KEY_FIELDS for value in tag.other.get(name, ())]
    return Tags(
        title=_clean(tag.title),
        artist=_clean(tag.artist),
        album=_clean(tag.album),
        genre=_clean(tag.genre),
        year=_year(tag.year),
        bpm=next((bpm for value in tag.other.get("bpm", ()) if (bpm := _bpm(value))), None),
        key=next((key for value in keys if (key := parse_key(value))), None),
    )


def parse_key(text: str) -> str | None:
    """Parse the name of a key.

    Args:
        text: Such as "Am", "Bbmaj" or "c sharp minor"; a code of the Camelot wheel ("8A" is A minor, "8B" C major) or
            of Open Key ("1m" is A minor, "1d" C major).

    Returns:
        The key with sharps, such as "F# minor" or "A major"; None if `text` does not name one key.

    Example:
        >>> parse_key("Bbm")
        'A# minor'
    """
    text = text.strip("\0 \t\r\n")
    if named := _NAMED_KEY.fullmatch(text):
        pitch = _PITCH[named["note"].upper()] + _ACCIDENTAL[named["accidental"] or ""]
        mode = named["mode"] or ""
        minor = mode == "m" or mode.lower().startswith(("min", "moll"))
    elif wheel := _WHEEL_KEY.fullmatch(text):
        # One step on the wheel is a fifth (7 semitones). C major and A minor are at 8 in Camelot and at 1 in Open Key.
        ring = wheel["ring"]
        minor = ring in "Aam"
        pitch = 7 * (int(wheel["hour"]) - (1 if ring in "dm" else 8)) + (9 if minor else 0)
    else:
        return None
    return f"{_NOTES[pitch % 12]} {'minor' if minor else 'major'}"


def _clean(text: str | None) -> str | None:
    """Return the text on one line, without control characters and surrogates; None if nothing remains."""
    printable = "".join(" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text or "")
    return " ".join(printable.split()) or None


def _year(text: str | None) -> int | None:
    """Return the first four-digit year in the text."""
    found = _YEAR.search(text or "")
    return int(found[1]) if found else None


def _bpm(text: str) -> float | None:
    """Return the number in the text if it is a plausible tempo."""
    try:
        value = float(text.strip("\0 ").replace(",", "."))
    except ValueError:
        return None
    return value if _BPM_RANGE[0] <= value <= _BPM_RANGE[1] else None
