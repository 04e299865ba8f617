"""Names as a folder lists them.

macOS and Windows find a file under other spellings of its name: in other case, and on macOS composed or decomposed
(`é` as one character or as two). A library stores names as folders list them, so a typed path is brought to that form.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from soundalike.core.text import fold

__all__ = ["as_listed", "is_listed", "other_forms"]

AnyPath = TypeVar("AnyPath", bound=Path)

_FOLDS = sys.platform in ("darwin", "win32")
"""Whether file systems of this platform usually find files under other spellings."""


def as_listed(path: AnyPath) -> AnyPath:
    """Return an absolute path with every name as its folder lists it; on Linux, the path itself.

    Names that do not exist, or whose folder cannot be listed, stay as they are.

    Example:
        >>> as_listed(Path("/music/SONG.wav"))  # on macOS, where the file is song.wav
        PosixPath('/music/song.wav')
    """
    if not _FOLDS:
        return path
    # A drive is listed nowhere. Windows itself writes its letter in upper case.
    found = type(path)(path.anchor.upper() if path.drive.endswith(":") else path.anchor)
    for name in path.parts[1:]:
        found = found / _listed_name(found, name)
    return found


def other_forms(path: AnyPath) -> tuple[AnyPath, ...]:
    """Return a path in the Unicode forms NFC and NFD, as far as they differ from the path itself.

    Example:
        >>> len(other_forms(Path("/music/é.wav")))
        1
    """
    text = str(path)
    forms = {unicodedata.normalize(form, text): None for form in ("NFC", "NFD")}
    return tuple(type(path)(form) for form in forms if form != text)


def is_listed(path: Path) -> bool:
    """Return whether the folder of a file lists it in exactly this spelling; some systems find it in others too.

    Example:
        >>> is_listed(Path("/music/SONG.wav"))  # the file is song.wav
        False
    """
    try:
        exact, _ = _listing(path.parent, path.parent.stat().st_mtime_ns)
    except OSError:
        return False
    return path.name in exact


def _listed_name(folder: Path, name: str) -> str:
    try:
        exact, folded = _listing(folder, folder.stat().st_mtime_ns)
    except OSError:
        return name
    return name if name in exact else folded.get(fold(name), name)


@lru_cache(maxsize=256)
def _listing(folder: Path, _changed: int) -> tuple[frozenset[str], dict[str, str]]:
    """Return the names in a folder, as they are and by their folded form. A change of the folder ends the caching."""
    names = [entry.name for entry in folder.iterdir()]
    return frozenset(names), {fold(name): name for name in sorted(names, reverse=True)}
