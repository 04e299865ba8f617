"""Settings for learning concepts from a library."""

from __future__ import annotations

from dataclasses import dataclass

from soundalike.core.errors import UsageError

__all__ = ["LIBRARY", "LibrarySettings"]


@dataclass(frozen=True, slots=True)
class LibrarySettings:
    """How projections learn the concepts of a library from its tags.

    Attributes:
        dim: Dims of a concept.
        components: Principal components of the input that a projection sees, at most and at least.
        tracks_per_component: Labelled tracks that a component needs. Fewer would let a projection fit wrong labels.
        floor: Variance that is added within alike tracks, see `discriminants.py`.
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
    components: tuple[int, int] = (256, 16)
    tracks_per_component: int = 4
    floor: float = 3.0
    folds: int = 5
    fewest: int = 20
    worst: float = 0.55
    passages: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("dim", 1), ("tracks_per_component", 1), ("passages", 1), ("folds", 2), ("fewest", 4), ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least {least}")
        if not self.components[0] >= self.components[1] >= 1:
            raise UsageError(f"components are {self.components}; expected the most, then the fewest, at least 1")


LIBRARY = LibrarySettings()
"""The settings of `soundalike train concepts --library`."""
