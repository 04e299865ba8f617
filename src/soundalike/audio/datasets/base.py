"""Plug-in folder: where recordings come from. One file per member; `registry.load("datasets", name)` finds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from soundalike.core.types import Item

__all__ = ["Dataset"]


class Dataset(Protocol):
    """A collection of recordings."""

    def items(self) -> Iterator[Item]:
        """Every recording, always in the same order."""
        ...
