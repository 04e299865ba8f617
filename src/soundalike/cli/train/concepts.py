"""`soundalike train concepts`."""

from __future__ import annotations

from pathlib import Path

import click

from soundalike.cli.arguments import GIVEN_PATH, json_option, library_option, model_option, option, seed_option
from soundalike.cli.commands import command
from soundalike.cli.train.concepts_library import train_on_library
from soundalike.cli.train.library_material import GROUPS, Groups

__all__ = ["concepts"]


@command("concepts")
@library_option()
@option("-o", "--out", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the model.")
@option("--name", metavar="NAME", help="Name of the model (default: that of its folder).")
@option("--licence", default="LicenseRef-private", metavar="SPDX", help="Licence of the weights (default: private).")
@option(
    "--labels",
    "label_file",
    type=GIVEN_PATH,
    metavar="FILE",
    help="CSV file with a column path and columns such as mood or instrument, in place of the tags of these tracks.",
)
@option(
    "--groups",
    type=click.Choice(GROUPS),
    default="artist",
    help="What is held out together to measure the accuracy (default: artist).",
)
@model_option()
@seed_option()
@json_option()
def concepts(
    library_path: Path | None,
    out: Path,
    name: str | None,
    licence: str,
    label_file: Path | None,
    groups: Groups,
    model: str | None,
    seed: int,
    as_json: bool,
) -> int:
    """Learn genre, mood, instrument, era, tempo and key as spaces to search by.

    With --library, they are learned from the tags of your own files, on what the library holds already: nothing is
    decoded, and it takes seconds to minutes. Tempo and key come from tags, or else from what was measured. A concept
    with too few labels is left out, and the command says how many are missing.

    \b
      soundalike train concepts --library ~/lib -o concepts
      soundalike index --library ~/lib --model concepts ~/Music
      soundalike search song.mp3 -w concepts/genre=1,rhythm=1
    """
    return train_on_library(
        library_path, out, name, licence, model=model, groups=groups, label_file=label_file, seed=seed, as_json=as_json
    )
