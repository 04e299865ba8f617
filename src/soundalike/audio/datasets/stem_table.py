"""Dataset `stem_table`: multitrack recordings that a table `stems.csv` lists, as the sum of the stems of each class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, first_of, problem_of
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["StemTable", "create"]

_TABLE = "stems.csv"
_COLUMNS = ("song", "path", "stem_class")


_APART = ("guitar", "piano")


def create(root: Path, *, complete: bool = True, by_instrument: bool = False) -> StemTable:
    """Return the dataset of the folder that holds `stems.csv`; with `complete` false, of all its songs.

    With `by_instrument`, guitars and pianos of the class "other" are classes of their own: those whose text in the
    column "instrument" names them, such as "clean electric guitar".

    Raises UsageError if `root` is not a folder.

    Example:
        >>> item = next(create(Path("musicdelta")).items())
        >>> item.labels["label"], list(item.stems)
        ('bass', ['S02_R01'])
    """
    return StemTable(existing_folder(root, StemTable.about), complete=complete, by_instrument=by_instrument)


class StemTable:
    """One item per song and stem class, for the songs with a stem of every class.

    Songs without one of the classes, such as instrumentals, are left out, so that every song has the same classes,
    unless all songs are asked for.
    """

    about: ClassVar[About] = About(
        title="multitrack recordings",
        citation="that of the recordings",
        licence="that of the recordings",
        home="a folder of one's own",
        layout="stems.csv with the columns song, path (below the folder, or below the one above), stem_class",
    )

    def __init__(self, root: Path, *, complete: bool = True, by_instrument: bool = False) -> None:
        self.root = root
        self._only_complete = complete
        self._by_instrument = by_instrument

    def _read(self) -> dict[str, Mapping[str, list[Path]]]:
        """The files by song and class, for the songs with every class, or for all."""
        table = self.root / _TABLE
        songs: dict[str, dict[str, list[Path]]] = {}
        lost: list[str] = []
        try:
            with table.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                absent = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
                if absent:
                    raise UsageError(
                        f"{table} has no column {absent[0]}; expected {', '.join(_COLUMNS)} in its first line"
                    )
                for row in reader:
                    if not all(row[column] for column in _COLUMNS):
                        raise UsageError(f"{table}, line {reader.line_num}: {', '.join(_COLUMNS)} must not be empty")
                    path = self._locate(row["path"])
                    if path is None:
                        lost.append(row["path"])
                    else:
                        songs.setdefault(row["song"], {}).setdefault(self._class_of(row), []).append(path)
        except OSError as error:
            raise UsageError(f"{table} cannot be read: {error.strerror}; expected {self.about.layout}") from error
        except (csv.Error, UnicodeError) as error:
            raise UsageError(f"{table} is not a UTF-8 CSV file: {error}") from error
        if lost:
            raise UsageError(f"{table}: {len(lost):,} of its files do not exist: {first_of(lost, most=2)}")
        if not self._only_complete:
            return dict(songs)
        complete = _complete(songs)
        if not complete:
            raise UsageError(f"{table} names no song with a stem of every class")
        return complete

    def _class_of(self, row: Mapping[str, str]) -> str:
        if self._by_instrument and row["stem_class"] == "other":
            played = (row.get("instrument") or "").lower()
            return next((name for name in _APART if name in played), "other")
        return row["stem_class"]

    def _locate(self, path: str) -> Path | None:
        return next((found for place in (self.root, self.root.parent) if (found := place / path).is_file()), None)

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._read)

    def items(self) -> Iterator[Item]:
        """Yield the classes of every song, sorted. Raises UsageError if something is missing."""
        for song, classes in sorted(self._read().items()):
            for stem, files in sorted(classes.items()):
                yield Item(files[0], {str(file): file for file in files}, {"label": stem, "song": song})


def _complete(songs: Mapping[str, Mapping[str, list[Path]]]) -> dict[str, Mapping[str, list[Path]]]:
    every = {stem for classes in songs.values() for stem in classes}
    return {song: classes for song, classes in songs.items() if set(classes) == every}
