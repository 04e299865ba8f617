"""Write a trained model: a folder with recipe.json and weights.safetensors, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundalike.backbones import Backbone
from soundalike.core.files import make_folder, write_atomic, write_json
from soundalike.core.types import Calibration, FloatArray, Level
from soundalike.models import FORMAT, MAGIC

__all__ = ["space_entry", "write_model"]


def space_entry(
    name: str, backbone: Backbone, feature: str, head: str, dim: int, calibration: Mapping[Level, Calibration]
) -> dict[str, Any]:
    """A row of a recipe's table of spaces."""
    return {
        "name": name,
        "source": "mix",
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
) -> None:
    """Write the model folder `out`; the same arguments write the same bytes. Raises UsageError."""
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
    make_folder(out, "--out")
    write_atomic(out / "weights.safetensors", lambda file: file.write(weights))
    write_json(out / "recipe.json", recipe)
