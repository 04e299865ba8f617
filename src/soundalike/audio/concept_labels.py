"""Concepts that music can share: labels of tracks, and when two tracks are alike in a concept.

Tags are alike if they share a label, tempi within 5 BPM of each other or of a tempo octave, and keys if they are the
same or parallel. What is not labelled is unknown, never different.

Reference: Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation Learning for
Multi-Dimensional Modeling of Music Similarity, 2021, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from soundalike.audio.keys import parse_key
from soundalike.audio.tags import Tags
from soundalike.core.errors import UsageError
from soundalike.core.text import fold

__all__ = [
    "CONCEPTS",
    "TAG_CONCEPTS",
    "TEMPO_MARGIN",
    "Alikeness",
    "Concept",
    "TrackLabels",
    "alike",
    "alike_matrix",
    "labels_of_tags",
    "read_labels",
]

Concept: TypeAlias = Literal["genre", "mood", "instrument", "era", "tempo", "key"]
Alikeness: TypeAlias = npt.NDArray[np.int8]
"""1 where two tracks are alike, 0 where they are not, and -1 where it is unknown."""

CONCEPTS: tuple[Concept, ...] = ("genre", "mood", "instrument", "era", "tempo", "key")
"""All concepts, in the order of the paper. Its networks with four dimensions have the first four."""
TAG_CONCEPTS: tuple[Concept, ...] = ("genre", "mood", "instrument", "era")
"""The concepts that tags describe, of which a track can have several."""
TEMPO_MARGIN = 5.0
"""BPM between two tempi that are alike."""
_OCTAVES = 6  # from 20 to 400 BPM there are fewer
_TEMPI = (20.0, 400.0)


@dataclass(frozen=True, slots=True)
class TrackLabels:
    """What is known of a track. Nothing is known of what is empty or None.

    Attributes:
        genre: Genres.
        mood: Moods.
        instrument: Instruments that play.
        era: Decades, such as "1990s".
        tempo: Beats per minute, 20 to 400.
        key: Such as "F# minor", with sharps.

    Raises:
        UsageError: The tempo is out of range, or the key is not written like this.

    Example:
        >>> TrackLabels(genre=("Jazz", "Funk"), era=("1970s",), tempo=104.0, key="A minor").known("mood")
        False
    """

    genre: tuple[str, ...] = ()
    mood: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    era: tuple[str, ...] = ()
    tempo: float | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.tempo is not None and not _TEMPI[0] <= self.tempo <= _TEMPI[1]:
            raise UsageError(f"the tempo is {self.tempo:g}; expected {_TEMPI[0]:g} to {_TEMPI[1]:g} BPM")
        if self.key is not None and parse_key(self.key) != self.key:
            raise UsageError(f"the key is {self.key!r}; expected one with sharps, such as 'F# minor'")

    def of(self, concept: Concept) -> tuple[str, ...] | float | str | None:
        """Return the labels of one concept. Raises UsageError if it is unknown."""
        if concept not in self.__slots__:
            raise UsageError(f"unknown concept {concept!r}; known: {', '.join(self.__slots__)}")
        found: tuple[str, ...] | float | str | None = getattr(self, concept)
        return found

    def known(self, concept: Concept) -> bool:
        """Return whether there is a label of a concept."""
        return self.of(concept) not in ((), None)


def read_labels(labels: Mapping[str, str]) -> TrackLabels:
    """Return the labels of a track from texts, as the items of datasets have them.

    Args:
        labels: The text of each concept; other names are left out. Several tags are joined by ",", a tempo is a number,
            and a key is one that `parse_key` reads.

    Raises:
        UsageError: A tempo or key cannot be read, or is out of range.

    Example:
        >>> read_labels({"genre": "rock,pop", "tempo": "120", "key": "Am", "song": "x"})
        TrackLabels(genre=('rock', 'pop'), mood=(), instrument=(), era=(), tempo=120.0, key='A minor')
    """
    tags = {name: tuple(filter(None, map(str.strip, labels.get(name, "").split(",")))) for name in TAG_CONCEPTS}
    tempo, key = labels.get("tempo", "").strip(), labels.get("key", "").strip()
    try:
        bpm = float(tempo) if tempo else None
    except ValueError as error:
        raise UsageError(f"the tempo is {tempo!r}; expected a number of BPM") from error
    if key and parse_key(key) is None:
        raise UsageError(f"the key is {key!r}; expected one such as 'F# minor'")
    return TrackLabels(**tags, tempo=bpm, key=parse_key(key) if key else None)


def labels_of_tags(tags: Tags) -> TrackLabels:
    """Return the labels of a track from the tags of its file. Files have no tags of instruments.

    Example:
        >>> labels_of_tags(Tags(genres=("Jazz",), year=1974)).era
        ('1970s',)
    """
    era = () if tags.year is None else (f"{tags.year // 10 * 10}s",)
    return TrackLabels(genre=tags.genres, mood=tags.moods, era=era, tempo=tags.bpm, key=tags.key)


def alike(concept: Concept, a: TrackLabels, b: TrackLabels) -> bool | None:
    """Return whether two tracks are alike in a concept; None if that of one of them is unknown.

    The order does not matter. Tempi are compared after the faster one was halved as often as needed, so the margin is
    that of the slower tempo. Parallel keys have the same tonic, such as A major and A minor.

    Args:
        concept: The concept.
        a: The labels of one track.
        b: The labels of the other track.

    Raises:
        UsageError: The concept is unknown.

    Example:
        >>> alike("tempo", TrackLabels(tempo=64.0), TrackLabels(tempo=126.0))
        True
    """
    found = int(alike_matrix(concept, (a, b))[0, 1])
    return None if found < 0 else bool(found)


def alike_matrix(concept: Concept, labels: Sequence[TrackLabels]) -> Alikeness:
    """Return which of n tracks are alike in a concept; `alike` has the rules.

    Args:
        concept: The concept.
        labels: The labels of n tracks.

    Returns:
        (n, n) int8, symmetric: 1 where two tracks are alike, 0 where they are not, -1 where one of them is unlabelled.
        On the diagonal, a labelled track is like itself.

    Raises:
        UsageError: The concept is unknown.

    Example:
        >>> alike_matrix("era", [TrackLabels(era=("1990s",)), TrackLabels(era=("1980s",)), TrackLabels()]).tolist()
        [[1, 0, -1], [0, 1, -1], [-1, -1, -1]]
    """
    known = np.array([one.known(concept) for one in labels], np.bool_)
    if concept == "tempo":
        related = _near_tempi(np.array([one.tempo or math.nan for one in labels]))
    elif concept == "key":
        tonics = np.array([(one.key or "").partition(" ")[0] for one in labels], np.str_)
        related = tonics[:, None] == tonics
    else:
        tags = [_folded(getattr(one, concept)) for one in labels]
        columns: Mapping[str, int] = {tag: k for k, tag in enumerate(sorted(set().union(*tags)))}
        table = np.zeros((len(labels), len(columns)), np.float32)
        for row, own in zip(table, tags, strict=True):
            row[[columns[tag] for tag in own]] = 1.0
        related = table @ table.T > 0
    return np.where(known[:, None] & known, related, -1).astype(np.int8)


def _near_tempi(tempi: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    slow, fast = np.minimum(tempi[:, None], tempi), np.maximum(tempi[:, None], tempi)
    gaps = [np.abs(slow - fast / 2**octave) for octave in range(_OCTAVES)]
    return np.asarray(np.min(gaps, axis=0) <= TEMPO_MARGIN)


@lru_cache(maxsize=1 << 16)
def _folded(tags: tuple[str, ...]) -> frozenset[str]:
    """Tags that are equal but for case are one."""
    return frozenset(fold(tag.strip()) for tag in tags)
