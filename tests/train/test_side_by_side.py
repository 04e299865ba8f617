"""Networks that are trained at the same time: the same weights, one failure that stops all, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_songs import TINY, toy_material

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="networks are trained with torch")
import torch

from soundalike.train.common.network_files import digest_network
from soundalike.train.common.side_by_side import NetworkTask, train_side_by_side
from soundalike.train.metric.stages import STAGES, Workspace, stage_tasks

STAGE_NAMES = ("separators", "clean", "cascade", "direct_pretrain")


def tasks_of(space: Workspace) -> list[NetworkTask]:
    return [task for stage in STAGE_NAMES for task in stage_tasks(STAGES[stage], space)]


def test_weights_and_curves_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    material = toy_material(tmp_path)
    threads = torch.get_num_threads()
    one, two = (Workspace(tmp_path / str(jobs), TINY, material) for jobs in (1, 2))
    expected = list(train_side_by_side(tasks_of(one), 1))
    assert [name for name, _, _ in expected] == [task.name for task in tasks_of(one)]
    found = sorted(train_side_by_side(tasks_of(two), 2), key=lambda each: [each[0] for each in expected].index(each[0]))
    assert torch.get_num_threads() == threads
    for (name, trained, _), (other, again, seconds) in zip(expected, found, strict=True):
        assert name == other and again.curve == trained.curve and not again.found and seconds > 0
        assert digest_network(again.path) == digest_network(trained.path), name
    assert all(trained.found for _, trained, _ in train_side_by_side(tasks_of(two), 2))


@pytest.mark.slow
def test_one_failure_stops_all(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "work", TINY, toy_material(tmp_path))
    space.folder.mkdir()
    (space.folder / "separators.bass.safetensors").write_text("no network")
    with pytest.raises(UsageError, match=r"separators\.bass\.safetensors is not a network"):
        list(train_side_by_side(tasks_of(space), 2))


_SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = [{tests!r}]
from toy_songs import TINY, toy_material
from soundalike.train.common.network_files import digest_network
from soundalike.train.common.side_by_side import train_side_by_side
from soundalike.train.metric.stages import STAGES, Workspace, stage_tasks

folder = Path({folder!r})
space = Workspace(folder / "work", replace(TINY, epochs=100_000), toy_material(folder))
list(train_side_by_side(stage_tasks(STAGES["separators"], space), 2))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="finds processes with POSIX tools")
def test_no_process_trains_on_after_its_parent_was_killed(tmp_path: Path) -> None:
    script = _SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        _wait((tmp_path / "work").exists, 60)  # the first worker makes it when it begins to train
        workers = subprocess.run(
            ["pgrep", "-P", str(parent.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        assert len(workers) >= 2
    finally:
        parent.kill()
        parent.wait()
    _wait(lambda: not any(_alive(int(worker)) for worker in workers), 30)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _alive(process: int) -> bool:
    try:
        os.kill(process, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return True
