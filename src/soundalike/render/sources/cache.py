"""The cache: what took long to read, kept in the user's cache folder in a form that loads at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic
from soundalike.core.settings import cache_folder

__all__ = ["cache_path", "keep"]


def cache_path(name: str, *identity: object) -> Path:
    """Where the cache keeps a file: `name` with a digest of all that its contents follow from."""
    digest = hashlib.sha256(repr(identity).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    stem, dot, suffix = name.partition(".")
    return cache_folder() / f"{stem}-{digest}{dot}{suffix}"


def keep(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Put a file into the cache; where that cannot be written, nothing is kept and the work is done again next time."""
    with suppress(OSError, UsageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, write)
