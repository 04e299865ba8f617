"""Find plug-in members by name without importing the others.

A member is a file in a plug-in folder that defines `create()`, or an entry point of another distribution in the group
`soundalike.<folder>`. The name of the file is the name of the member.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError

__all__ = ["FOLDERS", "licence", "load", "names"]

FOLDERS = {
    "backbones": "backbones",
    "datasets": "audio/datasets",
    "protocols": "evaluate/protocols",
    "stores": "library/stores",
}
"""The plug-in folders, and where each lies in this package."""
_PACKAGE = Path(__file__).parents[1]
_OFFERS = re.compile(r"^def create\(", re.MULTILINE)


@cache
def _bundled(folder: str) -> frozenset[str]:
    """The files of a plug-in folder that define `create`; the others only help them."""
    files = (_PACKAGE / FOLDERS[folder]).glob("*.py")
    return frozenset(file.stem for file in files if _OFFERS.search(file.read_text(encoding="utf-8")))


def names(folder: str) -> tuple[str, ...]:
    """Sorted names of the members of a plug-in folder, bundled and from entry points. Imports none of them."""
    return tuple(sorted(_bundled(folder) | {point.name for point in entry_points(group=f"soundalike.{folder}")}))


def licence(kind: str, name: str) -> str:
    """The licence of a member: that of its distribution, or "unknown" where the distribution states none."""
    if name in _bundled(kind):
        return "Apache-2.0"
    for point in entry_points(group=f"soundalike.{kind}", name=name):
        metadata = dict(point.dist.metadata.items()) if point.dist else {}  # type: ignore[attr-defined]
        return str(metadata.get("License-Expression") or metadata.get("License") or "unknown")
    return "unknown"


def load(kind: str, name: str, /, **options: Any) -> Any:
    """Make the member `name` of the folder `kind` by calling its `create(**options)`.

    A bundled member cannot be replaced by an entry point of the same name.

    Raises:
        UsageError: No member has this name; the message lists the known ones.
    """
    if name in _bundled(kind):
        package = FOLDERS[kind].replace("/", ".")
        return import_module(f"soundalike.{package}.{name}").create(**options)
    for point in entry_points(group=f"soundalike.{kind}", name=name):
        return point.load()(**options)
    raise UsageError(f"unknown {kind.removesuffix('s')} {name!r}; known: {', '.join(names(kind))}")
