"""Rows of a report: the spaces of a model, and fusions of all its spaces.

A protocol with fusions declares `fusion_options`, calls `check_fusion` before it encodes anything, and measures every
row of `margins_with_fusions` or `similarity_matrices`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, Space, Triplet, Weights
from soundalike.evaluate.base import EncodedClips, triplet_cosines, triplet_rows
from soundalike.evaluate.fusion import SCORE_FUSIONS, VECTOR_FUSIONS, concatenate_vectors, mean_scores, mean_vectors
from soundalike.models import DEFAULT_MODEL, load_recipe, parse_weights, presence, resolve_weights

__all__ = [
    "PUBLISHED_WEIGHTS",
    "Fusions",
    "Margins",
    "check_fusion",
    "fusion_options",
    "margins_with_fusions",
    "requested_fusions",
    "similarity_matrices",
]

PUBLISHED_WEIGHTS = "melody=.4,rhythm=.4,timbre=.2"
"""The weighted mean in MERIT's code, which `--weights published` stands for."""


def fusion_options() -> list[click.Parameter]:
    """Return `--fusion` and `--weights`, which `check_fusion` and `margins_with_fusions` read."""
    return [
        click.Option(["--fusion"], is_flag=True, help="Add one row for each way to combine all spaces of the model."),
        click.Option(
            ["--weights"],
            metavar="SPACE=W,...",
            help="With --fusion, add weighted means: melody=.4,timbre=.2, or published for those of MERIT's code.",
        ),
    ]


def check_fusion(args: SimpleNamespace, model: str | None) -> None:
    """Check `--fusion` and `--weights` against a model before any clip is encoded.

    Raises:
        UsageError: `--weights` without `--fusion`, weights of unknown spaces, or a model with a single space.
        ModelError: The model is unknown or invalid.
    """
    if args.weights is not None and not args.fusion:
        raise UsageError("--weights needs --fusion; add --fusion or remove --weights")
    if args.fusion:
        recipe = load_recipe(model or DEFAULT_MODEL)
        if len(recipe.spaces) < 2:
            raise UsageError(f"--fusion needs at least two spaces; {recipe.name} has only {recipe.spaces[0].name}")
        _weights(recipe.spaces, args)


def _weights(spaces: Sequence[Space], args: SimpleNamespace) -> Weights | None:
    if args.weights is None:
        return None
    text = PUBLISHED_WEIGHTS if args.weights == "published" else args.weights
    return resolve_weights(parse_weights(text), spaces)


@dataclass(frozen=True, slots=True, eq=False)
class Fusions:
    """The fusions that a command requests.

    Attributes:
        scores: From (n, s) cosines to (n,) scores, by the name of the row.
        vectors: From the rows of s spaces, (n, d) each, to unit rows, by the name of the row.
        options: The command-line options that request them; empty without fusions.
        notes: Remarks for the report; empty without fusions.
    """

    scores: Mapping[str, Callable[[FloatArray], FloatArray]]
    vectors: Mapping[str, Callable[[Sequence[FloatArray]], FloatArray]]
    options: str = ""
    notes: tuple[str, ...] = ()


def requested_fusions(encoded: EncodedClips, args: SimpleNamespace) -> Fusions:
    """Return the fusions of the spaces of a model that `--fusion` and `--weights` request; none without `--fusion`.

    If the spaces differ in dimension, concatenation is the only fusion of vectors.

    Args:
        encoded: Clips encoded by the model.
        args: `fusion` and `weights`, as declared by `fusion_options` and checked by `check_fusion`.
    """
    if not args.fusion:
        return Fusions({}, {})
    scores, vectors = dict(SCORE_FUSIONS), dict(VECTOR_FUSIONS)
    options = "--fusion"
    names = ", ".join(space.name for space in encoded.spaces)
    notes = [f"Fused spaces: {names}. The product of scores is the product of (1 + cos) / 2."]
    weights = _weights(encoded.spaces, args)
    if weights is not None:
        ordered = [weights[space.name] for space in encoded.spaces]
        scores["weighted mean"] = partial(mean_scores, weights=ordered)
        vectors["weighted mean"] = partial(mean_vectors, weights=ordered)
        options += " --weights " + ",".join(f"{name}={weight:g}" for name, weight in weights.items() if weight)
    if len({space.dim for space in encoded.spaces}) > 1:
        vectors = {"concatenation": concatenate_vectors}
        dims = ", ".join(f"{space.name} {space.dim}" for space in encoded.spaces)
        notes.append(f"The vectors differ in dimension ({dims}) and can only be concatenated.")
    return Fusions(
        {f"fused scores: {name}": fuse for name, fuse in scores.items()},
        {f"fused vectors: {name}": join for name, join in vectors.items()},
        options,
        tuple(notes),
    )


def similarity_matrices(encoded: EncodedClips, fusions: Fusions) -> Iterator[tuple[str, FloatArray]]:
    """Yield the similarities of all pairs of n clips, (n, n) float64, by space and then by fusion.

    A pair with an inaudible clip has the mean similarity of random pairs in a space, and NaN in a fusion of vectors.

    Example:
        >>> for name, similarity in similarity_matrices(encoded, Fusions({}, {})):
        ...     print(name, similarity.shape)
    """
    for space in encoded.spaces:
        yield space.name, encoded.similarities(space)
    if fusions.scores:
        cosines = np.stack([encoded.similarities(space).ravel() for space in encoded.spaces], axis=1)
        side = len(encoded.index)
        for name, fuse in fusions.scores.items():
            yield name, fuse(cosines).reshape(side, side)
    for name, join in fusions.vectors.items():
        rows = join([encoded.rows[space.name] for space in encoded.spaces]).astype(np.float64)
        present = presence(rows)
        yield name, np.where(present[:, None] & present, rows @ rows.T, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Margins:
    """Similarities of m triplets in every space and every requested fusion.

    Attributes:
        rows: The names of the spaces, then of the fusions.
        values: near - far, (m, rows) float64; 0 where a clip has no fused vector.
        near: Similarities of anchors and positives, (m, rows), NaN where a clip has no fused vector.
        far: Similarities of anchors and negatives, (m, rows), with the same NaN.
        options: The command-line options that request the same fusions; empty without fusions.
        notes: Remarks for the report; empty without fusions.
    """

    rows: tuple[str, ...]
    values: FloatArray
    near: FloatArray
    far: FloatArray
    options: str = ""
    notes: tuple[str, ...] = ()


def margins_with_fusions(encoded: EncodedClips, triplets: Sequence[Triplet], args: SimpleNamespace) -> Margins:
    """Compute the similarities of all spaces and, with `--fusion`, of every fusion in `soundalike.evaluate.fusion`.

    Fused scores treat an inaudible pair as the spaces do: its similarity is the mean of random pairs. Fused vectors
    have no such value, so a triplet ties if one of its clips has no fused vector. If the spaces differ in dimension,
    concatenation is the only fusion of vectors.

    Args:
        encoded: The clips of all triplets.
        triplets: m triplets.
        args: `fusion` and `weights`, as declared by `fusion_options` and checked by `check_fusion`.
    """
    positive, negative = triplet_cosines(encoded, triplets)
    fusions = requested_fusions(encoded, args)
    rows = [space.name for space in encoded.spaces]
    near, far = list(positive.T), list(negative.T)
    for name, fuse in fusions.scores.items():
        rows.append(name)
        near.append(fuse(positive))
        far.append(fuse(negative))
    for name, join in fusions.vectors.items():
        vectors = join([encoded.rows[space.name] for space in encoded.spaces]).astype(np.float64)
        anchor, positive_row, negative_row = (vectors[numbers] for numbers in triplet_rows(encoded, triplets))
        present = presence(anchor) & presence(positive_row) & presence(negative_row)
        rows.append(name)
        near.append(np.where(present, np.einsum("md,md->m", anchor, positive_row), np.nan))
        far.append(np.where(present, np.einsum("md,md->m", anchor, negative_row), np.nan))
    to_positive, to_negative = np.column_stack(near), np.column_stack(far)
    values = np.nan_to_num(to_positive - to_negative)
    return Margins(tuple(rows), values, to_positive, to_negative, fusions.options, fusions.notes)
