"""Change which files the entries of a library stand for, without decoding: remove tracks, and follow moved files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.files import content_hash
from soundalike.core.spelling import other_forms
from soundalike.core.text import quoted
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.schema import CATALOG_FILES
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.find_files import Places
from soundalike.library.presence import is_there
from soundalike.library.snapshot_arrays import DERIVED
from soundalike.library.writer_lock import writer_lock

__all__ = ["MoveReport", "discard_if_empty", "move_tracks", "remove_at", "remove_tracks", "tracks_at"]

_ROW_FILE = re.compile(r"(?:track|passage|feature)\..+\.(?:f32|i8|on|crc)")
_BATCH = 64
"""Files that are verified before their entries are committed."""


@dataclass(slots=True)
class MoveReport:
    """What `move_tracks` did.

    Attributes:
        moved: The number of entries that follow their files.
        failed: The old paths of tracks that stay as they are, each with the reason.
    """

    moved: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def tracks_at(library: LibraryFolder, paths: Sequence[Path]) -> list[Track]:
    """The tracks at absolute paths, and all tracks below them, each once.

    As for `Catalog.id_at`, a path typed as NFC finds what macOS listed as NFD, and the reverse.

    Raises:
        UsageError: The library holds no track at one of the paths.
    """
    forms = _forms(paths)
    tracks = _tracks_at(library, paths, forms)
    _check_held(library, paths, forms, [track.path for track in tracks])
    return tracks


def remove_at(library: LibraryFolder, paths: Sequence[Path]) -> int:
    """Remove the tracks and failures at absolute paths and below them, not their files; returns how many tracks.

    Raises:
        UsageError: The library holds nothing at one of the paths. Nothing is removed then.
    """
    forms = _forms(paths)
    tracks = _tracks_at(library, paths, forms)
    failures = [path for path in library.catalog.failures.all() if forms.holding(path)]
    _check_held(library, paths, forms, [*(track.path for track in tracks), *failures])
    return remove_tracks(library, tracks, failures)


def remove_tracks(library: LibraryFolder, tracks: Sequence[Track], failures: Sequence[Path] = ()) -> int:
    """Remove tracks, not their files, and failures, also those at the same paths; returns how many tracks."""
    ids = {track.id for track in tracks}
    with library.catalog.transaction():
        library.catalog.remove(ids)
        library.catalog.failures.forget([*(track.path for track in tracks), *failures])
    return len(ids)


def _forms(paths: Iterable[Path]) -> Places:
    """Paths in every form in which the library may hold them."""
    return Places(form for path in paths for form in (path, *other_forms(path)))


def _tracks_at(library: LibraryFolder, paths: Sequence[Path], forms: Places) -> list[Track]:
    """The tracks at and below paths, in one pass over the library, or in none if each is the path of a track."""
    exact = [library.catalog.track_at(path) for path in paths]
    found = {track.id: track for track in exact if track}
    if not all(exact):
        found |= {track.id: track for track in library.catalog.tracks() if forms.holding(track.path)}
    return list(found.values())


def _check_held(library: LibraryFolder, paths: Sequence[Path], forms: Places, held: Iterable[Path]) -> None:
    """Raise UsageError if nothing that the library holds is at or below one of the paths."""
    holders = {place for path in held for place in forms.holding(path)}
    for path in paths:
        if holders.isdisjoint((path, *other_forms(path))):
            raise UsageError(
                f"{path} is not in the library at {library.path}, nor is any file below it; "
                "see what it holds with: soundalike library ls"
            )


def move_tracks(
    library: LibraryFolder, old: Path, new: Path, progress: Callable[[int, int], None] | None = None
) -> MoveReport:
    """Let entries follow a file, or all files of a folder, to a new place. Nothing is decoded.

    Each file must be at its new place, with the content that the library knows, and no longer at the old one. An entry
    that the library holds for the new place already is replaced.

    Args:
        library: The library, open for writing.
        old: The absolute path of a track, or of a folder with tracks below it.
        new: Where the file or the folder is now; for a file it may be the folder that holds it.
        progress: Called with files verified and all files.

    Raises:
        UsageError: The library holds nothing at `old`, or there is nothing at `new`.
        LibraryError: The library cannot be written.

    Example:
        >>> move_tracks(library, Path("/music"), Path("/mnt/disk/music")).moved
        12
    """
    targets = _targets(library, old, new)
    root = new if new.is_dir() else new.parent
    report = MoveReport()
    for first in range(0, len(targets), _BATCH):
        verified = []
        for number, (track, place) in enumerate(targets[first : first + _BATCH], start=first + 1):
            reason = _why_not(track, place)
            if reason:
                report.failed.append((str(track.path), reason))
            else:
                verified.append((track, place))
            if progress:
                progress(number, len(targets))
        with library.catalog.transaction():
            library.catalog.database.will_change(track.id for track, _ in verified)  # at once, not one by one
            for track, place in verified:
                _follow(library, track, place, root)
        report.moved += len(verified)
    return report


def discard_if_empty(path: Path) -> bool:
    """Delete the files of a library that holds neither tracks nor failures; returns whether there is no library now.

    The folder stays, and other files in it. No other process can write meanwhile: the lock of the writer goes last.

    Raises:
        LibraryError: The library is corrupt, or another process is writing to it.
    """
    if not (path / "catalog.sqlite").exists():
        return True
    with writer_lock(path):
        with closing(Catalog(path / "catalog.sqlite", writable=True)) as catalog:
            counts = catalog.counts()
        if counts["tracks"] or counts["failures"]:
            return False
        locks = sorted((file for file in path.iterdir() if file.name.startswith("writer.lock")), reverse=True)
        for file in path.iterdir():
            if file.name in (DERIVED, *CATALOG_FILES) or _ROW_FILE.fullmatch(file.name):
                if file.is_dir():
                    shutil.rmtree(file)
                elif file not in locks:
                    file.unlink(missing_ok=True)
        kept = [file for file in locks if not _is_deleted(file)]
    for file in kept:  # Windows keeps files that are open, also those that another process has opened since
        _is_deleted(file)
    return True


def _is_deleted(file: Path) -> bool:
    """Delete a file if the system lets us."""
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _targets(library: LibraryFolder, old: Path, new: Path) -> list[tuple[Track, Path]]:
    """The tracks to move, each with the path at which its file should be now."""
    tracks, forms = tracks_at(library, [old]), (old, *other_forms(old))
    if not new.exists():
        raise UsageError(f"{new}: not found; move the files there first, then tell the library")
    if tracks[0].path in forms:
        return [(tracks[0], new / tracks[0].path.name if new.is_dir() else new)]
    if not new.is_dir():
        raise UsageError(f"{new} is a file, and {old} is a folder with {len(tracks)} tracks; give their new folder")
    # The deepest first: NEW may lie inside OLD, and then a file may have come to the place of another one.
    tracks = sorted(tracks, key=lambda track: -len(track.path.parts))
    below = [(track, _relative(track.path, forms)) for track in tracks]
    moved = [(track, new / name) for track, name in below]
    if (new / old.name).is_dir() and not any(place.exists() for _, place in moved):
        # `mv OLD NEW` puts OLD inside NEW if NEW exists.
        return [(track, new / old.name / name) for track, name in below]
    return moved


def _relative(path: Path, folders: Iterable[Path]) -> Path:
    """A path relative to the one of the folders that it lies in."""
    return next(path.relative_to(folder) for folder in folders if folder in path.parents)


def _why_not(track: Track, place: Path) -> str | None:
    """Why a track cannot follow its file to a place; None if it can."""
    if not is_there(place):
        return f"its file is not at {place}"
    if is_there(track.path) and not track.path.samefile(place) and _holds_content(track.path, track):
        return (
            f"its file is still there, so that {place} is a copy; add the copy with: soundalike index {quoted(place)}"
        )
    try:
        same = _holds_content(place, track)
    except (AudioError, OSError) as error:
        return f"{place}: {error}"
    return None if same else f"{place} has other content; encode it with: soundalike index {quoted(place)}"


def _holds_content(path: Path, track: Track) -> bool:
    return path.stat().st_size == track.size and content_hash(path) == track.content_hash


def _follow(library: LibraryFolder, track: Track, place: Path, root: Path) -> None:
    """Change the path of an entry. Inside a transaction."""
    catalog = library.catalog
    held = catalog.id_at(place)
    if held not in (None, track.id):
        catalog.remove([held])
    catalog.put_track(
        root, replace(track, path=place, mtime_ns=place.stat().st_mtime_ns, missing=False, unreadable=False)
    )
    catalog.failures.forget([place])
