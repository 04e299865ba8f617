"""A pool of worker processes. A worker that crashes fails only the task it was running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import FrameType, ModuleType
from typing import Any, TypeVar

from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.core.executors.cores import usable_cores
from soundalike.core.executors.outcomes import attempt, result_of

__all__ = ["THREAD_SETTINGS", "run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_STARTING = threading.Lock()
_HEARTBEAT = 1.0
"""Seconds to wait for a task before `heartbeat` is called."""
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that bound the threads of numeric libraries. Workers set them to 1."""


def _most_workers() -> int:
    """Return how many workers this platform can wait for: Windows waits for at most 63 objects at once."""
    return 61 if sys.platform == "win32" else 1024


class _Worker:
    """A worker process and the parent's end of its pipe. The worker exits when the pipe closes, after its last task."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # Spawn, not fork: a forked process would inherit locks held by other threads, and open pipe ends.
        context = multiprocessing.get_context("spawn")
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(worker_end, function), daemon=True)
        # Starting a worker changes the environment and `sys.modules` for a moment, so only one may start at a time.
        with _STARTING, _worker_environment(), _without_main_module():
            self.process.start()
        worker_end.close()
        self.task: Any = None
        self.since = 0.0  # when it got its task, on the monotonic clock


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide `__main__` while a worker starts, or the worker would run the caller's script again.

    A script that calls `library.index(...)` at its top level would otherwise start workers that start workers. Tasks
    are functions of this package, so workers do not need the script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Set the environment that a starting worker inherits.

    Numeric libraries use one thread, because the workers are the parallelism. Ctrl-C is blocked, because a worker that
    received it before it ignores the signal would print a traceback.
    """
    before = {name: os.environ.get(name) for name in THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    try:
        with _without_interrupt():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Defer Ctrl-C until the worker has started. The worker inherits the mask and never receives the signal.

    A signal mask applies to one thread only. If a library has started other threads, they may still receive the signal,
    so a temporary handler records it.
    """
    received: list[tuple[int, FrameType | None]] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *found: received.append(found)) if in_main_thread else None
    previous_mask: set[int | signal.Signals] | None = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # otherwise the first worker starts it, which lifts the mask
        previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if previous_mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
        if in_main_thread:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
            if received and callable(handler):
                handler(*received[0])


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """Run tasks from the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent handles it
    with suppress(EOFError, OSError):
        while True:
            task = pipe.recv()
            pipe.send(attempt(function, task))


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int | None = None,
    heartbeat: Callable[[Task, float], None] | None = None,
) -> Generator[tuple[Task, Result | SoundalikeError], None, None]:
    """Run a function on many tasks in worker processes; see `soundalike.core.executors.base.run_tasks`.

    If a worker dies, the result of its task is an AudioError, and a new worker takes the next task. There are never
    more workers than tasks.
    """
    jobs = min(jobs or usable_cores(), _most_workers())
    waiting = iter(tasks)
    workers: list[_Worker] = []
    try:
        exhausted = False
        while True:
            while not exhausted and len(workers) < jobs:
                task = next(waiting, waiting)
                if task is waiting:
                    exhausted = True
                    break
                worker = _Worker(function)
                workers.append(worker)
                _give(worker, task)
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy], _HEARTBEAT)
            if not ready and heartbeat is not None:
                oldest = min(busy, key=lambda worker: worker.since)
                heartbeat(oldest.task, time.monotonic() - oldest.since)
            for worker in [each for each in busy if each.pipe in ready]:
                done = worker.task
                try:
                    outcome = worker.pipe.recv()
                except (EOFError, OSError):  # which OSError depends on the platform
                    worker.process.join()
                    workers.remove(worker)
                    yield done, AudioError(_crash_message(worker.process.exitcode))
                    continue
                result = result_of(outcome, done)
                worker.task = None
                task = waiting if exhausted else next(waiting, waiting)
                if task is waiting:
                    exhausted = True
                else:
                    _give(worker, task)
                yield done, result
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def _give(worker: _Worker, task: Any) -> None:
    """Send a task to a worker."""
    worker.task, worker.since = task, time.monotonic()
    # If the worker has died meanwhile, the next read from its pipe fails and reports it.
    with suppress(OSError):
        worker.pipe.send(task)


def _crash_message(exitcode: int | None) -> str:
    """Return the error message for a worker that died."""
    how = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"exit code {exitcode}"
    return f"the process that decoded it died ({how}); the file is probably invalid, or memory ran out"
