"""Take the files of results to where they are used: a folder, or the player of the system."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from soundalike.cli.cells import count, near
from soundalike.cli.output import print_message
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import make_folder

__all__ = ["take_files"]


def take_files(
    paths: Sequence[str], *, copy_to: Path | None = None, link_to: Path | None = None, play: bool = False
) -> int:
    """Copy or link files into a folder, or play them.

    A file that is there already with the same content is left alone; another file of that name stays, and the new one
    gets a number.

    Args:
        paths: The files.
        copy_to: The folder to copy them to; it is made if it does not exist.
        link_to: The folder to link them into.
        play: Whether to open them with the player of the system.

    Returns:
        The exit code: 0, or 1 if some files could not be taken.

    Raises:
        UsageError: A folder cannot be made, or the system has no player.
    """
    failed = 0
    for folder, verb, take in ((copy_to, "copied", _copy), (link_to, "linked", _link)):
        if folder is not None:
            failed += _take_all(paths, folder, verb, take)
    if play and paths:
        _play(paths)
    return 1 if failed else 0


def _take_all(paths: Sequence[str], folder: Path, verb: str, take: Callable[[Path, Path], None]) -> int:
    make_folder(folder, f"--{'copy' if verb == 'copied' else 'link'}-to")
    failed = 0
    for path in map(Path, paths):
        try:
            place = _free_place(path, folder)
            if place is not None:
                take(path, place)
        except OSError as error:
            failed += 1
            print_message(f"{path}: {error.strerror or error}", "failed")
    print(f"{count(len(paths) - failed, 'file')} {verb}: {one_line(near(str(folder)))}", file=sys.stderr)
    return failed


def _free_place(path: Path, folder: Path) -> Path | None:
    """Where a file goes in a folder; None if it is there already."""
    number = 1
    place = folder / path.name
    while os.path.lexists(place):
        if place.exists() and filecmp.cmp(place, path, shallow=False):
            return None
        number += 1
        place = folder / f"{path.stem} ({number}){path.suffix}"
    return place


def _copy(path: Path, place: Path) -> None:
    partial = place.with_name(f".{place.name}.part")
    try:
        shutil.copy2(path, partial)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def _link(path: Path, place: Path) -> None:
    try:
        place.symlink_to(path.absolute())
    except OSError:
        if sys.platform != "win32":
            raise
        place.hardlink_to(path)  # symbolic links need a privilege there


def _play(paths: Sequence[str]) -> None:
    """Open a playlist of the files with whatever the system opens playlists with."""
    from soundalike.search import PlaylistEntry, make_playlist

    with tempfile.NamedTemporaryFile(prefix="soundalike-", suffix=".m3u8", delete=False) as file:
        file.write(make_playlist([PlaylistEntry(path) for path in paths]).content)
    if sys.platform == "win32":
        os.startfile(file.name)
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(opener) is None:
        raise UsageError(f"--play needs {opener}, which is not installed; open the playlist {file.name} yourself")
    done = subprocess.run([opener, file.name], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode:
        raise UsageError(f"{opener} could not open the playlist {file.name}; open it yourself")
