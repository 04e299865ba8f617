"""Tasks on a real Ray cluster: the same results, and none lost with a process or a node."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library_contents import contents
from ray_nodes import PATIENT, Nodes
from ray_tasks import describe, die, hang_first

from soundalike.cli.main import main
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


def test_vectors_are_those_of_local_processes(
    nodes: Nodes, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(music)
    files = sorted(str(path.relative_to(music)) for path in music.rglob("*.wav"))[:4]
    assert main(["embed", *files, "--model", "dsp", "-o", str(tmp_path / "local.npz")]) == 0
    assert main(["embed", *files, "--model", "dsp", "-o", str(tmp_path / "ray.npz"), "--ray", nodes.address]) == 0
    with np.load(tmp_path / "local.npz") as local, np.load(tmp_path / "ray.npz") as ray:
        assert sorted(set(ray["path"].tolist())) == files
        assert all(np.array_equal(local[name], ray[name]) for name in local)


def test_stems_are_those_of_local_processes(nodes: Nodes, music: Path, tmp_path: Path) -> None:
    songs = []
    for number, file in enumerate(sorted(music.rglob("*.wav"))[:3]):
        (folder := tmp_path / str(number) / "stems").mkdir(parents=True)
        songs.append(shutil.copy(file, folder.parent / f"song{number}.wav"))
        shutil.copy(file, folder / "vocals.wav")
    command = ["separate", *map(str, songs), "--with", "given", "-o"]
    assert main([*command, str(tmp_path / "local")]) == 0
    assert main([*command, str(tmp_path / "ray"), "--ray", nodes.address]) == 0
    stems = {file.relative_to(tmp_path / "local") for file in (tmp_path / "local").rglob("*.flac")}
    assert len(stems) >= 3
    assert all((tmp_path / "local" / stem).read_bytes() == (tmp_path / "ray" / stem).read_bytes() for stem in stems)


def test_a_cluster_may_ask_for_a_token(made: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, client_port = free.getsockname()[1], other.getsockname()[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 2}
    environment = {name: value for name, value in os.environ.items() if name not in PATIENT}
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    start += [f"--ray-client-server-port={client_port}"]
    start += ["--num-cpus=1", "--include-dashboard=false", "--object-store-memory=80000000"]
    index = [sys.executable, "-m", "soundalike", "index", str(made("music/a.wav", seconds=1).parent), "--model", "dsp"]

    def run(name: str, address: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        command = [*index, "--library", str(tmp_path / name), "--ray", address]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(start, env=environment | PATIENT | token, stdout=log) as head,
    ):
        try:
            deadline = time.monotonic() + 90
            while "Ray runtime started" not in (tmp_path / "log").read_text():
                assert time.monotonic() < deadline and head.poll() is None
                time.sleep(0.2)
            refused = run("refused", f"127.0.0.1:{port}", environment)
            accepted = run("accepted", f"127.0.0.1:{port}", environment | token)
            by_client = run("by-client", f"ray://127.0.0.1:{client_port}", environment | token)
        finally:
            head.terminate()
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"--ray 127.0.0.1:{port}: the cluster asks for a token; set RAY_AUTH_MODE=token" in refused.stderr
    for done in (accepted, by_client):
        assert (done.returncode, done.stdout[:14], done.stderr) == (0, "1 file encoded", "")
    assert contents(tmp_path / "by-client") == contents(tmp_path / "accepted")


def test_a_cluster_of_this_machine_leaves_no_token(made: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    clip = str(made("music/a.wav", seconds=1))
    environment = {name: value for name, value in os.environ.items() if name not in PATIENT} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-m", "soundalike", "embed", "-", clip, "--model", "dsp", "--ray", "local"]
    command += ["-o", str(tmp_path / "v.npz")]
    with Path(clip).open("rb") as standard_input:
        done = subprocess.run(
            command, env=environment, stdin=standard_input, capture_output=True, text=True, check=False
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / ".ray").exists()
    with np.load(tmp_path / "v.npz") as vectors:
        assert vectors["path"].tolist() == ["-", clip]
        assert np.array_equal(vectors["rhythm"][0], vectors["rhythm"][1])


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
