"""Workers that several threads start at the same time leave the environment as it was."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from soundalike.core.executors import processes


class FakeContext:
    """Stands in for a multiprocessing context. It counts the starts that happen at the same time."""

    def __init__(self) -> None:
        self.starting = self.most_at_once = 0
        self.threads_of_workers: list[str | None] = []

    def Pipe(self) -> tuple[threading.Event, FakeContext]:
        return threading.Event(), self

    def Process(self, **_: object) -> FakeContext:
        return self

    def start(self) -> None:
        self.starting += 1
        self.most_at_once = max(self.most_at_once, self.starting)
        self.threads_of_workers.append(os.environ.get("OMP_NUM_THREADS"))
        assert not hasattr(sys.modules["__main__"], "__file__"), "a worker would run the caller's script"
        time.sleep(0.002)
        self.starting -= 1

    def close(self) -> None:
        pass


def test_threads_start_workers_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    context, main = FakeContext(), sys.modules["__main__"]
    monkeypatch.setattr(processes.multiprocessing, "get_context", lambda _: context)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: processes._Worker(len), range(40)))
    assert context.most_at_once == 1
    assert context.threads_of_workers == ["1"] * 40
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["MKL_NUM_THREADS"] == "3"
    assert sys.modules["__main__"] is main
