"""The order in which MERIT's trainer takes its triplets, so that a run of it can be repeated.

MERIT shuffles single triplets with PyTorch's loader of data. Its seeds come from the global generator, after those of
the weights. In every epoch three are drawn: one for the loader of the training triplets, one for their order, and one
for the loader of the validation triplets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soundalike.core.types import IntArray

__all__ = ["merit_order"]

_SEEDS = 3  # drawn per epoch; the second one is that of the order


def merit_order(count: int, state: Tensor, epoch: int) -> IntArray:
    """Return the order of the triplets in an epoch.

    Args:
        count: The number of triplets, T.
        state: The state of the global generator once the weights of the head are drawn.
        epoch: The number of the epoch, from 1.

    Returns:
        (T,), a permutation.

    Example:
        >>> torch.manual_seed(42)
        >>> head = torch.nn.Linear(5120, 512)
        >>> merit_order(112_000, torch.get_rng_state(), 1).shape
        (112000,)
    """
    drawn = torch.Generator()
    drawn.set_state(state)
    seeds = torch.empty(_SEEDS * epoch, dtype=torch.int64).random_(generator=drawn)
    order = torch.Generator().manual_seed(int(seeds[-2]))
    permutation: IntArray = torch.randperm(count, generator=order).numpy()
    return permutation
