"""Find the audio files under folders, before anything is encoded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundalike.core import plugins
from soundalike.core.errors import UsageError

__all__ = ["File", "FoundFiles", "find_files", "under"]


@dataclass(frozen=True, slots=True)
class File:
    """A file found below `root`, with its size in bytes and its modification time."""

    path: Path
    root: Path
    size: int
    mtime_ns: int


@dataclass(slots=True)
class FoundFiles:
    """The files under the sources by absolute path, the sources that exist, and what could not be read."""

    files: dict[Path, File] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def find_files(sources: Sequence[Path]) -> FoundFiles:
    """Find every file below the sources (absolute paths). Raises UsageError if no source exists."""
    seen = FoundFiles()
    for source in sources:
        try:
            dataset = plugins.load("datasets", "folder", root=source)
        except UsageError as error:
            seen.failed.append((str(source), str(error)))
            continue
        seen.sources.append(source)
        for item in dataset.items():
            try:
                status = item.path.stat()
            except OSError as error:
                seen.failed.append((str(item.path), f"cannot be read: {error.strerror}"))
                continue
            if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end, or never start
                seen.failed.append((str(item.path), "not a regular file"))
                continue
            root = source if source.is_dir() else source.parent
            seen.files.setdefault(item.path, File(item.path, root, status.st_size, status.st_mtime_ns))
        for folder, why in dataset.unreadable:
            seen.unreadable.append(folder)
            seen.failed.append((str(folder), f"folder cannot be read: {why}"))
    if not seen.sources:
        raise UsageError(f"{seen.failed[0][0]}: {seen.failed[0][1]}" if seen.failed else "no folder was given")
    return seen


def under(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of `folders` or lies below one."""
    name = str(path)
    return any(name == (base := str(folder)) or name.startswith(base.rstrip(os.sep) + os.sep) for folder in folders)
