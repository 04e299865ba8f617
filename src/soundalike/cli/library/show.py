"""`soundalike library show`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from soundalike.api.records.tracks import TrackDetailsRecord
from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, library_option
from soundalike.cli.cells import clock
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_json
from soundalike.core.errors import one_line
from soundalike.core.files import absolute

__all__ = ["show"]

_MISSING = "not there: it was deleted or moved, or its disk is not mounted"


@command("show")
@argument("track", type=GIVEN_PATH, metavar="TRACK", help="The path of a track in the library.")
@library_option()
@json_option()
def show(track: Path, library_path: Path | None, as_json: bool) -> int:
    """Show everything that the library knows about a track: tags, measurements, models, copies, versions.

    \b
      soundalike library show song.mp3
    """
    with chosen_library(library_path) as library:
        found = library.show(absolute(track))
    record = TrackDetailsRecord.of(found)
    if as_json:
        print_json(record)
    else:
        _print_track(record)
    return 0


def _print_track(record: TrackDetailsRecord) -> None:
    rows: list[tuple[str, object]] = []
    for field in fields(record.track):
        value = getattr(record.track, field.name)
        if isinstance(value, tuple):
            continue  # the values of artist and genre
        if field.name == "duration":
            value = clock(value)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        if value not in (None, False):
            rows.append((field.name.replace("_", " "), "yes" if value is True else value))
    rows += [("models", ", ".join(record.models)), ("passages", record.passages)]
    rows += [("described by", record.described_by)] if record.described_by else []
    rows += [("features", ", ".join(record.features))] if record.features else []
    rows += [("copy", path) for path in record.copies]
    rows += [("version", path) for path in record.versions]
    if not record.current:
        where = "changed since it was indexed; run: soundalike index" if not record.track.missing else _MISSING
        rows.append(("file", where))
    for name, value in rows:
        print(f"{name:17} {one_line(str(value))}")
