"""The process of a job, as the server sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

from soundalike.serve.jobs.groups import GRACE, kill_group
from soundalike.serve.jobs.requests import Task

__all__ = ["JobProcess"]


class JobProcess:
    """A process that does one job; `worker.py` describes what is said through its pipes.

    It leads a group of its own, so that Ctrl-C in the terminal of the server does not reach it, and all processes that
    it starts can be killed with it.
    """

    def __init__(self) -> None:
        """Start the process. Raises OSError if that is not possible."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soundalike.serve.jobs.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
        )  # fmt: skip
        self._stdin, self._stdout = cast("Any", self._process.stdin), cast("Any", self._process.stdout)
        self._task_pipe = os.dup(self._stdin.fileno())  # for `send`, because `stop` may close the other meanwhile
        self._lock = threading.Lock()
        self._ended = False

    def send(self, task: Task) -> None:
        """Tell the process what to do, once. This waits until it has read nearly all of it, or has died."""
        # Paths may hold bytes that are not UTF-8, as lone surrogates. This escapes them.
        line = json.dumps(task.model_dump()).encode() + b"\n"
        with suppress(OSError), os.fdopen(self._task_pipe, "wb") as pipe:
            pipe.write(line)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the process says until it has ended."""
        with open(self._stdout.fileno(), "rb", closefd=False) as lines:
            for line in lines:
                with suppress(ValueError):  # a process that is killed may leave half a line
                    yield json.loads(line)

    def stop(self) -> None:
        """Ask the process to stop, and kill it if it does not."""
        with self._lock:
            if self._ended:
                return
            self._stdin.close()
        timer = threading.Timer(GRACE, self._kill)
        timer.daemon = True
        timer.start()

    def _kill(self) -> None:
        with self._lock:
            if not self._ended:  # so its number is still its own
                kill_group(self._process.pid)

    def end(self) -> int:
        """Kill what the process may have left, and return its exit code. To be called after `messages` has ended."""
        with self._lock:
            self._ended = True
            kill_group(self._process.pid)
            code = self._process.wait()
            self._stdin.close()
            self._stdout.close()
        return code
