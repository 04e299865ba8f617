"""`soundalike library import`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, library_option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import library_folder
from soundalike.cli.output import Progress, print_json
from soundalike.core.errors import one_line
from soundalike.core.object_stores import local_folder

__all__ = ["import_folder"]


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """What was added, and the number of tracks after it."""

    library: str
    added: int
    already_there: int
    failures: int
    tracks: int


@command("import")
@argument(
    "folder", type=GIVEN_PATH, metavar="FOLDER", help="What `soundalike library export FOLDER` wrote: a path or URL."
)
@library_option()
@json_option()
def import_folder(folder: Path, library_path: Path | None, as_json: bool) -> int:
    """Add what `soundalike library export FOLDER` wrote, here or elsewhere, without encoding.

    Tracks whose path is already in the library stay as they are. The models need not be installed, but models that the
    library holds must be of the same version. You can interrupt an import at any time: the next one continues.

    \b
      soundalike library import backup --library new
      soundalike library import s3://bucket/backup --library new
    """
    from soundalike.library import LibraryFolder, build_prefilters
    from soundalike.library.exchange import FILES, Export, import_library

    place = library_folder(library_path)
    with local_folder(folder, FILES) as local, Export(local) as exported, LibraryFolder.create(place) as library:
        with Progress("track", enabled=not as_json) as progress:
            report = import_library(library, exported, progress)
        with Progress("row", enabled=not as_json) as progress:
            build_prefilters(library, progress)
        tracks = len(library.catalog)
    if as_json:
        print_json(ImportRecord(str(place), report.added, report.known, report.failures, tracks))
    else:
        print(f"{count(report.added, 'track')} added, {report.known:,} already there")
        print(f"{count(tracks, 'track')} in the library at {one_line(place)}")
    return 0
