"""`soundalike library pull`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import argument, json_option, library_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import library_folder
from soundalike.cli.output import Progress, print_json
from soundalike.core.errors import one_line

__all__ = ["pull"]


@dataclass(frozen=True, slots=True)
class PullRecord:
    """What was added, and the number of tracks after it."""

    library: str
    added: int
    already_there: int
    failures: int
    tracks: int


@command("pull")
@argument("address", metavar="ADDRESS", help="The library in Milvus: milvus://HOST:PORT/NAME.")
@option("--catalog", is_flag=True, help="Leave the rows in Milvus: the folder holds tracks, tags and fingerprints.")
@library_option()
@json_option()
def pull(address: str, catalog: bool, library_path: Path | None, as_json: bool) -> int:
    """Add what `soundalike library push` brought to a Milvus server, without encoding.

    Tracks whose path is already in the library stay as they are. You can interrupt a pull at any time: the next one
    continues.

    \b
      soundalike library pull milvus://localhost:19530/music --library back
      soundalike library pull milvus://localhost:19530/music \\
          --library remote --catalog

    With --catalog, every command that reads the new library searches in Milvus, and none changes it. To see what was
    pushed later, pull into another folder. Milvus needs soundalike[milvus].
    """
    from soundalike.library import LibraryFolder, build_prefilters
    from soundalike.library.exchange import StoredLibrary, import_library, pull_catalog

    place = library_folder(library_path)
    if catalog:
        with Progress("track", enabled=not as_json) as progress:
            tracks = pull_catalog(place, address, progress)
        record = PullRecord(str(place), tracks, 0, 0, tracks)
    else:
        with StoredLibrary(address) as stored, LibraryFolder.create(place) as library:
            with Progress("track", enabled=not as_json) as progress:
                report = import_library(library, stored, progress)
            with Progress("row", enabled=not as_json) as progress:
                build_prefilters(library, progress)
            record = PullRecord(str(place), report.added, report.known, report.failures, len(library.catalog))
    if as_json:
        print_json(record)
    else:
        print(f"{count(record.added, 'track')} added, {record.already_there:,} already there")
        print(f"{count(record.tracks, 'track')} in the library at {one_line(place)}")
    return 0
