"""Change the folders of installed models: each is made beside the others, and renamed when it is complete."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from soundalike.core.errors import UsageError
from soundalike.core.files import FULL_DISK
from soundalike.core.sqlite import primary_code, take_lock
from soundalike.models import replaced_folder

__all__ = ["making", "put_in_place"]

_PARTIAL = ".partial"


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Yield a new folder to make a model in, on the same disk as `folder`, and remove it at the end.

    One process at a time does this, so what a killed one left behind is tidied first.
    """
    parent = folder.parent
    made = parent / _PARTIAL / folder.name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with closing(take_lock(parent / ".lock")):
            _tidy(parent)
            try:
                made.mkdir(parents=True)
                yield made
            finally:
                _tidy(parent)
    except sqlite3.Error as error:
        if primary_code(error) == sqlite3.SQLITE_BUSY:
            raise UsageError("another process is installing or removing a model; wait for it") from error
        raise UsageError(f"cannot write to {parent} ({error})") from error
    except OSError as error:
        remedy = "free some space" if error.errno in FULL_DISK else "check its permissions"
        where = error.filename or parent
        raise UsageError(f"{folder.name} cannot be changed: {where}: {error.strerror or error}; {remedy}") from error


def put_in_place(made: Path, folder: Path) -> None:
    """Rename a complete model to its folder, and what was there out of the way, to where it is found until then."""
    if folder.exists():
        replaced = replaced_folder(folder)
        replaced.parent.mkdir(exist_ok=True)
        folder.rename(replaced)
    made.rename(folder)


def _tidy(parent: Path) -> None:
    """Put back models that were renamed out of the way for others which did not come, and remove what else is left."""
    replaced = replaced_folder(parent / "any").parent
    for old in replaced.glob("*"):
        if not (parent / old.name).exists():
            old.rename(parent / old.name)
    for left in (parent / _PARTIAL, replaced):
        shutil.rmtree(left, ignore_errors=True)
