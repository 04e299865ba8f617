"""Find and load plug-ins by name, without importing the others.

A member of a plug-in folder is a file that defines `create()`, or an entry point of another distribution in the group
`soundalike.<folder>`. The member has the name of the file or of the entry point.
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
"""The plug-in folders and their paths in this package."""
_PACKAGE = Path(__file__).parents[1]
_CREATE = re.compile(r"^def create\(", re.MULTILINE)


@cache
def _bundled(folder: str) -> frozenset[str]:
    """Return the stems of the files in a plug-in folder that define `create`. Other files are helpers."""
    files = (_PACKAGE / FOLDERS[folder]).glob("*.py")
    return frozenset(file.stem for file in files if _CREATE.search(file.read_text(encoding="utf-8")))


def names(folder: str) -> tuple[str, ...]:
    """Return the sorted names of the members of a plug-in folder, bundled and from entry points.

    No member is imported.

    Example:
        >>> names("stores")
        ('flat',)
    """
    return tuple(sorted(_bundled(folder) | {point.name for point in entry_points(group=f"soundalike.{folder}")}))


def licence(folder: str, name: str) -> str:
    """Return the licence of a member, as an SPDX expression where possible.

    Args:
        folder: The plug-in folder, a key of `FOLDERS`.
        name: The member.

    Returns:
        The licence of the member's distribution, or "unknown" if the distribution states none.

    Example:
        >>> licence("backbones", "dsp")
        'Apache-2.0'
    """
    if name in _bundled(folder):
        return "Apache-2.0"
    for point in entry_points(group=f"soundalike.{folder}", name=name):
        metadata = dict(point.dist.metadata.items()) if point.dist else {}  # type: ignore[attr-defined]
        return str(metadata.get("License-Expression") or metadata.get("License") or "unknown")
    return "unknown"


def load(folder: str, name: str, /, **options: Any) -> Any:
    """Create the member `name` of a plug-in folder by calling its `create(**options)`.

    A bundled member cannot be replaced by an entry point of the same name.

    Args:
        folder: The plug-in folder, a key of `FOLDERS`.
        name: The member.
        **options: Passed to the member's `create`.

    Returns:
        What `create` returns: an object that implements the folder's protocol.

    Raises:
        UsageError: No member has this name. The message lists the known names.

    Example:
        >>> load("backbones", "dsp").rate
        22050
    """
    if name in _bundled(folder):
        package = FOLDERS[folder].replace("/", ".")
        return import_module(f"soundalike.{package}.{name}").create(**options)
    for point in entry_points(group=f"soundalike.{folder}", name=name):
        return point.load()(**options)
    raise UsageError(f"unknown {folder.removesuffix('s')} {name!r}; known: {', '.join(names(folder))}")
