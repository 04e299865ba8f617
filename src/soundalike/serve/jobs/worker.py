"""The process of one job: python -m soundalike.serve.jobs.worker

Standard input has one line, a `Task` as JSON, and then stays open for as long as the job is wanted. When it closes,
because the job is cancelled or the server is gone, the job is interrupted as by Ctrl-C. If that takes too long, the
process and those that it started are killed.

Standard output gets JSON lines, each an object with one key: `progress` any number of times, then `result` or `error`.
"""

from __future__ import annotations

# What takes long to import is imported in `main`, so that a job can be cancelled meanwhile.
import _thread
import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from soundalike.core.errors import SoundalikeError
from soundalike.serve.jobs.groups import GRACE, kill_group

if TYPE_CHECKING:
    from soundalike.serve.jobs.records import JobProgress

__all__ = ["main"]

_EVERY = 0.1
"""Seconds between reports of progress."""
_BLOCK = 65536
_LOWER_PRIORITY = 5
"""How far the server and other programs go before a job."""


def main() -> int:
    """Do the job that standard input describes; see the module."""
    channel = _Channel()
    if hasattr(os, "nice"):
        os.nice(_LOWER_PRIORITY)
    # A server that a shell started in the background ignores Ctrl-C, and its processes would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        given = _read_line()
        threading.Thread(target=_watch, daemon=True).start()
        line = b'{"result": ' + _do(given, channel) + b"}"
    except KeyboardInterrupt:
        return 130
    except SoundalikeError as error:
        line = json.dumps({"error": str(error)}).encode()
    except MemoryError:
        line = b'{"error": "there is not enough memory for the job; close other programs and start it again"}'
    except Exception as error:
        traceback.print_exc()
        sentence = f"the job failed unexpectedly ({type(error).__name__}); the server's log has the details"
        line = json.dumps({"error": sentence}).encode()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel.send(line)
    return 0


def _do(given: bytes, channel: _Channel) -> bytes:
    """Do a task, given as JSON; return the record of its result as JSON."""
    from soundalike.serve.answers import json_bytes
    from soundalike.serve.jobs.requests import Task
    from soundalike.serve.jobs.work import do_task

    return json_bytes(do_task(Task.model_validate(json.loads(given)), channel.report))


class _Channel:
    """Standard output, kept apart from what libraries may print, which goes to standard error.

    No process that the job starts inherits it, so that it closes when this process ends.
    """

    def __init__(self) -> None:
        self._file = os.dup(1)
        os.dup2(2, 1)
        self._sent, self._message = 0.0, ""

    def report(self, progress: JobProgress) -> None:
        """Send the progress, unless the last report is very recent and says nearly the same."""
        from soundalike.serve.jobs.records import to_json

        now = time.monotonic()
        if progress.message == self._message and progress.done != progress.total and now - self._sent < _EVERY:
            return
        self._sent, self._message = now, progress.message
        self.send(b'{"progress": ' + to_json(progress) + b"}")

    def send(self, line: bytes) -> None:
        """Send one line."""
        rest = memoryview(line + b"\n")
        with suppress(OSError):  # without the server nobody reads it, and `_watch` ends the job
            while rest:
                rest = rest[os.write(self._file, rest) :]


def _read_line() -> bytes:
    """The first line of standard input. Not through `sys.stdin`, whose lock the thread that waits would hold."""
    line = bytearray()
    while not line.endswith(b"\n") and (block := os.read(0, _BLOCK)):  # nothing comes after the line
        line += block
    return bytes(line)


def _watch() -> None:
    """Wait until standard input closes, then end this process."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # interrupts what it waits for, too
    else:
        _thread.interrupt_main()
    time.sleep(GRACE)
    kill_group(os.getpid())


if __name__ == "__main__":
    sys.exit(main())
