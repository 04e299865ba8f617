"""Attribution: which blocks of its input a head uses, read from the weights of its first layer.

The input of a head may join several features of a backbone, such as descriptors of `dsp`, and a feature may have parts,
such as the layers of MERT. Each is a block of columns in the weight matrix of the first layer. The Frobenius norm of
the block measures how strongly the head uses it. MERIT reports these norms, scaled to sum 1 per head. We first multiply
every column by the standard deviation of its feature, because a feature with small values needs large weights for the
same effect.

Norms grow with the square root of the size of a block. Uniform weights would therefore give shares proportional to that
square root, which the reports list as `chance`. A share describes what a head uses, not what the block contains: blocks
with redundant content may divide the weight between them arbitrarily.

h hidden units (for a linear head: dimensions of the space), D dimensions of the input.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, section 4.9 and figure 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import FloatArray, Report, Space
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.reports import check_plot, make_report
from soundalike.models import Recipe, feature_blocks, load_backbone, load_recipe

__all__ = ["attribute_model", "attribution", "draw_attribution"]

_FIRST_LAYERS = {"mlp": "hidden.weight", "linear": "weight"}
"""The tensor of the first layer, (h, D), by kind of head."""


def attribution(weight: FloatArray, blocks: Mapping[str, int], deviation: FloatArray | None = None) -> dict[str, float]:
    """Return the share of each input block in the weights of a first layer.

    The share is the Frobenius norm of the block in weight x deviation, divided by the sum of the norms (not of their
    squares). It does not change if a feature is scaled by a factor and its weights by the inverse.

    Args:
        weight: (h, D).
        blocks: The sizes of the blocks in the order of the columns.
        deviation: The standard deviation of each feature, (D,). Without it the plain weights are used, as published.

    Returns:
        Shares that sum to 1, by block.

    Raises:
        ValueError: The sizes do not sum to D, `deviation` is not (D,), or all weights are 0.

    Example:
        >>> attribution(np.array([[3.0, 0.0, 1.0]]), {"pitch": 2, "onsets": 1})
        {'pitch': 0.75, 'onsets': 0.25}
    """
    width = weight.shape[1]
    if sum(blocks.values()) != width:
        raise ValueError(f"the blocks have {sum(blocks.values())} dimensions, but the weight has {width} columns")
    if deviation is not None and deviation.shape != (width,):
        raise ValueError(f"the standard deviations have shape {deviation.shape}, but the weight has {width} columns")
    scaled = weight.astype(np.float64) * (1.0 if deviation is None else deviation.astype(np.float64))
    ends = np.cumsum(list(blocks.values()))[:-1]
    norms = np.array([np.linalg.norm(block) for block in np.split(scaled, ends, axis=1)])
    if not norms.sum() > 0:
        raise ValueError("all weights are 0")
    return dict(zip(blocks, (norms / norms.sum()).tolist(), strict=True))


def attribute_model(model: str) -> Report:
    """Report the shares of all input blocks (columns) in every space with an `mlp` or `linear` head (rows).

    Standard deviations are read from the tensors `<space>.spread` (D,). Notes list the spaces without them, and the
    spaces with other heads, which have no row.

    Args:
        model: A model's name or folder.

    Returns:
        Shares in per cent, NaN where a block is not an input of the space. `n` is the size of the block. `chance` is
        the share under uniform weights, NaN if the spaces have different inputs.

    Raises:
        ModelError: The model is unknown or invalid, or no space has a head with a first layer.

    Example:
        >>> attribute_model("dsp").columns
        ('melody', 'rhythm', 'timbre', 'harmony')
    """
    from safetensors.numpy import load_file

    recipe = load_recipe(model)
    tensors = load_file(recipe.weights)
    spaces = [space for space in recipe.spaces if space.head in _FIRST_LAYERS]
    if not spaces:
        raise ModelError(
            f"model {recipe.name} has no head of kind {' or '.join(_FIRST_LAYERS)}, which attribution needs; "
            f"it has {', '.join(sorted({space.head for space in recipe.spaces}))}"
        )
    blocks = {space.name: _blocks(space, recipe) for space in spaces}
    shares = {space.name: _shares(space, blocks[space.name], tensors) for space in spaces}
    names = dict.fromkeys(block for sizes in blocks.values() for block in sizes)
    no_interval = np.full(len(spaces), np.nan)
    columns = {
        block: Estimate(
            np.array([shares[space.name].get(block, np.nan) for space in spaces]),
            no_interval,
            no_interval,
            np.array([blocks[space.name].get(block, 0) for space in spaces]),
        )
        for block in names
    }
    same_inputs = all(sizes == blocks[spaces[0].name] for sizes in blocks.values())
    uniform = np.sqrt(list(blocks[spaces[0].name].values()))
    notes = [
        "Share of the first layer's weights, by Frobenius norm. n: dimensions of the block. Chance: uniform weights."
    ]
    unscaled = [space.name for space in spaces if f"{space.name}.spread" not in tensors]
    if unscaled:
        notes.append(
            f"Plain weights, because the model has no standard deviations of the features: {', '.join(unscaled)}."
        )
    omitted = [f"{space.name} ({space.head})" for space in recipe.spaces if space not in spaces]
    if omitted:
        notes.append(f"Left out because their heads have no first layer of their own: {', '.join(omitted)}.")
    return make_report(
        columns,
        rows=[space.name for space in spaces],
        chance=(100 * uniform / uniform.sum()).tolist() if same_inputs else [np.nan] * len(names),
        protocol="attribution",
        title="Attribution of heads to blocks of their input",
        model=recipe.name,
        unit="%",
        command=f"soundalike train attribution {recipe.name}",
        notes=[*notes, f"Model digest {recipe.digest[:12]}."],
    )


def _blocks(space: Space, recipe: Recipe) -> dict[str, int]:
    """The features in the input of a space, or their parts, with their sizes.

    Names include the backbone if the model has several.
    """
    several = len(recipe.backbone_versions) > 1
    backbone = load_backbone(recipe, space.backbone)
    blocks: dict[str, int] = {}
    for feature, size in feature_blocks(space, backbone):
        parts = getattr(backbone, "parts", {}).get(feature, {feature: size})
        blocks.update({f"{space.backbone} {name}" if several else name: part for name, part in parts.items()})
    return blocks


def _shares(space: Space, blocks: Mapping[str, int], tensors: Mapping[str, FloatArray]) -> dict[str, float]:
    """The shares of one space. Raises ModelError if its tensors are missing or invalid."""
    name, width = f"{space.name}.{_FIRST_LAYERS[space.head]}", sum(blocks.values())
    weight, deviation = tensors.get(name), tensors.get(f"{space.name}.spread")
    if weight is None:
        raise ModelError(f"space {space.full_name}: the weights have no tensor {name}; download or fit the model again")
    if weight.ndim != 2 or weight.shape[1] != width:
        raise ModelError(f"space {space.full_name}: {name} has shape {weight.shape}, expected (h, {width})")
    if deviation is not None and deviation.shape != (width,):
        raise ModelError(
            f"space {space.full_name}: {space.name}.spread has shape {deviation.shape}, expected ({width},)"
        )
    if not np.isfinite(weight).all() or (deviation is not None and not np.isfinite(deviation).all()):
        raise ModelError(
            f"space {space.full_name}: the weights or standard deviations contain NaN or infinity; fit the model again"
        )
    try:
        return attribution(weight, blocks, deviation)
    except ValueError as error:
        raise ModelError(f"space {space.full_name}: {error}; fit the model again") from error


def draw_attribution(report: Report, path: Path) -> None:
    """Draw the report of `attribute_model` as a heat map with one row per space, as figure 5 of MERIT.

    Args:
        report: The report.
        path: The picture; its suffix, .png, .svg or .pdf, selects the format.

    Raises:
        UsageError: matplotlib is missing, the suffix is unknown, or the file cannot be written.

    Example:
        >>> draw_attribution(attribute_model("dsp"), Path("attribution.png"))
    """
    check_plot(path)
    # Without pyplot, which would keep the figure in memory and select a display.
    figure_class = import_module("matplotlib.figure").Figure
    rows, columns = report.values.shape
    figure = figure_class(figsize=(2.2 + 1.1 * columns, 1.4 + 0.45 * rows), layout="constrained")
    axes = figure.subplots()
    # Masked cells stay white: the block is not an input of the space. A share of 0 would be different.
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
