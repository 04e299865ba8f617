"""`soundalike list` and `soundalike library`."""

from __future__ import annotations

import argparse

from soundalike import registry
from soundalike.cli import show
from soundalike.cli.embed import check_output, write_npz
from soundalike.cli.inputs import library_path
from soundalike.errors import one_line
from soundalike.library import Library
from soundalike.spaces import DEFAULT_MODEL, installed_models, load_recipe

__all__ = ["run_library", "run_list"]


def run_list(args: argparse.Namespace) -> int:
    """Models, spaces and plug-ins."""
    rows: list[dict[str, object]] = []
    for name in installed_models() if args.what in ("models", "spaces") else registry.names(args.what):
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
            rows.append({"name": name, "licence": registry.licence(args.what, name), "installed": True})
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


def run_library(args: argparse.Namespace) -> int:
    """`info` and `export`."""
    if args.action == "export":
        check_output(args.output)
    with Library(library_path(args)) as library:
        if args.action == "info":
            info = library.info()
            if args.json:
                show.print_json(info)
            else:
                for name, value in info.items():
                    if name != "models":
                        print(f"{name:9} {value:,}" if isinstance(value, int) else f"{name:9} {one_line(str(value))}")
                models = info["models"]
                for model in models if isinstance(models, list) else []:
                    print(f"model     {model['name']}: {model['tracks']:,} tracks, {model['passages']:,} passages")
            return 0
        vectors = library.vectors(args.by, args.model)
        digest = vectors.digest
    write_npz(args.output, [vectors])
    if args.json:
        show.print_json(
            {
                "output": str(args.output),
                "rows": len(vectors),
                "digest": digest,
                "spaces": {name: rows.shape[1] for name, rows in vectors.rows.items()},
            }
        )
    else:
        print(f"{show.count(len(vectors), 'row')} written: {one_line(args.output)}")
    return 0
