"""Seals: checksums over what a catalogue says, so that a flipped bit in it is found and never believed.

A track's seal covers its line, its root, its fingerprint, whose rows are its own, and which models have heard it. The
catalogue's own covers the models, their spaces and the shape of the tables. Every transaction renews what it changed.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

__all__ = ["AMONG", "catalogue_seal", "failure_seal", "renew", "track_seals"]

AMONG = "tracks.id IN (SELECT value FROM json_each(?))"
"""SQL for the tracks whose ids are in a JSON list."""
_AT_ONCE = 500
_ABOUT_A_TRACK = (
    "SELECT tracks.*, roots.path AS root FROM tracks JOIN roots ON roots.id = root_id "
    f"WHERE {AMONG} ORDER BY tracks.id",
    "SELECT track_id, words FROM fingerprints WHERE track_id IN (SELECT value FROM json_each(?))",
    "SELECT * FROM rows WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, level",
    "SELECT * FROM encoded WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, model",
    "SELECT * FROM kept WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, backbone",
    "SELECT * FROM families WHERE track_id IN (SELECT value FROM json_each(?))",
)
_ABOUT_THE_CATALOGUE = (
    "SELECT * FROM models ORDER BY name",
    "SELECT * FROM spaces ORDER BY model, name, level",
    "SELECT * FROM features ORDER BY backbone, name",
    "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
    "SELECT * FROM meta WHERE name NOT IN ('generation', 'seal') ORDER BY name",
)


def _seal(*values: object) -> int:
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


def track_seals(database: sqlite3.Connection, ids: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """For the tracks of `ids` that there are: id, the seal kept, and the seal that what is there asks for."""
    waiting = iter(ids)
    while some := list(islice(waiting, _AT_ONCE)):
        asked = (json.dumps(some),)
        lines, *others = (database.execute(sql, asked).fetchall() for sql in _ABOUT_A_TRACK)
        about: dict[int, list[tuple[object, ...]]] = {}
        for place, rows in enumerate(others):
            for row in rows:
                about.setdefault(row[0], []).append((place, *row))
        for line in lines:
            said = {key: line[key] for key in line.keys() if key != "seal"}  # noqa: SIM118 - a Row iterates its values
            yield line["id"], line["seal"], _seal(sorted(said.items()), about.get(line["id"], []))


def renew(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Seal tracks as they are now. Inside a transaction."""
    fresh = [(new, track_id) for track_id, old, new in track_seals(database, ids) if new != old]
    database.executemany("UPDATE tracks SET seal = ? WHERE id = ?", fresh)


def catalogue_seal(database: sqlite3.Connection) -> int:
    """The seal of all that is not about single tracks."""
    return _seal(*(tuple(row) for sql in _ABOUT_THE_CATALOGUE for row in database.execute(sql)))


def failure_seal(path: bytes, size: int, mtime_ns: int, message: str) -> int:
    """The seal of a file that could not be heard."""
    return _seal(path, size, mtime_ns, message)
