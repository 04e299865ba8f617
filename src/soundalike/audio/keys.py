"""Names of keys: parse what tags and people write, and find the keys that mix well."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["camelot_code", "compatible_keys", "parse_key", "semitones_between"]

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# H is the German name of B.
_PITCH = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11, "H": 11}
_ACCIDENTAL = {"": 0, "#": 1, "♯": 1, "sharp": 1, "is": 1, "b": -1, "♭": -1, "flat": -1, "es": -1, "s": -1}
_MINOR_MODES = ("m", "min", "minor", "moll", "aeolian")
_NAMED_KEY = re.compile(
    r"(?P<note>[A-Ha-h])[ _-]*(?P<accidental>#|♯|b|♭|(?i:sharp|flat)|is|es|(?<=[AEae])s)?"
    r"[ _-]*(?P<mode>M|m|(?i:major|maj|dur|ionian|minor|min|moll|aeolian))?"
)
_WHEEL_KEY = re.compile(r"0?(?P<hour>[1-9]|1[0-2])(?P<ring>[ABabdm])")
# What tools add after a key: "8A - Energy 6" (Mixed In Key), "8A - 128", "Ab -50 cents" (Rapid Evolution).
_ADDITION = re.compile(r"(?i:\s*[-–—/|,]?\s*energy\s*:?\s*\d+|\s*[+-]\s*\d+(?:\.\d+)?\s*(?:cents?)?)\s*$")
# Between two names of one key: "Am/8A", "A minor (8A)", "8A - Am", "8A Am".
_BETWEEN = re.compile(r"[/|,;()\[\]]|\s-\s|(?<=\d[ABabdm])\s+|\s+(?=\d)")


class _Key(NamedTuple):
    """A parsed key: `pitch` 0 to 11; `minor` is None if the mode is not written."""

    pitch: int
    minor: bool | None
    note: str


def parse_key(text: str) -> str | None:
    """Parse the name of a key.

    Args:
        text: Such as "Am", "Bbmaj", "c sharp minor" or the German "Fis-Dur"; a code of the Camelot wheel ("8A" is A
            minor, "8B" C major) or of Open Key ("1m" is A minor, "1d" C major); several names of the same key, such as
            "C#/Db minor" or "8A/Am"; followed by an energy level ("8A - Energy 6"). "B" is the note below C, except
            with the German "Dur" and "Moll", where it is B flat.

    Returns:
        The key with sharps, such as "F# minor" or "A major"; None if `text` does not name one key. A lower-case letter
        without a mode, such as "a", is A minor to some tools and A major to others, so it is None.

    Example:
        >>> parse_key("Bbm")
        'A# minor'
        >>> parse_key("8A - Energy 6")
        'A minor'
    """
    text = _ADDITION.sub("", text.strip("\0 \t\r\n"))
    if key := _parse_one(text):
        return _name(key) if key.minor is not None or key.note.isupper() else None
    parts = [part.strip() for part in _BETWEEN.split(text)]
    keys = [_parse_one(part) for part in parts if part]
    known = [key for key in keys if key]
    if not known or len(known) < len(keys) or len({key.pitch for key in known}) > 1:
        return None
    modes = {key.minor for key in known}
    if modes == {None}:
        return _name(known[0]) if all(key.note.isupper() for key in known) else None
    # "C#/Db minor": the mode at the end is that of both names. "A/Am" names two keys.
    if None in modes and (known[-1].minor is None or len({key.note for key in known}) == 1):
        return None
    return _name(known[-1]) if len(modes - {None}) == 1 else None


def compatible_keys(key: str) -> frozenset[str]:
    """Return the keys that mix well with a key.

    Args:
        key: A key as `parse_key` returns it.

    Returns:
        Four keys: the key itself, the ones a fifth above and below in the same mode, and the relative major or minor.
        On the Camelot wheel, they are the same code, one hour more, one hour less, and the other letter.

    Example:
        >>> sorted(compatible_keys("A minor"))
        ['A minor', 'C major', 'D minor', 'E minor']
    """
    note, mode = key.split(" ")
    pitch, minor = _NOTES.index(note), mode == "minor"
    neighbours = [_Key(pitch + step, minor, "") for step in (0, 7, -7)]
    relative = _Key(pitch + (3 if minor else -3), not minor, "")
    return frozenset(map(_name, [*neighbours, relative]))


def camelot_code(key: str) -> str:
    """Return the code of a key on the Camelot wheel.

    Args:
        key: A key as `parse_key` returns it.

    Example:
        >>> camelot_code("A minor"), camelot_code("C major")
        ('8A', '8B')
    """
    note, mode = key.split(" ")
    minor = mode == "minor"
    # One hour is a fifth (7 semitones), and 7 is its own inverse modulo 12. A minor and C major are at 8.
    hour = (7 * (_NOTES.index(note) - (9 if minor else 0)) + 8 - 1) % 12 + 1
    return f"{hour}{'A' if minor else 'B'}"


def semitones_between(key: str, other: str) -> int:
    """Return the smallest transposition that brings a key to another one or to its relative key.

    Args:
        key: The key to transpose, as `parse_key` returns it.
        other: The key to arrive at.

    Returns:
        -5 to 6 semitones. Relative keys have the same notes, so A minor needs no transposition for C major.

    Example:
        >>> semitones_between("A minor", "D major")
        2
    """
    up = (_major_pitch(other) - _major_pitch(key)) % 12
    return up - 12 if up > 6 else up


def _major_pitch(key: str) -> int:
    """The pitch of a major key, or of the relative major of a minor one."""
    note, mode = key.split(" ")
    return _NOTES.index(note) + (3 if mode == "minor" else 0)


def _parse_one(text: str) -> _Key | None:
    """Parse one name; `note` is the letter with its accidental, as written."""
    if named := _NAMED_KEY.fullmatch(text):
        accidental, mode = (named["accidental"] or "").lower(), named["mode"]
        pitch = _PITCH[named["note"].upper()] + _ACCIDENTAL[accidental]
        if mode and mode.lower() in ("dur", "moll") and named["note"] in "Bb" and not accidental:
            pitch -= 1
        # "M" is major and "m" minor; the case of longer names does not matter.
        minor = None if mode is None else (mode if len(mode) == 1 else mode.lower()) in _MINOR_MODES
        return _Key(pitch % 12, minor, named["note"] + _spelling(accidental))
    if wheel := _WHEEL_KEY.fullmatch(text):
        # One step on the wheel is a fifth (7 semitones). C major and A minor are at 8 in Camelot and at 1 in Open Key.
        ring = wheel["ring"]
        minor = ring in "Aam"
        pitch = 7 * (int(wheel["hour"]) - (1 if ring in "dm" else 8)) + (9 if minor else 0)
        return _Key(pitch % 12, minor, text)
    return None


def _spelling(accidental: str) -> str:
    """The accidental as one character, upper and lower case alike."""
    return {0: "", 1: "#", -1: "♭"}[_ACCIDENTAL[accidental]]


def _name(key: _Key) -> str:
    return f"{_NOTES[key.pitch % 12]} {'minor' if key.minor else 'major'}"
