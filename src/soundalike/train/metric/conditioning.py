"""Conditioning: keep what belongs to one instrument and set the rest to 0 (Imamura et al., 2025, Fig. 3).

n examples, K instruments. Both functions are differentiable; no gradient reaches what they set to 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["condition_1d", "condition_3d"]


def condition_1d(vector: Tensor, target: Tensor, instruments: int) -> Tensor:
    """Keep the slice of one instrument in each vector (Conditioning1D).

    Args:
        vector: (n, K d), K equal slices in the order of instruments.
        target: (n,) int64, 0 to K - 1, the instrument to keep.
        instruments: K.

    Returns:
        (n, K d).

    Example:
        >>> condition_1d(torch.ones(1, 6), torch.tensor([1]), 3).tolist()
        [[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]]
    """
    return vector * _mask(vector, target, instruments)


def condition_3d(features: Tensor, target: Tensor, instruments: int) -> Tensor:
    """Keep the channels of one instrument in each feature map (Conditioning3D).

    The paper does not say which part of the map belongs to an instrument. Here it is one of K equal slices of channels.

    Args:
        features: (n, C, b, f), C a multiple of K.
        target: (n,) int64, 0 to K - 1, the instrument to keep.
        instruments: K.

    Returns:
        (n, C, b, f).

    Example:
        >>> condition_3d(torch.ones(1, 2, 1, 1), torch.tensor([0]), 2).flatten().tolist()
        [1.0, 0.0]
    """
    return features * _mask(features, target, instruments)[:, :, None, None]


def _mask(values: Tensor, target: Tensor, instruments: int) -> Tensor:
    """1 where dimension 1 belongs to the target, else 0: (n, size of dimension 1)."""
    owner = torch.arange(instruments, device=values.device).repeat_interleave(values.shape[1] // instruments)
    return (owner == target[:, None]).to(values.dtype)
