"""Write a trained model: a folder with recipe.json and weights.safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundalike.backbones import Backbone
from soundalike.core.files import make_folder, write_atomic, write_json
from soundalike.core.types import Calibration, FloatArray, Level
from soundalike.models import FORMAT, MAGIC, MIX, SeparatorVersion

__all__ = ["space_entry", "write_model"]


def space_entry(
    name: str,
    backbone: Backbone,
    feature: str,
    head: str,
    dim: int,
    calibration: Mapping[Level, Calibration],
    *,
    source: str = MIX,
) -> dict[str, Any]:
    """Return the entry of a space in a recipe.

    Args:
        name: The name of the space.
        backbone: The backbone of its feature.
        feature: The feature, or several joined by "+".
        head: The kind of head.
        dim: Dims of its rows.
        calibration: Its null distribution at each level.
        source: "mix", or the stem that it is of.

    Example:
        >>> space_entry("melody", backbone, "melody", "linear", 128, calibration)["source"]
        'mix'
    """
    return {
        "name": name,
        "source": source,
        "backbone": backbone.name,
        "backbone_version": backbone.version,
        "feature": feature,
        "head": head,
        "dim": dim,
        "calibration": {level: asdict(value) for level, value in calibration.items()},
    }


def write_model(
    out: Path,
    *,
    name: str,
    summary: str,
    licence: str,
    spaces: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, FloatArray],
    trained_on: Sequence[Mapping[str, object]],
    seed: int,
    backbones: Mapping[str, Mapping[str, str]] | None = None,
    separator: SeparatorVersion | None = None,
    rows_of: Mapping[str, str] | None = None,
) -> None:
    """Write a model. The same arguments give the same bytes.

    Args:
        out: The folder of the model. It is made if it does not exist.
        name: The name of the model.
        summary: One sentence about it.
        licence: The licence of the weights.
        spaces: Entries of its spaces (`space_entry`).
        tensors: The weights, by name.
        trained_on: The sources of the training data, with their licences.
        seed: The seed of the training.
        backbones: The weights of each backbone that does not come with its own: under `weights` a file or a folder
            relative to `out`, or under `model` the installed model that brings them; and their `licence` and `credit`.
        separator: What makes the stems, if spaces are of stems.
        rows_of: The `model` and the `digest` of the model whose rows are the inputs of the spaces, if they have inputs.

    Raises:
        UsageError: The folder cannot be made or written to.

    Example:
        >>> write_model(
        ...     Path("mine"), name="mine", summary="Melody.", licence="CC0-1.0", spaces=[entry], tensors=head.tensors,
        ...     trained_on=[{"name": "my clips", "licence": "CC0-1.0", "n": 400}], seed=0,
        ... )
    """
    from safetensors.numpy import save

    weights = save(dict(tensors))
    recipe = {
        "magic": MAGIC,
        "format": FORMAT,
        "name": name,
        "summary": summary,
        "licence": licence,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "spaces": list(spaces),
        "trained_on": list(trained_on),
        "seed": seed,
    }
    if backbones:
        recipe["backbones"] = {backbone: dict(entry) for backbone, entry in backbones.items()}
    if separator:
        recipe["separator"] = {"name": separator.name, "version": separator.version}
    if rows_of:
        recipe["rows_of"] = dict(rows_of)
    make_folder(out, "--out")
    write_atomic(out / "weights.safetensors", lambda file: file.write(weights))
    write_json(out / "recipe.json", recipe)
