"""Which blocks of its input a head listens to, read from the weights of its first layer.

The input of a head may join several features of a backbone side by side: layers of MERT, descriptors of `dsp`. Each is
a block of the columns of the first layer's weight, and the block's Frobenius norm says how strongly the head attends to
it. MERIT reports these norms with each row scaled to sum 1. We first multiply every column by the spread (standard
deviation) of its feature, because a block of small numbers needs large weights to say the same.

Norms grow with the square root of a block's size: that is what even weights would give, and the reports' `chance`. A
share says where a head looks, not what it finds there: blocks that hold the same may divide it between them in any way.

h hidden units (of a linear head: dims of the space), D dims of the input.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, section 4.9 and figure 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from soundalike.core import plugins
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import FloatArray, Report, Space
from soundalike.evaluate.reports import Estimate, check_plot, make_report
from soundalike.models import Recipe, feature_blocks, load_recipe

__all__ = ["attribute_model", "attribution", "draw_attribution"]

_FIRST_LAYERS = {"mlp": "hidden.weight", "linear": "weight"}
"""The tensor of a head's first layer, (h, D), by its kind."""


def attribution(weight: FloatArray, blocks: Mapping[str, int], spread: FloatArray | None = None) -> dict[str, float]:
    """Each block's share of a first layer: the Frobenius norm of its columns of weight x spread, over the norms' sum.

    `weight` (h, D), `blocks` the sizes in the order of the columns, `spread` (D,) the standard deviation of each
    feature, without which the plain weights are used, as published. Norms, not their squares. The shares sum to 1.
    Multiplying a feature by a number and dividing its weights by it changes nothing.

    Raises ValueError if the sizes do not sum to D, the spread is not (D,), or there is no weight anywhere.
    """
    width = weight.shape[1]
    if sum(blocks.values()) != width:
        raise ValueError(f"blocks of {sum(blocks.values())} dims in all, but the weight has {width} columns")
    if spread is not None and spread.shape != (width,):
        raise ValueError(f"a spread of shape {spread.shape}, but the weight has {width} columns")
    scaled = weight.astype(np.float64) * (1.0 if spread is None else spread.astype(np.float64))
    ends = np.cumsum(list(blocks.values()))[:-1]
    norms = np.array([np.linalg.norm(part) for part in np.split(scaled, ends, axis=1)])
    if not norms.sum() > 0:
        raise ValueError("every weight is 0: it listens to nothing")
    return dict(zip(blocks, (norms / norms.sum()).tolist(), strict=True))


def attribute_model(model: str) -> Report:
    """Every space with an `mlp` or `linear` head (rows) on every block of their inputs (columns), in per cent.

    `model` is a name or a folder. Spreads are read from the tensors `<space>.spread` (D,); spaces without one are named
    in a note, and so are spaces with other heads, which have no row. NaN where a space is not given a block. `n` is a
    block's size; `chance` what even weights give, NaN where the spaces have different inputs.

    Raises ModelError if the model is unknown or damaged, or has no head with a first layer of its own.
    """
    from safetensors.numpy import load_file

    recipe = load_recipe(model)
    tensors = load_file(recipe.weights)
    spaces = [space for space in recipe.spaces if space.head in _FIRST_LAYERS]
    if not spaces:
        raise ModelError(
            f"model {recipe.name} has no head of kind {' or '.join(_FIRST_LAYERS)}; "
            f"it has {', '.join(sorted({space.head for space in recipe.spaces}))}, which have no first layer to read"
        )
    blocks = {space.name: _blocks(space, recipe) for space in spaces}
    shares = {space.name: _shares(space, blocks[space.name], tensors) for space in spaces}
    names = dict.fromkeys(block for sizes in blocks.values() for block in sizes)
    nothing = np.full(len(spaces), np.nan)
    columns = {
        block: Estimate(
            np.array([shares[space.name].get(block, np.nan) for space in spaces]),
            nothing,
            nothing,
            np.array([blocks[space.name].get(block, 0) for space in spaces]),
        )
        for block in names
    }
    same = all(sizes == blocks[spaces[0].name] for sizes in blocks.values())
    even = np.sqrt(list(blocks[spaces[0].name].values()))
    notes = ["Share of the first layer's weights, by Frobenius norm. n: dims of the block. Chance: even weights."]
    plain = [space.name for space in spaces if f"{space.name}.spread" not in tensors]
    if plain:
        notes.append(f"Plain weights, for the model holds no spread of the features: {', '.join(plain)}.")
    others = [f"{space.name} ({space.head})" for space in recipe.spaces if space not in spaces]
    if others:
        notes.append(f"Left out, for their heads have no first layer of their own: {', '.join(others)}.")
    return make_report(
        columns,
        rows=[space.name for space in spaces],
        chance=(100 * even / even.sum()).tolist() if same else [np.nan] * len(names),
        protocol="attribution",
        title="Attribution of heads to blocks of their input",
        model=recipe.name,
        unit="%",
        command=f"soundalike train attribution {recipe.name}",
        notes=[*notes, f"Model digest {recipe.digest[:12]}."],
    )


def _blocks(space: Space, recipe: Recipe) -> dict[str, int]:
    """The features that a space's input joins, and their sizes; with the backbone's name where there are several."""
    several = len(recipe.backbone_versions) > 1
    blocks = feature_blocks(space, plugins.load("backbones", space.backbone))
    return {f"{space.backbone} {part}" if several else part: size for part, size in blocks}


def _shares(space: Space, blocks: Mapping[str, int], tensors: Mapping[str, FloatArray]) -> dict[str, float]:
    """A space's shares. Raises ModelError naming what is wrong with its tensors."""
    name, width = f"{space.name}.{_FIRST_LAYERS[space.head]}", sum(blocks.values())
    weight, spread = tensors.get(name), tensors.get(f"{space.name}.spread")
    if weight is None:
        raise ModelError(f"space {space.full_name}: the weights hold no {name}; fetch or fit the model again")
    if weight.ndim != 2 or weight.shape[1] != width:
        raise ModelError(f"space {space.full_name}: {name} has shape {weight.shape}, expected (h, {width})")
    if spread is not None and spread.shape != (width,):
        raise ModelError(f"space {space.full_name}: {space.name}.spread has shape {spread.shape}, expected ({width},)")
    if not np.isfinite(weight).all() or (spread is not None and not np.isfinite(spread).all()):
        raise ModelError(f"space {space.full_name}: its weights or spread hold NaN or infinity; fit the model again")
    try:
        return attribution(weight, blocks, spread)
    except ValueError as error:
        raise ModelError(f"space {space.full_name}: {error}; fit the model again") from error


def draw_attribution(report: Report, path: Path) -> None:
    """Draw the report of `attribute_model` as a heat map, as MERIT's figure 5: a row a space, a column a block.

    Raises UsageError if matplotlib is missing, the name has no ending of a picture, or the file cannot be written.
    """
    check_plot(path)
    # Not through pyplot, which would keep the figure and choose a display.
    figure_class = import_module("matplotlib.figure").Figure
    rows, columns = report.values.shape
    figure = figure_class(figsize=(2.2 + 1.1 * columns, 1.4 + 0.45 * rows), layout="constrained")
    axes = figure.subplots()
    # A masked cell stays white: a space that is not given a block is not one that ignores it.
    top = np.nanmax(report.values)
    image = axes.imshow(np.ma.masked_invalid(report.values), cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
    axes.set_xticks(range(columns), report.columns)
    axes.set_yticks(range(rows), report.rows)
    axes.set_title(f"{report.title} ({report.model})", loc="left", fontsize="small")
    for row, column in np.argwhere(np.isfinite(report.values)):
        share = report.values[row, column]
        colour = "white" if share > 0.6 * top else "black"
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize="small")
    figure.colorbar(image, label="share (%)")
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
