"""Files in object stores: listed, read and written with fsspec, and held by libraries under paths made of their URLs.

The object `s3://bucket/a.flac` has the path `/s3:/bucket/a.flac`, which `core.files.absolute` returns. No file is
expected there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from soundalike.core.errors import AudioError, SoundalikeError, UsageError, one_line
from soundalike.core.files import absolute

__all__ = [
    "StoredObject",
    "is_remote",
    "is_taken",
    "list_objects",
    "local_copy",
    "local_folder",
    "local_path",
    "local_target",
    "name_of",
    "url_of",
]

_REMOTE = re.compile(r"/([a-z][a-z0-9+.-]+):/(.*)", re.DOTALL)
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems of fsspec call the time of the last modification."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: its path in a library, its size in bytes, and its time in ns since 1970, 0 if the store has none."""

    path: Path
    size: int
    mtime_ns: int


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


def name_of(given: Path) -> str:
    """Return what the user gave for messages: a path as typed, or a URL.

    Example:
        >>> name_of(Path("s3://bucket/library")), name_of(Path("library"))
        ('s3://bucket/library', 'library')
    """
    path = absolute(given)
    return url_of(path) if is_remote(path) else str(given)


def local_path(given: Path) -> Path:
    """Return a path of files as the user gave it, or the absolute one if it is a `file:` URL.

    Example:
        >>> local_path(Path("file:///music")), local_path(Path("music"))
        (PosixPath('/music'), PosixPath('music'))
    """
    return absolute(given) if str(given).startswith("file:") else given


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
        system.invalidate_cache()  # listings are kept as long as the process lives
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


@contextmanager
def local_folder(given: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a folder with some files: the folder itself, or copies of objects, which are deleted afterwards.

    Args:
        given: A folder, or the URL of one.
        names: The files to copy. Those that are missing in the store are left out.

    Raises:
        UsageError: An object cannot be read.

    Example:
        >>> with local_folder(Path("s3://bucket/backup"), ["library.json"]) as folder:
        ...     [file.name for file in folder.iterdir()]
        ['library.json']
    """
    source = absolute(given)
    if not is_remote(source):
        yield local_path(given)
        return
    url = url_of(source)
    system, root = _open(url)
    with TemporaryDirectory(prefix="soundalike-") as made:
        folder = Path(made)
        for name in names:
            try:
                system.get_file(f"{root}/{name}", str(folder / name))
            except FileNotFoundError:
                (folder / name).unlink(missing_ok=True)
            except Exception as error:
                raise UsageError(f"{url}/{name} cannot be read: {_reason(error)}") from error
        try:
            yield folder
        except SoundalikeError as error:
            raise type(error)(str(error).replace(made, url)) from error


@contextmanager
def local_target(given: Path, *, last: str = "") -> Iterator[Path]:
    """Yield a path to write a file or a folder of files to, and store it at the end of the block if a URL was given.

    An object appears when it is complete. If an object of a folder cannot be stored, new ones before it are deleted.

    Args:
        given: A path, which is yielded as it is, or a URL.
        last: The file of a folder that is stored after all others, so that it vouches for them.

    Raises:
        UsageError: The store cannot be written.

    Example:
        >>> with local_target(Path("s3://bucket/vectors.npz")) as file:
        ...     file.write_bytes(b"vectors")
        7
    """
    target = absolute(given)
    if not is_remote(target):
        yield local_path(given)
        return
    url = url_of(target)
    system, root = _open(url)
    with TemporaryDirectory(prefix="soundalike-") as made:
        place = Path(made) / target.name
        try:
            yield place
        except SoundalikeError as error:
            raise type(error)(str(error).replace(str(place), url)) from error
        files = {root: place} if place.is_file() else {f"{root}/{file.name}": file for file in place.iterdir()}
        new: list[str] = []
        try:
            for name, file in sorted(files.items(), key=lambda one: (one[1].name == last, one[0])):
                if place.is_dir() and not system.exists(name):
                    new.append(name)
                system.put_file(str(file), name)
        except BaseException as error:
            for name in new:
                with suppress(Exception):
                    system.rm_file(name)
            if not isinstance(error, Exception):
                raise
            raise UsageError(f"{url} cannot be written: {_reason(error)}; give another place") from error


def is_taken(given: Path) -> bool:
    """Return whether a store holds anything at or below a URL; False for paths of files.

    Raises:
        UsageError: The store cannot be listed.

    Example:
        >>> is_taken(Path("s3://bucket/backup"))
        False
    """
    target = absolute(given)
    if not is_remote(target):
        return False
    system, root = _open(url_of(target))
    try:
        system.invalidate_cache()
        return bool(system.find(root))
    except FileNotFoundError:
        return False
    except Exception as error:
        raise UsageError(f"{url_of(target)} cannot be listed: {_reason(error)}") from error


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
