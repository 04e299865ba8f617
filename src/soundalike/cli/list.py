"""`soundalike list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import click

from soundalike.cli.arguments import argument
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.table import print_table

if TYPE_CHECKING:
    from soundalike.train.published import PublishedModel

__all__ = ["list_members"]

_RANKS = {"models": {3: 3, 4: 2, 5: 1}}
"""The columns that leave a narrow table, by their numbers."""
_PLUGINS = ("backbones", "datasets", "protocols", "separators", "stores")


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model, and whether it is installed; `extra` is what one that is not needs of this package."""

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


class ListRecord(TypedDict, total=False):
    """What was listed, under its name."""

    models: Sequence[ModelRecord]
    spaces: Sequence[SpaceRecord]
    backbones: Sequence[PluginRecord]
    datasets: Sequence[PluginRecord]
    protocols: Sequence[PluginRecord]
    separators: Sequence[PluginRecord]
    stores: Sequence[PluginRecord]


@command("list")
@argument(
    "what",
    type=click.Choice(["models", "spaces", *_PLUGINS]),
    metavar="WHAT",
    help=f"What to list: models, spaces, {', '.join(_PLUGINS[:-1])} or {_PLUGINS[-1]}.",
)
@output_options(columns=False)
def list_members(what: str, output: Output) -> int:
    """List models, spaces and plug-ins with their licences.

    Models that are not installed yet are those that `soundalike models install` knows.

    \b
      soundalike list models
      soundalike list spaces
      soundalike list protocols          what `soundalike evaluate` can measure
    """
    rows = _models() if what == "models" else _spaces() if what == "spaces" else _plugins(what)

    def show() -> None:
        if rows:
            header = [field.name for field in fields(rows[0])]
            cells = [[_cell(getattr(row, name)) for name in header] for row in rows]
            print_table(header, cells, left=range(len(header)), ranks=_RANKS.get(what))

    listed: Mapping[str, Sequence[Row]] = {what: rows}
    output.print(lambda: Answer(listed, rows, None), show)
    return 0


def _models() -> list[Row]:
    from soundalike.models import installed_models
    from soundalike.train.published import PUBLISHED

    found = [_model(name) for name in installed_models()]
    names = {one.name for one in found}
    return [*found, *(_not_installed(model) for name, model in PUBLISHED.items() if name not in names)]


def _model(name: str) -> ModelRecord:
    """A model; one that cannot be read is listed as not installed, with the reason, so that it does not hide others."""
    from soundalike.core.errors import ModelError
    from soundalike.models import DEFAULT_MODEL, load_recipe

    try:
        recipe = load_recipe(name)
    except ModelError as error:
        return ModelRecord(name, name == DEFAULT_MODEL, "unknown", None, False, 0, str(error))
    return ModelRecord(name, name == DEFAULT_MODEL, recipe.licence, None, True, len(recipe.spaces), recipe.summary)


def _not_installed(model: PublishedModel) -> ModelRecord:
    """A model that `soundalike models install` can install."""
    return ModelRecord(model.name, False, model.licence, model.extra, False, len(model.spaces), model.summary)


def _spaces() -> list[Row]:
    from soundalike.models import installed_models, load_recipe

    readable = [one.name for one in map(_model, installed_models()) if one.installed]
    return [
        SpaceRecord(space.full_name, space.source, space.backbone, space.head, space.dim)
        for name in readable
        for space in load_recipe(name).spaces
    ]


def _plugins(folder: str) -> list[Row]:
    from soundalike.core import plugins

    if folder == "separators":
        return _separators()
    return [PluginRecord(name, plugins.licence(folder, name), True) for name in plugins.names(folder)]


def _separators() -> list[Row]:
    """The separators, with the licences of their weights, and whether they have them."""
    from soundalike.core import plugins
    from soundalike.train.published import SEPARATORS, can_separate

    return [
        PluginRecord(
            name,
            SEPARATORS[name].licence if name in SEPARATORS else plugins.licence("separators", name),
            can_separate(name),
        )
        for name in plugins.names("separators")
    ]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
