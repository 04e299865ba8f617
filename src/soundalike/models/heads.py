"""Heads: small projections, run in numpy, that turn the features of a backbone into the rows of a space.

The kinds of head are:

- `identity`: normalise only;
- `linear`: subtract a mean, project, normalise;
- `parts`: one linear head for each part of the feature, with the results side by side;
- `mlp`: two layers, normalise;
- `joint`: one transformer for all spaces of a model (`joint_head.py`).

The weights are stored in a safetensors file under the name of the space. In shapes, n counts windows, D dimensions of
the feature, h hidden units and d dimensions of the space.
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
"""A function of features (n, D) float32 and audible (n,) that returns (n, d) float32 unit rows, zero if inaudible."""

_TINY = 1e-6
"""Rows shorter than this have no meaningful direction."""


def unit_rows(rows: FloatArray) -> FloatArray:
    """Scale each row to length 1. Rows shorter than 1e-6 become all zero.

    Args:
        rows: Rows (n, d).

    Returns:
        Rows (n, d) float32.

    Example:
        >>> unit_rows(np.array([[0.0, 2.0], [0.0, 0.0]])).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    wide = rows.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return np.where(norms >= _TINY, wide / np.maximum(norms, _TINY), 0.0).astype(np.float32)


def audible_rows(projected: FloatArray, audible: BoolArray) -> FloatArray:
    """Return `unit_rows` of `projected` (n, d), all zero where not `audible` (n,)."""
    rows = unit_rows(projected)
    rows[~audible] = 0.0
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear head, unit(weight @ (x - mean)), or an identity head, unit(x), if there are no weights.

    Attributes:
        mean: (D,) float32, or None.
        weight: (d, D) float32, or None.

    Example:
        >>> Head()(np.array([[3.0, 4.0]], np.float32), np.array([True])).shape
        (1, 2)
    """

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
    """Several heads, one for each part of the feature. Their unit rows are concatenated and normalised.

    All parts whose columns are not all zero have the same weight.

    Attributes:
        sizes: Number of columns of each part.
        heads: The head of each part.
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
    """A head of two layers: unit(out_weight @ relu(hidden_weight @ x + hidden_bias)).

    In torch this is Sequential(Linear(D, h), ReLU(), Linear(h, d, bias=False)), then normalised. With h = 512 and
    d = 128 it is the head of MERIT (Learning Disentangled Music Representations for Audio Similarity, 2026).

    Attributes:
        hidden_weight: (h, D) float32.
        hidden_bias: (h,) float32.
        out_weight: (d, h) float32.
    """

    hidden_weight: FloatArray
    hidden_bias: FloatArray
    out_weight: FloatArray

    def __call__(self, features: FloatArray, audible: BoolArray) -> FloatArray:
        """Project `features` (n, D) float32 to (n, d) float32 unit rows; inaudible ones (n,) become zero."""
        hidden = features @ self.hidden_weight.T + self.hidden_bias
        return audible_rows(np.maximum(hidden, 0.0) @ self.out_weight.T, audible)


def read_tensor(space: str, tensors: Mapping[str, FloatArray], name: str, shape: tuple[int, ...]) -> FloatArray:
    """Return one tensor of a model's weights as contiguous float32.

    Args:
        space: The space that needs the tensor, for the error message.
        tensors: The weights by name.
        name: Name of the tensor.
        shape: The expected shape.

    Raises:
        ModelError: The tensor is missing, has another shape, or is not finite.
    """
    tensor = tensors.get(name)
    if tensor is None:
        raise ModelError(f"space {space}: the weights have no tensor {name}; install or fit the model again")
    if tensor.shape != shape:
        raise ModelError(f"space {space}: {name} has shape {tensor.shape}, expected {shape}; fit the model again")
    if not np.isfinite(tensor).all():
        raise ModelError(f"space {space}: {name} contains NaN or infinite weights; fit the model again")
    return np.ascontiguousarray(tensor, dtype=np.float32)


def load_head(
    kind: str, name: str, tensors: Mapping[str, FloatArray], *, blocks: Sequence[tuple[str, int]], out_dim: int
) -> Head | PartsHead | MlpHead:
    """Build the head of a space. For the kind `joint` use `load_joint`.

    The tensors of each kind are, all float32:

    - linear: `<name>.mean` (D,), `<name>.weight` (d, D);
    - parts: for each of p parts `<name>.<part>.mean` (its size,), `<name>.<part>.weight` (d / p, its size);
    - mlp: `<name>.hidden.weight` (h, D), `<name>.hidden.bias` (h,), `<name>.out.weight` (d, h), for any h.

    Args:
        kind: Kind of head, one of `KINDS` except `joint`.
        name: Short name of the space.
        tensors: The weights of the model by name.
        blocks: The parts of the space's feature and their sizes, whose sum is D.
        out_dim: Dimensions d of the space.

    Returns:
        The head.

    Raises:
        ModelError: The kind is unknown, or a tensor is missing, has another shape, or is not finite.

    Example:
        >>> head = load_head("identity", "overall", {}, blocks=[("embedding", 512)], out_dim=512)
        >>> head(np.ones((3, 512), np.float32), np.ones(3, np.bool_)).shape
        (3, 512)
    """
    in_dim = sum(size for _, size in blocks)
    if kind == "identity":
        if in_dim != out_dim:
            raise ModelError(
                f"space {name}: an identity head has {in_dim} dimensions, expected {out_dim}; fit the model again"
            )
        return Head()
    if kind == "linear":
        return _linear(name, name, tensors, in_dim, out_dim)
    if kind == "parts":
        if out_dim % len(blocks):
            raise ModelError(
                f"space {name}: {out_dim} dimensions are not divisible by {len(blocks)} parts; fit the model again"
            )
        dim = out_dim // len(blocks)
        heads = [_linear(name, f"{name}.{part}", tensors, size, dim) for part, size in blocks]
        return PartsHead(tuple(size for _, size in blocks), tuple(heads))
    if kind == "mlp":
        hidden = np.size(tensors.get(f"{name}.hidden.bias", ()))
        bias = read_tensor(name, tensors, f"{name}.hidden.bias", (hidden,))  # read first, because its length is h
        return MlpHead(
            hidden_weight=read_tensor(name, tensors, f"{name}.hidden.weight", (hidden, in_dim)),
            hidden_bias=bias,
            out_weight=read_tensor(name, tensors, f"{name}.out.weight", (out_dim, hidden)),
        )
    raise ModelError(f"space {name}: unknown head {kind!r}; known: {', '.join(KINDS)}")


def _linear(space: str, prefix: str, tensors: Mapping[str, FloatArray], in_dim: int, out_dim: int) -> Head:
    """Build a linear head from the tensors `prefix.mean` and `prefix.weight`."""
    return Head(
        mean=read_tensor(space, tensors, f"{prefix}.mean", (in_dim,)),
        weight=read_tensor(space, tensors, f"{prefix}.weight", (out_dim, in_dim)),
    )
