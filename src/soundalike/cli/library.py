"""`soundalike library`: what is in one, and all of it taken out or in."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from soundalike.cli import show
from soundalike.cli.inputs import check_folder, library_path
from soundalike.cli.maintenance import run_check, run_prepare, run_vacuum
from soundalike.cli.parser import given_path
from soundalike.core.errors import UsageError, one_line
from soundalike.library import LibraryFolder
from soundalike.library.exchange import (
    SUFFIXES,
    Export,
    check_output,
    check_target,
    export_library,
    import_library,
    write_vectors,
)

if TYPE_CHECKING:
    # A name that argparse keeps to itself, though add_subparsers returns one.
    from argparse import _SubParsersAction

__all__ = ["add_actions", "run_export", "run_import", "run_info"]

_CHECK = """\
Read everything and compare it with its checksums: every flipped bit is found, in the vectors and in the catalogue. What
is damaged is listed, and never served by a search. With --repair, damaged tracks are listened to again by the next
`soundalike index`. Exit code 1 if something is damaged.
"""

_VACUUM = """\
Rows of tracks that were removed or have changed stay on disk until this writes all others anew; it needs room for a
second copy of these. Others may search meanwhile, and whatever interrupts it, nothing is lost.
"""

_EXPORT = """\
A name that ends in .npz or .parquet gives a file of vectors, as `soundalike embed` writes it:

  soundalike library export vectors.parquet --by track

Any other name gives a new folder that holds everything: tracks.parquet with the tags and what was measured,
passages.parquet with the vectors of all models, failures.parquet, and library.json. It can be read by any tool that
reads Parquet, and taken in again by `soundalike library import`. Both need soundalike[parquet].

  soundalike library export backup
"""

_IMPORT = """\
Take in what `soundalike library export FOLDER` wrote, here or elsewhere, without listening to anything again. Tracks
whose path is in the library already are left as they are. The models need not be installed, but those that the library
holds have to be of the same version. It can be interrupted at any time: the next run goes on.

  soundalike library import backup --library new
"""


def add_actions(
    actions: _SubParsersAction[argparse.ArgumentParser],
    common: Callable[[argparse.ArgumentParser], None],
    model: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the actions to the command; `common` adds what all of them take, `model` the choice of a model."""

    def action(
        name: str, run: Callable[[argparse.Namespace], int], summary: str, description: str | None = None
    ) -> argparse.ArgumentParser:
        made = actions.add_parser(
            name,
            help=summary,
            description=description or summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run)
        common(made)
        return made

    action("info", run_info, "what the library holds")

    made = action("check", run_check, "compare all of it with its checksums", _CHECK)
    made.add_argument("--repair", action="store_true", help="let what is damaged be listened to again by `index`")

    action("vacuum", run_vacuum, "give back the room of what was removed or replaced", _VACUUM)

    made = action("export", run_export, "write all its vectors to a file, or all of it to a folder", _EXPORT)
    made.add_argument("output", type=given_path, metavar="TARGET", help="a .npz or .parquet file, or a new folder")
    made.add_argument("--by", choices=("track", "passage"), help="rows of a file: passages (default) or tracks")
    model(made)

    made = action("import", run_import, "add what was exported to a folder", _IMPORT)
    made.add_argument("folder", type=given_path, metavar="FOLDER", help="what `library export FOLDER` has written")


def run_info(args: argparse.Namespace) -> int:
    """Numbers about it."""
    with LibraryFolder(library_path(args)) as library:
        info = library.info()
    if args.json:
        show.print_json(info)
        return 0
    for name, value in info.items():
        if name not in ("models", "features"):
            print(f"{name:10} {value:,}" if isinstance(value, int) else f"{name:10} {one_line(str(value))}")
    models = info["models"]
    for model in models if isinstance(models, list) else []:
        print(f"model      {model['name']}: {model['tracks']:,} tracks, {model['passages']:,} passages")
    features = info["features"]
    for cost in features if isinstance(features, list) else []:
        print(f"features   {show.kept(cost)}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """One file of vectors, or a folder that holds everything: the name decides."""
    return _export_vectors(args) if args.output.suffix.lower() in SUFFIXES else _export_folder(args)


def _export_vectors(args: argparse.Namespace) -> int:
    check_output(args.output)
    check_folder(args.output)
    with LibraryFolder(library_path(args)) as library:
        model = library.model(args.model)
        with closing(library.parts(args.by or "passage", args.model)) as parts:
            rows = write_vectors(args.output, parts, model.name)
    if args.json:
        show.print_json(
            {
                "output": str(args.output),
                "rows": rows,
                "model": model.name,
                "digest": model.recipe.digest,
                "spaces": {space.name: space.dim for space in model.spaces},
            }
        )
    else:
        print(f"{show.count(rows, 'row')} written: {one_line(args.output)}")
    return 0


def _export_folder(args: argparse.Namespace) -> int:
    for option, given in (("--by", args.by), ("--model", args.model)):
        if given is not None:
            raise UsageError(
                f"{args.output} is to be a folder, which holds all levels and models: leave out {option}, "
                f"or give a name that ends in {' or '.join(SUFFIXES)}"
            )
    check_target(args.output)
    progress = show.Progress("passage", enabled=not args.json)
    with LibraryFolder(library_path(args)) as library:
        manifest = export_library(library, args.output, progress)
    progress.end()
    if args.json:
        show.print_json(
            {
                "output": str(args.output),
                "tracks": manifest.tracks,
                "passages": manifest.passages,
                "failures": manifest.failures,
                "models": {model.name: model.digest for model in manifest.models},
            }
        )
    else:
        held = f"{show.count(manifest.tracks, 'track')}, {show.count(manifest.passages, 'passage')}"
        print(f"{held} written: {one_line(args.output)}")
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Take an exported folder in."""
    path = library_path(args)
    progress = show.Progress("track", enabled=not args.json)
    with Export(args.folder) as export, LibraryFolder.create(path) as library:
        report = import_library(library, export, progress)
        progress.end()
        run_prepare(library, args)
        tracks = library.catalog.counts()["tracks"]
    if args.json:
        show.print_json(
            {
                "library": str(path),
                "added": report.added,
                "already_there": report.known,
                "failures": report.failures,
                "tracks": tracks,
            }
        )
    else:
        print(f"{show.count(report.added, 'track')} added, {report.known:,} already there")
        print(f"{show.count(tracks, 'track')} in the library at {one_line(path)}")
    return 0
