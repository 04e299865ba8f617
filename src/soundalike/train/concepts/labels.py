"""The labels of tracks, and when two tracks are alike in a concept.

The rules are those of section 3.3 of the paper: tags are alike if they share a label, tempi within 5 BPM of each other
or of a tempo octave, and keys if they are the same or parallel. What is not labelled is unknown, never different.
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
from soundalike.core.errors import UsageError
from soundalike.core.text import fold

__all__ = [
    "TAG_CONCEPTS",
    "TEMPO_MARGIN",
    "Alikeness",
    "Concept",
    "TrackLabels",
    "alike",
    "alike_matrix",
    "decade_of",
    "find_unusable",
]

Concept: TypeAlias = Literal["genre", "mood", "instrument", "era", "tempo", "key"]
Alikeness: TypeAlias = npt.NDArray[np.int8]
"""1 where two tracks are alike, 0 where they are not, and -1 where it is unknown."""

TAG_CONCEPTS: tuple[Concept, ...] = ("genre", "mood", "instrument", "era")
"""The concepts that tags describe, of which a track can have several."""
TEMPO_MARGIN = 5.0
"""BPM between two tempi that are alike."""
_OCTAVES = 6  # from 20 to 400 BPM there are fewer
_TEMPI = (20.0, 400.0)
_YEARS = (1000, 2999)
_MOST = 2000  # labelled tracks that are compared to see whether a concept can be learned


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


def decade_of(year: int) -> str:
    """Return the decade of a year.

    Raises:
        UsageError: The year is not 1000 to 2999.

    Example:
        >>> decade_of(1994)
        '1990s'
    """
    if not _YEARS[0] <= year <= _YEARS[1]:
        raise UsageError(f"the year is {year}; expected {_YEARS[0]} to {_YEARS[1]}")
    return f"{year // 10 * 10}s"


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


def find_unusable(concepts: Sequence[Concept], labels: Sequence[TrackLabels]) -> dict[Concept, str]:
    """Return the concepts that cannot be learned from some tracks, each with the reason in one line.

    A concept needs two tracks that are alike, and two that are not. Of many tracks, 2,000 labelled ones are compared.

    Args:
        concepts: The concepts to look at.
        labels: The labels of the tracks.

    Example:
        >>> find_unusable(["genre"], [TrackLabels(genre=("Rock",)), TrackLabels(genre=("Rock",))])
        {'genre': 'all 2 labelled tracks are alike (Rock); expected at least two kinds'}
    """
    found: dict[Concept, str] = {}
    for concept in concepts:
        known = [one for one in labels if one.known(concept)]
        if len(known) < 2:
            lacking = "no track is labelled" if not known else "only 1 track is labelled"
            found[concept] = f"{lacking} (of {len(labels):,}); expected at least 4"
            continue
        step = -(-len(known) // _MOST)
        related = alike_matrix(concept, known[::step])
        pairs = related[np.triu_indices(len(related), 1)]
        if pairs.all():
            one = known[0].of(concept)
            example = ", ".join(one) if isinstance(one, tuple) else f"{one:g} BPM" if isinstance(one, float) else one
            found[concept] = f"all {len(known):,} labelled tracks are alike ({example}); expected at least two kinds"
        elif not pairs.any():
            found[concept] = f"no two of {len(known):,} labelled tracks are alike; expected some that share a label"
    return found
