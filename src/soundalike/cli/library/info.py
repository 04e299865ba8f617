"""`soundalike library info`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.cli.arguments import json_option, library_option
from soundalike.cli.cells import feature_cost
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_json
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.library import FeatureCost

__all__ = ["info"]


@dataclass(frozen=True, slots=True)
class InfoRecord:
    """What a library holds, and the bytes that it takes on disk."""

    path: str
    format: int
    bytes: int
    tracks: int
    missing: int
    unreadable: int
    silent: int
    failures: int
    models: Sequence[Mapping[str, Any]]
    features: Sequence[FeatureCost]


@command("info")
@library_option()
@json_option()
def info(library_path: Path | None, as_json: bool) -> int:
    """Show what the library holds: tracks, models with their passages, stored features, and bytes on disk."""
    from soundalike.library import feature_costs

    with chosen_library(library_path) as library:
        record = InfoRecord(**{**library.info(), "features": feature_costs(library.folder.catalog)})
    if as_json:
        print_json(record)
        return 0
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, int):
            print(f"{field.name:10} {value:,}")
        elif isinstance(value, str):
            print(f"{field.name:10} {one_line(value)}")
    for model in record.models:
        print(f"model      {model['name']}: {model['tracks']:,} tracks, {model['passages']:,} passages")
    for cost in record.features:
        print(f"features   {feature_cost(cost)}")
    return 0
