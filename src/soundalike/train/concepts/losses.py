"""The conditional triplet loss of Ribecky et al., 2021, equation 2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

__all__ = ["conditional_triplet_loss", "triplet_accuracy"]


def conditional_triplet_loss(distances: Tensor, triplets: Tensor, margin: float) -> Tensor:
    """Return the triplet loss of every concept, averaged over concepts.

    The loss of a concept is the mean of max(0, d(a, p) - d(a, n) + margin) over its triplets, and 0 without triplets.

    Args:
        distances: (K, n, n) of all pairs in every concept.
        triplets: (K, n, n, n) bool by concept, anchor, positive and negative.
        margin: Above 0.

    Returns:
        A scalar.

    Example:
        >>> distances = torch.tensor([[[0.0, 0.2, 0.25], [0.2, 0.0, 0.9], [0.25, 0.9, 0.0]]])
        >>> only = torch.zeros(1, 3, 3, 3, dtype=torch.bool)
        >>> only[0, 0, 1, 2] = True
        >>> conditional_triplet_loss(distances, only, margin=0.1).item()  # 0.2 - 0.25 + 0.1
        0.05000000074505806
    """
    concept, anchor, positive, negative = triplets.nonzero(as_tuple=True)
    losses = relu(distances[concept, anchor, positive] - distances[concept, anchor, negative] + margin)
    counts = torch.bincount(concept, minlength=len(distances)).clamp(min=1)
    return (losses / counts[concept]).sum() / len(distances)


def triplet_accuracy(distances: Tensor, triplets: Tensor) -> Tensor:
    """Return the share of triplets whose positive is nearer than the negative, averaged over concepts with triplets.

    Args:
        distances: (K, n, n) of all pairs in every concept.
        triplets: (K, n, n, n) bool.

    Returns:
        A scalar, 0 to 1, chance level 0.5; ties count half. 0.5 if there is no triplet.

    Example:
        >>> triplet_accuracy(distances, triplets).item()
        0.73
    """
    concept, anchor, positive, negative = triplets.nonzero(as_tuple=True)
    nearer = distances[concept, anchor, negative] - distances[concept, anchor, positive]
    right = torch.heaviside(nearer, nearer.new_tensor(0.5))
    counts = torch.bincount(concept, minlength=len(distances))
    if not bool(counts.any()):
        return distances.new_tensor(0.5)
    return (right / counts[concept]).sum() / counts.count_nonzero()
