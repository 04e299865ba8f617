"""Masks that leave one concept's slice of an embedding, and distances within slices.

n segments, K concepts, d dims of a slice, D = K d.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["concept_distances", "concept_masks"]


def concept_masks(concepts: int, dim: int) -> Tensor:
    """Return the masks (K, D) of all concepts: 1 on the slice of a concept and 0 elsewhere.

    Example:
        >>> concept_masks(2, 3)
        tensor([[1., 1., 1., 0., 0., 0.],
                [0., 0., 0., 1., 1., 1.]])
    """
    return torch.eye(concepts).repeat_interleave(dim, dim=1)


def concept_distances(embeddings: Tensor, concepts: int) -> Tensor:
    """Return the cosine distances of all pairs in every slice: those of the embeddings times the masks.

    Args:
        embeddings: (n, D).
        concepts: K.

    Returns:
        (K, n, n), 0 to 2. A slice that is all zero is at distance 1 from any other.

    Example:
        >>> rows = torch.tensor([[1.0, 0, 3, 4], [0, 1, 3, 4]])
        >>> concept_distances(rows, 2)[:, 0, 1]
        tensor([1., 0.])
    """
    slices = normalize(embeddings.unflatten(1, (concepts, -1)).transpose(0, 1), dim=2)
    return 1 - slices @ slices.transpose(1, 2)
