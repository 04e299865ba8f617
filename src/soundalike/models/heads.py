"""How a backbone's features become rows of a space: small projections, run in numpy.

Kinds: `identity` (normalise only), `linear` (subtract a mean, project, normalise), `parts` (a linear one for each part
of the feature, side by side), `mlp` (two layers, normalise) and `joint` (one transformer for all spaces of a model, in
`joint.py`). Weights are read from a safetensors file under the space's name. n windows, D dims of the feature, h hidden
units, d dims of the space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.types import BoolArray, FloatArray

__all__ = ["KINDS", "AnyHead", "Head", "MlpHead", "PartsHead", "audible_rows", "load_head", "read_tensor", "unit_rows"]

KINDS = ("identity", "linear", "parts", "mlp", "joint")

AnyHead: TypeAlias = Callable[[FloatArray, BoolArray], FloatArray]
"""Projects features (n, D) float32 to (n, d) float32 unit rows; those not audible (n,) become zero."""

_TINY = 1e-6
"""Rows shorter than this have no direction worth keeping."""


def unit_rows(rows: FloatArray) -> FloatArray:
    """Scale each row of (n, d) to length 1; rows shorter than 1e-6 become all zero. Returns float32."""
    wide = rows.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return np.where(norms >= _TINY, wide / np.maximum(norms, _TINY), 0.0).astype(np.float32)


def audible_rows(projected: FloatArray, audible: BoolArray) -> FloatArray:
    """`unit_rows` of `projected` (n, d), all zero where not `audible` (n,)."""
    rows = unit_rows(projected)
    rows[~audible] = 0.0
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A projection from (n, D) features to (n, d) unit rows: unit(weight @ (x - mean)), or unit(x) without weights."""

    mean: FloatArray | None = None
    weight: FloatArray | None = None

    def __call__(self, features: FloatArray, audible: BoolArray) -> FloatArray:
        """Project `features` (n, D) float32 to (n, d) float32 unit rows; inaudible ones (n,) become zero."""
        projected = features
        if self.mean is not None and self.weight is not None:
            projected = (features - self.mean) @ self.weight.T
        return audible_rows(projected, audible)


@dataclass(frozen=True, slots=True, eq=False)
class PartsHead:
    """The unit rows of several heads side by side, each of its own columns of the feature, normalised: every part that
    is there, that is whose columns are not all zero, weighs the same.
    """

    sizes: tuple[int, ...]
    heads: tuple[Head, ...]

    def __call__(self, features: FloatArray, audible: BoolArray) -> FloatArray:
        """Project `features` (n, D) float32 to (n, d) float32 unit rows; inaudible ones (n,) become zero."""
        columns = np.split(features, np.cumsum(self.sizes)[:-1], axis=1)
        rows = [head(part, np.asarray(part.any(axis=1))) for head, part in zip(self.heads, columns, strict=True)]
        return audible_rows(np.hstack(rows), audible)


@dataclass(frozen=True, slots=True, eq=False)
class MlpHead:
    """Two layers: unit(out_weight @ relu(hidden_weight @ x + hidden_bias)).

    `hidden_weight` (h, D), `hidden_bias` (h,), `out_weight` (d, h): torch's Sequential(Linear(D, h), ReLU(),
    Linear(h, d, bias=False)), then normalised. With h = 512 and d = 128 it is the head of MERIT (Learning Disentangled
    Music Representations for Audio Similarity, 2026).
    """

    hidden_weight: FloatArray
    hidden_bias: FloatArray
    out_weight: FloatArray

    def __call__(self, features: FloatArray, audible: BoolArray) -> FloatArray:
        """Project `features` (n, D) float32 to (n, d) float32 unit rows; inaudible ones (n,) become zero."""
        hidden = features @ self.hidden_weight.T + self.hidden_bias
        return audible_rows(np.maximum(hidden, 0.0) @ self.out_weight.T, audible)


def read_tensor(space: str, tensors: Mapping[str, FloatArray], name: str, shape: tuple[int, ...]) -> FloatArray:
    """The tensor `name` of a model's weights, as contiguous float32.

    Raises ModelError, naming the space that needs it, if it is missing, of another shape, or not finite.
    """
    tensor = tensors.get(name)
    if tensor is None:
        raise ModelError(f"space {space}: the weights hold no {name}; fetch or fit the model again")
    if tensor.shape != shape:
        raise ModelError(f"space {space}: {name} has shape {tensor.shape}, expected {shape}; fit the model again")
    if not np.isfinite(tensor).all():
        raise ModelError(f"space {space}: {name} holds NaN or infinite weights; fit the model again")
    return np.ascontiguousarray(tensor, dtype=np.float32)


def load_head(
    kind: str, name: str, tensors: Mapping[str, FloatArray], *, blocks: Sequence[tuple[str, int]], out_dim: int
) -> Head | PartsHead | MlpHead:
    """Build the head of space `name` from its tensors, float32. `joint.load_joint` builds those of kind `joint`.

    `blocks` are the parts of the space's feature and their sizes, D in all.
    linear: `name.mean` (D,), `name.weight` (d, D).
    parts: for each of p parts `name.part.mean` and `name.part.weight` (d / p, its size).
    mlp: `name.hidden.weight` (h, D), `name.hidden.bias` (h,), `name.out.weight` (d, h), for any h.

    Raises ModelError for an unknown kind, or a tensor that is missing, of other dimensions, or not finite.
    """
    in_dim = sum(size for _, size in blocks)
    if kind == "identity":
        if in_dim != out_dim:
            raise ModelError(f"space {name}: an identity head keeps {in_dim} dims, the recipe says {out_dim}")
        return Head()
    if kind == "linear":
        return _linear(name, name, tensors, in_dim, out_dim)
    if kind == "parts":
        if out_dim % len(blocks):
            raise ModelError(f"space {name}: {out_dim} dims are not divided evenly by {len(blocks)} parts")
        dim = out_dim // len(blocks)
        heads = [_linear(name, f"{name}.{part}", tensors, size, dim) for part, size in blocks]
        return PartsHead(tuple(size for _, size in blocks), tuple(heads))
    if kind == "mlp":
        hidden = np.size(tensors.get(f"{name}.hidden.bias", ()))
        bias = read_tensor(name, tensors, f"{name}.hidden.bias", (hidden,))  # first, for its length is h
        return MlpHead(
            hidden_weight=read_tensor(name, tensors, f"{name}.hidden.weight", (hidden, in_dim)),
            hidden_bias=bias,
            out_weight=read_tensor(name, tensors, f"{name}.out.weight", (out_dim, hidden)),
        )
    raise ModelError(f"space {name}: unknown head {kind!r}; known: {', '.join(KINDS)}")


def _linear(space: str, prefix: str, tensors: Mapping[str, FloatArray], in_dim: int, out_dim: int) -> Head:
    return Head(
        mean=read_tensor(space, tensors, f"{prefix}.mean", (in_dim,)),
        weight=read_tensor(space, tensors, f"{prefix}.weight", (out_dim, in_dim)),
    )
