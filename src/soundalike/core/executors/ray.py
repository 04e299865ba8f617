"""Run many tasks on a Ray cluster. A task whose process or node is lost runs again elsewhere.

Tasks are plain Ray tasks, one per core: a task that kills its process costs only itself, and no actor holds cores that
other work waits for.
"""

from __future__ import annotations

import os
import pickle
import platform
import re
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from soundalike.core.errors import AudioError, SoundalikeError, UsageError, one_line
from soundalike.core.executors.base import InThisProcess, use_executor
from soundalike.core.executors.cores import usable_cores
from soundalike.core.executors.outcomes import attempt, result_of
from soundalike.core.executors.processes import THREAD_SETTINGS

__all__ = ["KEEPALIVE", "LOCAL", "ray_cluster"]

Task = TypeVar("Task")
Result = TypeVar("Result")

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, which is started and stopped."""
KEEPALIVE = {
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}
"""Settings with which Ray notices within seconds that a node cannot be reached; with its own it waits for minutes.

Every node needs them in its environment when Ray starts there.
"""

_HEARTBEAT = 1.0
"""Seconds to wait for a task before `heartbeat` is called."""
_AHEAD = 2
"""Tasks per core that are handed to Ray at once, so that no core waits for the next one."""
_TRIES = 4
"""How often a task is started. One that has killed as many processes is taken for the cause."""
_OBJECT_STORE = 512 * 2**20
"""Bytes of shared memory in which a cluster of this machine keeps results until they are read."""
_CONNECTING = 5.0
"""Seconds to wait for a cluster to answer."""
_NEEDED = "--ray needs Ray: pip install 'soundalike[ray]'"


@contextmanager
def ray_cluster(address: str) -> Iterator[None]:
    """Let all `run_tasks` inside the block, in this thread, run on a Ray cluster.

    soundalike must be installed on all nodes, in the same version. Files must be found there under the same paths as
    here. If this process is connected to Ray already, that connection is used and left open.

    Args:
        address: `HOST:PORT` of the head node; `auto` for the cluster that this machine belongs to; `ray://HOST:PORT`
            for a Ray client server; or `local`, which starts Ray on this machine and stops it at the end.

    Raises:
        UsageError: Ray is not installed, no cluster answers, or it runs another version of Python or Ray.

    Example:
        >>> with ray_cluster("10.0.0.1:6379"):
        ...     soundalike.open("library").index("/mnt/music")
    """
    _check_address(address)
    with _own_token() if address == LOCAL else nullcontext():
        yield from _connected(address)


def _connected(address: str) -> Iterator[None]:
    """Connect for as long as the caller of `ray_cluster` needs; see there."""
    ray = _load_ray()
    connects = not ray.is_initialized()
    if connects:
        _connect(ray, address)
    try:
        with use_executor(_RayExecutor(ray)):
            yield
    finally:
        if connects:
            ray.shutdown()


@contextmanager
def _own_token() -> Iterator[None]:
    """Protect a cluster of this machine by a token of its own.

    Ray would write one to the home folder, and from then on clusters that are started with `ray start` would ask for
    it, which nodes on other machines do not have.
    """
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ:  # Ray reads them once
        yield
        return
    before = os.environ.get("RAY_AUTH_TOKEN")
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": before or secrets.token_hex(16)}
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"]
        if before is None:
            del os.environ["RAY_AUTH_TOKEN"]


def _load_ray() -> Any:
    """Import Ray with its settings, which it reads once. Raises UsageError."""
    for name, value in KEEPALIVE.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise Ray prints a warning
    try:
        import ray
    except ImportError as error:
        raise UsageError(_NEEDED) from error
    return ray


# Connecting ---------------------------------------------------------------------------------------------------------


def _connect(ray: Any, address: str) -> None:
    """Connect to a cluster, or start one. Raises UsageError."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if not address.startswith("ray://"):
        options["runtime_env"] = _environment()
    if address == LOCAL:
        options |= {"num_cpus": usable_cores(), "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    with _captured_errors() as written:
        try:
            ray.init(address, **options)
            return
        except Exception as error:  # Ray raises plain exceptions too
            if ray.is_initialized():
                ray.shutdown()
            failure = error
    raise UsageError(_describe_failure(address, failure, written[0])) from failure


@contextmanager
def _captured_errors() -> Iterator[list[str]]:
    """Catch what the libraries of Ray write on standard error: a line per second while they try to connect.

    The list has the text when the block has ended.
    """
    written: list[str] = []
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield written
        written.append("")
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield written
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            written.append(file.read().decode("utf-8", "replace"))


def _environment() -> dict[str, Any]:
    """The environment of workers. Numeric libraries use one thread: the rows of a library depend on it."""
    return {"env_vars": dict.fromkeys(THREAD_SETTINGS, "1")}


def _check_address(address: str) -> None:
    """Check an address, and that something answers there: Ray itself would wait for a minute. Raises UsageError."""
    if address in (LOCAL, "auto"):
        return
    found = re.fullmatch(r"(?:ray://)?([^\s/:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", address)
    if not found:
        raise UsageError(f"--ray {address}: expected HOST:PORT, such as 10.0.0.1:6379, ray://HOST:10001, auto or local")
    host, port = found[1].strip("[]"), int(found[2])
    try:
        with socket.create_connection((host, port), timeout=_CONNECTING):
            return
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise UsageError(
            f"--ray {address}: no Ray cluster answers there ({reason}); start one with: ray start --head --port={port}"
        ) from error


def _describe_failure(address: str, error: Exception, written: str = "") -> str:
    """Return one line that says why the connection failed; `written` is what Ray wrote on standard error."""
    text = str(error)
    if "InvalidAuthToken" in written:
        return (
            f"--ray {address}: the cluster asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the "
            "content of ~/.ray/auth_token on its head node"
        )
    versions = re.findall(r"Python: ([\w.]+)", text)
    releases = re.findall(r"Ray: ([\w.]+)", text)
    for what, found in (("Python", versions), ("Ray", releases)):
        if len(found) == 2 and found[0] != found[1]:
            return (
                f"--ray {address}: the cluster runs {what} {found[0]}, this is {what} {found[1]}; use the same version "
                "on all nodes"
            )
    if address == "auto":
        return "--ray auto: no Ray cluster runs on this machine; start one with: ray start --head"
    if "runtime_env" in text:
        return f"--ray {address}: {one_line(text.strip().splitlines()[-1])}"
    what = "Ray does not start" if address == LOCAL else "cannot connect to the Ray cluster"
    return f"--ray {address}: {what}: {one_line(next(iter(text.strip().splitlines()), type(error).__name__))}"


# Running ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """A task in flight: how often it was started, and when for the last time, on the monotonic clock."""

    task: Any
    tries: int = 0
    since: float = 0.0


class _RayExecutor:
    """Run tasks on the cluster that this process is connected to."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def run_tasks(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        jobs: int | None = None,
        heartbeat: Callable[[Task, float], None] | None = None,
    ) -> Generator[tuple[Task, Result | SoundalikeError], None, None]:
        """Run a function on many tasks; see `soundalike.core.executors.base.run_tasks`.

        Up to `jobs` tasks are in flight, or two per core of the cluster, as far as nodes have joined it. A task whose
        process or node is lost is started again, up to 3 times.
        """
        ray = self._ray
        remote = ray.remote(num_cpus=1, max_retries=0, runtime_env=_environment())(_remote_function())
        packed = ray.put(pickle.dumps((function, _version())))
        waiting = iter(tasks)
        running: dict[Any, _Run] = {}  # those that were started first come first

        def start(run: _Run) -> None:
            run.tries, run.since = run.tries + 1, time.monotonic()
            running[remote.remote(packed, pickle.dumps(run.task, pickle.HIGHEST_PROTOCOL))] = run

        try:
            exhausted, limit, looked = False, 0, -1e9
            while True:
                if time.monotonic() - looked > _HEARTBEAT:
                    limit, looked = jobs or self._room(), time.monotonic()
                while not exhausted and len(running) < limit:
                    task = next(waiting, waiting)
                    if task is waiting:
                        exhausted = True
                    else:
                        start(_Run(task))
                if not running:
                    return
                ready, _ = ray.wait(list(running), num_returns=1, timeout=_HEARTBEAT)
                if not ready and heartbeat is not None:
                    oldest = next(iter(running.values()))
                    heartbeat(oldest.task, time.monotonic() - oldest.since)
                for reference in ready:
                    run = running.pop(reference)
                    outcome = self._outcome(reference, run)
                    if outcome is None:
                        start(run)
                    else:
                        yield run.task, result_of(outcome, run.task)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _room(self) -> int:
        """The number of tasks to have in flight now."""
        return _AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _outcome(self, reference: Any, run: _Run) -> Any:
        """Return what became of a task; None if it is to be started again. Raises UsageError."""
        errors = self._ray.exceptions
        try:
            kind, content = self._ray.get(reference)
        except errors.RayTaskError as error:  # before the function was called: it catches everything
            raise UsageError(f"a Ray worker failed: {one_line(str(error.cause))}") from error
        except errors.RuntimeEnvSetupError as error:
            raise UsageError(f"a Ray worker cannot be started: {one_line(str(error))}") from error
        except errors.RayError as error:  # its process, its node or its result was lost
            if run.tries < _TRIES:
                return None
            return AudioError(
                f"the process that decoded it died {run.tries} times ({type(error).__name__}); the file is probably "
                "invalid, or memory ran out"
            )
        if kind == "problem":
            raise UsageError(content)
        return pickle.loads(content)


def _version() -> str:
    from soundalike import __version__

    return __version__


def _remote_function() -> Callable[[Any, Any], Any]:
    """Return the function that Ray sends to workers, as code: soundalike may be missing there."""

    def work(packed: Any, task: Any) -> Any:
        import platform
        import sys

        try:
            from soundalike.core.executors.ray import run_in_worker
        except ImportError:
            where = f"{platform.node()} ({sys.executable})"
            return "problem", f"a Ray worker on {where} lacks soundalike: install the same version on all nodes"
        return run_in_worker(packed, task)

    return work


def run_in_worker(packed: bytes, task: bytes) -> tuple[str, Any]:
    """Run one task inside a Ray worker.

    Args:
        packed: The pickled function, and the version of soundalike that sent it.
        task: The pickled task.

    Returns:
        ("done", the pickled outcome), as a pipe would deliver it; or ("problem", why no task can run here).
    """
    function, version = _unpack(packed)
    if version != _version():
        return "problem", (
            f"a Ray worker on {platform.node()} has soundalike {_version()}, this is {version}; install the same "
            "version on all nodes"
        )
    with use_executor(InThisProcess()):
        return "done", pickle.dumps(attempt(function, pickle.loads(task)), pickle.HIGHEST_PROTOCOL)


@lru_cache(maxsize=1)
def _unpack(packed: bytes) -> tuple[Callable[[Any], Any], str]:
    function, version = pickle.loads(packed)
    return function, version
