"""Train the networks of a study, several at the same time, and say how each did."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.side_by_side import NetworkTask, train_side_by_side

__all__ = ["train_networks"]


def train_networks(
    tasks: Iterable[NetworkTask], jobs: int | None, device: str, announce: Callable[[str], None]
) -> dict[str, tuple[Epoch, ...]]:
    """Train networks, and announce how long each took and how its loss fell.

    Args:
        tasks: The networks. Those that others need come before them.
        jobs: Networks at the same time; None is one per core.
        device: The device. A GPU trains one at a time.
        announce: Called with one line per network, as soon as it is there.

    Returns:
        The learning curves by the names of the tasks, in their order.

    Raises:
        SoundalikeError: Training a network failed.
        KeyboardInterrupt: The run was interrupted; the next one continues.

    Example:
        >>> curves = train_networks([NetworkTask("drums", train)], jobs=None, device="cpu", announce=print)
    """
    every = list(tasks)
    curves = {}
    for name, trained, seconds in train_side_by_side(every, jobs if device == "cpu" else 1):
        curves[name] = trained.curve
        took = "found" if trained.found else f"{seconds:.0f} s"
        losses = " ".join(f"{epoch.validation_loss:.3f}" for epoch in trained.curve)
        best = min(trained.curve, key=lambda epoch: epoch.validation_loss)
        announce(f"{name}: {took}; right {100 * best.validation_accuracy:.0f} %; validation loss {losses}")
    return {task.name: curves[task.name] for task in every}
