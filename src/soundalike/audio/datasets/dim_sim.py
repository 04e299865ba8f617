"""Dataset `dim_sim`: which of two recordings listeners find more similar to a third one.

The judgements are in a CSV file, the recordings are tracks of the Million Song Dataset, which the user supplies.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from soundalike.audio.datasets.base import About, existing_folder, first_of, problem_of
from soundalike.audio.suffixes import AUDIO_SUFFIXES
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["DimSim", "JudgedTriplet", "create"]

_TABLES = ("clean-dim-sim.csv", "dim-sim.csv")
_ROLES = ("anchor", "song1", "song2")
_COLUMNS = (*(f"{role}_{field}" for role in _ROLES for field in ("id", "start_seconds")), "song1_vote")
_OTHER = "song2_vote"


@dataclass(frozen=True, slots=True)
class JudgedTriplet:
    """What listeners said about three recordings.

    Attributes:
        anchor: The recording that the others were compared with.
        positive: The one that more listeners found similar to it.
        negative: The other one.
        starts: Where the excerpts of 3 s begin that the listeners heard, in seconds: anchor, positive, negative.
        votes: Listeners; 1 if the table only states the majority.
        agreement: The share of them that chose the positive, above 0.5, up to 1.
    """

    anchor: Path
    positive: Path
    negative: Path
    starts: tuple[float, float, float]
    votes: float
    agreement: float


def create(root: Path, table: Path | None = None) -> DimSim:
    """Return the dataset.

    Args:
        root: The folder with the recordings, `<id>.mp3`, in any folders below it.
        table: The judgements; None is clean-dim-sim.csv or dim-sim.csv in `root`. A triplet may stand on several lines;
            their votes are added. song1_vote is the number of listeners who chose song 1 where there is a column
            song2_vote, and otherwise 1 or 0, or the share of listeners.

    Raises:
        UsageError: `root` is not a folder.

    Example:
        >>> triplets = create(Path("dim-sim")).triplets(agreement=0.9)
        >>> triplets[0].agreement
        1.0
    """
    return DimSim(existing_folder(root, DimSim.about), table)


class DimSim:
    """The recordings of the judged triplets. "label" and "song" are the identifier of the recording."""

    about: ClassVar[About] = About(
        title="Dim-sim",
        citation="Lee, Bryan, Salamon, Jin and Nam, Disentangled multidimensional metric learning for music "
        "similarity, ICASSP 2020",
        licence="see the dataset's page; recordings: not part of the dataset",
        home="https://zenodo.org/records/3889149",
        layout="clean-dim-sim.csv with the columns " + ", ".join(_COLUMNS) + ", and recordings <id>.mp3",
    )

    def __init__(self, root: Path, table: Path | None = None) -> None:
        self.root, self.table = root, table

    def triplets(self, agreement: float = 0.0) -> tuple[JudgedTriplet, ...]:
        """Return the triplets on which at least this share of the listeners agreed; ties are left out.

        Args:
            agreement: The share, 0 to 1. The refined split of the papers has 0.9.

        Raises:
            UsageError: The table is missing or invalid, recordings are missing, or no triplet is left.
        """
        found = [one for one in self._triplets() if one.agreement > 0.5 and one.agreement >= agreement]
        if not found:
            raise UsageError(f"no triplet of {self._path()} has an agreement of {agreement:g} or more")
        return tuple(found)

    def _path(self) -> Path:
        if self.table is not None:
            return self.table
        place = next((self.root / name for name in _TABLES if (self.root / name).is_file()), None)
        if place is None:
            raise UsageError(f"{self.root} holds no {_TABLES[0]}; expected {self.about.layout}")
        return place

    def _triplets(self) -> list[JudgedTriplet]:
        """All triplets, in the order of their first line."""
        path = self._path()
        votes: dict[tuple[tuple[str, float], ...], list[float]] = {}
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                absent = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
                if absent:
                    raise UsageError(
                        f"{path} has no column {absent[0]}; expected {', '.join(_COLUMNS)} in its first line"
                    )
                for row in reader:
                    key, (first, second) = self._parse(path, reader.line_num, row)
                    counted = votes.setdefault(key, [0.0, 0.0])
                    counted[0] += first
                    counted[1] += second
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}; expected {self.about.layout}") from error
        except (csv.Error, UnicodeError) as error:
            raise UsageError(f"{path} is not a UTF-8 CSV file: {error}") from error
        if not votes:
            raise UsageError(f"{path} names no triplets")
        files = self._files({name for key in votes for name, _ in key}, path)
        return [_judged(key, first, second, files) for key, (first, second) in votes.items()]

    def _parse(
        self, path: Path, line: int, row: Mapping[str, str | None]
    ) -> tuple[tuple[tuple[str, float], ...], tuple[float, float]]:
        """The three recordings with their starts, and the votes for song 1 and song 2."""
        try:
            key = tuple(
                (str(row[f"{role}_id"] or "").strip(), float(row[f"{role}_start_seconds"] or 0)) for role in _ROLES
            )
            first = float(row["song1_vote"] or "")
            second = float(row[_OTHER] or "") if _OTHER in row else 1 - first
        except ValueError as error:
            raise UsageError(
                f"{path}, line {line}: {error}; expected numbers in {', '.join(_COLUMNS[1::2])}"
            ) from error
        if not all(name for name, _ in key) or min(first, second) < 0:
            raise UsageError(
                f"{path}, line {line}: an id is empty or a vote is out of range; expected three ids, and votes of "
                f"0 to 1, or the numbers of listeners in song1_vote and {_OTHER}"
            )
        return key, (first, second)

    def _files(self, wanted: set[str], path: Path) -> dict[str, Path]:
        files = {
            file.stem: file
            for file in sorted(self.root.rglob("*"), reverse=True)
            if file.stem in wanted and file.suffix.lower() in AUDIO_SUFFIXES and file.is_file()
        }
        if lost := sorted(wanted - files.keys()):
            raise UsageError(
                f"{self.root} lacks {len(lost):,} of {len(wanted):,} recordings of {path.name}: "
                f"{first_of(lost, most=2)}; expected {lost[0]}.mp3 in it or below it"
            )
        return files

    def missing(self) -> str | None:
        """Return in one line what is missing."""
        return problem_of(self._triplets)

    def items(self) -> Iterator[Item]:
        """Yield the recordings in the order of the table. Raises UsageError if something is missing."""
        triplets = self._triplets()
        for file in dict.fromkeys(file for one in triplets for file in (one.anchor, one.positive, one.negative)):
            yield Item(file, labels={"label": file.stem, "song": file.stem})


def _judged(
    key: tuple[tuple[str, float], ...], first: float, second: float, files: Mapping[str, Path]
) -> JudgedTriplet:
    anchor, one, other = key
    if second > first:
        one, other = other, one
    total = first + second
    return JudgedTriplet(
        files[anchor[0]],
        files[one[0]],
        files[other[0]],
        (anchor[1], one[1], other[1]),
        total,
        max(first, second) / total if total else 0.0,
    )
