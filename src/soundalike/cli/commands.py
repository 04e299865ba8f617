"""Commands and command groups: modules that are imported on use, help pages, and errors of one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from soundalike.core.options import join_values

__all__ = ["Command", "CommandGroup", "Entry", "Group", "command", "describe_error"]

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(frozen=True, slots=True)
class Entry:
    """A command of a group: where it is defined, as `module:name` below `soundalike.cli`, and its summary."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.target.partition(":")
        found: click.Command = getattr(import_module(f"soundalike.cli.{module}"), name)
        return found


class _HelpPage(click.Command):
    """The layout of a help page: usage, text, arguments, options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments and the options, each with its help."""
        parameters = self.get_params(ctx)
        arguments = [one for one in parameters if isinstance(one, click.Argument)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(one.human_readable_name, getattr(one, "help", None) or "") for one in arguments])
        options = [one.get_help_record(ctx) for one in parameters if isinstance(one, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in options if record])

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: `format_options` has written the arguments (recent versions of click call this too)."""


class Command(_HelpPage):
    """A command of soundalike."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; see `soundalike.core.options.ManyOption`."""
        short = [part for argument in args for part in _split_short(argument)]
        try:
            return super().parse_args(ctx, join_values(self.get_params(ctx), short, strict=not ctx.resilient_parsing))
        except click.UsageError as error:  # some lack the command, whose help page the message names
            error.ctx = error.ctx or ctx
            raise


def _split_short(argument: str) -> list[str]:
    """ "-k=5" as "-k", "5"; click splits only long options at the equals sign."""
    found = re.fullmatch(r"(-[A-Za-z])=(.*)", argument, re.DOTALL)
    return [found[1], found[2]] if found else [argument]


def command(name: str, **attributes: Any) -> Callable[[Callable[..., int]], click.Command]:
    """Make a command from a function that returns its exit code; the docstring of the function is its help."""
    return click.command(name, cls=Command, context_settings=_SETTINGS, **attributes)


class Group(_HelpPage, click.Group):
    """A group of commands. `--help` prints their summaries and imports none of them."""

    def __init__(
        self,
        name: str,
        entries: Mapping[str, Entry],
        *,
        title: str = "commands",
        callback: Callable[..., Any] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(
            name,
            callback=callback or _show_help,
            invoke_without_command=True,
            context_settings=_SETTINGS,
            subcommand_metavar=f"{title.removesuffix('s').upper()} [ARGS]...",
            **attributes,
        )
        self.entries = entries
        self.title = title

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if the name is unknown."""
        entry = self.entries.get(cmd_name)
        return entry.load() if entry else None

    def summaries(self) -> Iterable[tuple[str, str]]:
        """Return the names with their summaries."""
        return [(name, entry.summary) for name, entry in self.entries.items()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        with formatter.section(self.title.capitalize()):
            formatter.write_dl(list(self.summaries()))
        super().format_options(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with a text, without importing them, and the options."""
        names = [CompletionItem(name, help=text) for name, text in self.summaries() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names. Raises click.UsageError listing the known ones."""
        if args[0] not in self.list_commands(ctx):
            if ctx.resilient_parsing:  # the shell asks what may come next
                return None, None, args
            noun, known = self.title.removesuffix("s"), ", ".join(self.list_commands(ctx))
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"unknown {noun} {args[0]!r}{meant or f'; known: {known}'}", ctx)
        return super().resolve_command(ctx, args)


class CommandGroup(Group):
    """A command that has commands of its own: `render` makes triplets, and `render songs` makes songs.

    Options that the command requires are optional for the group, which reports them if no other command is named.
    """

    def __init__(self, own: click.Command, entries: Mapping[str, Entry]) -> None:
        self._required = [one for one in own.params if one.required]
        for one in self._required:
            one.required = False
        self._run = own.callback
        super().__init__(own.name or "", entries, callback=self._call, params=own.params, help=own.help)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments as a command does; see `soundalike.core.options.ManyOption`."""
        if args[:1] and args[0] not in self.entries:
            short = [part for argument in args for part in _split_short(argument)]
            args = join_values(self.get_params(ctx), short, strict=not ctx.resilient_parsing)
        return super().parse_args(ctx, args)

    def _call(self, **values: Any) -> int:
        """Run the own command unless another one is named. Raises click.MissingParameter."""
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is not None or self._run is None:
            return 0
        for one in self._required:
            if values.get(one.name or "") is None:
                raise click.MissingParameter(ctx=ctx, param=one)
        return int(self._run(**values))


def _show_help(**_: Any) -> None:
    """Print the help page if a group was called without a command."""
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def describe_error(error: click.UsageError) -> str:
    """Return what is wrong with the arguments as one line that ends in the command to ask for help."""
    if isinstance(error, click.MissingParameter) and error.param is not None:
        typed = "/".join(sorted(error.param.opts, key=len)) if isinstance(error.param, click.Option) else ""
        found = f"missing {error.param.param_type_name} {typed or _name(error.param)}"
    elif isinstance(error, click.BadParameter) and error.param is not None:
        name = _name(error.param)
        found = error.message if name in error.message else f"{name}: {error.message}"
    elif isinstance(error, click.NoSuchOption):
        found = f"unknown option {error.option_name}"
        if error.possibilities:
            # A short option such as --in is a possibility for many longer ones.
            near = difflib.get_close_matches(error.option_name, error.possibilities, cutoff=0.7) or error.possibilities
            found += f"; did you mean {' or '.join(sorted(near))}?"
    else:
        found = error.format_message()
        found = found[:1].lower() + found[1:]
    path = error.ctx.command_path if error.ctx else "soundalike"
    return f"{found.rstrip('.')}; see: {path} --help"


def _name(parameter: click.Parameter) -> str:
    """The name of a parameter as it is typed."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return (parameter.metavar or parameter.name or "").rstrip(".").upper()
