"""The protocol of a dataset, a source of recordings. `core.plugins.load("datasets", name)` creates one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from soundalike.core.types import Item

__all__ = ["Dataset"]


class Dataset(Protocol):
    """A collection of recordings."""

    def items(self) -> Iterator[Item]:
        """Yield every recording, always in the same order."""
        ...
