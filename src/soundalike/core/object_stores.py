"""Recordings in object stores: listed and read with fsspec, and held by libraries under paths made of their URLs.

The object `s3://bucket/a.flac` has the path `/s3:/bucket/a.flac`. No file is expected there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from soundalike.core.errors import AudioError, UsageError, one_line
from soundalike.core.files import absolute

__all__ = ["StoredObject", "is_remote", "list_objects", "local_copy", "source_path", "url_of"]

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
_REMOTE = re.compile(r"/([a-z][a-z0-9+.-]+):/(.*)", re.DOTALL)
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems of fsspec call the time of the last modification."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: its path in a library, its size in bytes, and its time in ns since 1970, 0 if the store has none."""

    path: Path
    size: int
    mtime_ns: int


def source_path(given: Path) -> Path:
    """Return what the user gave as an absolute path: of a file, or of an object if it is a URL.

    Example:
        >>> source_path(Path("s3://bucket/music"))
        PosixPath('/s3:/bucket/music')
    """
    found = _URL.fullmatch(str(given))
    if not found or given.exists():
        return given if is_remote(given) else absolute(given)
    protocol, rest = found.groups()
    return Path(f"/{rest}") if protocol == "file" else Path(f"/{protocol}:/{rest}")


def is_remote(path: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a path is that of an object.

    Example:
        >>> is_remote("/s3:/bucket/a.flac"), is_remote("/music/a.flac")
        (True, False)
    """
    return _REMOTE.fullmatch(os.fsdecode(path)) is not None


def url_of(path: Path) -> str:
    """Return the URL of an object.

    Example:
        >>> url_of(Path("/s3:/bucket/a.flac"))
        's3://bucket/a.flac'
    """
    return _REMOTE.sub(r"\1://\2", str(path))


def list_objects(source: Path) -> list[StoredObject]:
    """Return the objects below a path of a store, or the one that it is, in the order of their names.

    Raises:
        UsageError: The store cannot be listed, or holds nothing there.

    Example:
        >>> [one.path.name for one in list_objects(Path("/s3:/bucket/music"))]
        ['a.flac']
    """
    url = url_of(source)
    system, root = _open(url)
    try:
        found: Mapping[str, Mapping[str, Any]] = system.find(root, detail=True)
    except Exception as error:  # each store has its own
        raise UsageError(f"{url} cannot be listed: {_reason(error)}") from error
    if not found:
        raise UsageError(f"{url}: nothing is there")
    protocol = url.partition(":")[0]
    return [
        StoredObject(Path(f"/{protocol}:/{name.lstrip('/')}"), int(about.get("size") or 0), _time_of(about))
        for name, about in sorted(found.items())
    ]


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yield a file with the content of a path: the file itself, or a copy of an object, which is deleted afterwards.

    Raises:
        AudioError: The object cannot be read.
        UsageError: This machine cannot read the store at all.

    Example:
        >>> with local_copy(Path("/s3:/bucket/a.flac")) as file:
        ...     file.name
        'a.flac'
    """
    if not is_remote(path):
        yield path
        return
    system, name = _open(url_of(path))
    with TemporaryDirectory(prefix="soundalike-") as folder:
        file = Path(folder) / path.name
        try:
            system.get_file(name, str(file))
        except PermissionError as error:  # the others would fail too
            raise UsageError(f"{url_of(path)} cannot be read: {_reason(error)}") from error
        except Exception as error:
            raise AudioError(f"cannot be read: {_reason(error)}") from error
        yield file


def _open(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the name there. Raises UsageError."""
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(f"{url}: URLs need fsspec: pip install 'soundalike[ray]'") from error
    try:
        system, name = fsspec.core.url_to_fs(url)
    except Exception as error:  # an unknown protocol, a missing package, wrong settings
        raise UsageError(f"{url} cannot be opened: {_reason(error)}") from error
    return system, name


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _time_of(about: Mapping[str, Any]) -> int:
    """Return the time of the last modification, in ns since 1970; 0 if it is unknown."""
    value = next((about[name] for name in _TIMES if about.get(name)), 0)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0
    seconds = value.timestamp() if isinstance(value, datetime) else value
    return int(seconds * 1e9) if isinstance(seconds, int | float) else 0
