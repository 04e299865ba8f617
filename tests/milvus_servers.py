"""Milvus servers in processes of their own, to be killed and started again: Milvus Lite, and Milvus itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from soundalike.core.errors import LibraryError
from soundalike.library.stores.milvus_server import MilvusAddress, MilvusServer

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
        self._run(command)

    def _run(self, command: Sequence[str]) -> None:
        """Start a process, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True
            )
        deadline = time.monotonic() + 600  # Milvus itself waits for its former session to end
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def kill(self) -> None:
        """Kill it, as a power cut of the process: nothing is flushed."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class MilvusStandalone(MilvusLite):
    """A server of Milvus itself, of the package milvus, with all its parts in one process.

    Two at a time take ports from each other, so the second one waits until the first is killed.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        pytest.importorskip("milvus", reason="the package milvus is not installed")
        self._options = options
        self._alone: int | None = None  # the file of a lock

    def start(self, largest_file: int | None = None) -> None:
        """Start it, and wait until it answers."""
        assert largest_file is None
        self._alone = os.open(Path(tempfile.gettempdir()) / "soundalike-tests-milvus.lock", os.O_CREAT | os.O_WRONLY)
        fcntl.flock(self._alone, fcntl.LOCK_EX)
        command = [sys.executable, "-c", "import milvus, sys; sys.exit(milvus.main())", "--data", str(self.folder)]
        self._run([*command, "--proxy-port", str(self.port), *self._options])

    def _answers(self) -> bool:
        if not super()._answers():
            return False
        with contextlib.suppress(LibraryError), MilvusServer(MilvusAddress.parse(self.address("any"))) as server:
            return not server.has("nothing")
        return False

    def kill(self) -> None:
        """Kill it."""
        super().kill()
        if self._alone is not None:
            os.close(self._alone)
            self._alone = None


SERVERS = {"lite": MilvusLite, "standalone": MilvusStandalone}


@contextlib.contextmanager
def running(folder: Path, kind: str = "lite", *options: str) -> Iterator[MilvusLite]:
    """A server that runs, and is killed at the end."""
    server = SERVERS[kind](folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
