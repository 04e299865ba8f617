"""Stem models: every space of a base model on every stem of a separator.

The model of the base `compact` and the separator `spleeter` is called `compact-spleeter`. It has the heads and the
backbones of its base. Its spaces are called `STEM.SPACE`, such as `vocals.melody`, or `STEM` alone if the only space of
the base is `overall`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.models.recipes import MIX, Recipe, SeparatorVersion

__all__ = ["space_name", "split_stem_model", "stem_model_name", "stem_recipe"]

_ONLY = "overall"


def stem_model_name(base: str, separator: str) -> str:
    """Return the name of the stem model of a base model and a separator.

    Example:
        >>> stem_model_name("compact", "spleeter")
        'compact-spleeter'
    """
    return f"{base}-{separator}"


def split_stem_model(name: str) -> tuple[str, str] | None:
    """Return the base and the separator that the name of a stem model consists of; None if it names no stem model.

    Example:
        >>> split_stem_model("compact-spleeter")
        ('compact', 'spleeter')
    """
    for separator in sorted(plugins.names("separators"), key=len, reverse=True):
        base = name.removesuffix(f"-{separator}")
        if base and base != name:
            return base, separator
    return None


def space_name(stem: str, space: str, spaces: Sequence[str]) -> str:
    """Return the name of a space on a stem, given the names of all spaces of the base model.

    Example:
        >>> space_name("vocals", "melody", ["melody", "rhythm"])
        'vocals.melody'
        >>> space_name("drums", "overall", ["overall"])
        'drums'
    """
    return stem if list(spaces) == [_ONLY] else f"{stem}.{space}"


def stem_recipe(base: Recipe, separator: SeparatorVersion, stems: Sequence[str], licence: str) -> dict[str, Any]:
    """Return the recipe of a stem model, as `recipe.json` holds it.

    The calibration of each space is that of the base on mixes, until another one is measured. The weights are those of
    the base: the file `weights.safetensors`, and those of the backbones at the same relative paths.

    Args:
        base: The recipe of the base model.
        separator: The separator.
        stems: The stems that it makes.
        licence: The licence of its weights.

    Raises:
        UsageError: The base has spaces of stems itself.

    Example:
        >>> recipe = stem_recipe(load_recipe("dsp"), SeparatorVersion("spleeter", 1), ["vocals"], "MIT")
        >>> [space["name"] for space in recipe["spaces"]]
        ['vocals.melody', 'vocals.rhythm', 'vocals.timbre', 'vocals.harmony']
    """
    if any(space.source != MIX for space in base.spaces):
        raise UsageError(f"{base.name} is a stem model itself; give a model of mixes, such as compact")
    body: dict[str, Any] = json.loads((base.weights.parent / "recipe.json").read_bytes())
    names = [space.name for space in base.spaces]
    spaces = [
        {
            **entry,
            "name": space_name(stem, entry["name"], names),
            "source": stem,
            "tensors": entry.get("tensors", entry["name"]),
        }
        for stem in stems
        for entry in body["spaces"]
    ]
    terms = base.licence if licence in ("", base.licence) else f"{base.licence} AND {licence}"
    return {
        **body,
        "name": stem_model_name(base.name, separator.name),
        "summary": f"{base.name} on the stems of {separator.name}: {', '.join(stems)}.",
        "licence": terms,
        "base": base.digest,
        "separator": {"name": separator.name, "version": separator.version},
        "spaces": spaces,
    }
