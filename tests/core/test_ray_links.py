"""A Ray cluster whose nodes are in network namespaces of their own, and a link to one of them that is cut.

A cut link is silent: no process dies, and no connection is closed. Only `KEEPALIVE` lets Ray notice it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from ray_nodes import PATIENT
from ray_tasks import hang_first

from soundalike.core.executors.base import run_tasks
from soundalike.core.executors.ray import KEEPALIVE, ray_cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("ip") is None or not hasattr(os, "geteuid") or os.geteuid() != 0,
        reason="network namespaces need root and iproute2",
    ),
]

BRIDGE, NODES = "sabr0", ("sanode1", "sanode2")
HEAD, PORT = "10.93.7.1", 6397
STORE = 80 * 2**20


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


def address_of(number: int) -> str:
    return f"10.93.7.{10 + number}"


@pytest.fixture
def network() -> Iterator[None]:
    """A bridge with the address of the head, and a namespace with a link to it for each node."""
    with ExitStack() as undo:
        try:
            ip("link", "add", BRIDGE, "type", "bridge")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces need root and iproute2: {error.stderr.decode().strip()}")
        undo.callback(ip, "link", "del", BRIDGE)
        ip("addr", "add", f"{HEAD}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(NODES):
            ip("netns", "add", name)
            undo.callback(ip, "netns", "del", name)
            ip("link", "add", f"{name}l", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}l", "master", BRIDGE, "up")
            for command in ("link set lo up", f"addr add {address_of(number)}/24 dev eth0", "link set eth0 up"):
                ip("netns", "exec", name, "ip", *command.split())
        yield


@pytest.fixture
def cluster(network: None, tmp_path: Path) -> Iterator[str]:
    """A head without cores, and one node of one core in each namespace."""
    pytest.importorskip("ray", reason="ray is not installed")
    paths = os.pathsep.join(filter(None, sys.path))  # workers import what is beside the tests
    environment = {**os.environ, **PATIENT, **KEEPALIVE, "PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"}
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--object-store-memory={STORE}"]
    started = [[*ray, "--head", f"--node-ip-address={HEAD}", f"--port={PORT}", "--num-cpus=0",
                "--include-dashboard=false"]]  # fmt: skip
    for number, name in enumerate(NODES):
        started.append(["ip", "netns", "exec", name, *ray, f"--address={HEAD}:{PORT}", "--num-cpus=1",
                        f"--node-ip-address={address_of(number)}"])  # fmt: skip
    processes = []
    try:
        for number, command in enumerate(started):  # one after another: they share a folder for sockets
            log = tmp_path / f"node-{number}.log"
            with log.open("wb") as file:
                processes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file))
            deadline = time.monotonic() + 90
            while "Ray runtime started" not in log.read_text():
                assert time.monotonic() < deadline and processes[-1].poll() is None, log.read_text()[-2000:]
                time.sleep(0.2)
        yield f"{HEAD}:{PORT}"
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def test_a_cut_link_costs_no_task(cluster: str, tmp_path: Path) -> None:
    import ray

    traces = tmp_path / "traces"
    traces.mkdir()
    cut: list[str] = []
    since: list[float] = []

    def cut_link(task: int, seconds: float) -> None:
        for started in [] if cut else traces.glob("2-*"):
            cut.append(started.name.split("-")[2])
            where = next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == cut[0])
            ip("link", "set", f"{NODES[int(where.rpartition('.')[2]) - 10]}l", "down")
            since.append(time.monotonic())

    with ray_cluster(cluster):
        deadline = time.monotonic() + 90
        while ray.cluster_resources().get("CPU", 0) < len(NODES):
            assert time.monotonic() < deadline, "the nodes have not joined"
            time.sleep(0.5)
        done = Counter(run_tasks(partial(hang_first, traces, 2), range(8), heartbeat=cut_link))
        took = time.monotonic() - since[0]
    assert done == {(task, task): 1 for task in range(8)}
    runs = sorted((path.stat().st_mtime_ns, path.name.split("-")) for path in traces.iterdir())
    again = [name[2] for _, name in runs if name[0] == "2"]
    assert len(again) == 2 and again[0] == cut[0] != again[1]
    assert took < 50, "Ray waited for the task, which hangs for 60 s"
