"""The joint head: one small transformer, run in numpy, whose weights are mostly shared by the spaces of a model.

The feature is a row of B blocks side by side, such as the four of "melody+rhythm+timbre+harmony". Let w be the width, H
the number of attention heads, L the number of layers, and D_b the size of block b. The row of a space is computed in
three steps:

1. The token of block b is blocks.b.weight @ x_b + blocks.b.bias + embedding[b]. The last token is query.<space>, which
   is the same for every input.
2. Apply L layers of torch's TransformerEncoderLayer(w, H, 2 w, dropout=0, activation="relu", norm_first=True):
       t = t + attention(norm1(t))
       t = t + linear2 @ relu(linear1 @ norm2(t))
   Attention is softmax(q k' / sqrt(w / H)) v in each head. No other token attends to a query. The row of a space
   therefore does not depend on the other spaces, and all queries can be processed in one pass (`attention_mask`).
3. The row is unit(out.<space>.weight @ norm(token of the query)).

norm, norm1 and norm2 are LayerNorm with epsilon 1e-5, weight and bias. The names of all tensors start with `joint.`.
Blocks and layers are counted from 0. All tensors but one are float32:

    attention_heads                          ()         int64: H, which follows from no shape
    blocks.<b>.weight, .bias                 (w, D_b), (w,)
    embedding                                (B, w)
    layers.<l>.norm1.weight, .bias           (w,), (w,)
    layers.<l>.self_attn.in_proj_weight      (3 w, w)   rows of q, k, v, each of H heads of w / H
    layers.<l>.self_attn.in_proj_bias        (3 w,)
    layers.<l>.self_attn.out_proj.weight, .bias   (w, w), (w,)
    layers.<l>.norm2.weight, .bias           (w,), (w,)
    layers.<l>.linear1.weight, .bias         (2 w, w), (2 w,)
    layers.<l>.linear2.weight, .bias         (w, 2 w), (w,)
    norm.weight, .bias                       (w,), (w,)
    query.<space>                            (w,)       one per space
    out.<space>.weight                       (d, w)     one per space

Reference: the pre-norm encoder of Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020. MERIT
(Learning Disentangled Music Representations for Audio Similarity, 2026) names a joint head as future work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.models.heads import audible_rows, read_tensor

__all__ = ["JointHead", "JointShape", "attention_mask", "load_joint"]

_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class JointShape:
    """The size of a joint head.

    Attributes:
        blocks: Size D_b of each block.
        width: Width w, a multiple of `attention_heads`.
        layers: Number of layers L.
        attention_heads: Number of attention heads H.
        out_dim: Dimensions d of the rows.
        spaces: Names of the spaces.

    Example:
        >>> JointShape((500, 576), spaces=("melody",)).tensors()["joint.query.melody"]
        (128,)
    """

    blocks: tuple[int, ...]
    width: int = 128
    layers: int = 2
    attention_heads: int = 4
    out_dim: int = 128
    spaces: tuple[str, ...] = ()

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of the head, by its name in the weights."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {"attention_heads": (), "embedding": (len(self.blocks), width)}
        for block, size in enumerate(self.blocks):
            shapes |= {f"blocks.{block}.weight": (width, size), f"blocks.{block}.bias": (width,)}
        for layer in range(self.layers):
            for name, shape in _layer_shapes(width).items():
                shapes[f"layers.{layer}.{name}"] = shape
        shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
        for space in self.spaces:
            shapes |= {f"query.{space}": (width,), f"out.{space}.weight": (self.out_dim, width)}
        return {f"joint.{name}": shape for name, shape in shapes.items()}


def _layer_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of one layer."""
    return {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "self_attn.in_proj_weight": (3 * width, width),
        "self_attn.in_proj_bias": (3 * width,),
        "self_attn.out_proj.weight": (width, width),
        "self_attn.out_proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "linear1.weight": (2 * width, width),
        "linear1.bias": (2 * width,),
        "linear2.weight": (width, 2 * width),
        "linear2.bias": (width,),
    }


def attention_mask(blocks: int, queries: int) -> BoolArray:
    """Return the attention mask, as torch's `src_mask`.

    All tokens attend to the blocks. A query is attended to only by itself.

    Args:
        blocks: Number of blocks.
        queries: Number of queries, which follow the blocks.

    Returns:
        (t, t) bool, t = `blocks` + `queries`. True at [i, j] means that token i must not attend to token j.

    Example:
        >>> attention_mask(1, 2).astype(int).tolist()
        [[0, 1, 1], [0, 0, 1], [0, 1, 0]]
    """
    mask = ~np.eye(blocks + queries, dtype=np.bool_)
    mask[:, :blocks] = False
    return mask


@dataclass(frozen=True, slots=True, eq=False)
class JointHead:
    """One space of a joint head.

    Attributes:
        space: Short name of the space.
        shape: Size of the head.
        tensors: The tensors of `shape.tensors()` by name. The spaces share all that are not their own.
    """

    space: str
    shape: JointShape
    tensors: Mapping[str, FloatArray]

    def __call__(self, features: FloatArray, audible: BoolArray) -> FloatArray:
        """Project `features` (n, sum of the blocks) to (n, d) float32 unit rows; inaudible ones (n,) become zero."""
        tokens = self._tokens(features)
        for layer in range(self.shape.layers):
            name = f"layers.{layer}"
            tokens = tokens + self._attend(self._normalise(tokens, f"{name}.norm1"), f"{name}.self_attn")
            hidden = self._linear(self._normalise(tokens, f"{name}.norm2"), f"{name}.linear1.")
            tokens = tokens + self._linear(np.maximum(hidden, 0.0), f"{name}.linear2.")
        query = self._normalise(tokens[:, -1], "norm")
        return audible_rows(query @ self._tensor(f"out.{self.space}.weight").T, audible)

    def _tensor(self, name: str) -> FloatArray:
        """Return a tensor by its name without the prefix."""
        return self.tensors[f"joint.{name}"]

    def _tokens(self, features: FloatArray) -> FloatArray:
        """Return the tokens (n, B + 1, w): the blocks and, last, the query."""
        parts = np.split(features, np.cumsum(self.shape.blocks)[:-1], axis=1)
        tokens = [self._linear(part, f"blocks.{block}.") for block, part in enumerate(parts)]
        blocks = np.stack(tokens, axis=1) + self._tensor("embedding")
        query = np.broadcast_to(self._tensor(f"query.{self.space}"), (len(features), 1, self.shape.width))
        return np.concatenate([blocks, query], axis=1)

    def _linear(self, rows: FloatArray, prefix: str) -> FloatArray:
        """Apply the linear layer (o, i) whose tensor names start with `prefix` to rows (..., i)."""
        weight, bias = self._tensor(f"{prefix}weight"), self._tensor(f"{prefix}bias")
        # One product of two matrices; otherwise numpy computes a small product for every window.
        flat = rows.reshape(-1, rows.shape[-1]) @ weight.T + bias
        return flat.reshape(*rows.shape[:-1], len(bias))

    def _normalise(self, rows: FloatArray, name: str) -> FloatArray:
        """Apply LayerNorm to rows (..., w)."""
        centred = rows - rows.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.mean(np.square(centred), axis=-1, keepdims=True) + _EPSILON)
        return centred / deviation * self._tensor(f"{name}.weight") + self._tensor(f"{name}.bias")

    def _attend(self, tokens: FloatArray, name: str) -> FloatArray:
        """Apply multi-head attention to tokens (n, t, w)."""
        n, count, width = tokens.shape
        heads = self.shape.attention_heads
        packed = self._linear(tokens, f"{name}.in_proj_").reshape(n, count, 3, heads, width // heads)
        query, key, value = packed.transpose(2, 0, 3, 1, 4)  # each (n, H, t, w / H)
        scores = query @ key.swapaxes(-1, -2) / np.float32(math.sqrt(width // heads))
        scores[..., attention_mask(len(self.shape.blocks), 1)] = -np.inf
        attention = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attention /= attention.sum(axis=-1, keepdims=True)
        mixed = (attention @ value).swapaxes(1, 2).reshape(n, count, width)
        return self._linear(mixed, f"{name}.out_proj.")


def load_joint(space: str, tensors: Mapping[str, FloatArray], *, blocks: tuple[int, ...], out_dim: int) -> JointHead:
    """Build the joint head of a space.

    Args:
        space: Short name of the space.
        tensors: The weights of the model by name.
        blocks: Sizes of the features that are joined.
        out_dim: Dimensions d of the space.

    Returns:
        The head.

    Raises:
        ModelError: A tensor is missing, has another shape, or is not finite, or the number of attention heads does not
            divide the width.

    Example:
        >>> head = load_joint("melody", tensors, blocks=(500, 576), out_dim=128)
        >>> head(np.zeros((3, 1076), np.float32), np.ones(3, np.bool_)).shape
        (3, 128)
    """
    width = np.size(tensors.get("joint.norm.weight", ()))
    read_tensor(space, tensors, "joint.norm.weight", (width,))  # read first, because the other shapes depend on it
    attention_heads = int(read_tensor(space, tensors, "joint.attention_heads", ()).item())
    if attention_heads < 1 or width % attention_heads:
        raise ModelError(
            f"space {space}: joint.attention_heads is {attention_heads}, expected a divisor of the width {width}; "
            "fit the model again"
        )
    layers = len({name.split(".")[2] for name in tensors if name.startswith("joint.layers.")})
    shape = JointShape(blocks, width, max(layers, 1), attention_heads, out_dim, (space,))
    return JointHead(
        space, shape, {name: read_tensor(space, tensors, name, size) for name, size in shape.tensors().items()}
    )
