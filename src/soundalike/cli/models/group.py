"""`soundalike models`: the commands by name."""

from __future__ import annotations

import click

from soundalike.cli.arguments import shared_parameters
from soundalike.cli.commands import Entry, Group

__all__ = ["models"]

models: click.Command = Group(
    "models",
    {
        "install": Entry("models.install:install", "install a model whose weights others publish"),
        "remove": Entry("models.remove:remove", "remove an installed model"),
    },
    help="Install and remove models. To see those that are there: soundalike list models.",
    params=shared_parameters("json"),
)
