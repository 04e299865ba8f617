"""The joint head as a torch module, to be trained; `soundalike.models.joint_head` describes it and runs it in numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.core.types import FloatArray
from soundalike.models import JointShape, attention_mask

__all__ = ["JointNetwork", "fold_joint"]


class JointNetwork(nn.Module):
    """The joint head of `shape`: its state's names are those of `shape.tensors()` without their "joint."."""

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
        """Project `features` (n, sum of the blocks) to rows (n, d) of `space`, which are not normalised yet."""
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
    """The tensors of a joint head for raw features, from the `state` of one for (x - mean) * inverse, (D,) each."""
    tensors: dict[str, FloatArray] = {f"joint.{name}": tensor.numpy() for name, tensor in state.items()}
    ends = np.cumsum(blocks)
    for number, (start, end) in enumerate(zip(ends - blocks, ends, strict=True)):
        name = f"joint.blocks.{number}"
        weight = tensors[f"{name}.weight"] * inverse[start:end]
        tensors[f"{name}.bias"] = tensors[f"{name}.bias"] - weight @ mean[start:end]
        tensors[f"{name}.weight"] = weight
    return tensors
