"""What a catalogue says about the models that a library holds."""

from __future__ import annotations

from dataclasses import dataclass

from soundalike.core.types import Level

__all__ = ["HeldModel", "HeldSpace"]


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model whose spaces a library holds: the digest of the recipe, and where to load the model from."""

    digest: str
    source: str


@dataclass(frozen=True, slots=True)
class HeldSpace:
    """A space of a model at a level: the dims of its rows, and the end of the committed ones."""

    model: str
    name: str
    level: Level
    dim: int
    committed: int

    @property
    def full_name(self) -> str:
        """The name under which a store holds it."""
        return f"{self.model}/{self.name}"
