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
        hidden: Hidden units per concept.
        components: Principal components of the input that the networks see, at most.
        steps: Batches per concept.
        batch: Tracks per batch, half of them anchors and half positives.
        margin: Margin of the triplet loss, a cosine distance.
        rate: The highest learning rate.
        decay: Weight decay.
        dropout: Share of the components that are left out at random in training.
        folds: Parts of the library, each of which is held out once to measure the accuracy.
        fewest: Labelled tracks that a concept needs.
        passages: Passages per track that are read, at most.
        seed: Seed of all random draws, at least 0.

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> LibrarySettings(folds=3).dim
        64
    """

    dim: int = 64
    hidden: int = 64
    components: int = 256
    steps: int = 300
    batch: int = 128
    margin: float = 0.3
    rate: float = 2e-3
    decay: float = 1e-2
    dropout: float = 0.2
    folds: int = 5
    fewest: int = 20
    passages: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "hidden", "components", "steps", "passages"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name, least in (("batch", 4), ("folds", 2), ("fewest", 4), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least {least}")


LIBRARY = LibrarySettings()
"""The settings of `soundalike train concepts --library`."""
