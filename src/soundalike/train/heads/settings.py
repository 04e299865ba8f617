"""Settings for training heads, with the published defaults. This module does not need torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from soundalike.core.errors import UsageError
from soundalike.train.data.sampling import NEGATIVES, SAMPLINGS, Negatives, Sampling

__all__ = ["LOSSES", "SCALINGS", "HeadSettings", "Loss", "Scaling"]

Loss: TypeAlias = Literal["circle-merit", "circle-sun", "triplet-margin", "supervised-contrastive"]

Scaling: TypeAlias = Literal["standard", "none"]

LOSSES: tuple[Loss, ...] = ("circle-merit", "circle-sun", "triplet-margin", "supervised-contrastive")
SCALINGS: tuple[Scaling, ...] = ("standard", "none")


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """Settings for training a head. The defaults are MERIT's, except `sampling`, `scaling` and `seed`.

    With sampling="merit", scaling="none" and seed=42, a head is trained exactly as MERIT's code does.

    Attributes:
        loss: The loss (`soundalike.train.common.losses`).
        negatives: Which negatives of a folder to train on. With "in-batch" the negative of a pair is the semi-hard row
            of another folder in the batch, and validation uses all negatives of the folders.
        sampling: "folders" draws batches of whole folders. "triplets" shuffles single triplets; an epoch then costs
            many times as much. "merit" does so too, in the very order and batches of MERIT's code with the same seed.
        scaling: "standard" scales features to mean 0 and variance 1 over the training rows, and folds this into the
            head. "none" takes features as they are, as MERIT's code does.
        hidden: Units of the hidden layer, h. Not used by the joint head.
        out: Dims of the space, d.
        dropout: Dropout after the hidden layer, from 0 to below 1. Not used by the joint head.
        lr: Learning rate of the first step.
        lr_end: Learning rate after the last epoch. The rate follows a cosine.
        weight_decay: Weight decay of AdamW.
        batch: Triplets per batch. For a joint head, per factor.
        epochs: The number of epochs at most.
        patience: Stop after this many epochs without a lower validation loss; None trains for all epochs.
        seed: Seed of all random draws, at least 0.
        device: A torch device such as "cpu" or "cuda".
        bf16: Compute the head in bfloat16.

    Raises:
        UsageError: A value is out of range or unknown.

    Example:
        >>> HeadSettings(negatives="both", epochs=50, patience=10).batch
        1024
    """

    loss: Loss = "circle-merit"
    negatives: Negatives = "neutral"
    sampling: Sampling = "folders"
    scaling: Scaling = "standard"
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
        for name, known in (
            ("loss", LOSSES),
            ("negatives", NEGATIVES),
            ("sampling", SAMPLINGS),
            ("scaling", SCALINGS),
        ):
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
