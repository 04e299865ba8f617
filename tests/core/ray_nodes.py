"""A Ray cluster of this machine, in a process of its own: a head without cores, and nodes of one core each.

Run as a program, it prints the address of the head and takes commands on standard input, one per line: `add`, which
prints the id of a new node, and `remove ID`, which kills all processes of a node. The cluster ends with the input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType

PATIENT = {
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_grpc_client_keepalive_timeout_ms": "60000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_AUTH_MODE": "disabled",
}
"""Settings with which Ray starts, and is not taken for dead, on a machine that other work keeps busy. The process that
connects needs them too, before it imports Ray."""
_STORE = 80 * 2**20


class Nodes:
    """The cluster, as tests use it."""

    def __init__(self) -> None:
        paths = os.pathsep.join(filter(None, sys.path))  # workers import what is beside the tests
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, **PATIENT, "PYTHONPATH": paths},
        )  # fmt: skip
        self.address = self._answer()

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def add(self) -> str:
        """Add a node of one core; returns its id."""
        return self._ask("add")

    def remove(self, node_id: str) -> None:
        """Kill all processes of a node."""
        self._ask(f"remove {node_id}")

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("= "):  # Ray prints lines of its own
                return line[2:].strip()
        self._process.communicate()
        raise RuntimeError("the cluster of the tests ended")


def _main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False}
    )
    nodes = {}
    print(f"= {cluster.address}", flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "add":
            node = cluster.add_node(num_cpus=1, object_store_memory=_STORE)
            nodes[node.node_id] = node
            print(f"= {node.node_id}", flush=True)
        else:
            cluster.remove_node(nodes.pop(arguments[0]), allow_graceful=False)
            print("= done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _main()
