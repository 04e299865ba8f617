"""Find the audio files under folders, before anything is encoded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundalike.audio import is_system_folder, why_skipped
from soundalike.audio.datasets import IgnoreRules
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.object_stores import is_remote, list_objects, url_of
from soundalike.core.text import quoted

__all__ = ["File", "FoundFiles", "Places", "describe_absent", "find_files", "held_below", "state_of_files"]


@dataclass(frozen=True, slots=True)
class File:
    """A file with its size in bytes and its modification time.

    `root` is the folder that was given, or below it the mount point of the disk that holds the file.
    """

    path: Path
    root: Path
    size: int
    mtime_ns: int


@dataclass(slots=True)
class FoundFiles:
    """The files below the sources.

    Attributes:
        files: The files by absolute path.
        sources: The sources that exist.
        absent: The sources that do not exist or cannot be used, each with the reason.
        unreadable: Folders that could not be read, each with the reason.
        broken: Files whose size and time cannot be read, such as links to nowhere, each with the reason.
        excluded: Files and folders that patterns exclude.
        skipped: The number of files and folders that were passed over, by reason.
    """

    files: dict[Path, File] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
    absent: list[tuple[Path, str]] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    broken: dict[Path, tuple[File, str]] = field(default_factory=dict)
    excluded: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def find_files(sources: Sequence[Path], exclude: Sequence[str] = ()) -> FoundFiles:
    """Find every file below the sources.

    Args:
        sources: Folders and recordings, as absolute paths; see `core.files.absolute` for those in object
            stores.
        exclude: Patterns of what to leave out, in the syntax of gitignore, relative to each source. Files
            `.soundalikeignore` below the sources hold further patterns.

    Example:
        >>> [path.name for path in find_files([Path("/music")]).files]
        ['song.mp3']
    """
    found = FoundFiles()
    for source in sources:
        if is_remote(source):
            _find_objects(found, source, exclude)
            continue
        try:
            dataset = plugins.load("datasets", "folder", root=source, exclude=exclude)
        except UsageError as error:
            found.absent.append((source, str(error)))
            continue
        found.sources.append(source)
        paths = [item.path for item in dataset.items()]
        mounts, root = Places(dataset.mounts), source if source.is_dir() else source.parent
        for path in paths:
            own_root = next(iter(mounts.holding(path)), root)
            try:
                status = path.stat()
            except OSError as error:
                broken = File(path, own_root, 0, path.lstat().st_mtime_ns if path.is_symlink() else 0)
                found.broken.setdefault(path, (broken, f"cannot be read: {error.strerror}"))
                continue
            found.files.setdefault(path, File(path, own_root, status.st_size, status.st_mtime_ns))
        found.unreadable += dataset.unreadable
        found.excluded += dataset.excluded
        found.skipped += dataset.skipped
    return found


def _find_objects(found: FoundFiles, source: Path, exclude: Sequence[str]) -> None:
    """Find the recordings below a path of an object store."""
    try:
        objects = list_objects(source)
    except UsageError as error:
        found.absent.append((source, str(error).removeprefix(url_of(source)).lstrip(": ")))
        return
    found.sources.append(source)
    rules = IgnoreRules(source, exclude)
    for one in objects:
        # Some stores name objects without the host of the URL.
        folders = one.path.parts[len(source.parts) if one.path.is_relative_to(source) else 0 : -1]
        if any(map(is_system_folder, folders)):
            found.skipped["files in folders of trash, version control or the system"] += 1
        elif one.path != source and (reason := why_skipped(one.path.name)):
            found.skipped[reason] += 1
        elif rules.exclude(str(one.path)):
            found.excluded.append(one.path)
            found.skipped["excluded files"] += 1
        else:
            found.files.setdefault(one.path, File(one.path, source, one.size, one.mtime_ns))


def state_of_files(sources: Sequence[Path], exclude: Sequence[str] = ()) -> object:
    """What changes when there is something to index below the sources, or a folder appears or disappears.

    Example:
        >>> state_of_files([Path("/music")]) == state_of_files([Path("/music")])
        True
    """
    found = find_files(sources, exclude)
    return found.files, found.broken, found.sources, found.unreadable


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


def held_below(places: Sequence[Path], paths: Iterable[Path]) -> Counter[Path]:
    """The number of paths below each place."""
    holders = Places(places)
    return Counter(place for path in paths for place in holders.holding(path))


def describe_absent(source: Path, reason: str, held: int) -> str:
    """Why a source cannot be indexed, and what to do with the tracks that the library holds below it."""
    if not held:
        return reason
    return (
        f"not found, but the library holds {held:,} {'track' if held == 1 else 'tracks'} below it; index the folder to "
        f"which they moved, or remove them with: soundalike library remove {quoted(source)}"
    )
