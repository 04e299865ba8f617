"""How many cores this process may use: a container or a scheduler may grant fewer than the machine has."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["usable_cores"]

_PROCESS = Path("/proc/self")


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the smallest of the cores of the machine, the cores that the process is bound to (`taskset`), and the CPU
    quota of its control groups, rounded up (`docker run --cpus`, limits of Kubernetes, `CPUQuota=` of systemd).

    Example:
        >>> usable_cores()
        8
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(), default=math.inf)
    return max(1, min(bound, math.ceil(quota))) if math.isfinite(quota) else bound


def _quotas() -> Iterator[float]:
    """Yield the quota in cores of every control group that holds this process. Nothing is yielded off Linux."""
    try:
        groups = (_PROCESS / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        mounts = (_PROCESS / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for controllers, group in (line.split(":", 2)[1:] for line in groups if line.count(":") >= 2):
        version = 2 if not controllers else 1 if "cpu" in controllers.split(",") else None
        for root, mounted in _mounts(mounts, version):
            for folder in _folders(PurePosixPath(group), root, mounted):
                quota = _quota(folder, version)
                if quota is not None:
                    yield quota


def _mounts(lines: list[str], version: int | None) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the group at the root of each mounted hierarchy with the CPU controller, and the mount point (proc(5))."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        kind, options = rest[0], rest[2].split(",")
        if (version == 2 and kind == "cgroup2") or (version == 1 and kind == "cgroup" and "cpu" in options):
            yield PurePosixPath(_plain(fields[3])), Path(_plain(fields[4]))


def _plain(field: str) -> str:
    r"""Return a field of mountinfo, in which a space is written as \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _folders(group: PurePosixPath, root: PurePosixPath, mounted: Path) -> Iterator[Path]:
    """Yield the folder of a group and those of the groups around it, as far as they are mounted.

    A container may see the path of its group on the host, although its own group is what is mounted.
    """
    below = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
    folder = mounted / below if ".." not in below.parts else mounted
    yield folder
    while folder != mounted:
        folder = folder.parent
        yield folder


def _quota(folder: Path, version: int | None) -> float | None:
    """Return the CPU time per time that a group may use; None if it has no limit."""
    names = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
        cores = int(quota) / int(period)  # "max" and -1 are no limit
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None
