"""`--ray` with an address at which no cluster can be used: one clear line, before any work."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundalike.cli.main import main
from soundalike.core.executors import ray

Run = Callable[..., str]


@pytest.fixture
def refused(made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Index a clip with `--ray ADDRESS`, which fails; returns the message."""
    clip = made("music/a.wav", seconds=1)

    def run(address: str) -> str:
        library = tmp_path / "library"
        assert main(["index", str(clip.parent), "--library", str(library), "--ray", address]) == 2
        assert not library.exists()
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        return line

    return run


def test_ray_is_not_installed(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refused("auto").endswith("--ray needs Ray: pip install 'soundalike[ray]'")


@pytest.mark.parametrize("address", ["s3://bucket", "10.0.0.1", "host:port", "host:123456", "ray:/host:1", ""])
def test_an_address_that_is_none(refused: Run, address: str) -> None:
    expected = f"--ray {address}: expected HOST:PORT, such as 10.0.0.1:6379, ray://HOST:10001, auto or local"
    assert refused(address).endswith(expected)


def test_nothing_listens_there(refused: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, so that nobody else takes it, but not listening
        line = refused(f"127.0.0.1:{port}")
    assert line.endswith(
        f"--ray 127.0.0.1:{port}: no Ray cluster answers there (Connection refused); start one with: ray start --head "
        f"--port={port}"
    )


MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: {}\n    Python: {}\nThis process on node 10.0.0.2 was "
    "started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            MISMATCH.format("2.60.0", "3.12.4"),
            "--ray h:1: the cluster runs Python 3.12.4, this is Python 3.11.7; use the same version on all nodes",
        ),
        (
            MISMATCH.format("2.40.0", "3.11.7"),
            "--ray h:1: the cluster runs Ray 2.40.0, this is Ray 2.60.0; use the same version on all nodes",
        ),
        ("first\nsecond", "--ray h:1: cannot connect to the Ray cluster: first"),
    ],
)
def test_failures_to_connect_are_one_line(found: str, message: str) -> None:
    assert ray._describe_failure("h:1", RuntimeError(found)) == message
