"""The number of cores, from files as Linux writes them for containers, schedulers and services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundalike.core.executors import cores
from soundalike.core.executors.cores import usable_cores

MACHINE = 64


class System:
    """The files in /proc/self and /sys/fs/cgroup of a simulated machine with 64 cores."""

    def __init__(self, folder: Path) -> None:
        self.process, self.mounted = folder / "self", folder / "cgroup files"
        self.process.mkdir()
        self.mounted.mkdir()

    def describe(self, groups: str, kind: str, options: str = "rw", root: str = "/") -> None:
        mounted = str(self.mounted).replace(" ", "\\040")
        (self.process / "cgroup").write_text(groups)
        (self.process / "mountinfo").write_text(
            "22 1 0:21 / /proc rw,nosuid - proc proc rw\n"
            f"31 23 0:28 {root} {mounted} rw,relatime shared:4 - {kind} {kind} {options}\n"
        )

    def write(self, group: str, **files: str) -> None:
        folder = self.mounted / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content + "\n")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    made = System(tmp_path)
    monkeypatch.setattr(cores, "_PROCESS", made.process)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE)), raising=False)
    return made


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", MACHINE), ("6400000 50000", 64),
     ("nonsense", MACHINE), ("100000 0", MACHINE), ("", MACHINE)],
)  # fmt: skip
def test_the_quota_of_a_container_under_cgroup_2(system: System, quota: str, expected: int) -> None:
    system.describe("0::/\n", "cgroup2")
    system.write("", cpu__max=quota)
    assert usable_cores() == expected


def test_the_smallest_quota_of_the_groups_around_a_service_counts(system: System) -> None:
    system.describe("0::/system.slice/music.service/worker\n", "cgroup2")
    system.write("", cpu__max="max 100000")
    system.write("system.slice", cpu__max="800000 100000")
    system.write("system.slice/music.service", cpu__max="300000 100000")
    system.write("system.slice/music.service/worker", cpu__max="max 100000")
    assert usable_cores() == 3


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", MACHINE), ("10000", 1)])
def test_the_quota_under_cgroup_1(system: System, quota: str, expected: int) -> None:
    system.describe("5:memory:/other\n4:cpu,cpuacct:/docker/abc\n0::/\n", "cgroup", "rw,cpu,cpuacct")
    system.write("docker/abc", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert usable_cores() == expected


def test_a_container_that_sees_the_path_of_its_group_on_the_host(system: System) -> None:
    system.describe("4:cpu:/kubepods/pod1/abc\n", "cgroup", "rw,cpu", root="/kubepods/pod1/abc")
    system.write("", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    assert usable_cores() == 3
    system.describe("4:cpu:/kubepods/pod1/abc\n", "cgroup", "rw,cpu", root="/somewhere/else")
    assert usable_cores() == 3


def test_a_quota_for_memory_is_no_quota_for_cores(system: System) -> None:
    system.describe("4:memory:/a\n", "cgroup", "rw,memory")
    system.write("a", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    assert usable_cores() == MACHINE


def test_the_cores_that_a_process_is_bound_to(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.describe("0::/\n", "cgroup2")
    system.write("", cpu__max="800000 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert usable_cores() == 2


def test_windows_and_macos_have_neither(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert usable_cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
