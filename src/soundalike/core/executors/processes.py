"""A pool of worker processes in which one bad file costs one file: a crash is reported against its task."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, TypeVar

from soundalike.core.errors import AudioError, SoundalikeError

__all__ = ["run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _default_jobs() -> int:
    """One process a core that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A process and our end of its pipe. It ends when the pipe does, so it never outlives us by more than a task."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # Spawned, not forked: a forked copy would inherit the threads' locks of whatever runs here, and our pipe ends.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        with _quiet_start():
            self.process.start()
        theirs.close()
        self.task: Any = None


@contextmanager
def _quiet_start() -> Iterator[None]:
    """While a worker starts: numeric libraries are told to use one thread, for the workers are the parallelism, and
    Ctrl-C is held back, for the worker would die of it with a traceback before it can say that it does not care.
    """
    before = {name: os.environ.get(name) for name in _THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
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
    """Ctrl-C comes afterwards: to the worker, who inherits the mask, never; to us, once the worker has all it needs.

    A mask is one thread's own, so where a library has threads the signal finds its way in: it is noted until then.
    """
    noted: list[tuple[int, FrameType | None]] = []
    ours = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *found: noted.append(found)) if ours else None
    held: set[int | signal.Signals] | None = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # the first worker would start it, which lifts the mask
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if held is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
            if noted and callable(handler):
                handler(*noted[0])


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our parent decides what it means
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = pipe.recv()
            outcome: Any
            try:
                outcome = function(task)
            except SoundalikeError as error:
                outcome = error
            except MemoryError:
                outcome = AudioError("not enough memory to hear it; close other programs or use fewer --jobs")
            except Exception as error:
                outcome = _Unexpected(error)
            pipe.send(outcome)


class _Unexpected:
    """A defect, on its way to the parent with the worker's traceback as text."""

    def __init__(self, error: Exception) -> None:
        import traceback

        self.text = "".join(traceback.format_exception(error))


def run_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int | None = None
) -> Generator[tuple[Task, Result | SoundalikeError], None, None]:
    """Yield (task, result) as they are done, in any order; a SoundalikeError in place of the result of one that failed.

    At most `jobs` processes, by default one a core, and never more than there are tasks. `function` must be importable,
    tasks and results picklable. A worker that dies takes its task with it: that task's result is an AudioError, and a
    new worker takes the next one. Any other exception in a worker is a defect and raised here as RuntimeError. When the
    generator is closed, the workers end at once.
    """
    jobs = jobs or _default_jobs()
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
            ready = wait([worker.pipe for worker in busy])
            for worker in [one for one in busy if one.pipe in ready]:
                done = worker.task
                try:
                    outcome = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    worker.process.join()
                    workers.remove(worker)
                    yield done, AudioError(_obituary(worker.process.exitcode))
                    continue
                if isinstance(outcome, _Unexpected):
                    raise RuntimeError(f"a worker failed on {done!r}:\n{outcome.text}")
                worker.task = None
                task = waiting if exhausted else next(waiting, waiting)
                if task is waiting:
                    exhausted = True
                else:
                    _give(worker, task)
                yield done, outcome
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def _give(worker: _Worker, task: Any) -> None:
    worker.task = task
    # If it has died meanwhile, reading from it says so.
    with suppress(BrokenPipeError, ConnectionResetError):
        worker.pipe.send(task)


def _obituary(exitcode: int | None) -> str:
    how = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"exit code {exitcode}"
    return f"the process that decoded it died ({how}); the file is probably damaged, or memory ran out"
