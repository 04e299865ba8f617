"""`soundalike list`."""

from __future__ import annotations

import argparse

from soundalike.cli import show
from soundalike.core import plugins
from soundalike.models import DEFAULT_MODEL, installed_models, load_recipe

__all__ = ["run_list"]


def run_list(args: argparse.Namespace) -> int:
    """Models, spaces and plug-ins."""
    rows: list[dict[str, object]] = []
    for name in installed_models() if args.what in ("models", "spaces") else plugins.names(args.what):
        if args.what == "models":
            recipe = load_recipe(name)
            rows.append(
                {
                    "name": name,
                    "default": name == DEFAULT_MODEL,
                    "licence": recipe.licence,
                    "extra": None,
                    "installed": True,
                    "spaces": len(recipe.spaces),
                    "summary": recipe.summary,
                }
            )
        elif args.what == "spaces":
            rows += [
                {"name": s.full_name, "source": s.source, "backbone": s.backbone, "head": s.head, "dim": s.dim}
                for s in load_recipe(name).spaces
            ]
        else:
            rows.append({"name": name, "licence": plugins.licence(args.what, name), "installed": True})
    if args.json:
        show.print_json({args.what: rows})
    elif rows:
        cells = [[_cell(value) for value in row.values()] for row in rows]
        show.print_table(list(rows[0]), cells, left=range(len(rows[0])))
    return 0


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
