"""Triplets of a batch by concept, and the choice of semi-hard ones.

K concepts, n segments of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["labelled_triplets", "semi_hard_triplets"]


def labelled_triplets(alike: Tensor) -> Tensor:
    """Return which triplets the labels allow.

    Args:
        alike: (K, n, n) int8: 1 where two segments are alike in a concept, 0 where they are not, -1 if it is unknown.

    Returns:
        (K, n, n, n) bool by concept, anchor, positive and negative. The positive is another segment that is like the
        anchor, and the negative one that is not. Pairs of which nothing is known are neither.

    Example:
        >>> alike = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]])
        >>> labelled_triplets(alike).nonzero().tolist()
        [[0, 0, 1, 2], [0, 1, 0, 2]]
    """
    itself = torch.eye(alike.shape[1], dtype=torch.bool, device=alike.device)
    positive = (alike == 1) & ~itself
    return positive[:, :, :, None] & (alike == 0)[:, :, None, :]


def semi_hard_triplets(distances: Tensor, triplets: Tensor, window: float) -> Tensor:
    """Return the triplets whose negative is farther than the positive, by at most `window`.

    All of them are mined, not one per pair; the paper does not print which. A triplet whose negative is nearer than its
    positive is left out, and so is an easy one.

    Args:
        distances: (K, n, n) of all pairs in every concept.
        triplets: (K, n, n, n) bool, those that the labels allow.
        window: How much farther a negative may be, above 0.

    Returns:
        (K, n, n, n) bool.

    Example:
        >>> semi_hard_triplets(distances, labelled_triplets(alike), 0.1).sum()
        tensor(1893)
    """
    farther = distances.detach()[:, :, None, :] - distances.detach()[:, :, :, None]
    return triplets & (farther > 0) & (farther <= window)
