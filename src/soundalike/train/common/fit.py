"""Train one stage: Adam, a fixed validation set, falling rates, early stop, and exact continuation of a run.

A stage says what is trained, on which batches, with which loss. All random draws of an epoch follow from the seed, the
name of the stage and the number of the epoch. A run that was killed at any moment continues after its last complete
epoch, and on the CPU its weights then equal those of an uninterrupted run bit for bit, with one number of threads.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.train.common.checkpoints import (
    Checkpoint,
    Epoch,
    load_checkpoint,
    save_checkpoint,
    seeded,
    shapes_of,
)

__all__ = ["FitSettings", "Outcome", "RateSteps", "Schedule", "Stage", "fit", "initial_weights"]

Batch = TypeVar("Batch")

_SECONDS_BETWEEN_CHECKPOINTS = 20.0


class FitSettings(Protocol):
    """The settings of a training that `fit` reads."""

    @property
    def seed(self) -> int:
        """Seed of all random draws, at least 0."""

    @property
    def device(self) -> str:
        """A torch device such as "cpu" or "cuda"."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a stage computes for one batch.

    Attributes:
        loss: The mean loss, a scalar; training minimises it.
        accuracy: How much is right, at most 1, a scalar without gradient: the share of triplets whose positive is
            nearer than their negative, or for a separation how much nearer to the clean instrument it is than the mix
            or silence.
    """

    loss: Tensor
    accuracy: Tensor


@dataclass(frozen=True, slots=True)
class RateSteps:
    """When the learning rate falls.

    Attributes:
        factor: What the rate is divided by, above 1.
        patience: After this many epochs without a lower validation loss, since the last one or since the rate fell.
        lowest: The rate does not fall below this.
    """

    factor: float
    patience: int
    lowest: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to train, and at which rate.

    Attributes:
        rate: The initial learning rate of Adam.
        epochs: Epochs at most.
        patience: Stop after this many epochs without a lower validation loss; None trains for all epochs.
        last: Keep the weights of the last epoch instead of those with the lowest validation loss.
        repeats: How often an epoch has the batches of the settings, such as once per instrument.
        rate_steps: When the rate falls; None keeps it.
    """

    rate: float
    epochs: int
    patience: int | None = None
    last: bool = False
    repeats: int = 1
    rate_steps: RateSteps | None = None

    def rate_after(self, curve: Sequence[Epoch]) -> float:
        """Return the learning rate of the epoch that follows a learning curve.

        Example:
            >>> schedule = Schedule(1e-5, 400, rate_steps=RateSteps(factor=5, patience=2, lowest=1e-10))
            >>> schedule.rate_after([Epoch(1, 0.3, 0.3, 0.5), Epoch(2, 0.2, 0.4, 0.5), Epoch(3, 0.1, 0.3, 0.5)])
            2e-06
        """
        steps, rate, best, waited = self.rate_steps, self.rate, math.inf, 0
        for epoch in curve if steps else ():
            waited = 0 if epoch.validation_loss < best else waited + 1
            best = min(best, epoch.validation_loss)
            if steps and waited == steps.patience:
                rate, waited = max(rate / steps.factor, steps.lowest), 0
        return rate


class Stage(ABC, Generic[Batch]):
    """What one run of training learns.

    Attributes:
        name: The name, which is part of the random draws and of the identity of a run.
        module: The network. Parameters that do not require gradients are frozen.
        schedule: How long to train, and at which rate.
    """

    def __init__(self, name: str, module: nn.Module, schedule: Schedule, frozen: Iterable[str] = ()) -> None:
        """Make a stage.

        Args:
            name: The name.
            module: The network.
            schedule: How long to train, and at which rate.
            frozen: Names of the parts of the network that stay as they are, running statistics included.
        """
        self.name = name
        self.module = module
        self.schedule = schedule
        self._frozen = tuple(module.get_submodule(part) for part in frozen)
        for part in self._frozen:
            part.requires_grad_(requires_grad=False)

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def train_mode(self) -> None:
        """Prepare the network for training steps. Frozen parts stay in evaluation mode."""
        self.module.train()
        for part in self._frozen:
            part.eval()

    @abstractmethod
    def batches(self, random: np.random.Generator, steps: int) -> Iterable[Batch]:
        """Draw the batches of one epoch."""

    @abstractmethod
    def validation(self) -> Iterable[Batch]:
        """Return the validation batches, which are the same in every epoch."""

    @abstractmethod
    def measure(self, batch: Batch) -> Outcome:
        """Compute the loss of a batch on the device of the network."""

    @abstractmethod
    def size(self, batch: Batch) -> int:
        """Return how many examples a batch has."""


def initial_weights(settings: FitSettings, name: str) -> int:
    """Return the seed of the initial weights of a stage: other stages, and other seeds, start from others.

    Example:
        >>> with seeded("cpu", initial_weights(settings, "clean.drums")):
        ...     extractor = Extractor(settings.spectrum, settings.network)
    """
    return int(_random(settings, name, 0).integers(2**63))


def _random(settings: FitSettings, name: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, crc32(name.encode()), epoch])


def fit(
    stage: Stage[Any],
    settings: FitSettings,
    *,
    checkpoint: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train a stage. Its network ends on the CPU, in evaluation mode, with the weights that its schedule keeps.

    Args:
        stage: What to train.
        settings: The seed, the device and the steps per epoch.
        checkpoint: A file from which an interrupted run continues.
        identity: What must be equal in a run that continues, besides the name and the shapes; JSON values.
        progress: Called after every epoch.

    Returns:
        The learning curve.

    Raises:
        UsageError: The checkpoint is of another run or unreadable, the device is unknown, or training diverges.

    Example:
        >>> curve = fit(stage, settings, checkpoint=Path("work/clean.drums.run"))
        >>> curve[-1].validation_loss < curve[0].validation_loss
        True
    """
    module = stage.module
    known = {"stage": stage.name, "shapes": shapes_of(module), **(identity or {})}
    with seeded(settings.device, settings.seed) as device:
        module.to(device)
        optimizer = torch.optim.Adam(stage.parameters(), stage.schedule.rate, fused=True)
        run = Checkpoint((), {})
        if checkpoint and checkpoint.exists():
            run = load_checkpoint(checkpoint, known, module, optimizer)
        saved = time.monotonic()
        while not _done(run.curves, stage.schedule):
            number = len(run.curves) + 1
            random = _random(settings, stage.name, number)
            torch.manual_seed(int(random.integers(2**63)))  # dropout
            for group in optimizer.param_groups:
                group["lr"] = stage.schedule.rate_after(run.curves)
            steps = settings.steps_per_epoch * stage.schedule.repeats
            train_loss = _train_epoch(stage, optimizer, random, steps)
            epoch = Epoch(number, train_loss, *_validate(stage))
            run = run.after(epoch, module)
            finished = _done(run.curves, stage.schedule)
            if checkpoint and (finished or time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS):
                save_checkpoint(checkpoint, run, known, module, optimizer)
                saved = time.monotonic()
            if progress:
                progress(epoch)
    module.cpu()
    if not stage.schedule.last:
        module.load_state_dict(dict(run.best))
    module.eval()
    return run.curves


def _done(curves: tuple[Epoch, ...], schedule: Schedule) -> bool:
    if not curves or schedule.patience is None:
        return len(curves) >= schedule.epochs
    best = min(curves, key=lambda epoch: epoch.validation_loss).number
    return len(curves) >= schedule.epochs or len(curves) - best >= schedule.patience


def _train_epoch(stage: Stage[Any], optimizer: torch.optim.Optimizer, random: np.random.Generator, steps: int) -> float:
    """Run one epoch and return the mean loss."""
    stage.train_mode()
    total, count = 0.0, 0
    for batch in stage.batches(random, steps):
        outcome = stage.measure(batch)
        optimizer.zero_grad()
        outcome.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += outcome.loss.item() * stage.size(batch)
        count += stage.size(batch)
    return total / count


@torch.inference_mode()
def _validate(stage: Stage[Any]) -> tuple[float, float]:
    """Return the mean loss and accuracy over the validation examples."""
    stage.module.eval()
    loss, accuracy, count = 0.0, 0.0, 0
    for batch in stage.validation():
        outcome, size = stage.measure(batch), stage.size(batch)
        loss += outcome.loss.item() * size
        accuracy += outcome.accuracy.item() * size
        count += size
    return loss / count, accuracy / count
