"""The catalogue as texts in Milvus: one JSON object per recording with its copies, and one per unreadable file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, Level
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.failures import Failure
from soundalike.library.catalog.track import Track
from soundalike.library.exchange.format import TRACK_COLUMNS
from soundalike.library.exchange.read import Line

__all__ = ["NOWHERE", "Entry", "Places", "reading_text", "stored_failure", "stored_sound"]

Places = Mapping[Level, tuple[int, int]]
NOWHERE: Places = dict.fromkeys(LEVELS, (0, 0))
"""The places of an entry without rows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording with its copies, or an unreadable file.

    Attributes:
        body: What is known, as JSON values.
        source: Which rows of which library it has: they are the same as long as this is.
        rows: A digest of the rows; empty if no model encoded it.
        places: First position and number of the rows in Milvus, per level.
    """

    body: Mapping[str, Any]
    source: str
    rows: str
    places: Places

    @property
    def digest(self) -> bytes:
        """What tells this entry, with its rows, from others."""
        return hashlib.blake2b(_dump([self.body, self.source]).encode(), digest_size=16).digest()

    @property
    def tracks(self) -> int:
        """The number of tracks."""
        return len(self.body.get("copies", ()))

    @property
    def seconds(self) -> float:
        """Their duration."""
        return float(sum(copy["duration"] for copy in self.body.get("copies", ())))

    def paths(self) -> list[str]:
        """The absolute paths of its tracks."""
        return [copy["path"] for copy in self.body.get("copies", ())]

    def dump(self) -> str:
        """The entry as a text of ASCII."""
        return _dump({"body": self.body, "source": self.source, "rows": self.rows, "places": self.places})

    @classmethod
    def parse(cls, text: str) -> Self:
        """The entry of a text. To be used inside `reading_text`."""
        found = json.loads(text)
        places: dict[Level, tuple[int, int]] = {}
        for level in LEVELS:
            first, count = found["places"][level]
            if not (isinstance(first, int) and isinstance(count, int) and min(first, count) >= 0):
                raise ValueError(f"the positions {first!r} and {count!r}")
            places[level] = (first, count)
        return cls(found["body"], str(found["source"]), str(found["rows"]), places)

    def lines(self, number: int) -> list[Line]:
        """The tracks of a recording as lines of an export, from a number on. To be used inside `reading_text`."""
        lines = []
        for at, copy in enumerate(self.body["copies"]):
            values = {name: copy[name] for name in TRACK_COLUMNS}
            values |= {name: tuple(values[name]) for name in ("artists", "genres")}
            words = base64.b64decode(self.body["fingerprint"]) if at == 0 else None
            path = Path(copy["path"])
            if not path.is_absolute():
                raise ValueError(f"{copy['path']!r} is not an absolute path on this system")
            lines.append(
                Line(
                    number=number + at,
                    root=Path(copy["root"]),
                    track=Track(path=path, **values),
                    encoded_by=frozenset(copy["encoded_by"]),
                    passages=int(self.body["passages"]),
                    rows_of=number if at else None,
                    fingerprint=None if words is None else np.frombuffer(words, "<u4"),
                    fingerprint_version=int(copy["fingerprint_version"]),
                    rows={},
                )
            )
        return lines

    def failure(self) -> tuple[Path, int, int, str]:
        """Path, size, modification time and message of an unreadable file."""
        one = self.body["failure"]
        return Path(one["path"]), int(one["size"]), int(one["mtime_ns"]), str(one["message"])


def stored_sound(
    catalog: Catalog, ids: Sequence[int], encoded_by: Mapping[int, Sequence[str]], held: Sequence[str], passages: int
) -> dict[str, Any]:
    """The body of a recording.

    Args:
        catalog: The catalogue, inside a snapshot.
        ids: The ids of its copies; the first has the fingerprint.
        encoded_by: The models that encoded each copy, by id.
        held: The models of which it has rows.
        passages: The number of its passages.
    """
    roots = catalog.paths.roots_of(list(ids))
    copies = [
        {
            "root": os.fsdecode(roots[track.id]),
            "path": os.fsdecode(track.path),
            **{name: getattr(track, name) for name in TRACK_COLUMNS},
            "encoded_by": sorted(encoded_by[track.id]),
            "fingerprint_version": catalog.fingerprints.version(track.id),
        }
        for track in catalog.tracks_of(ids)
    ]
    words = np.asarray(catalog.fingerprints.get(ids[0]), "<u4").tobytes()
    return {
        "copies": copies,
        "fingerprint": base64.b64encode(words).decode(),
        "held": sorted(held),
        "passages": int(passages),
    }


def stored_failure(failure: Failure) -> dict[str, Any]:
    """The body of an unreadable file."""
    return {
        "failure": {
            "path": os.fsdecode(failure.path),
            "size": failure.size,
            "mtime_ns": failure.mtime_ns,
            "message": failure.message,
        }
    }


@contextmanager
def reading_text(address: object, number: int) -> Iterator[None]:
    """Turn errors in a text that something else may have written into a LibraryError of one line."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise LibraryError(
            f"{address}: entry {number} of the catalogue is invalid ({error}); push the library again under "
            "another name"
        ) from error


def _dump(value: Any) -> str:
    """JSON of ASCII, in an order that does not depend on how the value was made."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
