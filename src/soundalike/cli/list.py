"""`soundalike list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import click

from soundalike.cli.arguments import argument, json_option
from soundalike.cli.commands import command
from soundalike.cli.output import print_json
from soundalike.cli.table import print_table

__all__ = ["list_members"]

_PLUGINS = ("backbones", "datasets", "protocols", "stores")


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """An installed model."""

    name: str
    default: bool
    licence: str
    extra: str | None
    installed: bool
    spaces: int
    summary: str


@dataclass(frozen=True, slots=True)
class SpaceRecord:
    """A space of an installed model."""

    name: str
    source: str
    backbone: str
    head: str
    dim: int


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """A member of a plug-in folder."""

    name: str
    licence: str
    installed: bool


Row: TypeAlias = ModelRecord | SpaceRecord | PluginRecord


@command("list")
@argument(
    "what",
    type=click.Choice(["models", "spaces", *_PLUGINS]),
    metavar="WHAT",
    help=f"What to list: models, spaces, {', '.join(_PLUGINS[:-1])} or {_PLUGINS[-1]}.",
)
@json_option()
def list_members(what: str, as_json: bool) -> int:
    """List models, spaces and plug-ins with their licences.

    \b
      soundalike list models
      soundalike list spaces
      soundalike list protocols          what `soundalike evaluate` can measure
    """
    rows = _models() if what == "models" else _spaces() if what == "spaces" else _plugins(what)
    if as_json:
        listed: Mapping[str, Sequence[Row]] = {what: rows}
        print_json(listed)
    elif rows:
        header = [field.name for field in fields(rows[0])]
        print_table(header, [[_cell(getattr(row, name)) for name in header] for row in rows], left=range(len(header)))
    return 0


def _models() -> list[Row]:
    from soundalike.models import DEFAULT_MODEL, installed_models, load_recipe

    recipes = {name: load_recipe(name) for name in installed_models()}
    return [
        ModelRecord(name, name == DEFAULT_MODEL, recipe.licence, None, True, len(recipe.spaces), recipe.summary)
        for name, recipe in recipes.items()
    ]


def _spaces() -> list[Row]:
    from soundalike.models import installed_models, load_recipe

    return [
        SpaceRecord(space.full_name, space.source, space.backbone, space.head, space.dim)
        for name in installed_models()
        for space in load_recipe(name).spaces
    ]


def _plugins(folder: str) -> list[Row]:
    from soundalike.core import plugins

    return [PluginRecord(name, plugins.licence(folder, name), True) for name in plugins.names(folder)]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
