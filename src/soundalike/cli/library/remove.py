"""`soundalike library remove`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundalike.api.records.remove import RemoveRecord
from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, library_option, option, where_option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_json
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import absolute

__all__ = ["remove"]


@command("remove")
@argument(
    "paths", nargs=-1, type=GIVEN_PATH, metavar="[PATH]...", help="Tracks, and folders for all tracks below them."
)
@where_option("Instead of paths: the tracks")
@option("--missing", is_flag=True, help="Instead of paths: all tracks whose files are not there.")
@library_option()
@json_option()
def remove(paths: Sequence[Path], where: str | None, missing: bool, library_path: Path | None, as_json: bool) -> int:
    """Remove tracks from the library, not their files.

    Failures of files at these paths are forgotten too. If the library holds nothing at a path, nothing is removed. The
    next `soundalike index` of their folder adds the tracks again, if the files are there. Their rows stay on disk until
    `soundalike library vacuum`.

    \b
      soundalike library remove song.mp3 Music/demos
      soundalike library remove --where 'genre = podcast'
      soundalike library remove --missing
    """
    if bool(paths) + (where is not None) + missing != 1:
        raise UsageError("give either paths, or --where, or --missing, to say which tracks to remove")
    with chosen_library(library_path) as library:
        removed = library.remove(*(absolute(path) for path in paths), where=where, missing=missing)
        record = RemoveRecord(str(library.location), removed, len(library))
    if as_json:
        print_json(record)
    else:
        print(f"{count(removed, 'track')} removed")
        print(f"{count(record.tracks, 'track')} in the library at {one_line(record.library)}")
    return 0
