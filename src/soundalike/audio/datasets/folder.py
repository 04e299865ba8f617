"""Dataset `folder`: the audio and video files below a folder, selected by their suffix."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from soundalike.audio.suffixes import AUDIO_SUFFIXES, is_system_file, is_system_folder
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

    Links to folders are followed, but each folder is visited once.

    Attributes:
        root: The folder, or a single recording.
        unreadable: After an iteration, the folders that could not be read, each with the reason.
        skipped: After an iteration, the number of files and folders that were passed over, by reason.
        mounts: After an iteration, the folders below `root` that lie on another device than the folder above them.
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
        self.skipped: Counter[str] = Counter()
        self.mounts: list[Path] = []

    def items(self) -> Iterator[Item]:
        """Yield every recording, sorted by name within each folder."""
        if self.root.is_file():
            yield Item(self.root)
            return
        visited: set[tuple[int, int | str]] = set()
        stack: list[tuple[Path, int | None]] = [(self.root, None)]
        while stack:
            folder, device_above = stack.pop()
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
            if device_above not in (None, status.st_dev):
                self.mounts.append(folder)
            folders = []
            for entry in entries:
                try:
                    is_folder = entry.is_dir()
                except OSError:  # a link to itself
                    is_folder = False
                if is_folder and is_system_folder(entry.name):
                    self.skipped["folders of trash, version control or the system"] += 1
                elif is_folder:
                    folders.append((Path(entry.path), status.st_dev))
                elif reason := _why_not(entry):
                    self.skipped[reason] += 1
                else:
                    yield Item(Path(entry.path))
            stack += reversed(folders)


def _why_not(entry: os.DirEntry[str]) -> str | None:
    """Why an entry that is no folder is not a recording; None if it is one."""
    if is_system_file(entry.name):
        return "._ files of macOS"
    suffix = Path(entry.name).suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        return f"{suffix} files" if suffix else "files without a suffix"
    try:
        if not entry.is_file() and not stat.S_ISREG(entry.stat().st_mode):
            return "pipes and devices"  # they may never end, or never start
        if suffix in _ALSO_SOURCE_CODE and not _is_transport_stream(entry.path):
            return f"{suffix} files that are not video"
    except OSError:
        pass  # whatever reads the recording reports it
    return None


_ALSO_SOURCE_CODE = (".ts", ".mts")


def _is_transport_stream(path: str) -> bool:
    """Whether a file begins with two packets of an MPEG transport stream: 188 bytes each, or 4 + 188."""
    with Path(path).open("rb") as file:
        start = file.read(197)
    return any(start[at : at + 1] == start[at + size : at + size + 1] == b"G" for at, size in ((0, 188), (4, 192)))
