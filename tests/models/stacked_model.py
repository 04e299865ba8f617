"""A model that stands on the rows of `dsp`, with random weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from soundalike.models import recipes

DSP = Path(recipes.__file__).parent / "bundled" / "dsp"
INPUTS = ("rhythm", "timbre")


def make_stacked(folder: Path, change: Callable[[dict[str, Any]], object] = lambda recipe: None) -> Path:
    """A model with one space on the rows of two spaces of `dsp`, with random weights; `change` edits its recipe."""
    recipe = json.loads((DSP / "recipe.json").read_text())
    by_name = {space["name"]: space for space in recipe["spaces"]}
    random = np.random.default_rng(0)
    tensors = dict(load_file(DSP / "weights.safetensors")) | {
        "concept.mood.hidden.weight": random.standard_normal((8, 256)).astype(np.float32),
        "concept.mood.hidden.bias": random.standard_normal(8).astype(np.float32),
        "concept.mood.out.weight": random.standard_normal((6, 8)).astype(np.float32),
    }
    inputs = [
        {key: by_name[name][key] for key in ("name", "feature", "head", "dim")} | {"tensors": name} for name in INPUTS
    ]
    space = by_name["rhythm"] | {"name": "mood", "feature": "rhythm+timbre", "head": "mlp", "dim": 6}
    space |= {"tensors": "concept.mood", "inputs": inputs}
    weights = save(tensors)
    recipe |= {
        "name": "moods",
        "spaces": [space],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "rows_of": {"model": "dsp", "digest": recipes.load_recipe("dsp").digest},
    }
    change(recipe)
    folder.mkdir(exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "weights.safetensors").write_bytes(weights)
    return folder
