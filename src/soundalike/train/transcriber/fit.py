"""Train the networks of the transcriber on rendered clips, with targets for every frame.

Runs are exactly repeatable on one machine with one number of threads. An interrupted run continues after its last
complete epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from soundalike.core.errors import UsageError
from soundalike.train.common.checkpoints import (
    Checkpoint,
    Epoch,
    load_checkpoint,
    save_checkpoint,
    seeded,
    shapes_of,
    start_from,
)
from soundalike.train.transcriber.augment import augment
from soundalike.train.transcriber.material import ClipMaterial
from soundalike.train.transcriber.tasks import Task

__all__ = ["FitSettings", "fit"]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to train: AdamW with a one-cycle learning rate (Smith and Topin, "Super-convergence", 2019).

    An epoch has `clips` training clips, or all of them if None. `validation` is the number of validation clips, and
    `bf16` multiplies in bfloat16.
    """

    epochs: int = 6
    clips: int | None = None
    lr: float = 3e-3
    weight_decay: float = 1e-4
    validation: int = 400
    seed: int = 0
    device: str = "cpu"
    bf16: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "clips", "validation"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")


def fit(
    task: Task,
    train: Sequence[ClipMaterial],
    validation: Sequence[ClipMaterial],
    settings: FitSettings,
    *,
    checkpoint: Path | None = None,
    start: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    """Train one network.

    Args:
        task: What the network learns.
        train: Training clips.
        validation: Validation clips.
        settings: How to train.
        checkpoint: A file, from which an interrupted run continues.
        start: The checkpoint of another run; training starts from its best weights.
        progress: Called after every epoch.

    Returns:
        The network with the lowest validation loss, on the CPU in evaluation mode, and the learning curve.

    Raises:
        UsageError: The checkpoint is of another run, the device is unknown, or training diverges.
    """
    with seeded(settings.device, settings.seed) as device:
        network = task.network().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay)
    offered = len(task.order(train, np.random.default_rng(0)))
    steps = max(1, min(settings.clips or offered, offered) // task.batch)
    identity = asdict(settings) | {"device": "", "task": task.name, "train": len(train), "shapes": shapes_of(network)}
    if start:
        identity |= {"start": start_from(start, network)}
    run = Checkpoint((), {})
    if checkpoint and checkpoint.exists():
        run = load_checkpoint(checkpoint, identity, network, optimizer)
    chosen = task.order(validation, np.random.default_rng(settings.seed))[: settings.validation]
    validated = [validation[place] for place in chosen]
    while len(run.curves) < settings.epochs:
        number = len(run.curves) + 1
        loss = _train_epoch(task, network, optimizer, train, settings, number, steps)
        epoch = Epoch(number, loss, *_validate(task, network, validated, settings))
        run = run.after(epoch, network)
        if checkpoint:
            save_checkpoint(checkpoint, run, identity, network, optimizer)
        if progress:
            progress(epoch)
    network.load_state_dict(dict(run.best))
    return network.cpu().eval(), run.curves


def _train_epoch(
    task: Task,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Sequence[ClipMaterial],
    settings: FitSettings,
    number: int,
    steps: int,
) -> float:
    """Run one epoch and return the mean loss. All random draws follow from the seed and the number of the epoch."""
    random = np.random.default_rng([settings.seed, number])
    order = task.order(train, random)
    network.train()
    total = 0.0
    for step in range(steps):
        done = (number - 1) * steps + step
        optimizer.param_groups[0]["lr"] = settings.lr * _one_cycle(done / (settings.epochs * steps))
        batch = [train[place] for place in order[step * task.batch : (step + 1) * task.batch]]
        roots, targets = task.examples(batch)
        roots = augment(roots, random).to(settings.device)
        with torch.autocast(roots.device.type, torch.bfloat16, enabled=settings.bf16):
            outputs = network(roots)
        loss = task.loss(outputs, tuple(target.to(settings.device) for target in targets))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    return total / steps


def _one_cycle(turn: float) -> float:
    """The learning rate at `turn`, 0 to 1, as a share of the maximum: a linear rise over 5 %, then a cosine decay."""
    rise = 0.05
    return turn / rise + 1e-3 if turn < rise else 0.5 * (1 + math.cos(math.pi * (turn - rise) / (1 - rise))) + 1e-4


@torch.inference_mode()
def _validate(
    task: Task, network: nn.Module, clips: Sequence[ClipMaterial], settings: FitSettings
) -> tuple[float, float]:
    """Mean loss and accuracy over batches."""
    network.eval()
    found = []
    for start in range(0, len(clips), task.batch):
        roots, targets = task.examples(clips[start : start + task.batch])
        targets = tuple(target.to(settings.device) for target in targets)
        with torch.autocast(settings.device.partition(":")[0], torch.bfloat16, enabled=settings.bf16):
            outputs = network(roots.to(settings.device))
        found.append((task.loss(outputs, targets).item(), task.accuracy(outputs, targets).item()))
    loss, accuracy = np.mean(found, axis=0)
    return float(loss), float(accuracy)
