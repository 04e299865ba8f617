"""Command-line parameters that click lacks: arguments with help, options with several values, types from functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from soundalike.core.errors import SoundalikeError

__all__ = ["Argument", "ManyOption", "TextType", "join_values"]

_BETWEEN = "\0"
"""Joins the values of an option on their way through click. No argument of a process can contain it."""


class Argument(click.Argument):
    """A positional argument with a help text, in every version of click."""

    def __init__(self, param_decls: Sequence[str], help: str = "", **attributes: Any) -> None:
        super().__init__(param_decls, **attributes)
        self.help: str | None = help


class ManyOption(click.Option):
    """An option that takes one or more values, up to the next option, and may be repeated.

    Its value is a tuple with one tuple of texts per use: `--like b.mp3 melody=2 --like c.mp3` gives
    `(("b.mp3", "melody=2"), ("c.mp3",))`. The command must pass its arguments through `join_values`.
    """

    def __init__(self, param_decls: Sequence[str], **attributes: Any) -> None:
        values = TextType("values", lambda text: tuple(text.split(_BETWEEN)))
        super().__init__(param_decls, multiple=True, type=values, **attributes)


class TextType(click.ParamType):  # type: ignore[type-arg] # generic in recent versions of click only
    """A type that reads text with a function.

    Args:
        name: What help pages call the value.
        read: Returns the value, or raises a SoundalikeError or ValueError, which become a usage error.
        complete: What a shell completes the value to: "file", "dir", or "" for nothing.
    """

    def __init__(self, name: str, read: Callable[[str], Any], complete: str = "") -> None:
        self.name = name
        self._read, self._complete = read, complete

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return what a shell completes a value to."""
        return [CompletionItem(incomplete, type=self._complete)] if self._complete else []

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text; a default that is no text stays as it is.

        While a shell asks for completions, texts stay as they are: reading some of them imports large packages.
        """
        if not isinstance(value, str) or (ctx is not None and ctx.resilient_parsing):
            return value
        try:
            return self._read(value)
        except (SoundalikeError, ValueError) as error:
            raise click.BadParameter(str(error), ctx, param) from error


def join_values(parameters: Iterable[click.Parameter], arguments: Sequence[str], *, strict: bool = True) -> list[str]:
    """Join the values of every `ManyOption` into one argument, for click to parse.

    Args:
        parameters: The parameters of the command.
        arguments: The arguments as typed. `--name=value` gives the option one value; a lone `-` is a value.
        strict: Whether an option without a value is an error, instead of left out.

    Raises:
        click.BadOptionUsage: No value follows the option.
    """
    names = {name for one in parameters if isinstance(one, ManyOption) for name in one.opts}
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*joined, argument, *rest]
        if argument not in names:
            joined.append(argument)
            continue
        values = []
        while rest and (rest[0] == "-" or not rest[0].startswith("-")):
            values.append(rest.pop(0))
        if not values and not strict:
            continue
        if not values:
            raise click.BadOptionUsage(argument, f"option {argument} requires a value")
        joined += [argument, _BETWEEN.join(values)]
    return joined
