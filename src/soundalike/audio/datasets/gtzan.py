"""Dataset `gtzan`: excerpts of 30 s in ten genres.

The dataset has no official split, and Sturm found repeated, mislabelled and distorted excerpts in it. If the folder
holds the lists of the fault-filtered split (Kereliuk, Sturm and Larsen), only the excerpts of these lists are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, first_of, problem_of
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["GENRES", "Gtzan", "create"]

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
_LISTS = {"train": "train_filtered.txt", "validation": "valid_filtered.txt", "test": "test_filtered.txt"}
_SUFFIXES = (".wav", ".au", ".flac", ".mp3")
_FOLDERS = ("genres", "genres_original")


def create(root: Path) -> Gtzan:
    """Return the dataset.

    Args:
        root: The folder that holds the folders of the genres, or the one above. The lists of the fault-filtered split,
            `train_filtered.txt`, `valid_filtered.txt` and `test_filtered.txt`, may lie in either.

    Raises:
        UsageError: `root` is not a folder.

    Example:
        >>> next(create(Path("gtzan")).items()).labels
        {'label': 'blues', 'genre': 'blues', 'song': 'blues.00000'}
    """
    return Gtzan(existing_folder(root, Gtzan.about))


class Gtzan:
    """The excerpts, labelled by their folder. The artists are not part of the dataset: "song" is the excerpt."""

    about: ClassVar[About] = About(
        title="GTZAN",
        citation="Tzanetakis and Cook, Musical genre classification of audio signals, IEEE TSAP 10(5), 2002; faults: "
        "Sturm, The GTZAN dataset: its contents, its faults, their effects on evaluation, and its future use, 2013",
        licence="not stated; excerpts of 30 s, for research",
        home="http://marsyas.info/downloads/datasets.html",
        layout="genres/<genre>/<genre>.000NN.wav with the genres " + ", ".join(GENRES),
    )

    def __init__(self, root: Path) -> None:
        self.root = root
        self._music = next((root / name for name in _FOLDERS if (root / name).is_dir()), root)

    def _items(self) -> list[Item]:
        files: dict[str, Path] = {}
        empty = []
        for genre in GENRES:
            folder = self._music / genre
            found = sorted(file for file in folder.glob(f"{genre}.*") if file.suffix.lower() in _SUFFIXES)
            files |= {file.stem: file for file in found}
            if not found:
                empty.append(genre)
        if empty:
            lacks = f"lacks recordings of {len(empty)} of {len(GENRES)} genres: {first_of(empty)}"
            raise UsageError(f"{self._music} {lacks}; expected {self.about.layout}")
        subsets = self._subsets()
        if lost := [name for name in subsets if name not in files]:
            raise UsageError(f"{self._music} lacks {len(lost):,} recordings of the lists: {first_of(lost, most=2)}")
        items = []
        for name, file in sorted(files.items()):
            labels = {"label": file.parent.name, "genre": file.parent.name, "song": name}
            if not subsets:
                items.append(Item(file, labels=labels))
            elif name in subsets:
                items.append(Item(file, labels=labels | {"subset": subsets[name]}))
        return items

    def _subsets(self) -> dict[str, str]:
        """The subset of every excerpt of the fault-filtered split; empty without its lists."""
        found: dict[str, str] = {}
        absent = []
        for subset, name in _LISTS.items():
            path = next((place / name for place in (self.root, self._music) if (place / name).is_file()), None)
            if path is None:
                absent.append(name)
                continue
            for line in path.read_text(encoding="utf-8", errors="replace").split():
                found[Path(line).stem] = subset
        if found and absent:
            raise UsageError(f"{self.root} holds a list of the fault-filtered split, but lacks {', '.join(absent)}")
        return found

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._items)

    def items(self) -> Iterator[Item]:
        """Yield the excerpts, sorted by name. Raises UsageError if something is missing."""
        yield from self._items()
