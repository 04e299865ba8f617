"""Absolute paths, atomic writes, JSON files and content hashes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.spelling import as_listed

__all__ = ["absolute", "as_path", "content_hash", "make_folder", "read_json", "size_of", "write_atomic", "write_json"]


def absolute(path: Path) -> Path:
    """Return `path` as an absolute path without resolving links.

    A path that contains `..` is resolved, because `..` may follow a link. On macOS and Windows, names are those that
    their folders list, whatever their spelling (see `core.spelling`).

    Raises:
        OSError: The working directory no longer exists.

    Example:
        >>> absolute(Path("/music/song.wav"))
        PosixPath('/music/song.wav')
    """
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
        UsageError: The folder cannot be created.
    """
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
    """Write a file atomically: fill a temporary file in the same folder, then rename it to `path`.

    After an interruption `path` has either its old content or all of the new content.

    Args:
        path: The file to write.
        write: Called once with the temporary file, open in binary mode.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> write_atomic(Path("notes.txt"), lambda file: file.write(b"content"))
    """
    try:
        handle, partial = tempfile.mkstemp(dir=path.absolute().parent, prefix=".soundalike-")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(partial).chmod(0o644)  # mkstemp creates files that only their owner can read
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another place") from error


def content_hash(path: Path) -> str:
    """Return the BLAKE2b-128 digest of a file's bytes as 32 hex digits. Raises AudioError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}") from error
