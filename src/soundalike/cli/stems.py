"""The option `--stems` of commands, and what it prepares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from soundalike.cli.arguments import Decorator, option
from soundalike.cli.cells import clock, count, near
from soundalike.cli.output import print_message

if TYPE_CHECKING:
    from soundalike.api import Library

__all__ = ["announce_cost", "base_models", "default_separator", "stems_option", "suggest_separators"]


def suggest_separators(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
    """Separators."""
    from soundalike.core import plugins

    return [CompletionItem(name) for name in plugins.names("separators") if name.startswith(typed)]


def stems_option(help: str) -> Decorator[Any]:
    """Declare `--stems`."""
    return option("--stems", "separator", metavar="SEPARATOR", shell_complete=suggest_separators, help=help)


def base_models(library: Library | None, model: str | None) -> tuple[str, ...]:
    """The models of mixes that stem models are made of: the one that was named, those of a library, or the default."""
    from soundalike.library.held_models import load_held
    from soundalike.models import DEFAULT_MODEL

    if model is not None:
        return (model,)
    if library is None:
        return (DEFAULT_MODEL,)
    held = library.folder.catalog.models()
    models = [(one.source, load_held(library.location, name, one)) for name, one in held.items()]
    return tuple(source for source, one in models if one.recipe.separator is None) or (DEFAULT_MODEL,)


def default_separator(library: Library | None, base: str) -> str:
    """The separator of a stem model of this base that a library holds; else spleeter, which needs no download."""
    from soundalike.models import split_stem_model

    for name in library.models if library is not None else ():
        if (parts := split_stem_model(name)) and parts[0] == base:
            return parts[1]
    return "spleeter"


def announce_cost(
    library: Library,
    sources: Sequence[Path],
    models: Sequence[str],
    separator: str,
    *,
    jobs: int | None,
    exclude: Sequence[str],
) -> None:
    """Say on standard error how long separating will take and what it takes on disk, if there is anything to do."""
    from soundalike.core.settings import cache_folder
    from soundalike.demo import load_clips
    from soundalike.library.indexing import estimate_stem_cost

    cost = estimate_stem_cost(
        library.folder, sources, models, load_clips()[0].path, jobs=jobs, exclude=exclude
    )  # fmt: skip
    if not cost.files:
        return
    begin = f"stems of {separator}: {count(cost.files, 'file')}, {clock(cost.audio_seconds)} of audio"
    if cost.seconds is None:
        print_message(f"{begin}; how long it takes is unknown, as the separator needs stems beside the recordings")
        return
    print_message(
        f"{begin}; about {clock(cost.seconds)} on {count(cost.processes, 'core')}, at {cost.work:.2f} s of work per "
        "second of audio"
    )
    megabytes, limit = min(cost.disk, cost.limit) / 1e6, cost.limit / 1e9
    print_message(
        f"the stems take about {megabytes:,.0f} MB in {near(str(cache_folder() / 'stems'))}, which holds at most "
        f"{limit:,.0f} GB; they can be deleted at any time"
    )
    print_message("Ctrl-C stops the run; the next one continues")
