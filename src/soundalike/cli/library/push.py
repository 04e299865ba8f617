"""`soundalike library push`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from soundalike.cli.arguments import argument, json_option, library_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress, print_json, print_message
from soundalike.core.errors import one_line

__all__ = ["push"]

_INDEXES = {"flat": "FLAT", "ivf": "IVF_FLAT", "hnsw": "HNSW"}


@dataclass(frozen=True, slots=True)
class PushRecord:
    """What a push did: tracks written, tracks that were there already, entries removed or replaced, rows written."""

    address: str
    written: int
    already_there: int
    removed: int
    rows: int


@command("push")
@argument("address", metavar="ADDRESS", help="The library in Milvus: milvus://HOST:PORT/NAME.")
@option(
    "--index",
    type=click.Choice(sorted(_INDEXES)),
    help="The index of a new library there (default: flat, which alone is exact).",
)
@library_option()
@json_option()
def push(address: str, index: str | None, library_path: Path | None, as_json: bool) -> int:
    """Make a Milvus server hold what the library holds: rows, tracks, tags and fingerprints.

    Only what Milvus lacks is written, and what the library no longer holds is removed. You can interrupt a push at any
    time: the next one continues.

    \b
      soundalike library push milvus://localhost:19530/music

    Milvus needs soundalike[milvus]. $SOUNDALIKE_MILVUS_TOKEN has the token of servers that ask for one.
    """
    from soundalike.library.exchange import push_library

    if index not in (None, "flat"):
        print_message(
            f"the index {index} is not exact: it misses matches, most of them where one space has all the weight",
            "warning:", "yellow",
        )  # fmt: skip
    with chosen_library(library_path) as library, Progress("track", enabled=not as_json) as progress:
        report = push_library(library.folder, address, index=_INDEXES[index] if index else None, progress=progress)
    if as_json:
        print_json(PushRecord(address, report.written, report.kept, report.removed, report.rows))
    else:
        print(f"{count(report.written, 'track')} written, {report.kept:,} already there: {one_line(address)}")
        if report.removed:
            print(f"{count(report.removed, 'entry')} removed or replaced")
    return 0
