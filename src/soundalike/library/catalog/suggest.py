"""Names of tracks and spaces that begin with a text, for the completion of a command line.

A shell waits for the answer, so this reads the catalogue with plain SQL and imports nothing large.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path, PurePath

from soundalike.core.errors import LibraryError
from soundalike.core.sqlite import connect

__all__ = ["suggest_spaces", "suggest_tracks"]


def suggest_tracks(library: Path, start: str, limit: int = 50) -> list[tuple[str, str]]:
    """Names of tracks that begin with a text, each with the path of its track.

    Args:
        library: The folder of a library.
        start: The text, of any case.
        limit: The largest number of names.

    Returns:
        For each track its title, or else its artist and title, or the name of its file without suffix; [] if the
        library cannot be read.

    Example:
        >>> suggest_tracks(Path("library"), "pu")
        [('Punk Song', '/music/01 Punk Song.mp3')]
    """
    title = _like(start)
    artist = _like(json.dumps([start])[:-2])  # a JSON list of names
    where = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in ("title", "artists", "shown_path", "shown_path"))
    query = f"SELECT title, artists, shown_path FROM tracks WHERE NOT missing AND ({where})"
    found: dict[str, str] = {}
    for own_title, artists, path in _select(library, query, title, artist, f"%/{title}", f"%\\\\{title}"):
        name = next(
            (name for name in _names(own_title, artists, path) if name.casefold().startswith(start.casefold())), None
        )
        if name is not None and name.isprintable() and not set(name) & set("/\\"):
            found.setdefault(name, path)
        if len(found) == limit:
            break
    return sorted(found.items())


def suggest_spaces(library: Path) -> list[str]:
    """The names of the spaces of a library, and the full names if it holds several models; [] if it cannot be read."""
    spaces = _select(library, "SELECT DISTINCT model, name FROM spaces")
    full = [f"{model}/{name}" for model, name in spaces] if len({model for model, _ in spaces}) > 1 else []
    return [*dict.fromkeys(name for _, name in spaces), *full]


def _like(start: str) -> str:
    """A pattern of SQL for texts that begin with `start`, with a backslash as the sign of escape."""
    return start.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"


def _names(title: str | None, artists: str | None, path: str) -> list[str]:
    artist = " ".join(json.loads(artists)[:1]) if artists else ""
    stem = PurePath(path).stem
    return [title, f"{artist} {title}", stem] if title else [stem]


def _select(library: Path, query: str, *values: str) -> list[tuple[str, ...]]:
    try:
        with closing(connect(library / "catalog.sqlite", writable=False, create=False)) as database:
            return [tuple(row) for row in database.execute(query, values)]
    except (LibraryError, sqlite3.Error):
        return []
