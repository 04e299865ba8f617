"""How a backbone's features become rows of a space: small projections, run in numpy.

Kinds: `identity` (normalise only) and `linear` (subtract a mean, project, normalise). Weights are read from a
safetensors file under the space's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.errors import ModelError
from soundalike.types import BoolArray, FloatArray

__all__ = ["KINDS", "Head", "load_head", "unit_rows"]

KINDS = ("identity", "linear")

_TINY = 1e-6
"""Rows shorter than this have no direction worth keeping."""


def unit_rows(rows: FloatArray) -> FloatArray:
    """Scale each row of (n, d) to length 1; rows shorter than 1e-6 become all zero. Returns float32."""
    wide = rows.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return np.where(norms >= _TINY, wide / np.maximum(norms, _TINY), 0.0).astype(np.float32)


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
        rows = unit_rows(projected)
        rows[~audible] = 0.0
        return rows


def load_head(kind: str, name: str, tensors: Mapping[str, FloatArray], *, in_dim: int, out_dim: int) -> Head:
    """Build the head of space `name` from tensors `name.mean` (D,) and `name.weight` (d, D).

    Raises ModelError for an unknown kind, a missing tensor, or one of other dimensions.
    """
    if kind not in KINDS:
        raise ModelError(f"space {name}: unknown head {kind!r}; known: {', '.join(KINDS)}")
    if kind == "identity":
        if in_dim != out_dim:
            raise ModelError(f"space {name}: an identity head keeps {in_dim} dims, the recipe says {out_dim}")
        return Head()
    arrays = []
    for part, shape in (("mean", (in_dim,)), ("weight", (out_dim, in_dim))):
        tensor = tensors.get(f"{name}.{part}")
        if tensor is None:
            raise ModelError(f"space {name}: the weights hold no {name}.{part}; fetch or fit the model again")
        if tensor.shape != shape:
            raise ModelError(f"space {name}: {name}.{part} has shape {tensor.shape}, expected {shape}")
        if not np.isfinite(tensor).all():
            raise ModelError(f"space {name}: {name}.{part} holds NaN or infinite weights; fit the model again")
        arrays.append(np.ascontiguousarray(tensor, dtype=np.float32))
    return Head(mean=arrays[0], weight=arrays[1])
