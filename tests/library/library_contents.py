"""What a library holds, for comparing libraries that were made in different ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from soundalike.library.folder import LibraryFolder


def contents(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return, by the hash of the file, its name, tags and measured facts, fingerprint, and rows at both levels."""
    found = {}
    with LibraryFolder(folder) as library:
        for track in library.catalog.tracks():
            facts = {name: getattr(track, name) for name in track.__slots__ if name not in ("id", "path", "mtime_ns")}
            rows = [
                (space.full_name, level, library.store.read(level, space.full_name, space.dim, positions).tobytes())
                for level in ("track", "passage")
                for first, count in [library.catalog.rows_of(track.id, level)]
                for positions in [np.arange(first, first + count)]
                for space in library.catalog.spaces()
                if space.level == level
            ]
            words = library.catalog.fingerprints.get(track.id).tobytes()
            found[track.content_hash] = (track.path.name, facts, words, rows)
    return found
