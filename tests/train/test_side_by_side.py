"""Networks that are trained at the same time: the same weights, one failure that stops all, and no process left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from toy_songs import TINY, toy_material

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="networks are trained with torch")
import torch
from toy_training import die, fail, lack_memory, train_for

from soundalike.train.common.network_files import digest_network
from soundalike.train.common.side_by_side import NetworkTask, train_side_by_side
from soundalike.train.metric.stages import STAGES, Workspace, stage_tasks

STAGE_NAMES = ("separators", "clean", "cascade", "direct_pretrain")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.train.common.side_by_side.usable_cores", lambda: 2)


def tasks_of(space: Workspace) -> list[NetworkTask]:
    return [task for stage in STAGE_NAMES for task in stage_tasks(STAGES[stage], space)]


def test_weights_and_epochs_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    material = toy_material(tmp_path)
    threads = torch.get_num_threads()
    found, told = {}, {}
    for jobs in (1, 2):
        epochs: list[tuple[str, int]] = []
        space = Workspace(tmp_path / str(jobs), TINY, material)
        found[jobs] = list(
            train_side_by_side(tasks_of(space), jobs, lambda name, epoch, to=epochs: to.append((name, epoch.number)))
        )
        told[jobs] = sorted(epochs)
        assert torch.get_num_threads() == threads
        assert all(trained.found for _, trained, _ in train_side_by_side(tasks_of(space), 1))
    names = [task.name for task in tasks_of(Workspace(tmp_path, TINY, material))]
    assert [name for name, _, _ in found[1]] == names
    assert told[1] == told[2] == sorted((name, number) for name in names for number in (1, 2))
    in_order = sorted(found[2], key=lambda one: names.index(one[0]))
    for (name, trained, _), (other, again, seconds) in zip(found[1], in_order, strict=True):
        assert name == other and again.curve == trained.curve and not again.found and seconds > 0
        assert digest_network(again.path) == digest_network(trained.path), name


def test_a_network_waits_for_those_that_it_needs(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    tasks = [
        NetworkTask("first", partial(train_for, first, 1.0, ())),
        NetworkTask("second", partial(train_for, second, 0.0, (first,)), (first,)),
    ]
    names = [name for name, _, _ in train_side_by_side(tasks, 2)]
    assert names == ["first", "second"]
    assert first.read_text() != second.read_text(), "they ran in two processes"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "message"),
    [
        (fail, "broken diverges"),
        (die, "the process that trained broken died or ran out of memory; run the command again to continue"),
        (lack_memory, "the process that trained broken died or ran out of memory"),
    ],
)
def test_one_failure_stops_all(tmp_path: Path, train: Callable[..., object], message: str) -> None:
    tasks = [
        NetworkTask("long", partial(train_for, tmp_path / "long", 60.0, ())),
        NetworkTask("broken", partial(train, tmp_path / "broken")),  # type: ignore[arg-type]
        NetworkTask("waits", partial(train_for, tmp_path / "waits", 0.0, ()), (tmp_path / "broken",)),
    ]
    began = time.monotonic()
    with pytest.raises(UsageError, match=message):
        list(train_side_by_side(tasks, 2))
    assert time.monotonic() - began < 50 and not list(tmp_path.iterdir())


_SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path[:0] = [{tests!r}]
from toy_training import train_for
import soundalike.train.common.side_by_side as module

module.usable_cores = lambda: 2
folder = Path({folder!r})
tasks = [module.NetworkTask("start", partial(train_for, folder / "start", 0.0, ()))]
tasks += [module.NetworkTask(name, partial(train_for, folder / name, 20.0, ())) for name in ("one", "two")]
list(module.train_side_by_side(tasks, 2))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_no_process_trains_on_after_its_parent_was_killed(tmp_path: Path) -> None:
    script = _SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        _wait((tmp_path / "start").exists, 60)
        processes = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        workers = [process for process in processes if _parent_of(process) == parent.pid]
        parent.kill()
    assert len(workers) >= 2
    _wait(lambda: all(_parent_of(worker) is None for worker in workers), 15)
    assert [path.name for path in tmp_path.iterdir()] == ["start"]


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _parent_of(process: int) -> int | None:
    """The parent of a process; None if there is none of this number, or it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    state = status.partition("State:")[2].split()[0]
    return None if state == "Z" else int(status.partition("PPid:")[2].split()[0])
