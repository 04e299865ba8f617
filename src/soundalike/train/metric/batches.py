"""Batches of sound for the stages of training: triplets, mixes with one stem, and mixes of some of the stems.

n examples or triplets, K instruments, t samples. Training batches follow from a generator. Validation examples follow
from the seed alone, so that stages of one kind and instrument are validated on the same ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from soundalike.audio.activity import BLOCK
from soundalike.core.types import BoolArray, FloatArray
from soundalike.train.metric.segments import Segments
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.triplets import (
    Mixed,
    Triplet,
    fixed_set,
    normal_triplets,
    pseudo_triplets,
    random_mixtures,
    render,
    render_stems,
    source_combinations,
    vary_levels,
)

__all__ = [
    "DrawnTriplets",
    "Kind",
    "SourceBatch",
    "Sources",
    "StemBatch",
    "StemMixes",
    "TripletBatch",
    "Triplets",
    "draw_sources",
]

Kind: TypeAlias = Literal["normal", "pseudo", "fixed"]
"""Triplets of songs; of pseudo-pieces, new in each batch; or of pseudo-pieces that were drawn beforehand."""
Inputs: TypeAlias = Literal["mix", "stem"]
_VALIDATION = 2
"""Distinguishes draws for validation from those for training and for fixed sets."""
_LEVELS = 4
"""Distinguishes draws of the levels of fixed sets."""


@dataclass(frozen=True, slots=True, eq=False)
class TripletBatch:
    """Triplets of segments.

    Attributes:
        inputs: The sound (3, n, t): anchors, positives, negatives.
        targets: The number of each triplet's instrument (n,), int64.
        stems: The clean stems of the targets (3, n, t); None if they are not needed.
    """

    inputs: Tensor
    targets: Tensor
    stems: Tensor | None = None

    def clean(self, device: torch.device) -> Tensor:
        """Return the stems (3 n, t) on a device."""
        if self.stems is None:
            raise ValueError("these triplets have no stems; draw them with clean=True")
        return self.stems.flatten(0, 1).to(device)


@dataclass(frozen=True, slots=True, eq=False)
class StemBatch:
    """Mixes (n, t) and the stem of one instrument in them (n, t)."""

    mixes: Tensor
    stems: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class SourceBatch:
    """Stems (n, K, t) of segments, and which of them are mixed and sound (n, K), bool."""

    stems: Tensor
    present: Tensor

    def mixes(self) -> Tensor:
        """Return the sum of the stems that are present (n, t)."""
        return (self.stems * self.present[:, :, None]).sum(dim=1)


class Triplets(ABC):
    """A source of triplets."""

    @abstractmethod
    def batches(self, random: np.random.Generator, steps: int) -> Iterator[TripletBatch]:
        """Draw the batches of one epoch."""

    @abstractmethod
    def validation(self) -> Iterator[TripletBatch]:
        """Return the validation triplets, the same in each epoch."""


class DrawnTriplets(Triplets):
    """Triplets that are drawn from songs.

    Args:
        train: Segments of the training songs.
        validation: Segments of the validation songs.
        settings: The batch size, the number of validation triplets, and the seed.
        kind: What is drawn.
        target: The number of the instrument; None draws all of them, with the additional triplets of pseudo-pieces.
        inputs: Whether mixes or the clean stems of the targets are the inputs.
        clean: Give the clean stems of the targets too.

    Raises:
        UsageError: There are too few songs.
    """

    def __init__(
        self,
        train: Segments,
        validation: Segments,
        settings: MetricSettings,
        kind: Kind,
        target: int | None,
        *,
        inputs: Inputs = "mix",
        clean: bool = False,
    ) -> None:
        self._train, self._validation = train, validation
        self._kind, self._target = kind, target
        self._inputs, self._clean = inputs, clean
        self._batch, self._validated_batch = settings.batch, _validation_batch(settings)
        self._decibels = settings.vary_levels
        self._fixed = self._fixed_set(train, settings) if kind == "fixed" else []
        random = _validation_random(settings, target)
        self._validated = self._draw(validation, settings.validation, random)

    def batches(self, random: np.random.Generator, steps: int) -> Iterator[TripletBatch]:
        """Draw the batches of one epoch: new ones, or some of the fixed ones in random order."""
        order = _orders(len(self._fixed), random) if self._fixed else iter(())
        for _ in range(steps):
            if self._fixed:
                triplets = [self._fixed[next(order)] for _ in range(self._batch)]
            else:
                triplets = self._draw(self._train, self._batch, random)
            yield self._render(triplets, self._train)

    def validation(self) -> Iterator[TripletBatch]:
        """Return the validation triplets, in longer segments than those for training."""
        for triplets in _chunks(self._validated, self._validated_batch):
            yield self._render(triplets, self._validation)

    def _fixed_set(self, segments: Segments, settings: MetricSettings) -> list[Triplet]:
        drawn = fixed_set(segments, settings.fixed_triplets, settings.seed)
        return self._vary(drawn, np.random.default_rng([settings.seed, _LEVELS]))

    def _draw(self, segments: Segments, count: int, random: np.random.Generator) -> list[Triplet]:
        if self._kind == "normal":
            return self._vary(normal_triplets(segments, self._target, count, random), random)
        additional = self._target is None
        basic = -(-count // 2) if additional else count
        drawn = pseudo_triplets(segments, self._target, basic, random, additional=additional)[:count]
        return self._vary(drawn, random)

    def _vary(self, triplets: Sequence[Triplet], random: np.random.Generator) -> list[Triplet]:
        return [
            Triplet(one.target, *(vary_levels(mixed, self._decibels, random) for mixed in one.roles))
            for one in triplets
        ]

    def _render(self, triplets: Sequence[Triplet], segments: Segments) -> TripletBatch:
        targets = torch.tensor([triplet.target for triplet in triplets])
        if self._inputs == "stem":
            return TripletBatch(torch.from_numpy(_render_targets(triplets, segments)), targets)
        mixtures, stems = (torch.from_numpy(array).transpose(0, 1) for array in render(triplets, segments))
        return TripletBatch(mixtures, targets, stems if self._clean else None)


def _render_targets(triplets: Sequence[Triplet], segments: Segments) -> FloatArray:
    """The stems (3, n, t) of the targets alone."""
    stems = np.empty((3, len(triplets), segments.length), np.float32)
    for number, triplet in enumerate(triplets):
        for role, mixed in enumerate(triplet.roles):
            cut = mixed.cuts[triplet.target]
            stems[role, number] = segments.pieces[cut.piece].cut(triplet.target, cut.start, segments.length)
            if mixed.factors:
                stems[role, number] *= np.float32(mixed.factors[triplet.target])
    return stems


class StemMixes:
    """Segments of songs in which one instrument is audible, with its stem.

    Args:
        train: Segments of the training songs.
        validation: Segments of the validation songs.
        settings: The batch size, the number of validation segments, and the seed.
        target: The number of the instrument.

    Raises:
        UsageError: There are too few songs.
    """

    def __init__(self, train: Segments, validation: Segments, settings: MetricSettings, target: int) -> None:
        self._train, self._validation, self._target = train, validation, target
        self._batch, self._validated_batch = settings.batch, _validation_batch(settings)
        self._decibels = settings.vary_levels
        self._validated = self._draw(validation, settings.validation, _validation_random(settings, target))

    def batches(self, random: np.random.Generator, steps: int) -> Iterator[StemBatch]:
        """Draw the batches of one epoch."""
        for _ in range(steps):
            yield self._render(self._draw(self._train, self._batch, random), self._train)

    def validation(self) -> Iterator[StemBatch]:
        """Return the validation segments, the same in each epoch."""
        for mixtures in _chunks(self._validated, self._validated_batch):
            yield self._render(mixtures, self._validation)

    def _draw(self, segments: Segments, count: int, random: np.random.Generator) -> list[Mixed]:
        drawn = random_mixtures(segments, self._target, count, random)
        return [vary_levels(mixed, self._decibels, random) for mixed in drawn]

    def _render(self, mixtures: Sequence[Mixed], segments: Segments) -> StemBatch:
        both = np.empty((2, len(mixtures), segments.length), np.float32)
        for number, mixed in enumerate(mixtures):
            if mixed.factors:
                stems = render_stems([mixed], segments)[0]
                np.sum(stems, axis=0, out=both[0, number])
                both[1, number] = stems[self._target]
                continue
            cut = mixed.cuts[self._target]
            for part, instrument in zip(both, (None, self._target), strict=True):
                part[number] = segments.pieces[cut.piece].cut(instrument, cut.start, segments.length)
        mixes, stems = torch.from_numpy(both)
        return StemBatch(mixes, stems)


class Sources:
    """Segments of songs with a random combination of their stems, never a silent one.

    Args:
        train: Segments of the training songs.
        validation: Segments of the validation songs.
        settings: The batch size, the number of validation segments, and the seed.

    Raises:
        UsageError: There are too few songs.
    """

    def __init__(self, train: Segments, validation: Segments, settings: MetricSettings) -> None:
        self._train, self._validation = train, validation
        self._batch, self._validated_batch = settings.batch, _validation_batch(settings)
        self._decibels = settings.vary_levels
        random = _validation_random(settings, None)
        self._validated = _draw_sources(validation, settings.validation, random, self._decibels)

    def batches(self, random: np.random.Generator, steps: int) -> Iterator[SourceBatch]:
        """Draw the batches of one epoch."""
        for _ in range(steps):
            yield draw_sources(self._train, self._batch, random, self._decibels)

    def validation(self) -> Iterator[SourceBatch]:
        """Return the validation segments and combinations, the same in each epoch."""
        for drawn in _chunks(self._validated, self._validated_batch):
            yield _render_sources(drawn, self._validation)


def draw_sources(segments: Segments, count: int, random: np.random.Generator, decibels: float = 0.0) -> SourceBatch:
    """Draw segments of songs, each with a random combination of the stems that sound in it, never a silent one.

    Args:
        segments: Where to cut.
        count: n.
        random: Source of all draws.
        decibels: By how much levels vary, see `vary_levels`.

    Raises:
        UsageError: There are too few songs.

    Example:
        >>> draw_sources(segments, 64, np.random.default_rng(0)).present.any(dim=1).all()
        tensor(True)
    """
    return _render_sources(_draw_sources(segments, count, random, decibels), segments)


def _draw_sources(
    segments: Segments, count: int, random: np.random.Generator, decibels: float
) -> list[tuple[Mixed, BoolArray]]:
    """Segments, and which of their instruments (K,) are mixed and sound."""
    combinations = source_combinations(len(segments.instruments))
    drawn = []
    for mixed in random_mixtures(segments, None, count, random):
        sounding = _sounding(mixed, segments)
        present = np.zeros_like(sounding)
        while not present.any():
            present = combinations[random.integers(len(combinations))] & sounding
        drawn.append((vary_levels(mixed, decibels, random), present))
    return drawn


def _render_sources(drawn: Sequence[tuple[Mixed, BoolArray]], segments: Segments) -> SourceBatch:
    stems = render_stems([mixed for mixed, _ in drawn], segments)
    return SourceBatch(torch.from_numpy(stems), torch.from_numpy(np.stack([present for _, present in drawn])))


def _sounding(mixed: Mixed, segments: Segments) -> BoolArray:
    """Which instruments (K,) sound in at least one block of a segment of one song."""
    cut = mixed.cuts[0]
    piece = segments.pieces[cut.piece]
    size = round(BLOCK * piece.rate)
    active = piece.active[:, cut.start // size : -(-(cut.start + segments.length) // size)]
    return np.asarray(active.any(axis=1))


def _validation_random(settings: MetricSettings, target: int | None) -> np.random.Generator:
    return np.random.default_rng([settings.seed, _VALIDATION, 0 if target is None else 1 + target])


def _validation_batch(settings: MetricSettings) -> int:
    """As many of the longer segments as hold the seconds of a training batch, for the memory."""
    return max(1, round(settings.batch * settings.segment / settings.test_segment))


def _chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _orders(count: int, random: np.random.Generator) -> Iterator[int]:
    """0 to count - 1 in random order, over and over."""
    while True:
        yield from random.permutation(count).tolist()
