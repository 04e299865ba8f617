"""Batches of segments with what their labels say of every pair.

n segments of a batch, K concepts. Training batches follow from a generator. Validation batches follow from the seed
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundalike.core.errors import UsageError
from soundalike.core.types import IntArray
from soundalike.train.concepts.labels import alike_matrix, find_unusable
from soundalike.train.concepts.material import ConceptMaterial
from soundalike.train.concepts.mining import labelled_triplets
from soundalike.train.concepts.settings import ConceptSettings

__all__ = ["ConceptBatch", "ConceptBatches", "SegmentDraw"]

_VALIDATION = 2
"""Distinguishes draws for validation from those for training."""


@dataclass(frozen=True, slots=True, eq=False)
class ConceptBatch:
    """Some segments.

    Attributes:
        inputs: The inputs by name, (n, bins, frames) float32.
        alike: (K, n, n) int8: 1 where two segments are alike in a concept, 0 where they are not, -1 if it is unknown.
    """

    inputs: Mapping[str, Tensor]
    alike: Tensor


class SegmentDraw:
    """Draws segments at random, one per track as long as there are enough tracks.

    Segments of one track are alike in everything, so two of them in one batch would be positives that teach little.

    Args:
        rows: The numbers of the segments (m,).
        tracks: The number of the track of each (m,).

    Example:
        >>> draw = SegmentDraw(material.rows["train"], material.track_of[material.rows["train"]])
        >>> draw(48, np.random.default_rng(0)).shape
        (48,)
    """

    def __init__(self, rows: IntArray, tracks: IntArray) -> None:
        order = np.argsort(tracks, kind="stable")
        self._rows = rows[order]
        _, self._first, self._counts = np.unique(tracks[order], return_index=True, return_counts=True)

    def __call__(self, count: int, random: np.random.Generator) -> IntArray:
        """Return the numbers of at most `count` different segments."""
        tracks = len(self._first)
        if tracks < count:
            return self._rows[random.permutation(len(self._rows))[:count]]
        chosen = random.permutation(tracks)[:count]
        return self._rows[self._first[chosen] + random.integers(self._counts[chosen])]


class ConceptBatches:
    """The batches of a training.

    Args:
        material: The segments, with labels and inputs.
        settings: The batch size, the number of validation segments, the concepts, the inputs, and the seed.

    Raises:
        UsageError: A concept has too few labels, or the inputs have another size.
    """

    def __init__(self, material: ConceptMaterial, settings: ConceptSettings) -> None:
        self._material, self._settings = material, settings
        self._check_inputs()
        train, validation = (material.rows[subset] for subset in ("train", "validation"))
        self._check_labels("training", train)
        self._check_labels("validation", validation)
        self._draw = SegmentDraw(train, material.track_of[train])
        draw = SegmentDraw(validation, material.track_of[validation])
        random = np.random.default_rng([settings.seed, _VALIDATION])
        batches = -(-settings.validation // settings.batch)
        self._validation = [draw(settings.batch, random) for _ in range(batches)]
        found = sum(labelled_triplets(self._alike(rows)).flatten(1).any(dim=1) for rows in self._validation)
        for concept, count in zip(settings.concepts, torch.as_tensor(found), strict=True):
            if not count:
                raise UsageError(
                    f"no triplet of validation segments for {concept} in {batches} batches of {settings.batch}; give "
                    "more labelled tracks, or leave the concept out"
                )

    def batches(self, random: np.random.Generator, steps: int) -> Iterator[ConceptBatch]:
        """Draw the batches of one epoch."""
        for _ in range(steps):
            yield self._load(self._draw(self._settings.batch, random))

    def validation(self) -> Iterator[ConceptBatch]:
        """Return the validation batches, the same in each epoch."""
        for rows in self._validation:
            yield self._load(rows)

    def _load(self, rows: IntArray) -> ConceptBatch:
        inputs = {name: torch.from_numpy(self._material.inputs(name, rows)) for name in self._settings.inputs.names}
        return ConceptBatch(inputs, self._alike(rows))

    def _alike(self, rows: IntArray) -> Tensor:
        labels = [self._material.labels[row] for row in rows]
        return torch.from_numpy(np.stack([alike_matrix(concept, labels) for concept in self._settings.concepts]))

    def _check_inputs(self) -> None:
        inputs = self._settings.inputs
        for name in inputs.names:
            if name not in self._material.arrays:
                raise UsageError(f"the material has no {name}; prepare it with the inputs {', '.join(inputs.names)}")
            found, expected = self._material.arrays[name].shape[1:], (inputs.bins(name), inputs.frames)
            if found != expected:
                raise UsageError(
                    f"the {name} of the material has {found[0]} bins and {found[1]} frames, expected {expected[0]} and "
                    f"{expected[1]}; prepare it with the settings of the training"
                )

    def _check_labels(self, subset: str, rows: IntArray) -> None:
        tracks = [self._material.tracks[number].labels for number in np.unique(self._material.track_of[rows])]
        for concept, reason in find_unusable(self._settings.concepts, tracks).items():
            raise UsageError(f"{concept} cannot be learned from the {subset} tracks: {reason}; or leave it out")
