"""The joint head as a torch module, for training. `soundalike.models.joint_head` documents it and runs it in numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.core.types import FloatArray
from soundalike.models import JointShape, attention_mask

__all__ = ["JointNetwork", "fold_joint"]


class JointNetwork(nn.Module):
    """A trainable joint head.

    The names in its state are those of `shape.tensors()` without the prefix "joint.".

    Args:
        shape: The size of the head.

    Example:
        >>> network = JointNetwork(JointShape((10, 14), spaces=("melody", "rhythm")))
        >>> network(torch.zeros(5, 24), "melody").shape
        torch.Size([5, 128])
    """

    def __init__(self, shape: JointShape) -> None:
        super().__init__()
        width = shape.width
        self.sizes = list(shape.blocks)
        self.register_buffer("attention_heads", torch.tensor(shape.attention_heads))
        self.blocks = nn.ModuleList(nn.Linear(size, width) for size in shape.blocks)
        self.embedding = nn.Parameter(0.02 * torch.randn(len(shape.blocks), width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, shape.attention_heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.query = nn.ParameterDict({space: nn.Parameter(0.02 * torch.randn(width)) for space in shape.spaces})
        self.out = nn.ModuleDict({space: nn.Linear(width, shape.out_dim, bias=False) for space in shape.spaces})
        self.register_buffer("mask", torch.from_numpy(attention_mask(len(shape.blocks), 1)), persistent=False)

    def forward(self, features: Tensor, space: str) -> Tensor:
        """Project `features` (n, sum of the blocks) to rows (n, d) of `space`, before normalisation."""
        parts = torch.split(features, self.sizes, dim=1)
        tokens = torch.stack([block(part) for block, part in zip(self.blocks, parts, strict=True)], dim=1)
        query = self.query[space].expand(len(features), 1, -1)
        tokens = torch.cat([tokens + self.embedding, query], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, src_mask=self.mask)
        projected: Tensor = self.out[space](self.norm(tokens[:, -1]))
        return projected


def fold_joint(
    state: Mapping[str, Tensor], blocks: tuple[int, ...], mean: FloatArray, inverse: FloatArray
) -> dict[str, FloatArray]:
    """Fold the standardisation (x - mean) * inverse of the features into the first layer of a joint head.

    Args:
        state: State of a `JointNetwork` that was trained on standardised features.
        blocks: Sizes of the blocks, with the sum D.
        mean: (D,).
        inverse: (D,).

    Returns:
        The tensors of the joint head for raw features, by the names that `soundalike.models.joint_head` lists.

    Example:
        >>> tensors = fold_joint(network.state_dict(), (10, 14), mean, 1 / deviation)
        >>> tensors["joint.blocks.1.weight"].shape
        (128, 14)
    """
    tensors: dict[str, FloatArray] = {f"joint.{name}": tensor.numpy() for name, tensor in state.items()}
    ends = np.cumsum(blocks)
    for number, (start, end) in enumerate(zip(ends - blocks, ends, strict=True)):
        name = f"joint.blocks.{number}"
        weight = tensors[f"{name}.weight"] * inverse[start:end]
        tensors[f"{name}.bias"] = tensors[f"{name}.bias"] - weight @ mean[start:end]
        tensors[f"{name}.weight"] = weight
    return tensors
