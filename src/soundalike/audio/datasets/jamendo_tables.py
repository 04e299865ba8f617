"""The tables of MTG-Jamendo: one line per track with its artist, its album, its file and its tags."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from soundalike.audio.datasets.base import About, first_of
from soundalike.core.errors import UsageError

__all__ = ["JamendoTrack", "read_jamendo", "read_release_years"]

_COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
_DATES = "raw.meta.tsv"
_DATE_COLUMN = "RELEASEDATE"


@dataclass(frozen=True, slots=True)
class JamendoTrack:
    """A line of a table: identifiers, the file, and the tags of every kind (genre, instrument, mood/theme)."""

    track: str
    artist: str
    album: str
    file: Path
    tags: Mapping[str, tuple[str, ...]]


def read_jamendo(root: Path, name: str, about: About, *, partial: bool = False) -> list[JamendoTrack]:
    """Read a table.

    Args:
        root: The folder of the dataset.
        name: The table, below `data` or the folder itself.
        about: The dataset, for messages.
        partial: Leave tracks out that have no recording. Otherwise they are an error.

    Raises:
        UsageError: The table is missing or invalid, or recordings are missing.

    Example:
        >>> read_jamendo(root, "autotagging.tsv", about)[0].tags["mood/theme"]
        ('happy',)
    """
    table = _find(root, name)
    if table is None:
        raise UsageError(f"{root} holds no {name}; expected {about.layout}")
    places = [root / "audio", root / "raw_30s" / "audio", root]
    tracks, lost = [], []
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if next(rows, []) != _COLUMNS:
                raise UsageError(f"{table}: the first line is not {' '.join(_COLUMNS)}")
            for row in rows:
                if len(row) < len(_COLUMNS):
                    raise UsageError(f"{table}, line {rows.line_num}: {len(row)} columns, expected 6 or more")
                track, artist, album, path, _, *tags = row
                found = _audio_file(path, places)
                if found is None:
                    lost.append(path)
                else:
                    tracks.append(JamendoTrack(track, artist, album, found, _by_kind(tags)))
    except (OSError, csv.Error, UnicodeError) as error:
        raise UsageError(f"{table} cannot be read: {error}") from error
    if lost and not partial:
        raise UsageError(f"{root} lacks {len(lost):,} recordings of {table.name}: {first_of(lost, most=2)}")
    if not tracks:
        raise UsageError(
            f"{root} holds none of {len(lost):,} recordings of {table}" if lost else f"{table} names no tracks"
        )
    return tracks


def read_release_years(root: Path) -> dict[str, int]:
    """Return the year in which each track was released, from raw.meta.tsv; empty without that file.

    Tracks without a date are left out, and so are lines with tabs within a name.

    Raises:
        UsageError: The file has no column RELEASEDATE, or cannot be read.
    """
    table = _find(root, _DATES)
    if table is None:
        return {}
    years: dict[str, int] = {}
    try:
        # Names contain unbalanced quotation marks, so that these lines are divided at tabs only.
        lines = table.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{table} cannot be read: {error}") from error
    header = lines[0].rstrip("\r").split("\t")
    if _DATE_COLUMN not in header:
        raise UsageError(f"{table} has no column {_DATE_COLUMN}; expected the file of the dataset's repository")
    column = header.index(_DATE_COLUMN)
    for line in lines[1:]:
        cells = line.rstrip("\r").split("\t")
        if len(cells) == len(header) and cells[column][:4].isdecimal() and int(cells[column][:4]) >= 1000:
            years[cells[0]] = int(cells[column][:4])
    return years


def _find(root: Path, name: str) -> Path | None:
    return next((place for place in (root / "data" / name, root / name) if place.is_file()), None)


def _by_kind(tags: list[str]) -> dict[str, tuple[str, ...]]:
    """Group tags such as "instrument---piano" by their kind."""
    found: dict[str, tuple[str, ...]] = {}
    for tag in tags:
        kind, separator, value = tag.partition("---")
        if separator:
            found[kind] = (*found.get(kind, ()), value)
    return found


def _audio_file(path: str, places: list[Path]) -> Path | None:
    """The file of a track; the smaller version of the audio has names that end in .low.mp3."""
    names = (path, path.removesuffix(".mp3") + ".low.mp3")
    return next((file for place in places for name in names if (file := place / name).is_file()), None)
