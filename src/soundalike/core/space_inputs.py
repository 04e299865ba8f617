"""The record of rows that a head takes as its input."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SpaceInput"]


@dataclass(frozen=True, slots=True)
class SpaceInput:
    """Rows that the head of a space takes as its input, in place of a feature.

    Attributes:
        name: The name of the space that has these rows, in the model that they come from.
        feature: The feature that their head projects; "a+b" joins two.
        head: Kind of their head.
        dim: Dimensions of a row.
        tensors: The name under which the weights hold their head.
    """

    name: str
    feature: str
    head: str
    dim: int
    tensors: str
