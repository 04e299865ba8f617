"""`soundalike library`: the actions by name."""

from __future__ import annotations

import click

from soundalike.cli.arguments import shared_parameters
from soundalike.cli.commands import Entry, Group

__all__ = ["library"]

library: click.Command = Group(
    "library",
    {
        "info": Entry("library.info:info", "show what the library holds and takes on disk"),
        "ls": Entry("library.ls:list_tracks", "list tracks"),
        "show": Entry("library.show:show", "show everything that is known about a track"),
        "remove": Entry("library.remove:remove", "remove tracks from the library, not their files"),
        "move": Entry("library.move:move", "tell the library that files were moved"),
        "tags": Entry("library.tags:tags", "count tags, and suggest missing ones"),
        "failures": Entry("library.failures:failures", "list files that could not be read"),
        "check": Entry("library.check:check", "compare everything stored with its checksums"),
        "vacuum": Entry("library.vacuum:vacuum", "free the disk space of removed and replaced rows"),
        "export": Entry("library.export:export", "write all vectors to a file, or everything to a folder"),
        "import": Entry("library.import_:import_folder", "add what was exported to a folder"),
        "push": Entry("library.push:push", "make a Milvus server hold what the library holds"),
        "pull": Entry("library.pull:pull", "add what was pushed to a Milvus server"),
    },
    title="actions",
    help="Inspect, maintain, export and import a library.",
    params=shared_parameters("library", "json"),
)
