"""`soundalike separators`: the commands by name."""

from __future__ import annotations

import click

from soundalike.cli.arguments import shared_parameters
from soundalike.cli.commands import Entry, Group

__all__ = ["separators"]

separators: click.Command = Group(
    "separators",
    {
        "install": Entry("separators.install:install", "install the weights of a separator"),
        "remove": Entry("separators.remove:remove", "remove the weights of a separator"),
    },
    help="Install and remove the weights of separators. To see those that are there: soundalike list separators.",
    params=shared_parameters("json"),
)
