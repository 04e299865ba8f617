"""Find the audio files under folders, before anything is encoded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundalike.core import plugins
from soundalike.core.errors import UsageError

__all__ = ["File", "FoundFiles", "Places", "find_files"]


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


class Places:
    """Folders and files that tell which of them hold a path: are it, or lie above it.

    The time per path depends on its depth and not on the number of places, so that 300 places cost no more than one.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self._places = {str(place): place for place in places}
        self._above: dict[str, tuple[Path, ...]] = {}

    def holding(self, path: Path) -> tuple[Path, ...]:
        """Return the places that are this path or lie above it, the deepest first.

        Example:
            >>> Places([Path("/music"), Path("/music/new")]).holding(Path("/music/new/song.mp3"))
            (PosixPath('/music/new'), PosixPath('/music'))
        """
        name = str(path)
        own = self._places.get(name)
        above = self._holding_folder(name)
        return above if own is None else (own, *above)

    def _holding_folder(self, name: str) -> tuple[Path, ...]:
        """Return the places above a name. Tracks of one folder share the answer."""
        folder = os.path.split(name)[0]
        if folder == name:
            return ()
        if folder not in self._above:
            own = self._places.get(folder)
            above = self._holding_folder(folder)
            self._above[folder] = above if own is None else (own, *above)
        return self._above[folder]
