"""Settings for learning concepts from a library. This module does not need torch."""

from __future__ import annotations

from dataclasses import dataclass

from soundalike.core.errors import UsageError

__all__ = ["LIBRARY", "LibrarySettings"]


@dataclass(frozen=True, slots=True)
class LibrarySettings:
    """How a small network learns the concepts of a library from its tags.

    Attributes:
        dim: Dims of a concept.
        components: Principal components of the input that the networks see, at most.
        floor: Variance that is added within alike tracks, see `discriminants.py`.
        steps: Batches per concept.
        batch: Tracks per batch, half of them anchors and half positives.
        margin: Margin of the triplet loss, a cosine distance.
        rate: The learning rate of Adam at the start; it falls linearly to 0.
        dropout: Share of the components that are left out at random in training.
        folds: Parts of the library, each of which is held out once to measure the accuracy.
        fewest: Labelled tracks that a concept needs.
        worst: Held-out accuracy below which a concept is left out; chance is 0.5.
        passages: Passages per track that are read, at most.
        seed: Seed of all random draws, at least 0.

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> LibrarySettings(folds=3).dim
        64
    """

    dim: int = 64
    components: int = 256
    floor: float = 3.0
    steps: int = 100
    batch: int = 128
    margin: float = 0.3
    rate: float = 1e-3
    dropout: float = 0.2
    folds: int = 5
    fewest: int = 20
    worst: float = 0.55
    passages: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "components", "passages"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name, least in (("batch", 4), ("folds", 2), ("fewest", 4), ("steps", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least {least}")


LIBRARY = LibrarySettings()
"""The settings of `soundalike train concepts --library`."""
