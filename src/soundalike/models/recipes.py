"""Read recipes, which describe the spaces of a model, and parse weights such as "melody=2,timbre=-1".

A model is a folder with `recipe.json` (magic, format, spaces, calibration) and `weights.safetensors`. The recipe names
the weights of its backbones, if they are not part of this package.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from soundalike.core import plugins
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.files import absolute
from soundalike.core.names import check_name, check_unique
from soundalike.core.types import LEVELS, Calibration, Level, Space, SpaceInput, Weights
from soundalike.models.installed import find_model, installed_models

__all__ = [
    "DEFAULT_MODEL",
    "FORMAT",
    "MAGIC",
    "MIX",
    "BackboneWeights",
    "Recipe",
    "RowsOf",
    "SeparatorVersion",
    "load_recipe",
    "parse_weights",
    "recipe_version",
    "resolve_weights",
]

DEFAULT_MODEL = "compact"
MAGIC = "soundalike-model"
FORMAT = 1
MIX = "mix"
"""The source of a space that is not a stem."""

_SMALLEST, _LARGEST = 1e-6, 1e6  # limits of the magnitude of a weight
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class SeparatorVersion:
    """The separator that makes the stems of a model. `version` changes whenever the stems may change."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class RowsOf:
    """The model whose rows are the input of all heads, by name and digest."""

    model: str
    digest: str


@dataclass(frozen=True, slots=True)
class BackboneWeights:
    """The weights of a backbone that comes without them.

    Attributes:
        path: A file or a folder. In a recipe, None says that an installed model brings them.
        model: The installed model that brings them; None if the model itself does.
        licence: Their licence, if it is known.
        credit: Whom to name for them, if it is known.
    """

    path: Path | None
    model: str | None
    licence: str | None
    credit: str | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """The description of a model.

    Attributes:
        name: Name of the model.
        summary: One line on what the model is.
        licence: Licence of the weights, an SPDX expression.
        spaces: The spaces.
        backbone_versions: The version of each backbone that the model was made for.
        backbone_weights: The weights of each backbone that does not come with its own.
        weights: Path of the safetensors file.
        digest: Identifies the rows: it changes whenever a row may change.
        separator: What separates the stems that spaces have as their source; None for a model of mixes.
        base: The digest of the model from which this one was derived; None if it was not derived.
        rows_of: The model whose rows the heads project; None if they project features.
    """

    name: str
    summary: str
    licence: str
    spaces: tuple[Space, ...]
    backbone_versions: Mapping[str, int]
    backbone_weights: Mapping[str, BackboneWeights]
    weights: Path
    digest: str
    separator: SeparatorVersion | None = None
    base: str | None = None
    rows_of: RowsOf | None = None

    def space(self, name: str) -> Space:
        """Return a space by its short name or its full name `model/name`.

        Raises:
            UsageError: There is no such space. The message lists the known names.

        Example:
            >>> load_recipe("dsp").space("melody").dim
            128
        """
        for space in self.spaces:
            if name in (space.name, space.full_name):
                return space
        raise UsageError(f"unknown space {name!r}; {self.name} has {', '.join(s.name for s in self.spaces)}")


def load_recipe(model: str) -> Recipe:
    """Read and check the recipe of a model.

    Args:
        model: Name of a bundled or installed model, or path of a model folder.

    Returns:
        The recipe.

    Raises:
        ModelError: The model is unknown, its recipe is invalid or of another format, or its weights do not match the
            digest in the recipe.

    Example:
        >>> [space.name for space in load_recipe("dsp").spaces]
        ['melody', 'rhythm', 'timbre', 'harmony']
    """
    folder = find_model(model)
    if not os.path.isfile(folder / "recipe.json"):  # noqa: PTH113 - Path.is_file raises an error for a long name
        on_stems = any(model.endswith(f"-{one}") for one in ("stems", *plugins.names("separators")))
        hint = f"; install it with: soundalike models install {model}" if on_stems else ""
        raise ModelError(
            f"unknown model {model!r}; installed: {', '.join(installed_models())}, "
            f"or give the path of a folder with a recipe.json{hint}"
        )
    try:
        raw = (folder / "recipe.json").read_bytes()
        body = json.loads(raw)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {model}: recipe.json cannot be read ({error}); install the model again") from error
    if not isinstance(body, dict) or body.get("magic") != MAGIC:
        raise ModelError(f"model {model}: recipe.json is not a soundalike recipe (no magic {MAGIC!r})")
    if body.get("format") != FORMAT:
        raise ModelError(
            f"model {model}: recipe format {body.get('format')!r}, this version reads {FORMAT}; upgrade soundalike"
        )
    weights = folder / _WEIGHTS
    try:
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"model {model}: {weights.name} cannot be read ({error.strerror})") from error
    if found != body.get("weights_sha256"):
        raise ModelError(f"model {model}: {weights.name} does not match its recipe's digest; install the model again")
    try:
        _check_names(body)
    except (KeyError, TypeError) as error:
        raise ModelError(f"model {model}: recipe.json is incomplete ({error!r}); install the model again") from error
    except ValueError as error:
        raise ModelError(f"model {model}: {error}; rename it in recipe.json") from error
    try:
        name = str(body["name"])
        spaces = tuple(_space(name, entry) for entry in body["spaces"])
        versions: dict[str, int] = {}
        for entry in body["spaces"]:
            if versions.setdefault(entry["backbone"], entry["backbone_version"]) != entry["backbone_version"]:
                raise ValueError(f"two versions of {entry['backbone']}")
        separator = _separator(body.get("separator"), spaces)
        recipe = Recipe(
            name=name,
            summary=str(body["summary"]),
            licence=str(body["licence"]),
            spaces=spaces,
            backbone_versions=versions,
            backbone_weights=_backbone_weights(folder, body.get("backbones", {}), versions),
            weights=weights,
            digest=_digest(spaces, versions, found, separator),
            separator=separator,
            base=body.get("base"),
            rows_of=_rows_of(body.get("rows_of"), spaces),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"model {model}: recipe.json is incomplete ({error!r}); install the model again") from error
    if not spaces:
        raise ModelError(f"model {model}: a recipe needs at least one space")
    return recipe


def recipe_version(model: str) -> tuple[tuple[int, int, int], ...] | None:
    """Return what tells the files of a model from those of another version; None if they cannot be found.

    Example:
        >>> recipe_version("dsp") == recipe_version("dsp")
        True
    """
    try:
        found = [(find_model(model) / name).stat() for name in ("recipe.json", _WEIGHTS)]
    except (OSError, ValueError):  # ValueError: a name with NUL
        return None
    return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)


def _digest(
    spaces: Sequence[Space], versions: Mapping[str, int], weights: str, separator: SeparatorVersion | None
) -> str:
    """Return a digest of everything that affects a row. A new calibration or summary requires no new encoding."""
    table = [
        [space.name, space.source, space.backbone, versions[space.backbone], space.feature, space.head, space.dim]
        + ([] if space.tensors is None else [space.tensors])
        + [asdict(one) for one in space.inputs]
        for space in spaces
    ]
    made_with = [] if separator is None else [[separator.name, separator.version]]
    return hashlib.sha256(json.dumps([table, weights, *made_with]).encode()).hexdigest()[:32]


def _separator(entry: Mapping[str, Any] | None, spaces: Sequence[Space]) -> SeparatorVersion | None:
    """Return the separator of a recipe. Raises ValueError if a space needs one and there is none, or none does."""
    stems = [space.source for space in spaces if space.source != MIX]
    if entry is None:
        if stems:
            raise ValueError(f"the source {stems[0]!r} is a stem, and the recipe names no separator")
        return None
    if not stems:
        raise ValueError(f"a separator, {entry['name']!r}, but no space with a stem as its source")
    return SeparatorVersion(str(entry["name"]), int(entry["version"]))


def _rows_of(entry: Mapping[str, Any] | None, spaces: Sequence[Space]) -> RowsOf | None:
    """Return the model whose rows are the inputs. Raises ValueError unless all spaces have inputs, or none."""
    if {bool(space.inputs) for space in spaces} - {entry is not None}:
        raise ValueError("spaces with and without inputs, or inputs of no model")
    return None if entry is None else RowsOf(str(entry["model"]), str(entry["digest"]))


def _backbone_weights(folder: Path, table: Mapping[str, Any], used: Collection[str]) -> dict[str, BackboneWeights]:
    """Return the weights of each backbone in `table`. Relative paths begin at the model's folder.

    Whether the files exist is for the backbone to say. The digest of the recipe need not cover them: the version of the
    backbone does, because it is made from its weights.
    """
    if unused := ", ".join(sorted(set(table) - set(used))):
        raise ValueError(f"weights of {unused}, which no space uses")
    found = {}
    for name, entry in dict(table).items():
        model = check_name("model", entry["model"]) if "model" in entry else None
        path = None if model else absolute(folder / str(entry["weights"]))
        found[name] = BackboneWeights(path, model, entry.get("licence"), entry.get("credit"))
    return found


def _check_names(body: Mapping[str, Any]) -> None:
    """Raise ValueError if a name in a recipe breaks the rule for names (`core.names`)."""
    check_name("model", body["name"])
    for entry in body["spaces"]:
        check_name("space", entry["name"])
        check_name("backbone", entry["backbone"])
        check_name("source", entry["source"])
        for feature in str(entry["feature"]).split("+"):
            check_name("feature", feature)
    if separator := body.get("separator"):
        check_name("separator", separator["name"])
    check_unique("space", (entry["name"] for entry in body["spaces"]))


def _space(model: str, entry: Mapping[str, Any]) -> Space:
    """Parse and check one space of a recipe."""
    calibration: dict[Level, Calibration] = {}
    for level in LEVELS:
        table = entry["calibration"][level]
        mu, sigma = float(table["mu"]), float(table["sigma"])
        quantiles = tuple(float(value) for value in table["quantiles"])
        if not (math.isfinite(mu) and math.isfinite(sigma) and sigma > 0):
            raise ValueError(f"mu {mu}, sigma {sigma}: sigma must be positive and both finite")
        if len(quantiles) != 101 or any(a > b for a, b in pairwise(quantiles)):
            raise ValueError("a percentile table needs 101 ascending similarities")
        calibration[level] = Calibration(mu=mu, sigma=sigma, quantiles=quantiles)
    return Space(
        model=model,
        name=str(entry["name"]),
        source=str(entry["source"]),
        backbone=str(entry["backbone"]),
        feature=str(entry["feature"]),
        head=str(entry["head"]),
        dim=int(entry["dim"]),
        calibration=calibration,
        tensors=entry.get("tensors"),
        inputs=tuple(SpaceInput(**one) for one in entry.get("inputs", ())),
    )


def parse_weights(text: str) -> Weights:
    """Parse weights such as "melody=2,timbre=-1". A name without a value has weight 1.

    Args:
        text: Comma-separated `NAME=NUMBER` or `NAME`.

    Returns:
        The weights by name. The names are not checked.

    Raises:
        UsageError: A name is repeated, or a value is not a finite number.

    Example:
        >>> dict(parse_weights("melody=2,rhythm"))
        {'melody': 2.0, 'rhythm': 1.0}
    """
    values: dict[str, float] = {}
    for piece in text.split(","):
        name, _, number = piece.strip().partition("=")
        name = name.strip()
        try:
            value = float(number) if "=" in piece else 1.0
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise UsageError(
                f"cannot read the weight {piece.strip()!r}; expected NAME=NUMBER, such as melody=2,timbre=-1"
            )
        if name in values:
            raise UsageError(f"the weight of {name} is given twice; give it once")
        values[name] = value
    return Weights(values)


def resolve_weights(
    weights: Mapping[str, float] | None,
    spaces: Sequence[Space],
    aliases: Mapping[str, str] | None = None,
    others: Sequence[str] = (),
) -> Weights:
    """Return the weight of every space, by name.

    Args:
        weights: Weights by name or full name. Spaces that are not named have weight 0. None means weight 1 for all of
            the model of the first space.
        spaces: The spaces of the model, or of a request over several models (`search_spaces.py`).
        aliases: The names of spaces by further names that `weights` may use.
        others: Further names that are known, for messages.

    Returns:
        The weight of every space in `spaces`.

    Raises:
        UsageError: A space is unknown or named twice, a weight is out of range, or every weight is 0.

    Example:
        >>> dict(resolve_weights({"melody": 2}, load_recipe("dsp").spaces))
        {'melody': 2.0, 'rhythm': 0.0, 'timbre': 0.0, 'harmony': 0.0}
    """
    if weights is None:
        return Weights({space.name: float(space.model == spaces[0].model) for space in spaces})
    known = dict(aliases or {}) | {alias: space.name for space in spaces for alias in (space.full_name, space.name)}
    values = {space.name: 0.0 for space in spaces}
    named: dict[str, str] = {}
    for name, value in weights.items():
        if name not in known:
            listed = dict.fromkeys([*(space.name for space in spaces), *others])
            raise UsageError(f"unknown space {name!r}; known: {', '.join(listed)}")
        if known[name] in named:
            raise UsageError(
                f"the weight of {known[name]} is given twice, as {named[known[name]]} and {name}; give it once"
            )
        if value != 0 and not _SMALLEST <= abs(value) <= _LARGEST:
            shown = "too large" if abs(value) > sys.float_info.max else f"{value:g}"
            raise UsageError(
                f"the weight of {name} is {shown}; give 0, or a magnitude from {_SMALLEST:g} to {_LARGEST:g}"
            )
        named[known[name]] = name
        values[known[name]] = value
    if not any(values.values()):
        raise UsageError(
            f"every weight is 0; give at least one of {', '.join(values)} a weight, such as {next(iter(values))}=1"
        )
    return Weights(values)
