"""Tasks on a real Ray cluster: the same results, and none lost with a process or a node."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from library_contents import contents
from ray_nodes import PATIENT, Nodes
from ray_tasks import describe, die, hang_first

from soundalike.core.errors import AudioError
from soundalike.core.executors.base import run_tasks
from soundalike.core.executors.ray import ray_cluster
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import IndexReport, index_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.MonkeyPatch.context() as patch, Nodes() as cluster:
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        cluster.add()
        cluster.add()
        yield cluster


@pytest.fixture
def connected(nodes: Nodes) -> Iterator[Nodes]:
    with ray_cluster(nodes.address):
        yield nodes


def test_results_are_those_of_local_processes(connected: Nodes, tmp_path: Path) -> None:
    found = dict(run_tasks(partial(describe, tmp_path), range(12)))
    assert isinstance(error := found.pop(5), AudioError) and str(error) == "five"
    assert found == {task: (task, "1", [(-task, task)]) for task in range(12) if task != 5}
    assert Counter(path.name.split("-")[0] for path in tmp_path.iterdir()) == {str(task): 1 for task in range(12)}


def test_a_killed_worker_costs_no_task(connected: Nodes, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(task: int, seconds: float) -> None:
        for started in [] if killed else tmp_path.glob("2-*"):
            killed.append(int(started.name.split("-")[1]))
            os.kill(killed[0], signal.SIGKILL)

    done = Counter(run_tasks(partial(hang_first, tmp_path, 2), range(4), heartbeat=kill))
    assert done == {(task, task): 1 for task in range(4)}
    assert len(killed) == 1
    assert Counter(path.name.split("-")[0] for path in tmp_path.iterdir()) == {"0": 1, "1": 1, "2": 2, "3": 1}


def test_a_task_that_kills_every_worker_fails_alone(connected: Nodes, tmp_path: Path) -> None:
    found = dict(run_tasks(partial(die, tmp_path), range(4)))
    assert isinstance(error := found.pop(1), AudioError)
    assert str(error).startswith("the process that decoded it died 4 times (")
    assert found == {0: 0, 2: 2, 3: 3}


def test_a_lost_node_costs_no_task(connected: Nodes, tmp_path: Path) -> None:
    lost: list[str] = []

    def cut(task: int, seconds: float) -> None:
        for started in [] if lost else tmp_path.glob("2-*"):
            lost.append(started.name.split("-")[2])
            connected.remove(lost[0])

    done = Counter(run_tasks(partial(hang_first, tmp_path, 2), range(6), heartbeat=cut))
    assert done == {(task, task): 1 for task in range(6)}
    runs = sorted((path.stat().st_mtime_ns, path.name.split("-")) for path in tmp_path.iterdir())
    again = [name[2] for _, name in runs if name[0] == "2"]
    assert len(again) == 2 and again[0] == lost[0] and lost[0] not in again[1:]
    connected.add()


def test_a_library_is_the_same_when_a_node_is_lost(nodes: Nodes, music: Path, tmp_path: Path) -> None:
    def index(name: str, **options: Any) -> IndexReport:
        with LibraryFolder.create(tmp_path / name) as library:
            return index_files(library, [music], model="dsp", **options)

    index("local")
    lost = [nodes.add()]

    def lose(done: int, total: int, seconds: float) -> None:
        if done == 2:
            nodes.remove(lost.pop())

    with ray_cluster(nodes.address):
        report = index("ray", progress=lose)
    assert (report.added, report.failed, lost) == (12, [], [])
    assert len(found := contents(tmp_path / "ray")) == 12
    assert found == contents(tmp_path / "local")
