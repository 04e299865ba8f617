"""Dataset `ballroom`: excerpts of dance music with the name of the dance.

The 698 excerpts contain 13 recordings twice, four of them as the same file. By default the second of each pair is left
out, because a model would find it without knowing the dance. One pair has two labels, ChaChaCha and Samba; the first
one stays. The list is that of the README of the CPJKU's annotations, after B. Sturm.

In some copies the class Rumba is divided into Rumba-American, Rumba-International and Rumba-Misc. By default these are
one class: they are one dance, and with three there would be ten classes instead of the eight of the publications.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from soundalike.audio.datasets.base import About, existing_folder, first_of
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["CLASSES", "REPLICAS", "Ballroom", "create"]

CLASSES = ("ChaChaCha", "Jive", "Quickstep", "Rumba", "Samba", "Tango", "VienneseWaltz", "Waltz")
REPLICAS = (
    ("Albums-AnaBelen_Veneo-11", "Albums-Chrisanne2-12"),
    ("Albums-Fire-08", "Albums-Fire-09"),
    ("Albums-Latin_Jam2-05", "Albums-Latin_Jam2-13"),
    ("Albums-Secret_Garden-01", "Media-104705"),
    ("Albums-AnaBelen_Veneo-03", "Albums-AnaBelen_Veneo-15"),
    ("Albums-Ballroom_Magic-03", "Albums-Ballroom_Magic-18"),
    ("Albums-Latin_Jam-04", "Albums-Latin_Jam-13"),
    ("Albums-Latin_Jam-08", "Albums-Latin_Jam-14"),
    ("Albums-Latin_Jam-06", "Albums-Latin_Jam-15"),
    ("Albums-Latin_Jam2-02", "Albums-Latin_Jam2-14"),
    ("Albums-Latin_Jam2-07", "Albums-Latin_Jam2-15"),
    ("Albums-Latin_Jam3-02", "Media-103414"),
    ("Media-103402", "Media-103415"),
)
"""Pairs of files with the same recording; the first four pairs are the same file."""

Rumba = Literal["merged", "separate"]


def create(root: Path, rumba: Rumba = "merged", keep_replicas: bool = False) -> Ballroom:
    """Return the dataset.

    Args:
        root: The folder `BallroomData`, or the one that holds it.
        rumba: Whether the folders Rumba-American, -International and -Misc are one class or three, as in MERIT.
        keep_replicas: Whether recordings that occur twice stay, as in MERIT.

    Raises:
        UsageError: `root` is not a folder.

    Example:
        >>> len(list(create(Path("BallroomData")).items()))
        685
    """
    return Ballroom(existing_folder(root, Ballroom.about), rumba, keep_replicas)


class Ballroom:
    """The excerpts, labelled by their folder."""

    about: ClassVar[About] = About(
        title="Ballroom",
        citation="Gouyon, Klapuri, Dixon, Alonso, Tzanetakis, Uhle and Cano, An experimental comparison of audio tempo "
        "induction algorithms, IEEE TASLP 14(5), 2006; replicas: Krebs, Böck and Widmer, ISMIR 2013, and B. Sturm",
        licence="not stated; excerpts of 30 s from BallroomDancers.com, for research",
        home="http://mtg.upf.edu/ismir2004/contest/tempoContest/node5.html",
        layout="BallroomData/<class>/*.wav with the classes " + ", ".join(CLASSES),
    )

    def __init__(self, root: Path, rumba: Rumba = "merged", keep_replicas: bool = False) -> None:
        inner = root / "BallroomData"
        self.root = inner if inner.is_dir() else root
        self._merge, self._keep = rumba == "merged", keep_replicas

    def _files(self) -> dict[str, list[tuple[str, Path]]]:
        """The files of every class with the label of their folder."""
        found: dict[str, list[tuple[str, Path]]] = {name: [] for name in CLASSES}
        for folder in sorted(self.root.iterdir()):
            name = next((one for one in CLASSES if _is_folder_of(one, folder.name)), None)
            if name is not None and folder.is_dir():
                label = name if self._merge else folder.name
                found[name] += [(label, file) for file in sorted(folder.glob("*.wav"))]
        return found

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        empty = [name for name, files in self._files().items() if not files]
        if not empty:
            return None
        lacks = f"lacks recordings of {len(empty)} of {len(CLASSES)} classes: {first_of(empty)}"
        return f"{self.root} {lacks}; expected {self.about.layout}"

    def items(self) -> Iterator[Item]:
        """Yield the recordings, sorted by path. Raises UsageError if something is missing."""
        if problem := self.missing():
            raise UsageError(problem)
        replicas = frozenset() if self._keep else frozenset(second for _, second in REPLICAS)
        recordings = sorted((file, label) for files in self._files().values() for label, file in files)
        for file, label in recordings:
            if file.stem not in replicas:
                yield Item(file, labels={"label": label, "song": file.stem})


def _is_folder_of(name: str, folder: str) -> bool:
    """Whether a folder holds a class: equal but for case, or a part of Rumba."""
    return folder.lower() == name.lower() or (name == "Rumba" and folder.lower().startswith("rumba-"))
