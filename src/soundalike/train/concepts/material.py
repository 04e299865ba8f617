"""The segments to train on and to judge with, with their inputs in a cache of mapped arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from soundalike.core.types import AnyArray, FloatArray, IntArray
from soundalike.train.concepts.labels import TrackLabels

__all__ = ["ConceptMaterial", "ConceptTrack"]


@dataclass(frozen=True, slots=True)
class ConceptTrack:
    """A labelled recording.

    Attributes:
        path: Its file.
        labels: What is known of it.
        song: Recordings with the same name belong together, such as those of one artist, and stay in one subset.
        subset: "train", "validation" or "test".
    """

    path: Path
    labels: TrackLabels
    song: str
    subset: str


@dataclass(frozen=True, eq=False)
class ConceptMaterial:
    """n segments of tracks with their labels and inputs.

    Attributes:
        tracks: The tracks.
        track_of: The number of the track of every segment, (n,).
        starts: Where every segment starts in its track, in seconds, (n,).
        rows: The numbers of the segments of every subset: train, validation and test.
        arrays: The inputs by name, (n, bins, frames) float16, mapped from the disk.
        digest: Identifies tracks, labels and inputs.
        failed: Tracks that could not be read, with the reasons.
    """

    tracks: tuple[ConceptTrack, ...]
    track_of: IntArray
    starts: FloatArray
    rows: Mapping[str, IntArray]
    arrays: Mapping[str, AnyArray]
    digest: str
    failed: tuple[tuple[str, str], ...] = ()

    @cached_property
    def labels(self) -> tuple[TrackLabels, ...]:
        """The labels of every segment: those of its track."""
        return tuple(self.tracks[number].labels for number in self.track_of)

    @cached_property
    def songs(self) -> IntArray:
        """The number of the song of every segment, (n,)."""
        numbers = {name: k for k, name in enumerate(sorted({track.song for track in self.tracks}))}
        return np.array([numbers[self.tracks[number].song] for number in self.track_of], np.int64)

    def inputs(self, name: str, rows: Sequence[int] | IntArray) -> FloatArray:
        """Return one input of some segments: (len(rows), bins, frames) float32.

        Example:
            >>> material.inputs("mel", material.rows["train"][:8]).shape
            (8, 128, 259)
        """
        return self.arrays[name][np.asarray(rows, np.int64)].astype(np.float32)
