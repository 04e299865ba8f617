"""Worker processes with limits of time and memory, in which a crash, a hang or a flood costs one input."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fuzzing.checks import Case, Outcome, check

__all__ = ["run_cases"]

_MEGABYTE = 1 << 20
_START = 15.0
"""Seconds that a new process may need to import everything."""


class _Worker:
    """A process that checks one case at a time."""

    def __init__(self, memory: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end, memory), daemon=True)
        self.process.start()
        end.close()
        self.case: Case | None = None
        self.since = 0.0

    def give(self, case: Case) -> None:
        self.case, self.since = case, time.monotonic()
        with suppress(OSError):  # the next read reports that it died
            self.pipe.send(case)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_cases(cases: Iterable[Case], jobs: int, seconds: float, memory: int) -> Iterator[tuple[Case, Outcome]]:
    """Check cases in worker processes; yield each with its outcome.

    Args:
        cases: The cases, which are made one by one.
        jobs: The number of processes.
        seconds: The time limit of one case; a worker that exceeds it is killed, and the outcome is "hang".
        memory: How many bytes a case may need, as resident memory and as address space beyond what the libraries take.
    """
    waiting = iter(cases)
    workers: list[_Worker] = []
    try:
        while True:
            while len(workers) < jobs and (case := next(waiting, None)) is not None:
                workers.append(_Worker(memory))
                workers[-1].give(case)
            if not workers:
                return
            ready = wait([worker.pipe for worker in workers], timeout=0.5)
            for worker in list(workers):
                case = worker.case
                assert case is not None
                outcome: Outcome | None = None
                if worker.pipe in ready:
                    try:
                        outcome = worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join()
                        outcome = Outcome("crash", f"the process died with exit code {worker.process.exitcode}")
                elif time.monotonic() - worker.since > seconds + _START:
                    outcome = Outcome("hang", f"no answer after {seconds:g} s")
                if outcome is None:
                    continue
                following = next(waiting, None)
                if outcome.kind in ("crash", "hang") or following is None:
                    workers.remove(worker)
                    worker.stop()
                    if following is not None:
                        workers.append(_Worker(memory))
                        workers[-1].give(following)
                else:
                    worker.give(following)
                yield case, outcome
    finally:
        for worker in workers:
            worker.stop()


def _serve(pipe: Connection, memory: int) -> None:
    """Check cases from the pipe until it closes. What libraries print is a fault too."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    printed = tempfile.TemporaryFile()  # noqa: SIM115 - for the life of the process
    for descriptor in (1, 2):
        os.dup2(printed.fileno(), descriptor)
    _load_everything()
    _limit_address_space(memory)
    with suppress(EOFError, OSError):
        while True:
            case: Case = pipe.recv()
            pipe.send(_measured(case, memory, printed.fileno()))


def _load_everything() -> None:
    """Import what the checks use, and load the models, so that their memory is not counted."""
    import av  # noqa: F401
    import soundfile  # noqa: F401

    from soundalike.models import load_once

    for name in ("dsp", "compact"):
        for backbone in load_once(name).backbones.values():
            str(backbone.rate)


def _limit_address_space(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        # The networks and their thread pools, loaded with the first recording that is encoded, need room as well.
        resource.setrlimit(resource.RLIMIT_AS, (used + memory + 1024 * _MEGABYTE,) * 2)


def _measured(case: Case, memory: int, printed: int) -> Outcome:
    """Check one case in a folder of its own, and measure the peak of its memory."""
    before = _start_measuring()
    os.ftruncate(printed, 0)
    os.lseek(printed, 0, os.SEEK_SET)
    folder = Path(tempfile.mkdtemp(prefix="soundalike-fuzz-"))
    try:
        outcome = check(case, folder)
    except MemoryError:
        outcome = Outcome("memory", "more than the limit of address space")
    except BaseException:
        outcome = Outcome("traceback", traceback.format_exc())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    peak = _peak() - before
    if outcome.kind in ("read", "warned", "failed"):
        if peak > memory:
            outcome = Outcome("memory", f"{peak / _MEGABYTE:,.0f} MB, and {outcome.message!r}")
        elif sys.platform != "win32" and (size := os.fstat(printed).st_size):
            outcome = Outcome("printed", os.pread(printed, min(size, 1000), 0).decode(errors="replace"))
    return Outcome(outcome.kind, outcome.message, peak)


def _start_measuring() -> int:
    """Reset the peak of resident memory, and return what is resident now. 0 where there is no /proc."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
