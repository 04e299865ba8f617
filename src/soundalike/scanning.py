"""Which files there are, and whether their content is known: what `index` looks at before it listens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike import registry
from soundalike.errors import AudioError, UsageError

__all__ = ["File", "content_hash", "scan", "under"]


@dataclass(frozen=True, slots=True)
class File:
    """A file to consider, found below `root`; size in bytes and modification time as the file system says."""

    path: Path
    root: Path
    size: int
    mtime_ns: int


def scan(sources: Sequence[Path], failed: list[tuple[str, str]]) -> dict[Path, File]:
    """Every file to consider, by absolute path. A source that is not there is listed as failed."""
    files: dict[Path, File] = {}
    found = 0
    for source in sources:
        try:
            dataset = registry.load("datasets", "folder", root=source)
        except UsageError as error:
            failed.append((str(source), str(error)))
            continue
        found += 1
        for item in dataset.items():
            try:
                status = item.path.stat()
            except OSError as error:
                failed.append((str(item.path), f"cannot be read: {error.strerror}"))
                continue
            root = source if source.is_dir() else source.parent
            files.setdefault(item.path, File(item.path, root, status.st_size, status.st_mtime_ns))
        failed += [(str(folder), f"folder cannot be read: {why}") for folder, why in dataset.unreadable]
    if not found:
        raise UsageError(f"{failed[0][0]}: {failed[0][1]}" if failed else "no folder was given")
    return files


def content_hash(path: Path) -> str:
    """BLAKE2b-128 of the file's bytes. Raises AudioError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}") from error


def under(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of `folders`, or below one."""
    return any(path == folder or folder in path.parents for folder in folders)
