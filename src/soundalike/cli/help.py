"""`soundalike help`."""

from __future__ import annotations

import click

from soundalike.cli.arguments import argument
from soundalike.cli.commands import Group, command

__all__ = ["help_page"]


@command("help")
@argument("names", nargs=-1, metavar="COMMAND...", help="A command, such as search, or two, such as library check.")
@click.pass_context
def help_page(ctx: click.Context, names: tuple[str, ...]) -> int:
    """Show the help page of a command.

    \b
      soundalike help
      soundalike help search
      soundalike help library check
    """
    parent = ctx.parent or ctx
    for name in names:
        group = parent.command
        if not isinstance(group, Group):
            raise click.UsageError(f"{parent.command_path} has no commands, found {name!r}", ctx)
        _, found, _ = group.resolve_command(parent, [name])
        if found is None:
            raise click.UsageError(f"unknown command {name!r}", ctx)
        parent = click.Context(found, parent=parent, info_name=name, **group.context_settings)
    click.echo(parent.get_help())
    return 0
