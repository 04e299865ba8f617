"""Dataset `covers80`: 80 songs, each in two versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from soundalike.audio.datasets.base import About, existing_folder, first_of, problem_of
from soundalike.audio.suffixes import AUDIO_SUFFIXES, is_system_file
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["Covers80", "create"]

_LISTS = ("list1.list", "list2.list")
_SUFFIXES = (".mp3", ".wav", ".flac", ".ogg", ".m4a")

Pairs = Literal["lists", "folders"]


def create(root: Path, pairs: Pairs = "lists") -> Covers80:
    """Return the dataset.

    Args:
        root: The folder `covers32k`, or `coversongs`, or the one that holds it.
        pairs: "lists" takes the pairs of the files list1.list and list2.list, line by line. "folders" takes all files
            of every folder with two or more of them, and the first two by name are the pair, as in MERIT.

    Raises:
        UsageError: `root` is not a folder.

    Example:
        >>> len(list(create(Path("coversongs")).items()))
        160
    """
    return Covers80(existing_folder(root, Covers80.about), pairs)


class Covers80:
    """The versions. The label is the song; "version" is "1" or "2", or "" for further files of a folder."""

    about: ClassVar[About] = About(
        title="Covers80",
        citation="Ellis and Cotton, The 2007 LabROSA cover song detection system, MIREX 2007",
        licence="not stated; 32 kbit/s MP3, for research",
        home="https://labrosa.ee.columbia.edu/projects/coversongs/covers80/",
        layout="coversongs/covers32k/<song>/<file>.mp3, list1.list and list2.list",
    )

    def __init__(self, root: Path, pairs: Pairs = "lists") -> None:
        inner = [root / "coversongs" / "covers32k", root / "covers32k", root]
        self.root = next(place for place in inner if place.is_dir())
        self.pairs = pairs

    def _lists(self) -> list[tuple[str, str]]:
        """The pairs of names without suffix."""
        names = []
        for name in _LISTS:
            path = next((place for place in (self.root / name, self.root.parent / name) if place.is_file()), None)
            if path is None:
                raise UsageError(f"{self.root} holds no {name}; expected {self.about.layout}")
            names.append([line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()])
        first, second = ([line for line in lines if line] for lines in names)
        if not first or len(first) != len(second):
            raise UsageError(
                f"{self.root}: the lists hold {len(first)} and {len(second)} names; expected as many in both"
            )
        return list(zip(first, second, strict=True))

    def _items(self) -> list[Item]:
        if self.pairs == "folders":
            return self._folder_items()
        items, lost = [], []
        for pair in self._lists():
            for version, name in enumerate(pair, start=1):
                file = _audio_file(self.root / name)
                if file is None:
                    lost.append(name)
                else:
                    labels = {"label": pair[0].partition("/")[0], "song": file.stem, "version": str(version)}
                    items.append(Item(file, labels=labels))
        if lost:
            raise UsageError(f"{self.root} lacks {len(lost):,} recordings of the lists: {first_of(lost, most=2)}")
        return items

    def _folder_items(self) -> list[Item]:
        items = []
        for folder in sorted(place for place in self.root.iterdir() if place.is_dir()):
            files = [file for file in sorted(folder.iterdir()) if _is_audio(file)]
            for number, file in enumerate(files if len(files) > 1 else [], start=1):
                labels = {"label": folder.name, "song": file.stem, "version": str(number) if number < 3 else ""}
                items.append(Item(file, labels=labels))
        if not items:
            raise UsageError(f"{self.root} holds no folder with two recordings; expected {self.about.layout}")
        return items

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._items)

    def items(self) -> Iterator[Item]:
        """Yield the versions, pair by pair. Raises UsageError if something is missing."""
        yield from self._items()


def _is_audio(file: Path) -> bool:
    return file.suffix.lower() in AUDIO_SUFFIXES and not is_system_file(file.name) and file.is_file()


def _audio_file(stem: Path) -> Path | None:
    """The recording with a name without its suffix, which itself may contain dots."""
    candidates = [stem.with_name(stem.name + suffix) for suffix in _SUFFIXES]
    return next((file for file in candidates if file.is_file()), None)
