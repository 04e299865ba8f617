"""Stem models: every space of a base model on every stem of a separator.

The model of the base `compact` and the separator `spleeter` is called `compact-spleeter`. It has the heads and the
backbones of its base. Its spaces are called `STEM.SPACE`, such as `vocals.melody`, or `STEM` alone if the only space of
the base is `overall`.

The model `compact-stems` joins a base model, on mixes, with its melody on the vocals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.models.recipes import MIX, Recipe, SeparatorVersion

__all__ = [
    "joined_base",
    "joined_recipe",
    "space_name",
    "split_stem_model",
    "stem_model_name",
    "stem_recipe",
]

_ONLY = "overall"
_JOINED = "-stems"
_VOICE, _MELODY = "vocals", "melody"


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


def joined_base(name: str) -> str | None:
    """Return the base of a model that joins it with stems; None if the name is not that of such a model.

    Example:
        >>> joined_base("compact-stems")
        'compact'
    """
    base = name.removesuffix(_JOINED)
    return base if base and base != name else None


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
    body = _body(base)
    names = [space.name for space in base.spaces]
    spaces = [_on_stem(entry, stem, names) for stem in stems for entry in body["spaces"]]
    return {
        **body,
        **_derived(base, separator, licence),
        "name": stem_model_name(base.name, separator.name),
        "summary": f"{base.name} on the stems of {separator.name}: {', '.join(stems)}.",
        "spaces": spaces,
    }


def joined_recipe(base: Recipe, separator: SeparatorVersion, licence: str) -> dict[str, Any]:
    """Return the recipe of a model that has the spaces of a base model, on mixes, and `vocals.melody`.

    Args:
        base: The recipe of the base model, which has a space `melody` and others.
        separator: A separator that makes vocals.
        licence: The licence of its weights.

    Raises:
        UsageError: The base has no melody, or spaces of stems itself.

    Example:
        >>> recipe = joined_recipe(load_recipe("dsp"), SeparatorVersion("spleeter", 1), "MIT")
        >>> [space["name"] for space in recipe["spaces"]]
        ['melody', 'rhythm', 'timbre', 'harmony', 'vocals.melody']
    """
    body = _body(base)
    names = [space.name for space in base.spaces]
    if _MELODY not in names:
        raise UsageError(f"{base.name} has no space {_MELODY}; give a model that has one, such as compact")
    melody = body["spaces"][names.index(_MELODY)]
    return {
        **body,
        **_derived(base, separator, licence),
        "name": f"{base.name}{_JOINED}",
        "summary": f"{base.name}, and its melody on the vocals of {separator.name}.",
        "spaces": [*body["spaces"], _on_stem(melody, _VOICE, names)],
    }


def _body(base: Recipe) -> dict[str, Any]:
    """Return the recipe of a base model as its file holds it. Raises UsageError if it has spaces of stems."""
    if any(space.source != MIX for space in base.spaces):
        raise UsageError(f"{base.name} is a stem model itself; give a model of mixes, such as compact")
    body: dict[str, Any] = json.loads((base.weights.parent / "recipe.json").read_bytes())
    return body


def _on_stem(entry: Mapping[str, Any], stem: str, names: Sequence[str]) -> dict[str, Any]:
    """Return a space of a base model on a stem."""
    name = space_name(stem, entry["name"], names)
    return {**entry, "name": name, "source": stem, "tensors": entry.get("tensors", entry["name"])}


def _derived(base: Recipe, separator: SeparatorVersion, licence: str) -> dict[str, Any]:
    """Return what a recipe says about the base and the separator that it was made of."""
    return {
        "licence": base.licence if licence in ("", base.licence) else f"{base.licence} AND {licence}",
        "base": base.digest,
        "separator": {"name": separator.name, "version": separator.version},
    }
