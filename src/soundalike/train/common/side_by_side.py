"""Train several networks at the same time, one process with one thread each.

A small network gains little from a second thread: on two cores, two networks side by side need three quarters of the
time that they need one after another with two threads.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import torch

from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.executors import processes
from soundalike.core.executors.cores import usable_cores
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.network_files import Trained

__all__ = ["NetworkTask", "train_side_by_side"]

_Progress: TypeAlias = "Callable[[Epoch], None]"
_WAIT: Final = 0.2
"""Seconds between two looks for a network that another process trains."""


@dataclass(frozen=True, slots=True)
class NetworkTask:
    """A network to train.

    Attributes:
        name: Its name.
        train: Trains it, or finds it. It is called with a function that is called after every epoch, and can be
            pickled.
        needs: Files of networks that must be there first.
    """

    name: str
    train: Callable[[_Progress], Trained]
    needs: tuple[Path, ...] = ()


def train_side_by_side(tasks: Sequence[NetworkTask], jobs: int | None = None) -> Iterator[tuple[str, Trained, float]]:
    """Train networks, as many at the same time as there are processes.

    Every network is trained on one thread, so that its weights do not depend on the number of processes.

    Args:
        tasks: The networks. Those that others need come before them.
        jobs: The number of processes; None is one per core, and 1 trains in this process.

    Yields:
        The name of a network, what was trained, and the seconds that it took, as soon as it is there.

    Raises:
        SoundalikeError: Training a network failed. The others are stopped, and continue in the next run.
        UsageError: A process died.

    Example:
        >>> tasks = [NetworkTask(name, partial(train, name)) for name in ("drums", "bass")]
        >>> sorted(name for name, trained, seconds in train_side_by_side(tasks))
        ['bass', 'drums']
    """
    jobs = min(jobs or usable_cores(), len(tasks))
    if jobs <= 1:
        yield from map(_train_on_one_thread, tasks)
        return
    # Networks are files of this machine, so that no other executor is asked.
    for task, outcome in processes.run_tasks(_train_when_ready, tasks, jobs):
        if isinstance(outcome, AudioError):
            raise UsageError(
                f"the process that trained {task.name} died or ran out of memory; run the command again to continue, "
                "with fewer --jobs"
            )
        if isinstance(outcome, SoundalikeError):
            raise outcome
        yield outcome


def _train_when_ready(task: NetworkTask) -> tuple[str, Trained, float]:
    """Train a network in a worker, as soon as those that it needs are there.

    Workers take tasks in their order, so that what a task needs is trained already, or by another worker. If that one
    fails, the parent stops all of them.
    """
    while not all(path.exists() for path in task.needs):
        _leave_without_parent()
        time.sleep(_WAIT)
    return _train_on_one_thread(task)


def _train_on_one_thread(task: NetworkTask) -> tuple[str, Trained, float]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    began = time.monotonic()
    try:
        trained = task.train(_leave_without_parent)
    finally:
        torch.set_num_threads(threads)
    return task.name, trained, time.monotonic() - began


def _leave_without_parent(_: Epoch | None = None) -> None:
    """Leave a worker whose parent was killed, or it would train beside the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise SystemExit(1)
