"""A Milvus Lite server in a process of its own, to be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LIMITED = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); " \
    "os.execv(sys.argv[2], sys.argv[2:])"  # fmt: skip


class MilvusLite:
    """A server at a port of this machine, with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("milvus_lite", reason="soundalike[milvus] is not installed")
        self.folder, self.log = folder, folder.with_suffix(".log")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, name: str) -> str:
        return f"milvus://127.0.0.1:{self.port}/{name}"

    def start(self, largest_file: int | None = None) -> None:
        """Start it, and wait until it answers. With `largest_file`, writing more bytes to a file fails."""
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self.folder)]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        if largest_file is not None:
            command = [sys.executable, "-c", LIMITED, str(largest_file), *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        deadline = time.monotonic() + 200
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, as a power cut of the process: nothing is flushed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[MilvusLite]:
    """A server that runs, and is killed at the end."""
    server = MilvusLite(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
