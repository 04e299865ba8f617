"""Functions that the tests of executors run in worker processes, which import them from this file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from soundalike.core.errors import AudioError
from soundalike.core.executors.base import run_tasks


def describe(folder: Path, task: int) -> tuple[int, str | None, list[Any]]:
    """Return what a task sees; for task 5, raise an error that is reported."""
    (folder / f"{task}-{time.time_ns()}").touch()
    if task == 5:
        raise AudioError("five")
    return task, os.environ.get("OPENBLAS_NUM_THREADS"), list(run_tasks(abs, [-task]))


def hang_first(folder: Path, hanging: int, task: int) -> int:
    """Leave a trace of where the task runs. The first time, the hanging task waits until it is killed."""
    import ray

    first = not list(folder.glob(f"{task}-*"))
    if task != hanging:
        time.sleep(0.2)
    (folder / f"{task}-{os.getpid()}-{ray.get_runtime_context().get_node_id()}").touch()
    if first and task == hanging:
        time.sleep(60)
    return task


def die(_: Path, task: int) -> int:
    """Kill the process that runs task 1."""
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task
