"""Checksums over the entries of a catalogue, so that every flipped bit in it is found.

The checksum of a track covers its entry, root, fingerprint, row positions, models, stored features and family. One
checksum covers models, spaces and the schema. Every transaction renews those of what it changed.
"""

from __future__ import annotations

import functools
import json
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

__all__ = [
    "ID_IN_LIST",
    "catalogue_checksum",
    "failure_checksum",
    "renew_checksums",
    "spoil_checksums",
    "track_checksums",
]

ID_IN_LIST = "tracks.id IN (SELECT value FROM json_each(?))"
"""SQL condition for tracks whose ids are in a JSON list."""
_BATCH = 500
_TRACK_QUERIES = (
    "SELECT tracks.*, roots.path AS root FROM tracks JOIN roots ON roots.id = root_id "
    f"WHERE {ID_IN_LIST} ORDER BY tracks.id",
    "SELECT * FROM fingerprints WHERE track_id IN (SELECT value FROM json_each(?))",
    "SELECT * FROM rows WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, level",
    "SELECT * FROM encoded WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, model",
    "SELECT * FROM kept WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, backbone",
    "SELECT * FROM families WHERE track_id IN (SELECT value FROM json_each(?))",
)
_CATALOGUE_QUERIES = (
    "SELECT * FROM models ORDER BY name",
    "SELECT * FROM spaces ORDER BY model, name, level",
    "SELECT * FROM features ORDER BY backbone, name",
    "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
    "SELECT * FROM meta WHERE name NOT IN ('generation', 'seal') ORDER BY name",
)


def _checksum(*values: object) -> int:
    parts: list[bytes] = []
    _encode(values, parts)
    return zlib.crc32(b"".join(parts))


def _encode(value: object, parts: list[bytes]) -> None:
    """Encode what SQLite returns, unambiguously: a letter for the type, the length where it varies, then the value.

    The text of `repr` would depend on the version of Python: newer ones print more characters unescaped.

    Args:
        value: What to encode.
        parts: The encoding is added to it. A search encodes thousands of values, and generators are slower.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        parts += (b"T%d:" % len(text), text)
    elif isinstance(value, int):
        parts.append(b"I%d;" % value)
    elif value is None:
        parts.append(b"N")
    elif isinstance(value, float):
        parts.append(b"F" + struct.pack("<d", value))
    elif isinstance(value, bytes):
        parts += (b"B%d:" % len(value), value)
    elif isinstance(value, list | tuple):
        parts.append(b"(%d:" % len(value))
        for item in value:
            _encode(item, parts)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be part of a checksum")


def track_checksums(database: sqlite3.Connection, ids: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """For every existing track of `ids`: its id, the stored checksum, and the checksum of its current content."""
    remaining = iter(ids)
    while batch := list(islice(remaining, _BATCH)):
        parameters = (json.dumps(batch),)
        entries, *others = (database.execute(sql, parameters).fetchall() for sql in _TRACK_QUERIES)
        details: dict[int, list[tuple[object, ...]]] = {}
        for number, rows in enumerate(others):
            for row in rows:
                details.setdefault(row[0], []).append((number, *row))
        for entry in entries:
            found = tuple(details.get(entry["id"], ()))
            kinds = (*map(type, entry), *(type(value) for row in found for value in row))
            names = tuple(entry.keys())
            yield entry["id"], entry["seal"], _track_checksum(names, tuple(entry), found, kinds)


@functools.lru_cache(maxsize=16_384)
def _track_checksum(
    names: tuple[str, ...], values: tuple[object, ...], details: tuple[tuple[object, ...], ...], kinds: tuple[type, ...]
) -> int:
    """The checksum of what was read of a track. A person who moves a slider gets the same tracks again and again.

    Args:
        names: The columns of its entry.
        values: Their values, with the stored checksum, which does not count.
        details: The rows of the other tables, each with the number of its table.
        kinds: The types of all values, which tell 1 from 1.0.
    """
    fields = sorted((name, value) for name, value in zip(names, values, strict=True) if name != "seal")
    return _checksum(fields, list(details))


def renew_checksums(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Store the current checksums of tracks. Inside a transaction."""
    changed = [(new, track_id) for track_id, old, new in track_checksums(database, ids) if new != old]
    database.executemany("UPDATE tracks SET seal = ? WHERE id = ?", changed)


def spoil_checksums(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Give tracks a checksum that their content never has. After `renew_checksums`, inside a transaction."""
    database.executemany("UPDATE tracks SET seal = ~seal WHERE id = ? AND seal >= 0", [(one,) for one in ids])


def catalogue_checksum(database: sqlite3.Connection) -> int:
    """The checksum of everything that does not belong to a single track."""
    return _checksum(*(tuple(row) for sql in _CATALOGUE_QUERIES for row in database.execute(sql)))


def failure_checksum(path: bytes, size: int, mtime_ns: int, message: str, attempts: int) -> int:
    """The checksum of the entry of an unreadable file."""
    return _checksum(path, size, mtime_ns, message, attempts)
