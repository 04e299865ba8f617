"""Dataset `msd_lastfm`: recordings of the Million Song Dataset with the tags of its Last.fm dataset.

The 50 most frequent tags are used, in four groups: genre, mood, instrument and era. The papers print the groups but not
which tag belongs to which one; `TAGS` is our reading of the tags.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, problem_of
from soundalike.audio.suffixes import AUDIO_SUFFIXES
from soundalike.core.errors import UsageError
from soundalike.core.text import fold
from soundalike.core.types import Item

__all__ = ["TAGS", "MsdLastfm", "create"]

TAGS: Mapping[str, tuple[str, ...]] = {
    "genre": (
        "rock", "pop", "alternative", "indie", "electronic", "dance", "alternative rock", "jazz", "metal",
        "classic rock", "soul", "indie rock", "electronica", "folk", "punk", "blues", "hard rock", "ambient",
        "experimental", "hip-hop", "country", "funk", "electro", "heavy metal", "progressive rock", "rnb", "indie pop",
        "house",
    ),
    "mood": (
        "beautiful", "chillout", "mellow", "chill", "party", "easy listening", "sexy", "catchy", "sad", "happy",
    ),
    "instrument": (
        "female vocalists", "male vocalists", "instrumental", "female vocalist", "guitar", "acoustic",
    ),
    "era": ("00s", "90s", "80s", "70s", "60s", "oldies"),
}  # fmt: skip
"""The tags of each group, in lower case."""

_DATABASE, _YEARS, _TRACKS = "lastfm_tags.db", "tracks_per_year.txt", "unique_tracks.txt"
_JSON = ("lastfm_train", "lastfm_test", "lastfm_subset")
_SEPARATOR = "<SEP>"
_GROUP_OF = {tag: group for group, tags in TAGS.items() for tag in tags}
_SAME = {"female vocalist": "female vocalists", "00s": "2000s", "90s": "1990s", "80s": "1980s", "70s": "1970s",
         "60s": "1960s"}  # fmt: skip
_QUERY = (
    "SELECT tids.tid, tags.tag, tid_tag.val FROM tid_tag JOIN tids ON tids.ROWID = tid_tag.tid "
    "JOIN tags ON tags.ROWID = tid_tag.tag WHERE lower(tags.tag) IN ({})"
)


def create(root: Path, least: float = 0.0) -> MsdLastfm:
    """Return the dataset.

    Args:
        root: A folder with recordings named after their track, `TRXXXXXXXXXXXXXXXX.mp3`, in any folders below it, and
            with lastfm_tags.db or the folders lastfm_train and lastfm_test. With tracks_per_year.txt, the year of a
            track gives its era too; with unique_tracks.txt, its artist is known.
        least: The lowest weight of a tag that counts, 0 to 100.

    Raises:
        UsageError: `root` is not a folder.

    Example:
        >>> next(create(Path("msd")).items()).labels["era"]
        '1980s'
    """
    return MsdLastfm(existing_folder(root, MsdLastfm.about), least)


class MsdLastfm:
    """The recordings with one of the tags. "song" is the artist, or the track if the artist is not known.

    "subset" is that of the Last.fm dataset, train or test, where tags come from its folders.
    """

    about: ClassVar[About] = About(
        title="Million Song Dataset with Last.fm tags",
        citation="Bertin-Mahieux, Ellis, Whitman and Lamere, The Million Song Dataset, ISMIR 2011",
        licence="tags: non-commercial use, per Last.fm; recordings: not part of the dataset",
        home="http://millionsongdataset.com/lastfm",
        layout="lastfm_tags.db or lastfm_{train,test}/A/B/C/<track>.json, tracks_per_year.txt, unique_tracks.txt and "
        "recordings <track>.mp3",
    )

    def __init__(self, root: Path, least: float = 0.0) -> None:
        self.root, self.least = root, least

    def _items(self) -> list[Item]:
        files = {
            file.stem: file
            for file in sorted(self.root.rglob("TR*"))
            if len(file.stem) == 18 and file.suffix.lower() in AUDIO_SUFFIXES and file.is_file()
        }
        if not files:
            raise UsageError(f"{self.root} holds no recordings; expected {self.about.layout}")
        tags, subsets = self._tags(files)
        years, artists = self._years(files), self._artists(files)
        items = []
        for track, file in files.items():
            groups: dict[str, dict[str, None]] = {}
            for tag in tags.get(track, ()):
                groups.setdefault(_GROUP_OF[tag], {})[_SAME.get(tag, tag)] = None
            if track in years:
                groups.setdefault("era", {})[f"{years[track] // 10 * 10}s"] = None
            if groups:
                labels = {name: ",".join(groups[name]) for name in TAGS if name in groups}
                labels["label"] = ",".join(labels.values())
                labels["song"] = artists.get(track, track)
                if track in subsets:
                    labels["subset"] = subsets[track]
                items.append(Item(file, labels=labels))
        if not items:
            raise UsageError(f"none of {len(files):,} recordings in {self.root} has one of the {len(_GROUP_OF)} tags")
        return items

    def _tags(self, files: Mapping[str, Path]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """The tags of the tracks, and their subsets as far as they are known."""
        database = self.root / _DATABASE
        if database.is_file():
            return self._read_database(database, files), {}
        folders = [self.root / name for name in _JSON if (self.root / name).is_dir()]
        if not folders:
            raise UsageError(f"{self.root} holds neither {_DATABASE} nor lastfm_train; expected {self.about.layout}")
        tags: dict[str, list[str]] = {}
        subsets: dict[str, str] = {}
        for track in files:
            for folder in folders:
                path = folder / track[2] / track[3] / track[4] / f"{track}.json"
                if path.is_file():
                    tags[track] = self._read_json(path)
                    if (subset := folder.name.partition("_")[2]) != "subset":
                        subsets[track] = subset
        return tags, subsets

    def _read_database(self, path: Path, files: Mapping[str, Path]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                query = _QUERY.format(",".join("?" * len(_GROUP_OF)))
                for track, tag, weight in connection.execute(query, tuple(_GROUP_OF)):
                    if track in files and float(weight) >= self.least:
                        found.setdefault(track, []).append(fold(tag))
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise UsageError(f"{path} cannot be read as the tags of Last.fm: {error}") from error
        return found

    def _read_json(self, path: Path) -> list[str]:
        try:
            pairs = json.loads(path.read_text(encoding="utf-8"))["tags"]
            return [fold(tag) for tag, weight in pairs if fold(tag) in _GROUP_OF and float(weight) >= self.least]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f'{path} cannot be read as the tags of a track: {error}; expected {{"tags": [["rock", "100"], ...]}}'
            ) from error

    def _years(self, files: Mapping[str, Path]) -> dict[str, int]:
        found: dict[str, int] = {}
        for number, cells in _lines(self.root / _YEARS):
            if len(cells) < 2 or not cells[0].isdecimal() or not 1000 <= int(cells[0]) <= 2999:
                raise UsageError(
                    f"{self.root / _YEARS}, line {number}: the year is {cells[0]!r}; expected 1000 to 2999, then "
                    f"{_SEPARATOR} and the track"
                )
            if cells[1] in files:
                found[cells[1]] = int(cells[0])
        return found

    def _artists(self, files: Mapping[str, Path]) -> dict[str, str]:
        lines = _lines(self.root / _TRACKS)
        return {cells[0]: cells[2] for _, cells in lines if cells[0] in files and len(cells) > 2 and cells[2]}

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._items)

    def items(self) -> Iterator[Item]:
        """Yield the tagged recordings, sorted by path. Raises UsageError if something is missing."""
        yield from self._items()


def _lines(path: Path) -> Iterable[tuple[int, list[str]]]:
    """The numbers and the cells of the lines of a file; none if it does not exist."""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip("\r\n").split(_SEPARATOR)
