"""Absolute paths, atomic writes, JSON files and content hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.spelling import as_listed

__all__ = [
    "FULL_DISK",
    "absolute",
    "as_path",
    "content_hash",
    "foreign_files",
    "is_left_by_system",
    "make_folder",
    "read_json",
    "size_of",
    "sync_folder",
    "write_atomic",
    "write_json",
]

FULL_DISK = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""The error numbers for a full disk, a quota and a limit on the size of files."""


_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)


def absolute(path: Path) -> Path:
    """Return `path` as an absolute path without resolving links.

    A URL of an object store, such as `s3://bucket/a.flac`, gives the path that libraries hold it under, unless a file
    has this name (see `core.object_stores`). A path that contains `..` is resolved, because `..` may follow a link. On
    macOS and Windows, names are those that their folders list, whatever their spelling (see `core.spelling`).

    Raises:
        OSError: The working directory no longer exists.

    Example:
        >>> absolute(Path("/music/song.wav")), absolute(Path("s3://bucket/a.flac"))
        (PosixPath('/music/song.wav'), PosixPath('/s3:/bucket/a.flac'))
    """
    if (found := _URL.fullmatch(str(path))) and not os.path.lexists(path):
        protocol, rest = found.groups()
        return absolute(Path(f"/{rest}")) if protocol == "file" else Path(f"/{protocol}:/{rest}")
    return as_listed(path.resolve() if ".." in path.parts else Path(os.path.abspath(path)))


def as_path(path: str | os.PathLike[str], name: str) -> Path:
    """Return a path given by a user as an absolute path. A leading `~` is the home folder.

    Args:
        path: The path. One that exists as it is written is not expanded.
        name: The name of the argument, for error messages.

    Raises:
        UsageError: `path` is empty, not a path, or not a name that a file can have.

    Example:
        >>> as_path("/music/song.wav", "query")
        PosixPath('/music/song.wav')
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{name} is {path!r}; expected a path")
    try:
        text = os.fsdecode(path)
        if not text:
            raise UsageError(f"{name} is empty; give a file or folder")
        if "\0" in text:
            raise ValueError
        os.fsencode(text)
        typed = Path(text)
        return absolute(typed.expanduser() if text.startswith("~") and not os.path.lexists(text) else typed)
    except (RuntimeError, ValueError):  # an unknown user after ~; NUL or text that has no bytes
        raise UsageError(f"{name} is {path!r}, which is not a valid path") from None


def make_folder(path: Path, option: str) -> None:
    """Create a folder for output, with its parents, unless it exists.

    Args:
        path: The folder.
        option: The command-line option that chose it, named in the error message.

    Raises:
        UsageError: The folder cannot be created, or is one of an object store.
    """
    if (_URL.fullmatch(str(path)) or _URL.fullmatch(str(path)[1:])) and not path.exists():
        raise UsageError(f"cannot write to {path}: expected a folder on a disk, found a URL; give a folder to {option}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}; give another folder to {option}") from error


def size_of(folder: Path) -> int:
    """Return the total size in bytes of the files below a folder. Files that disappear meanwhile are not counted."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises UsageError if it cannot be read or is not valid JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON ({error})") from error


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file atomically. Raises UsageError if it cannot be written."""
    content = (json.dumps(value, indent=1) + "\n").encode()
    write_atomic(path, lambda file: file.write(content))


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file atomically and durably: fill a temporary file in the same folder, sync it, and rename it to `path`.

    After an interruption `path` has either its old content or all of the new content. A link stays, and its target is
    written. A new file has the permissions that the umask leaves, and an existing one keeps its own. A pipe or device,
    such as `/dev/stdout`, is written directly.

    Args:
        path: The file to write.
        write: Called once with the temporary file, open in binary mode.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> write_atomic(Path("notes.txt"), lambda file: file.write(b"content"))
    """
    try:
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            with target.open("wb") as file:
                write(file)
            return
        partial = target.with_name(f".soundalike-{secrets.token_hex(8)}")
        # Not `tempfile`, whose files only their owner can read: this way the system applies the umask.
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "w+b") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                partial.chmod(stat.S_IMODE(mode))
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another place") from error


def sync_folder(folder: Path) -> None:
    """Make the names of new and renamed files in a folder durable. Does nothing where folders cannot be synced.

    Raises:
        OSError: The disk reports an error.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot do this
            raise
    finally:
        os.close(handle)


_SYSTEM_FILES = frozenset(
    {".ds_store", ".localized", "desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r", ".directory"}
)


def foreign_files(folder: Path) -> list[Path]:
    """Return what a folder contains, without the files that file managers put there, such as `.DS_Store`.

    Raises:
        OSError: The folder cannot be read.

    Example:
        >>> foreign_files(Path("new"))
        []
    """
    return [path for path in sorted(folder.iterdir()) if not is_left_by_system(path.name)]


def is_left_by_system(name: str) -> bool:
    """Return whether a file has a name that systems and file managers give to files that they put in any folder.

    Example:
        >>> is_left_by_system(".DS_Store")
        True
    """
    return name.lower() in _SYSTEM_FILES or name.startswith("._")


def content_hash(path: Path) -> str:
    """Return the BLAKE2b-128 digest of a file's bytes as 32 hex digits. Raises AudioError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}") from error
