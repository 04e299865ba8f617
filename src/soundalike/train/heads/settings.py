"""How heads are trained: the settings, their published defaults, and what can be chosen. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from soundalike.core.errors import UsageError
from soundalike.train.data.sampling import NEGATIVES, SAMPLINGS, Negatives, Sampling

__all__ = ["LOSSES", "HeadSettings", "Loss"]

Loss: TypeAlias = Literal["circle-merit", "circle-sun", "triplet-margin", "supervised-contrastive"]

LOSSES: tuple[Loss, ...] = ("circle-merit", "circle-sun", "triplet-margin", "supervised-contrastive")


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """How to train. `batch` counts triplets; `patience` is how many epochs without a better validation loss end it.

    With `negatives` "in-batch" a pair's negative is the semi-hard row of another folder in the batch; validation then
    uses all negatives that folders have. `sampling` "triplets" shuffles single triplets as published, at many times the
    cost of "folders". `hidden` and `dropout` are those of a plain head: the joint head has a shape of its own. `bf16`
    multiplies in bfloat16. The defaults are MERIT's. Raises UsageError for a value that cannot be.
    """

    loss: Loss = "circle-merit"
    negatives: Negatives = "neutral"
    sampling: Sampling = "folders"
    hidden: int = 512
    out: int = 128
    dropout: float = 0.0
    lr: float = 1e-3
    lr_end: float = 1e-5
    weight_decay: float = 1e-4
    batch: int = 1024
    epochs: int = 200
    patience: int | None = None
    seed: int = 0
    device: str = "cpu"
    bf16: bool = False

    def __post_init__(self) -> None:
        for name, known in (("loss", LOSSES), ("negatives", NEGATIVES), ("sampling", SAMPLINGS)):
            if getattr(self, name) not in known:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}; known: {', '.join(known)}")
        for name in ("hidden", "out", "batch", "epochs", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")
        for name in ("lr", "lr_end", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; expected a number of at least 0")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; expected 0 to below 1")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; expected at least 0")
