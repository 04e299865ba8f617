"""What the shell proposes for the values of options and arguments.

Each function takes the context, the parameter and the typed text, as click calls them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from soundalike.cli.config import read_config
from soundalike.cli.inputs import library_folder
from soundalike.core.presets import PRESETS

__all__ = [
    "suggest_columns",
    "suggest_examples",
    "suggest_files",
    "suggest_models",
    "suggest_published_models",
    "suggest_recordings",
    "suggest_removable_models",
    "suggest_spaces",
    "suggest_weights",
]


def suggest_files(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
    """Files."""
    return [CompletionItem(typed, type="file")]


def suggest_examples(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Recordings, and weights such as those that may follow one."""
    weights = [one for one in suggest_weights(ctx, parameter, typed) if "=" in one.value] if typed else []
    return weights or suggest_recordings(ctx, parameter, typed)


def suggest_recordings(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Files, and where none fits the names of tracks in the library."""
    from soundalike.library.catalog import suggest_tracks

    files = CompletionItem(typed, type="file")
    if not typed or any(separator in typed for separator in "/\\") or _is_start_of_file(typed):
        return [files]
    # The typed text stays as it is, because some shells drop names that do not begin with it.
    found = suggest_tracks(_library(ctx), typed)
    return [CompletionItem(typed + name[len(typed) :], help=path) for name, path in found] or [files]


def _is_start_of_file(typed: str) -> bool:
    try:
        return any(name.startswith(typed) for name in os.listdir())  # noqa: PTH208 - text is compared
    except OSError:
        return False


def suggest_weights(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Spaces that have no weight yet, each with weight 1, and the names of presets."""
    before, comma, start = typed.rpartition(",")
    given = [one.partition("=")[0] for one in before.split(",")]
    spaces = [name for name in _spaces(ctx) if name.startswith(start) and name not in given]
    found = [CompletionItem(f"{before}{comma}{name}=1") for name in spaces]
    if not comma:
        presets = read_config().presets.items()
        found += [CompletionItem(name, help=one.weights) for name, one in presets if name.startswith(start)]
    return found


def suggest_spaces(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Spaces that are not named yet, each followed by an equals sign."""
    before, comma, start = typed.rpartition(",")
    given = [one.partition("=")[0] for one in before.split(",")]
    return [
        CompletionItem(f"{before}{comma}{name}=")
        for name in _spaces(ctx)
        if name.startswith(start) and name not in given
    ]


def suggest_columns(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Columns of a table of matches that are not named yet."""
    from soundalike.cli.match_table import MATCH_COLUMNS

    before, comma, start = typed.rpartition(",")
    known: Iterable[str] = dict.fromkeys([*MATCH_COLUMNS, *_spaces(ctx)])
    return [
        CompletionItem(f"{before}{comma}{name}")
        for name in known
        if name.startswith(start) and name not in before.split(",")
    ]


def suggest_models(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
    """Models that are installed, and folders."""
    from soundalike.models import installed_models

    found = [CompletionItem(name) for name in installed_models() if name.startswith(typed)]
    return found or [CompletionItem(typed, type="dir")]


def suggest_published_models(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
    """Models whose weights others publish, and installed ones on the stems of every separator."""
    from soundalike.core import plugins
    from soundalike.models import installed_models, split_stem_model, stem_model_name
    from soundalike.train.published import PUBLISHED

    bases = [name for name in installed_models() if split_stem_model(name) is None]
    on_stems = [stem_model_name(base, separator) for base in bases for separator in plugins.names("separators")]
    names = [*PUBLISHED, "compact-stems", *on_stems]
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def suggest_removable_models(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
    """Models that are installed and not bundled."""
    from soundalike.models import installed_models

    return [CompletionItem(name) for name in installed_models() if name.startswith(typed) and _is_removable(name)]


def _is_removable(model: str) -> bool:
    from soundalike.models import is_installed

    try:
        return is_installed(model)
    except ValueError:  # a bundled model
        return False


def _spaces(ctx: click.Context) -> list[str]:
    """The spaces of the library, or else those of the default model."""
    from soundalike.library.catalog import suggest_spaces as spaces_of

    return spaces_of(_library(ctx)) or [one.partition("=")[0] for one in PRESETS["everything"].weights.split(",")]


def _library(ctx: click.Context) -> Path:
    given = ctx.params.get("library_path") or ctx.meta.get("soundalike.library")
    return library_folder(Path(given) if given else None)
