"""Find and load plug-ins by name, without importing the others.

A member of a plug-in folder is a file that defines `create()`, or an entry point of another distribution in the group
`soundalike.<folder>`. The member has the name of the file or of the entry point. An entry point never replaces a
bundled member: if the names clash, the entry point is left out with a warning.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from pathlib import Path
from typing import Any

from soundalike.core.errors import SoundalikeError, SoundalikeWarning, UsageError, one_line

__all__ = ["FOLDERS", "licence", "load", "names"]

FOLDERS = {
    "backbones": "backbones",
    "datasets": "audio/datasets",
    "protocols": "evaluate/protocols",
    "separators": "audio/separators",
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


def _external(folder: str) -> Mapping[str, EntryPoint]:
    """Return the members of a folder that other distributions add, by name."""
    return _scan(folder, tuple(sys.path))


@cache
def _scan(folder: str, search_path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """Scan the installed distributions, which reads files of each of them: once per folder and search path.

    Warns about entry points that are left out because their name is taken.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"soundalike.{folder}"):
        if point.name in _bundled(folder):
            owner = "soundalike"
        elif point.name in found and found[point.name].value != point.value:
            owner = _origin(found[point.name])
        else:
            found.setdefault(point.name, point)
            continue
        text = f"the {_singular(folder)} {point.name!r} of {_origin(point)} is left out: {owner} has one of this name"
        warnings.warn(one_line(text), SoundalikeWarning, stacklevel=4)
    return found


def _singular(folder: str) -> str:
    return folder.removesuffix("s")


def _origin(point: EntryPoint) -> str:
    """Return the distribution of an entry point, or what it refers to if the distribution is unknown."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def names(folder: str) -> tuple[str, ...]:
    """Return the sorted names of the members of a plug-in folder, bundled and from entry points.

    No member is imported.

    Example:
        >>> names("stores")
        ('flat', 'milvus')
    """
    return tuple(sorted(_bundled(folder) | _external(folder).keys()))


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
    point = _external(folder).get(name)
    metadata = dict(point.dist.metadata.items()) if point and point.dist else {}  # type: ignore[attr-defined]
    return str(metadata.get("License-Expression") or metadata.get("License") or "unknown")


def load(folder: str, name: str, /, **options: Any) -> Any:
    """Create the member `name` of a plug-in folder by calling its `create(**options)`.

    Args:
        folder: The plug-in folder, a key of `FOLDERS`.
        name: The member.
        **options: Passed to the member's `create`.

    Returns:
        What `create` returns: an object that implements the folder's protocol.

    Raises:
        UsageError: No member has this name, and the message lists the known names; or the member takes no such
            option; or it belongs to another distribution and fails, and the message names the distribution.

    Example:
        >>> load("backbones", "dsp").rate
        22050
    """
    if name in _bundled(folder):
        package = FOLDERS[folder].replace("/", ".")
        create = import_module(f"soundalike.{package}.{name}").create
        if unknown := options.keys() - signature(create).parameters.keys():
            raise UsageError(f"the {_singular(folder)} {name!r} takes no {', '.join(sorted(unknown))}; leave it out")
        return create(**options)
    point = _external(folder).get(name)
    if point is None:
        raise UsageError(f"unknown {_singular(folder)} {name!r}; known: {', '.join(names(folder))}")
    try:
        return point.load()(**options)
    except SoundalikeError:
        raise
    except Exception as error:  # code of others may fail in any way
        why = one_line(f"{type(error).__name__}: {error}")
        raise UsageError(
            f"the {_singular(folder)} {name!r} of {_origin(point)} cannot be loaded ({why}); update or uninstall it"
        ) from error
