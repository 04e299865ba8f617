"""Dataset `musdb18hq`: the separate stems of the songs of MUSDB18-HQ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, first_of
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["STEM_CLASSES", "Musdb18Hq", "create"]

STEM_CLASSES = ("bass", "drums", "other", "vocals")
_SUBSETS = ("test", "train")


def create(root: Path) -> Musdb18Hq:
    """Return the dataset in the folder that holds `train` and `test`, or only one of them.

    Raises UsageError if `root` is not a folder.

    Example:
        >>> next(create(Path("musdb18hq")).items()).labels
        {'label': 'bass', 'song': 'AM Contra - Heart Peripheral', 'subset': 'test'}
    """
    return Musdb18Hq(existing_folder(root, Musdb18Hq.about))


class Musdb18Hq:
    """Four stems per song. The mixture is left out: it has no class."""

    about: ClassVar[About] = About(
        title="MUSDB18-HQ",
        citation="Rafii, Liutkus, Stöter, Mimilakis and Bittner, MUSDB18-HQ, an uncompressed version of MUSDB18, 2019, "
        "doi:10.5281/zenodo.3338373",
        licence="for education and research, per song: CC BY-NC-SA 3.0 or 4.0, or as stated",
        home="https://zenodo.org/records/3338373",
        layout="{train,test}/<artist - title>/{vocals,drums,bass,other}.wav",
    )

    def __init__(self, root: Path) -> None:
        self.root = root

    def _songs(self) -> list[Path]:
        return [song for name in _SUBSETS for song in sorted((self.root / name).glob("*")) if song.is_dir()]

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        songs = self._songs()
        if not songs:
            return f"{self.root} holds no songs; expected {self.about.layout}"
        lacking = [
            f"{song.parent.name}/{song.name}/{stem}.wav"
            for song in songs
            for stem in STEM_CLASSES
            if not (song / f"{stem}.wav").is_file()
        ]
        if not lacking:
            return None
        return f"{self.root} lacks {first_of(lacking, most=2)}; expected {self.about.layout}"

    def items(self) -> Iterator[Item]:
        """Yield the stems, sorted by path. Raises UsageError if something is missing."""
        if problem := self.missing():
            raise UsageError(problem)
        for song in self._songs():
            for stem in STEM_CLASSES:
                labels = {"label": stem, "song": song.name, "subset": song.parent.name}
                yield Item(song / f"{stem}.wav", labels=labels)
