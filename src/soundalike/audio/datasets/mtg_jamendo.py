"""Dataset `mtg_jamendo`: all tracks of MTG-Jamendo with their genres, moods, instruments and decades."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, problem_of
from soundalike.audio.datasets.jamendo_tables import read_jamendo, read_release_years
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["MtgJamendo", "create"]

_SUBSETS = ("train", "validation", "test")
_SPLITS = range(5)
_KINDS = {"genre": "genre", "mood": "mood/theme", "instrument": "instrument"}


def create(root: Path, split: int = 0, partial: bool = False) -> MtgJamendo:
    """Return the dataset.

    Args:
        root: A folder with the tables of the dataset's repository below `data`, and the audio, `NN/<number>.mp3`, below
            `audio`, `raw_30s/audio` or the folder itself.
        split: The number of the split, 0 to 4.
        partial: Leave tracks out that have no recording. Otherwise they are an error.

    Raises:
        UsageError: `root` is not a folder, or there is no such split.

    Example:
        >>> next(create(Path("mtg-jamendo-dataset")).items()).labels["mood"]
        'happy,summer'
    """
    if split not in _SPLITS:
        raise UsageError(f"the split is {split}; expected 0 to {_SPLITS[-1]}")
    return MtgJamendo(existing_folder(root, MtgJamendo.about), split, partial)


class MtgJamendo:
    """The tracks. Their labels "genre", "mood", "instrument" and "era" are lists, "label" is all of them.

    A label that a track lacks is not known, and absent. "era" is the decade of the release on Jamendo, from
    raw.meta.tsv; "song" is the artist.
    """

    about: ClassVar[About] = About(
        title="MTG-Jamendo",
        citation="Bogdanov, Won, Tovstogan, Porter and Serra, The MTG-Jamendo dataset for automatic music tagging, "
        "Machine Learning for Music Discovery Workshop, ICML 2019",
        licence="Creative Commons per track (audio_licenses.txt); tags: CC BY-NC-SA 4.0",
        home="https://github.com/MTG/mtg-jamendo-dataset",
        layout="data/splits/split-0/autotagging-{train,validation,test}.tsv, data/raw.meta.tsv for decades, and "
        "audio/NN/<number>.mp3",
    )

    def __init__(self, root: Path, split: int = 0, partial: bool = False) -> None:
        self.root, self.split, self.partial = root, split, partial

    def _items(self) -> list[Item]:
        years = read_release_years(self.root)
        items = []
        for subset in _SUBSETS:
            name = f"splits/split-{self.split}/autotagging-{subset}.tsv"
            for track in read_jamendo(self.root, name, self.about, partial=self.partial):
                labels = {ours: ",".join(track.tags[theirs]) for ours, theirs in _KINDS.items() if theirs in track.tags}
                if track.track in years:
                    labels["era"] = f"{years[track.track] // 10 * 10}s"
                everything = ",".join(labels.values())
                labels |= {"label": everything, "song": track.artist, "album": track.album, "subset": subset}
                items.append(Item(track.file, labels=labels))
        return items

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._items)

    def items(self) -> Iterator[Item]:
        """Yield the tracks in the order of the tables. Raises UsageError if something is missing."""
        yield from self._items()
