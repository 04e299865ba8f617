"""Dataset `inst_sim_abx`: judgements of listeners on segments of Slakh2100.

The labels are two kinds of files, as their authors publish them:

- csvs/inst_sim_abx_answers.csv, one response per line, with the columns reference, sample_a, sample_b, answer_timbre,
  answer_rhythm, answer_melody and answer_total. An answer is A+, A-, B+, B- or NA, which is text and no missing value.
  The two files *_XAB.csv and *_XYC.csv repeat it and are not read.
- sample_configs/dict_triplet_*.json, which say from where in Slakh2100 every segment is: 219,136 samples, 4.97 s.

Responses about `samples/dummy...` are attention checks and are dropped. Two experiments, ex202404 and ex202407, have
the same triplets; their votes are pooled. Mixes occur only in the second one, with about half as many votes.

Strictly more than 75 % of the votes for one sample gives 115, 112, 106 and 105 triplets XAB and 214, 194, 215 and 213
XYC for drums, bass, piano and guitar, as published, and 127 and 205 for mixes, 332 together. At least 75 % gives other
numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from soundalike.audio.datasets.base import About, existing_folder, first_of
from soundalike.audio.datasets.listening import Ballot, count_votes, read_answers
from soundalike.core.errors import UsageError
from soundalike.core.files import read_json
from soundalike.core.types import Item

__all__ = ["InstSimAbx", "Segment", "create"]

_ANSWERS = "csvs/inst_sim_abx_answers.csv"
_CONFIGS = ("sample_configs", "sample_dicts")
_NAME = re.compile(r"[A-Z]_(\d+)-\d+\.wav")


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a clip is from: a track of Slakh2100, and the start and end in seconds."""

    track: str
    start: float
    end: float


def create(root: Path) -> InstSimAbx:
    """Return the dataset in the folder of the published repository.

    Raises UsageError if `root` is not a folder.

    Example:
        >>> dataset = create(Path("Inst-Sim-ABX-Dataset"))
        >>> len([ballot for ballot in dataset.ballots() if ballot.instrument == "mix"])
        480
    """
    return InstSimAbx(existing_folder(root, InstSimAbx.about))


class InstSimAbx:
    """Ballots, the segments that they are about, and as items the clips that lie beside the labels."""

    about: ClassVar[About] = About(
        title="Inst-Sim-ABX",
        citation="Hashizume and Toda, Investigation of perceptual music similarity focusing on each instrumental part, "
        "2025, arXiv:2502.02138",
        licence="no licence; for research, if the paper is cited",
        home="https://github.com/zume06/Inst-Sim-ABX-Dataset",
        layout=f"{_ANSWERS}, sample_configs/dict_triplet_*.json, and for clips set<N>/<M>/<instrument>/<file>.wav",
    )

    def __init__(self, root: Path) -> None:
        self.root = root

    def _configs(self) -> list[Path]:
        return [file for name in _CONFIGS for file in sorted((self.root / name).glob("dict_triplet_*.json"))]

    def _label_problem(self) -> str | None:
        """What the labels lack."""
        if not (self.root / _ANSWERS).is_file():
            return f"{self.root} holds no {_ANSWERS}; expected {self.about.layout}"
        if not self._configs():
            return f"{self.root} holds no sample_configs/dict_triplet_*.json; expected {self.about.layout}"
        return None

    def missing(self) -> str | None:
        """Return in one line what labels or clips are missing."""
        if problem := self._label_problem():
            return problem
        lost = [name for name in self._clips() if not (self.root / name).is_file()]
        if not lost:
            return None
        return f"{self.root} lacks {len(lost):,} clips: {first_of(lost, most=2)}; expected {self.about.layout}"

    def _clips(self) -> list[str]:
        return sorted({name for ballot in self.ballots() for name in (ballot.reference, *ballot.samples)})

    @cached_property
    def _ballots(self) -> tuple[Ballot, ...]:
        if problem := self._label_problem():
            raise UsageError(problem)
        return count_votes(read_answers([self.root / _ANSWERS]))

    def ballots(self) -> tuple[Ballot, ...]:
        """Return the pooled votes of all triplets. Raises UsageError if labels are missing or invalid."""
        return self._ballots

    def segments(self) -> dict[str, Segment]:
        """Return where every clip is from, by its path in the labels.

        Raises UsageError if the configurations are missing or invalid, or two of them disagree.
        """
        if problem := self._label_problem():
            raise UsageError(problem)
        found: dict[str, Segment] = {}
        for file in self._configs():
            try:
                for name, segment in _segments(read_json(file)):
                    if found.setdefault(name, segment) != segment:
                        raise ValueError(f"{name} is another segment than in the files before")
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UsageError(
                    f"{file}: not as published ({error}); expected set, sample, test, instrument, role"
                ) from error
        return found

    @staticmethod
    def song_of(name: str) -> str:
        """Return the track of Slakh2100 that a clip is from, by its path in the labels.

        Example:
            >>> dataset.song_of("set2/1/bass/X_2086-27.wav")
            'Track02086'
        """
        found = _NAME.fullmatch(name.rpartition("/")[2])
        return f"Track{int(found[1]):05d}" if found else name

    def items(self) -> Iterator[Item]:
        """Yield the clips that the labels name. Raises UsageError if something is missing."""
        if problem := self.missing():
            raise UsageError(problem)
        for name in self._clips():
            labels = {"label": name.split("/")[-2], "song": self.song_of(name)}
            yield Item(self.root / name, labels=labels)


def _segments(body: Mapping[str, Any]) -> Iterator[tuple[str, Segment]]:
    for number, samples in body.items():
        for sample, tests in samples.items():
            for instruments in tests.values():
                for instrument, roles in instruments.items():
                    for entry in roles.values():
                        rate = float(entry["sr"])
                        segment = Segment(
                            f"Track{int(entry['ID']):05d}", entry["index_s"] / rate, entry["index_e"] / rate
                        )
                        yield f"set{number}/{sample}/{instrument}/{entry['filename']}", segment
