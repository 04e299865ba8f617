"""Dataset `jamendo_instruments`: the tracks of MTG-Jamendo that have tags of instruments."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from soundalike.audio.datasets.base import About, existing_folder, first_of, problem_of
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["JamendoInstruments", "create"]

_TABLES = {"all": "autotagging_instrument.tsv", "test": "splits/split-0/autotagging_instrument-test.tsv"}
_COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
_PREFIX = "instrument---"

Part = Literal["test", "all"]


def create(root: Path, part: Part = "test") -> JamendoInstruments:
    """Return the dataset.

    Args:
        root: A folder with the tables of the dataset's repository below `data`, and the audio, `NN/<number>.mp3`, below
            `audio`, `raw_30s/audio` or the folder itself.
        part: "test" is the test set of the first split, "all" are all tracks with a tag.

    Raises:
        UsageError: `root` is not a folder.

    Example:
        >>> next(create(Path("mtg-jamendo-dataset"), "all").items()).labels
        {'label': 'voice', 'song': 'artist_000020', 'album': 'album_000046'}
    """
    return JamendoInstruments(existing_folder(root, JamendoInstruments.about), part)


class JamendoInstruments:
    """The tracks. Their label is the list of their instruments; "song" is the artist."""

    about: ClassVar[About] = About(
        title="MTG-Jamendo, instruments",
        citation="Bogdanov, Won, Tovstogan, Porter and Serra, The MTG-Jamendo dataset for automatic music tagging, "
        "Machine Learning for Music Discovery Workshop, ICML 2019",
        licence="Creative Commons per track (audio_licenses.txt); tags: CC BY-NC-SA 4.0",
        home="https://github.com/MTG/mtg-jamendo-dataset",
        layout="data/autotagging_instrument.tsv, data/splits/split-0/autotagging_instrument-test.tsv and "
        "audio/NN/<number>.mp3",
    )

    def __init__(self, root: Path, part: Part = "test") -> None:
        self.root, self.part = root, part

    def _items(self) -> list[Item]:
        name = _TABLES[self.part]
        tables = (self.root / "data" / name, self.root / name)
        table = next((place for place in tables if place.is_file()), None)
        if table is None:
            raise UsageError(f"{self.root} holds no {name}; expected {self.about.layout}")
        places = [self.root / "audio", self.root / "raw_30s" / "audio", self.root]
        items, lost = [], []
        try:
            with table.open(encoding="utf-8", newline="") as file:
                rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                if next(rows, []) != _COLUMNS:
                    raise UsageError(f"{table}: the first line is not {' '.join(_COLUMNS)}")
                for row in rows:
                    if len(row) < len(_COLUMNS):
                        raise UsageError(f"{table}, line {rows.line_num}: {len(row)} columns, expected 6 or more")
                    _, artist, album, path, _, *tags = row
                    found = _audio_file(path, places)
                    if found is None:
                        lost.append(path)
                        continue
                    names = [tag.removeprefix(_PREFIX) for tag in tags if tag.startswith(_PREFIX)]
                    items.append(Item(found, labels={"label": ",".join(names), "song": artist, "album": album}))
        except (OSError, csv.Error, UnicodeError) as error:
            raise UsageError(f"{table} cannot be read: {error}") from error
        if lost:
            raise UsageError(f"{self.root} lacks {len(lost):,} recordings of {table.name}: {first_of(lost, most=2)}")
        if not items:
            raise UsageError(f"{table} names no tracks")
        return items

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._items)

    def items(self) -> Iterator[Item]:
        """Yield the tracks in the order of the table. Raises UsageError if something is missing."""
        yield from self._items()


def _audio_file(path: str, places: list[Path]) -> Path | None:
    """The file of a track; the smaller version of the audio has names that end in .low.mp3."""
    names = (path, path.removesuffix(".mp3") + ".low.mp3")
    return next((file for place in places for name in names if (file := place / name).is_file()), None)
