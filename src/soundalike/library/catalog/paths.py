"""Where the files of tracks are: their paths, and the folders from which they were indexed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from soundalike.core.types import IntArray
from soundalike.library.catalog.line_checksums import ID_IN_LIST
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["PathTable"]


class PathTable:
    """The paths of tracks. A root is the folder from which tracks were indexed, or the mount point of their disk."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def of(self, ids: Sequence[int]) -> list[bytes]:
        """The absolute paths of the tracks with these ids, in this order, as the file system has them."""
        sql = "SELECT tracks.id, roots.path, tracks.path FROM tracks JOIN roots ON roots.id = root_id WHERE "
        found = {row[0]: row[1] + row[2] for row in self._database.rows(sql + ID_IN_LIST, (json.dumps(list(ids)),))}
        return [found[track_id] for track_id in ids]

    def roots(self) -> dict[int, Path]:
        """The roots of all tracks, by their ids."""
        sql = "SELECT id, path FROM roots WHERE EXISTS (SELECT 1 FROM tracks WHERE root_id = roots.id)"
        return {row[0]: Path(os.fsdecode(row[1])) for row in self._database.rows(sql)}

    def roots_of(self, ids: Iterable[int]) -> dict[int, Path]:
        """The root of every track with one of these ids."""
        sql = "SELECT tracks.id, roots.path FROM tracks JOIN roots ON roots.id = root_id WHERE "
        names = {row[0]: row[1] for row in self._database.rows(sql + ID_IN_LIST, (json.dumps(list(ids)),))}
        roots = {name: Path(os.fsdecode(name)) for name in set(names.values())}
        return {track_id: roots[name] for track_id, name in names.items()}

    def root_ids(self) -> IntArray:
        """(n, 2) int64: the id of every track and that of its root, ascending."""
        return self._database.numbers("SELECT id, root_id FROM tracks ORDER BY id", (), 2)
