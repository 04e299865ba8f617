"""What a file says about itself. Tags are decoration: no file fails for want of them."""

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
# ID3's TKEY and the other formats' INITIALKEY arrive under the first name; ID3's TXXX frames and MP4's
# freeform atoms also under their own.
_KEY_FIELDS = ("initial_key", "initialkey", "key")
_BPM_RANGE = (20.0, 400.0)


@dataclass(frozen=True, slots=True)
class Tags:
    """Cleaned tags, None where absent or nonsense; `bpm` 20 to 400, `key` such as "F# minor", always sharps."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    year: int | None = None
    bpm: float | None = None
    key: str | None = None


def read_tags(path: str | os.PathLike[str]) -> Tags:
    """The tags of the file at `path`; empty where there are none or nothing can be read. Never raises."""
    from tinytag import TinyTag, TinyTagException

    try:
        tag = TinyTag.get(path, duration=False)
    # Deliberate: whatever is wrong with the tags or the file, decoding it will say so if it matters.
    # ValueError: a null byte in the name.
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
    """The key that `text` names, as "F# minor" or "A major" with sharps, or None if it is not obviously one.

    Understands "Am", "Bbmaj", "c sharp minor", the Camelot wheel ("8A" is A minor, "8B" C major) and Open Key
    ("1m" is A minor, "1d" C major).
    """
    text = text.strip("\0 \t\r\n")
    if named := _NAMED_KEY.fullmatch(text):
        pitch = _PITCH[named["note"].upper()] + _ACCIDENTAL[named["accidental"] or ""]
        mode = named["mode"] or ""
        minor = mode == "m" or mode.lower().startswith(("min", "moll"))
    elif wheel := _WHEEL_KEY.fullmatch(text):
        # A step round the wheel is a fifth, 7 semitones; Camelot's 8 o'clock is Open Key's 1, C and A minor.
        ring = wheel["ring"]
        minor = ring in "Aam"
        pitch = 7 * (int(wheel["hour"]) - (1 if ring in "dm" else 8)) + (9 if minor else 0)
    else:
        return None
    return f"{_NOTES[pitch % 12]} {'minor' if minor else 'major'}"


def _clean(text: str | None) -> str | None:
    """One line without control characters or halves of surrogate pairs; None if nothing is left."""
    kept = "".join(" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text or "")
    return " ".join(kept.split()) or None


def _year(text: str | None) -> int | None:
    found = _YEAR.search(text or "")
    return int(found[1]) if found else None


def _bpm(text: str) -> float | None:
    try:
        value = float(text.strip("\0 ").replace(",", "."))
    except ValueError:
        return None
    return value if _BPM_RANGE[0] <= value <= _BPM_RANGE[1] else None
