"""The directive `commands`: the reference of the command line, from the click objects themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from soundalike.cli.commands import CommandGroup
from soundalike.cli.main import ROOT


class Commands(SphinxDirective):
    """One section per command: usage, help, arguments and options."""

    def run(self) -> list[nodes.Node]:
        """Write the reference as MyST and parse that."""
        text = "\n".join(line for path, command in walk("soundalike", ROOT) for line in section(path, command))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with the words that call it; groups come before their commands."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from walk(f"{path} {name}", found)


def section(path: str, command: click.Command) -> list[str]:
    """The lines of one section, in MyST."""
    context = click.Context(command, info_name=path)
    words = path.split()
    lines = [f"({'-'.join(words)})=", f"{'#' * (len(words) + 1)} {path}", ""]
    lines += ["```text", " ".join([path, *command.collect_usage_pieces(context)]), "```", ""]
    lines += prose(inspect.cleandoc(command.help or ""))
    if isinstance(command, click.Group) and not isinstance(command, CommandGroup):
        return lines
    lines += [f"```{{program}} {path}", "```", ""]
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Argument):
            name, text = parameter.human_readable_name, getattr(parameter, "help", None) or ""
            lines += [f"`{name}`", f": {escape(text)}", ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record:
            lines += [f"````{{option}} {record[0]}", escape(record[1]), "````", ""]
    return lines


def prose(text: str) -> list[str]:
    """A help text: paragraphs, and blocks after `\\b` as they are."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b\n"):
            block = inspect.cleandoc("\n" + paragraph.removeprefix("\b\n"))
            listed = re.match(r"- ", block)
            lines += [escape(block), ""] if listed else ["```text", block, "```", ""]
        else:
            lines += [escape(" ".join(paragraph.split())), ""]
    return lines


def escape(text: str) -> str:
    """Escape what MyST would read as markup."""
    code = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>$|#\[\]{}~])", r"\\\1", part) for part in code)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
