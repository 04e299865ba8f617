"""Dataset `jamendo_instruments`: the tracks of MTG-Jamendo that have tags of instruments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from soundalike.audio.datasets.base import About, existing_folder, problem_of
from soundalike.audio.datasets.jamendo_tables import read_jamendo
from soundalike.core.types import Item

__all__ = ["JamendoInstruments", "create"]

_TABLES = {"all": "autotagging_instrument.tsv", "test": "splits/split-0/autotagging_instrument-test.tsv"}
_KIND = "instrument"

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
        tracks = read_jamendo(self.root, _TABLES[self.part], self.about)
        return [
            Item(
                track.file,
                labels={"label": ",".join(track.tags.get(_KIND, ())), "song": track.artist, "album": track.album},
            )
            for track in tracks
        ]

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._items)

    def items(self) -> Iterator[Item]:
        """Yield the tracks in the order of the table. Raises UsageError if something is missing."""
        yield from self._items()
