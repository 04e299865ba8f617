"""`soundalike library export`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.cli.arguments import (
    GIVEN_PATH,
    LEVEL,
    argument,
    check_folder,
    json_option,
    library_option,
    model_option,
    option,
)
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress, print_json
from soundalike.core.errors import UsageError, one_line
from soundalike.core.object_stores import is_taken, local_target, name_of

__all__ = ["export"]

_OTHER_FILES = frozenset({
    ".arrow", ".avro", ".csv", ".db", ".feather", ".gz", ".h5", ".hdf5", ".html", ".json", ".jsonl", ".mat", ".npy",
    ".orc", ".pickle", ".pkl", ".pt", ".safetensors", ".sqlite", ".tar", ".tsv", ".txt", ".xlsx", ".xml", ".yaml",
    ".yml", ".zip",
})  # fmt: skip
"""Suffixes of files that someone may expect; a folder of such a name would be a surprise."""


@dataclass(frozen=True, slots=True)
class VectorsRecord:
    """An exported file of vectors; `spaces` maps the name of a space to its dims."""

    output: str
    rows: int
    model: str
    digest: str
    spaces: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """An exported folder; `models` maps the name of a model to its digest."""

    output: str
    tracks: int
    passages: int
    failures: int
    models: Mapping[str, str]


@command("export")
@argument(
    "output", type=GIVEN_PATH, metavar="TARGET", help="A .npz or .parquet file or a new folder, as a path or a URL."
)
@option("--by", type=LEVEL, help="One row per passage or per track of a file (default: passage).")
@model_option()
@library_option()
@json_option()
def export(output: Path, by: Any, model: str | None, library_path: Path | None, as_json: bool) -> int:
    """Write all vectors to a file, or the whole library to a folder.

    A name that ends in .npz or .parquet gives a file of vectors, as `soundalike embed` writes it:

    \b
      soundalike library export vectors.parquet --by track

    Any other name gives a new folder that holds everything: tracks.parquet with tags and measurements, passages.parquet
    with the vectors of all models, failures.parquet, and library.json. Any tool that reads Parquet can read it, and
    `soundalike library import` adds it to a library again.

    \b
      soundalike library export backup
      soundalike library export s3://bucket/backup

    A URL names an object store, which fsspec writes to (see docs/howto/ray.md). Parquet needs soundalike[parquet].
    """
    from soundalike.library.exchange import SUFFIXES

    if output.suffix.lower() in SUFFIXES:
        return _export_vectors(output, by, model, library_path, as_json)
    if output.suffix.lower() in _OTHER_FILES:
        raise UsageError(
            f"{name_of(output)}: cannot write {output.suffix} files; give a name that ends in "
            f"{' or '.join(SUFFIXES)} for the vectors, or the name of a new folder for everything"
        )
    for name, given in (("--by", by), ("--model", model)):
        if given is not None:
            raise UsageError(
                f"{name_of(output)} is to be a folder, which holds all levels and models: leave out {name}, "
                f"or give a name that ends in {' or '.join(SUFFIXES)}"
            )
    return _export_folder(output, library_path, as_json)


def _export_vectors(output: Path, by: Any, model: str | None, library_path: Path | None, as_json: bool) -> int:
    from soundalike.library.exchange import check_output, write_vectors

    with local_target(output) as place:
        check_output(place)
        check_folder(place)
        with chosen_library(library_path) as library:
            chosen = library.folder.model(model)
            with closing(library.folder.parts(by or "passage", model)) as parts:
                rows = write_vectors(place, parts, chosen.name)
    if as_json:
        dims = {space.name: space.dim for space in chosen.spaces}
        print_json(VectorsRecord(name_of(output), rows, chosen.name, chosen.recipe.digest, dims))
    else:
        print(f"{count(rows, 'row')} written: {one_line(name_of(output))}")
    return 0


def _export_folder(output: Path, library_path: Path | None, as_json: bool) -> int:
    from soundalike.library.exchange import MANIFEST, check_target, export_library

    if is_taken(output):
        raise UsageError(f"cannot export to {name_of(output)}: something is there; give a new name")
    with local_target(output, last=MANIFEST) as place:
        check_target(place)
        with chosen_library(library_path) as library, Progress("passage", enabled=not as_json) as progress:
            manifest = export_library(library.folder, place, progress)
    if as_json:
        models = {model.name: model.digest for model in manifest.models}
        print_json(FolderRecord(name_of(output), manifest.tracks, manifest.passages, manifest.failures, models))
    else:
        held = f"{count(manifest.tracks, 'track')}, {count(manifest.passages, 'passage')}"
        print(f"{held} written: {one_line(name_of(output))}")
    return 0
