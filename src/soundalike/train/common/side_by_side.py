"""Train several networks at the same time, one process with one thread each.

A small network gains little from a second thread: on two cores, two networks side by side need three quarters of the
time that they need one after another with two threads.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final, TypeAlias

import torch

from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.executors import processes
from soundalike.core.executors.cores import usable_cores
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.network_files import Trained

__all__ = ["NetworkTask", "one_thread", "train_side_by_side"]

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
    train: Callable[[_Progress], Trained] = field(repr=False)  # it holds all songs
    needs: tuple[Path, ...] = field(default=(), repr=False)


def train_side_by_side(
    tasks: Sequence[NetworkTask],
    jobs: int | None = None,
    progress: Callable[[str, Epoch], None] = lambda name, epoch: None,
) -> Iterator[tuple[str, Trained, float]]:
    """Train networks, as many at the same time as there are processes.

    Every network is trained on one thread, so that its weights do not depend on the number of processes.

    Args:
        tasks: The networks. Those that others need come before them.
        jobs: The number of processes, and at most one per core; None is one per core, and 1 trains in this process.
        progress: Called with the name of a network and its epoch: after every epoch in this process, and otherwise
            with all epochs of a network that was trained when it is there.

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
    jobs = min(jobs or usable_cores(), usable_cores(), len(tasks))
    if jobs <= 1:
        for task in tasks:
            began = time.monotonic()
            with one_thread():
                trained = task.train(lambda epoch, name=task.name: progress(name, epoch))  # type: ignore[misc]
            yield task.name, trained, time.monotonic() - began
        return
    # Networks are files of this machine, so that no other executor is asked.
    for task, outcome in processes.run_tasks(_train_in_worker, tasks, jobs):
        if isinstance(outcome, AudioError):
            raise UsageError(
                f"the process that trained {task.name} died or ran out of memory; run the command again to continue, "
                "with fewer --jobs"
            )
        if isinstance(outcome, SoundalikeError):
            raise outcome
        name, trained, _ = outcome
        for epoch in () if trained.found else trained.curve:
            progress(name, epoch)
        yield outcome


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread inside the block.

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_in_worker(task: NetworkTask) -> tuple[str, Trained, float]:
    """Train a network, as soon as those that it needs are there.

    Workers take tasks in their order, so that what a task needs is trained already, or by another worker. If that one
    fails, the parent stops all of them.
    """
    _end_with_parent()
    while not all(path.exists() for path in task.needs):
        time.sleep(_WAIT)
    began = time.monotonic()
    try:
        with one_thread():
            trained = task.train(lambda epoch: None)
    except RuntimeError as error:
        if "allocate memory" in str(error):  # what torch raises on a CPU
            raise MemoryError from error
        raise
    return task.name, trained, time.monotonic() - began


@lru_cache(maxsize=1)
def _end_with_parent() -> None:
    """End this process when its parent is killed, or it would train beside the next run."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
