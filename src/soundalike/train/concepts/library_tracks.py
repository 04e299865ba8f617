"""What concepts are learned from in a library: the passages of its tracks, their labels, and the folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from soundalike.core.types import FloatArray, IntArray
from soundalike.train.concepts.labels import Concept, TrackLabels, alike_matrix, find_unusable

__all__ = ["LibraryTracks", "fold_numbers", "lacking_labels"]


@dataclass(frozen=True, eq=False)
class LibraryTracks:
    """t tracks with p audible passages.

    Attributes:
        passages: The features or rows of the passages, (p, D) float32.
        track_of: The number of the track of every passage, (p,), ascending.
        labels: What is known of every track.
        groups: What every track belongs to, such as its artist. Groups are held out as a whole.
    """

    passages: FloatArray
    track_of: IntArray
    labels: tuple[TrackLabels, ...]
    groups: tuple[str, ...]

    @cached_property
    def group_of(self) -> IntArray:
        """The number of the group of every track, (t,)."""
        return np.unique(np.array(self.groups, np.str_), return_inverse=True)[1]

    def known(self, concept: Concept) -> IntArray:
        """The numbers of the tracks that have a label of a concept and an audible passage."""
        audible = np.isin(np.arange(len(self.labels)), self.track_of)
        return np.flatnonzero(audible & np.array([one.known(concept) for one in self.labels], np.bool_))


def fold_numbers(groups: IntArray, folds: int, seed: int) -> IntArray:
    """Divide groups into parts of about the same number of tracks.

    Args:
        groups: The number of the group of every track, (t,).
        folds: The number of parts.
        seed: Seed of the order in which groups of equal size are taken.

    Returns:
        The number of the part of every track, (t,).

    Example:
        >>> sorted(fold_numbers(np.array([0, 0, 1, 2]), 2, seed=0).tolist())
        [0, 0, 1, 1]
    """
    names, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    part_of, filled = np.zeros(len(names), np.int64), np.zeros(folds, np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        part_of[group] = filled.argmin()
        filled[part_of[group]] += sizes[group]
    return np.asarray(part_of[member])


def lacking_labels(concepts: tuple[Concept, ...], tracks: LibraryTracks, fewest: int) -> Mapping[Concept, str]:
    """Return the concepts that cannot be learned from a library, each with what is missing in one line.

    Args:
        concepts: The concepts to look at.
        tracks: The tracks.
        fewest: Labelled tracks that a concept needs.

    Example:
        >>> lacking_labels(("mood",), tracks, 20)
        {'mood': '12 tracks are labelled; 8 more are needed'}
    """
    lacking: dict[Concept, str] = {}
    for concept in concepts:
        known = tracks.known(concept)
        if len(known) < fewest:
            is_or_are = "1 track is" if len(known) == 1 else f"{len(known)} tracks are"
            lacking[concept] = f"{is_or_are} labelled; {fewest - len(known)} more are needed"
            continue
        labels = [tracks.labels[number] for number in known]
        if reason := find_unusable([concept], labels).get(concept):
            lacking[concept] = reason
            continue
        related, groups = alike_matrix(concept, labels), tracks.group_of[known]
        apart = groups[:, None] != groups
        judged = ((related == 1) & apart).any(axis=1) & ((related == 0) & apart).any(axis=1)
        if judged.sum() < fewest:
            lacking[concept] = (
                f"{int(judged.sum())} labelled tracks have others to be compared with outside their own group; "
                f"{fewest - int(judged.sum())} more are needed ({_kinds(concept, labels)})"
            )
    return lacking


def _kinds(concept: Concept, labels: list[TrackLabels]) -> str:
    """The most frequent labels of a concept, for a message."""
    counted: Counter[str] = Counter()
    for one in labels:
        value = one.of(concept)
        counted.update(
            value if isinstance(value, tuple) else [f"{value:g} BPM" if isinstance(value, float) else str(value)]
        )
    return ", ".join(f"{name}: {number}" for name, number in counted.most_common(3))
