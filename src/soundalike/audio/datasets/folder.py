"""Dataset `folder`: the audio and video files below a folder, selected by their suffix."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from soundalike.audio.datasets.ignore import IGNORE_FILE, IgnoreRules
from soundalike.audio.suffixes import is_system_folder, why_skipped
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["FolderDataset", "create"]


def create(root: Path, exclude: Sequence[str] = ()) -> FolderDataset:
    """Return the dataset of the recordings below `root`, or of `root` itself if it is a file.

    Args:
        root: A folder or a recording.
        exclude: Patterns of files and folders to leave out, in the syntax of gitignore, relative to the folder.

    Raises:
        UsageError: `root` does not exist, or is neither a folder nor a regular file.

    Example:
        >>> [item.path.name for item in create(Path("music")).items()]
        ['a.ogg', 'b.flac']
    """
    return FolderDataset(root, exclude)


class FolderDataset:
    """The recordings below a folder.

    Links to folders are followed, but each folder is visited once. A file `.soundalikeignore` in any folder holds
    patterns of what to leave out below this folder, see `soundalike.audio.datasets.ignore`.

    Attributes:
        root: The folder, or a single recording.
        unreadable: After an iteration, the folders that could not be read, each with the reason.
        skipped: After an iteration, the number of files and folders that were passed over, by reason.
        excluded: After an iteration, the recordings and folders that patterns excluded.
        mounts: After an iteration, the folders below `root` that lie on another device than the folder above them.
    """

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
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
        self.excluded: list[Path] = []
        self.mounts: list[Path] = []
        self._rules = IgnoreRules(root if stat.S_ISDIR(mode) else root.parent, exclude)

    def items(self) -> Iterator[Item]:
        """Yield every recording, sorted by name within each folder."""
        if self.root.is_file():
            if not self._is_excluded(self._rules, str(self.root)):
                yield Item(self.root)
            return
        visited: set[tuple[int, int | str]] = set()
        stack: list[tuple[Path, int | None, IgnoreRules]] = [(self.root, None, self._rules)]
        while stack:
            folder, device_above, rules = stack.pop()
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
            if any(entry.name == IGNORE_FILE for entry in entries):
                try:
                    rules = rules.with_file(folder / IGNORE_FILE)
                except (OSError, ValueError) as error:  # what it would exclude is not known
                    self.unreadable.append((folder, f"{IGNORE_FILE}: {getattr(error, 'strerror', None) or error}"))
                    continue
            folders = []
            for entry in entries:
                try:
                    is_folder = entry.is_dir()
                except OSError:  # a link to itself
                    is_folder = False
                if is_folder and is_system_folder(entry.name):
                    self.skipped["folders of trash, version control or the system"] += 1
                elif is_folder:
                    if not self._is_excluded(rules, entry.path, is_folder=True):
                        folders.append((Path(entry.path), status.st_dev, rules))
                elif reason := _why_not(entry):
                    self.skipped[reason] += entry.name != IGNORE_FILE
                elif not self._is_excluded(rules, entry.path):
                    yield Item(Path(entry.path))
            stack += reversed(folders)

    def _is_excluded(self, rules: IgnoreRules, path: str, *, is_folder: bool = False) -> bool:
        """Whether patterns exclude a recording or folder, which then is counted."""
        excluded = rules.exclude(path, is_folder=is_folder)
        if excluded:
            self.excluded.append(Path(path))
            self.skipped["excluded folders" if is_folder else "excluded files"] += 1
        return excluded


def _why_not(entry: os.DirEntry[str]) -> str | None:
    """Why an entry that is no folder is not a recording; None if it is one."""
    if reason := why_skipped(entry.name):
        return reason
    suffix = Path(entry.name).suffix.lower()
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
