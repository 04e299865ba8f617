"""Which files of a library are there, and which may lie on a disk that is not mounted."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from soundalike.core.files import is_left_by_system
from soundalike.core.object_stores import is_remote

__all__ = ["folder_is_there", "holds_no_file", "is_gone", "is_there", "paths_by_absent_folder"]

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_is_file = os.path.isfile


def is_there(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether a file can be found at this moment. False too if its folder cannot be read. Objects count as found."""
    return _is_file(path) or is_remote(path)


def folder_is_there(path: Path) -> bool:
    """Whether a folder exists and has any entry: the mount point of a disk that is away is empty, or gone."""
    return _has_entries(path) or is_remote(path)


def _has_entries(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def is_gone(path: Path) -> bool:
    """Whether the system says that there is no such file. False if it cannot say: on a disk that fails, for objects."""
    if is_remote(path):
        return False
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return error.errno in _NOT_THERE


def holds_no_file(folder: Path) -> bool:
    """Whether a folder does not exist, or holds no file at any depth: as the mount point of a disk that is away.

    False if a folder cannot be read.
    """
    if not folder.is_dir():
        return is_gone(folder)
    try:
        return all(is_left_by_system(name) for _, _, names in os.walk(folder, onerror=_raise) for name in names)
    except OSError:
        return False


def _raise(error: OSError) -> None:
    raise error


def paths_by_absent_folder(
    gone: Iterable[Path], sources: Iterable[Path], roots: Mapping[Path, Path]
) -> dict[Path, list[Path]]:
    """Group the files that may lie on a disk that is not mounted by the folder that is empty or missing.

    A file belongs to the topmost folder, from the source down, that holds no file. It counts as possibly away if

    - at least two known files were in that folder, or it is a source itself, or
    - the folder is a link, or the file was indexed from a mount point or source of its own inside it.

    A single deleted file, and files deleted from a folder that holds others, are not away.

    Args:
        gone: The paths of known files that do not exist: of tracks, and of files that could not be read.
        sources: The existing folders that were searched for them.
        roots: The folders that files were indexed from, as far as they are known: a source, or a mount point below it.

    Example:
        >>> list(paths_by_absent_folder(paths, [Path("/media")], {}))
        [PosixPath('/media/usb')]
    """
    given = set(sources)
    is_bare = cache(holds_no_file)
    groups: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(gone):
        above = [folder for folder in _down_to(path.parent) if given & {folder, *folder.parents}]
        bare = next((folder for folder in above if is_bare(folder)), None)
        if bare is not None:
            groups.setdefault(bare, []).append(path)

    def has_own_root(folder: Path, path: Path) -> bool:
        root = roots.get(path)
        return root is not None and root not in given and (root == folder or folder in root.parents)

    return {
        folder: paths
        for folder, paths in groups.items()
        if len(paths) > 1 or folder in given or folder.is_symlink() or any(has_own_root(folder, path) for path in paths)
    }


def _down_to(folder: Path) -> Iterator[Path]:
    """The folders from the root of the file system down to a folder."""
    yield from (*reversed(folder.parents), folder)
