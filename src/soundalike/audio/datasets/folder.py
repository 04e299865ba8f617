"""Dataset `folder`: the audio and video files below a folder, selected by their suffix."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from soundalike.audio.stream import AUDIO_SUFFIXES
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["FolderDataset", "create"]


def create(root: Path) -> FolderDataset:
    """Return the dataset of the recordings below `root`, or of `root` itself if it is a file.

    Raises:
        UsageError: `root` does not exist, or is neither a folder nor a regular file.

    Example:
        >>> [item.path.name for item in create(Path("music")).items()]
        ['a.ogg', 'b.flac']
    """
    return FolderDataset(root)


class FolderDataset:
    """The recordings below a folder.

    Links to folders are followed, but each folder is visited once. Hidden files are skipped. After an iteration,
    `unreadable` lists the folders that could not be read, each with the reason.
    """

    def __init__(self, root: Path) -> None:
        try:
            mode = root.stat().st_mode
        except FileNotFoundError as error:
            raise UsageError("not found; give a folder of music or an audio file") from error
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}; give a folder of music or an audio file") from error
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise UsageError("neither a folder nor a regular file; give a folder of music or an audio file")
        self.root = root
        self.unreadable: list[tuple[Path, str]] = []

    def items(self) -> Iterator[Item]:
        """Yield every recording, sorted by name within each folder."""
        if self.root.is_file():
            yield Item(self.root)
            return
        visited: set[tuple[int, int | str]] = set()
        stack = [self.root]
        while stack:
            folder = stack.pop()
            try:
                status = folder.stat()
                # Some network file systems number nothing: every folder is number 0 there.
                identity = (status.st_dev, status.st_ino or os.path.realpath(folder))
                if identity in visited:
                    continue
                visited.add(identity)
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                self.unreadable.append((folder, error.strerror or str(error)))
                continue
            folders = []
            for entry in entries:
                # Hidden files are not music: macOS writes "._song.mp3" beside every song on disks of other systems.
                if entry.name.startswith("."):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError:  # a link to itself
                    is_folder = False
                if is_folder:
                    folders.append(Path(entry.path))
                elif Path(entry.name).suffix.lower() in AUDIO_SUFFIXES:
                    yield Item(Path(entry.path))
            stack += reversed(folders)
