"""The checksums of format 3, which were computed over the text of `repr`. Only the migration to format 4 uses them.

`repr` escapes characters that the Unicode tables of Python do not know, so the checksum of an entry with a recent
character depends on the version of Python that wrote it. An entry is corrupt only if no version can have written it.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Corrupt", "find_corrupt"]

_RECENT = (
    "\u0cf3\u0ece\u2ffc-\u2fff\u31ef\U00010efd-\U00010eff\U0001123f-\U00011241\U00011b00-\U00011b09\U00011f00-\U00011f10"
    "\U00011f12-\U00011f3a\U00011f3e-\U00011f59\U0001342f\U00013440-\U00013455\U0001b132\U0001b155\U0001d2c0-\U0001d2d3"
    "\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e08f\U0001e4d0-\U0001e4f9\U0001f6dc\U0001f774-\U0001f776"
    "\U0001f77b-\U0001f77f\U0001f7d9\U0001fa75-\U0001fa77\U0001fa87-\U0001fa88\U0001faad-\U0001faaf\U0001fabb-\U0001fabd"
    "\U0001fabf\U0001face-\U0001facf\U0001fada-\U0001fadb\U0001fae8\U0001faf7-\U0001faf8\U0002b739"
    "\U0002ebf0-\U0002ee5d\U00031350-\U000323af"
)
"""Characters of Unicode 15.0 (Python 3.12) and 15.1 (3.13), which Python 3.11 escapes."""
_TO_ESCAPE = re.compile(f"[{_RECENT}]")
_UNKNOWN = re.compile(r"[^\x00-\xff\ud800-\udfff\s]")
"""Characters that a later version of Python may print; this one escapes them."""
_ESCAPED = re.compile(r"\\(?:u[0-9a-f]{4}|U[0-9a-f]{8})")

_TRACKS = "SELECT tracks.*, roots.path AS root FROM tracks JOIN roots ON roots.id = root_id"
_DETAILS = (
    "SELECT track_id, words FROM fingerprints WHERE track_id = ?",
    "SELECT * FROM rows WHERE track_id = ? ORDER BY level",
    "SELECT * FROM encoded WHERE track_id = ? ORDER BY model",
    "SELECT * FROM kept WHERE track_id = ? ORDER BY backbone",
    "SELECT * FROM families WHERE track_id = ?",
)
_CATALOGUE = (
    "SELECT * FROM models ORDER BY name",
    "SELECT * FROM spaces ORDER BY model, name, level",
    "SELECT * FROM features ORDER BY backbone, name",
    "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
    "SELECT * FROM meta WHERE name NOT IN ('generation', 'seal') ORDER BY name",
)


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The tracks and failures that fail their checksum, by id and path, and whether the rest of the catalogue does."""

    tracks: tuple[int, ...] = ()
    failures: tuple[bytes, ...] = ()
    catalogue: bool = False


def find_corrupt(connection: sqlite3.Connection) -> Corrupt:
    """Check every entry of a catalogue of format 3. The connection returns rows as `sqlite3.Row`."""
    tracks = []
    for row in connection.execute(_TRACKS).fetchall():
        fields = sorted((key, row[key]) for key in row.keys() if key != "seal")  # noqa: SIM118 - a Row iterates values
        details = [
            (number, *found) for number, sql in enumerate(_DETAILS) for found in connection.execute(sql, (row["id"],))
        ]
        if not _fits(row["seal"], fields, details):
            tracks.append(row["id"])
    failures = tuple(
        entry[0]
        for *entry, seal in connection.execute("SELECT path, size, mtime_ns, message, seal FROM failures")
        if not _fits(seal, *entry)
    )
    content = [tuple(row) for sql in _CATALOGUE for row in connection.execute(sql)]
    seal = connection.execute("SELECT value FROM meta WHERE name = 'seal'").fetchone()[0]
    return Corrupt(tuple(tracks), failures, not _fits(seal, *content))


def _fits(checksum: int, *values: object) -> bool:
    """Whether some version of Python computes this checksum for the values."""
    return any(zlib.crc32(text.encode("utf-8", "surrogatepass")) == checksum for text in _texts(repr(values)))


def _texts(text: str) -> Iterator[str]:
    """The text of `repr` as this Python, Python 3.11, Python 3.13, and later versions return it."""
    yield text
    older = _TO_ESCAPE.sub(lambda found: _escape(found[0]), text)
    if older != text:
        yield older
    recent = _ESCAPED.sub(lambda found: _unescape(found[0], _TO_ESCAPE), text)
    if recent != text:
        yield recent
    newer = _ESCAPED.sub(lambda found: _unescape(found[0], _UNKNOWN), text)
    if newer != text:
        yield newer


def _escape(character: str) -> str:
    return f"\\U{ord(character):08x}" if ord(character) > 0xFFFF else f"\\u{ord(character):04x}"


def _unescape(escape: str, characters: re.Pattern[str]) -> str:
    """The character of an escape, if it is one of `characters`."""
    character = chr(int(escape[2:], 16))
    return character if characters.match(character) else escape
