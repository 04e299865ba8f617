"""Cache files for sources that are slow to read, in the user's cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic
from soundalike.core.settings import cache_folder

__all__ = ["cache_path", "write_cache"]


def cache_path(name: str, *identity: object) -> Path:
    """Return the path of a cache file. The file need not exist.

    Args:
        name: The file name, such as "tunes.npz". A digest of `identity` is inserted before the suffix.
        identity: Everything that determines the contents: the version of the reader, and the paths, sizes and
            modification times of the source.

    Example:
        >>> cache_path("tunes.npz", 1, "oneills1850").name.startswith("tunes-")
        True
    """
    digest = hashlib.sha256(repr(identity).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    stem, dot, suffix = name.partition(".")
    return cache_folder() / f"{stem}-{digest}{dot}{suffix}"


def write_cache(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file to the cache. If this fails, nothing is cached, and the next run reads the source again.

    Args:
        path: A path from `cache_path`.
        write: Called with the open binary file.

    Example:
        >>> write_cache(cache_path("chorales.json", 1), lambda file: file.write(b"[]"))
    """
    with suppress(OSError, UsageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, write)
