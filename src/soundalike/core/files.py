"""Paths and files: absolute names that mean what the system means, and files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from soundalike.core.errors import AudioError, UsageError

__all__ = ["absolute", "content_hash", "make_folder", "read_json", "size_of", "write_json", "write_whole"]


def absolute(path: Path) -> Path:
    """`path` from the root, with links kept as they are; only a `..`, which may follow a link, has to be resolved.

    Raises OSError if the working directory is gone.
    """
    return path.resolve() if ".." in path.parts else Path(os.path.abspath(path))


def make_folder(path: Path, option: str) -> None:
    """Make a folder to write to, where there is none. Raises UsageError naming the option that chose it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}; give another folder to {option}") from error


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; those that go away meanwhile do not count."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises UsageError if it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged: not JSON ({error})") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people to read, whole or not at all. Raises UsageError if it cannot be written."""
    content = (json.dumps(value, indent=1) + "\n").encode()
    write_whole(path, lambda file: file.write(content))


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Whatever interrupts it, `path` holds what it held before, or all of the new. Raises UsageError if it cannot be
    written.
    """
    try:
        handle, partial = tempfile.mkstemp(dir=path.absolute().parent, prefix=".soundalike-")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(partial).chmod(0o644)  # mkstemp makes files for their owner alone
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another place") from error


def content_hash(path: Path) -> str:
    """BLAKE2b-128 of the file's bytes. Raises AudioError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}") from error
