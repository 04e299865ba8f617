"""Run many tasks: in processes of this machine, or on the executor that the caller chose."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol, TypeVar

from soundalike.core.errors import SoundalikeError
from soundalike.core.executors import processes
from soundalike.core.executors.outcomes import attempt, result_of

__all__ = ["Executor", "InThisProcess", "in_this_process", "run_tasks", "use_executor"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Something that runs tasks. The module `processes` is one."""

    def run_tasks(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        jobs: int | None = None,
        heartbeat: Callable[[Task, float], None] | None = None,
    ) -> Generator[tuple[Task, Result | SoundalikeError], None, None]:
        """Run a function on many tasks; see `soundalike.core.executors.base.run_tasks`."""
        ...


class InThisProcess:
    """Run tasks one after another in this process: what a worker does, which starts no workers of its own."""

    def run_tasks(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        jobs: int | None = None,
        heartbeat: Callable[[Task, float], None] | None = None,
    ) -> Generator[tuple[Task, Result | SoundalikeError], None, None]:
        """Run a function on many tasks; see `soundalike.core.executors.base.run_tasks`."""
        for task in tasks:
            yield task, result_of(attempt(function, task), task)


_PROCESSES: Executor = processes
_CHOSEN: ContextVar[Executor | None] = ContextVar("executor", default=None)


@contextmanager
def use_executor(executor: Executor) -> Iterator[None]:
    """Let all `run_tasks` inside the block, in this thread, run on an executor.

    Example:
        >>> with use_executor(InThisProcess()):
        ...     sorted(result for _, result in run_tasks(abs, [-2, -1]))
        [1, 2]
    """
    token = _CHOSEN.set(executor)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


@contextmanager
def in_this_process(condition: bool) -> Iterator[None]:
    """Let all `run_tasks` inside the block run in this process if a condition holds and no executor was chosen.

    Example:
        >>> with in_this_process(len(paths) == 1):  # a worker would take a second to start
        ...     results = dict(run_tasks(content_hash, paths))
    """
    with use_executor(InThisProcess()) if condition and _CHOSEN.get() is None else nullcontext():
        yield


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int | None = None,
    heartbeat: Callable[[Task, float], None] | None = None,
) -> Generator[tuple[Task, Result | SoundalikeError], None, None]:
    """Run a function on many tasks in parallel.

    They run in processes of this machine, unless `use_executor` chose another place. A worker that dies costs at most
    its task, whose result is then an AudioError. When the generator is closed, the workers are killed.

    Args:
        function: An importable function of one task. Its results must be picklable.
        tasks: Picklable tasks. They are read one by one, as workers become free.
        jobs: Maximum number of tasks that run at the same time. The default is one per core.
        heartbeat: Called about once per second while no task is done, with the task that has been running for the
            longest time, and this time in seconds.

    Yields:
        Pairs (task, result) in the order in which tasks finish. If a task raised a SoundalikeError, that error takes
        the place of the result.

    Raises:
        RuntimeError: A worker raised any other exception, which is a defect.
        UsageError: The chosen executor cannot run tasks.

    Example:
        >>> for path, digest in run_tasks(content_hash, paths, jobs=2):
        ...     print(path, digest)
    """
    executor = _CHOSEN.get()
    if executor is None:
        executor = InThisProcess() if multiprocessing.current_process().daemon else _PROCESSES
    return executor.run_tasks(function, tasks, jobs, heartbeat)
