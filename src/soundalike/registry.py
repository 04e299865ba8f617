"""Finds plug-in members by name without importing the others.

A member is one file in a plug-in folder of this package, or an entry point of another distribution in the group
`soundalike.<folder>`. A file's name is the member's name; it offers `create()`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from soundalike.errors import UsageError

__all__ = ["FOLDERS", "licence", "load", "names"]

FOLDERS = ("backbones", "datasets", "protocols", "stores")


def names(folder: str) -> tuple[str, ...]:
    """Sorted names of the members of a plug-in folder, bundled and from entry points. Imports none of them."""
    bundled = {path.stem for path in (Path(__file__).parent / folder).glob("*.py") if not path.stem.startswith("_")}
    return tuple(sorted(bundled | {point.name for point in entry_points(group=f"soundalike.{folder}")}))


def licence(kind: str, name: str) -> str:
    """The licence of a member: that of the distribution it comes with, or "unknown" where that does not say."""
    for point in entry_points(group=f"soundalike.{kind}", name=name):
        told = dict(point.dist.metadata.items()) if point.dist else {}  # type: ignore[attr-defined]
        return str(told.get("License-Expression") or told.get("License") or "unknown")
    return "Apache-2.0"


def load(kind: str, name: str, /, **options: Any) -> Any:
    """Make the member `name` of the folder `kind` by calling its `create(**options)`.

    Raises UsageError for an unknown name, listing the known ones.
    """
    for point in entry_points(group=f"soundalike.{kind}", name=name):
        return point.load()(**options)
    known = names(kind)
    if name not in known:
        raise UsageError(f"unknown {kind.removesuffix('s')} {name!r}; known: {', '.join(known)}")
    return import_module(f"soundalike.{kind}.{name}").create(**options)
