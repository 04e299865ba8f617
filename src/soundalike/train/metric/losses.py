"""Losses of Imamura et al., 2025. All are means over the batch and differentiable.

n examples or triplets, K instruments, d dims of a row, b bins, f frames.
"""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import relu

__all__ = ["pretraining_l2", "separation_l1", "triplet_distance"]


def triplet_distance(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the triplet loss on L2 distances (Eq. 1), a mean over triplets.

    max(0, |a - p| - |a - n| + margin). The distance is not squared, and rows are not scaled to unit length. A distance
    of 0 has gradient 0.

    Args:
        anchor: Rows (n, D) of the anchors; with conditioning, 0 outside the slice of the target.
        positive: Rows (n, D) of the positives.
        negative: Rows (n, D) of the negatives.
        margin: delta, >= 0.

    Example:
        >>> triplet_distance(torch.tensor([[0.0]]), torch.tensor([[3.0]]), torch.tensor([[1.0]]), 0.5).item()
        2.5
    """
    return relu(vector_norm(anchor - positive, dim=1) - vector_norm(anchor - negative, dim=1) + margin).mean()


def separation_l1(separated: Tensor, clean: Tensor) -> Tensor:
    """Return the mean absolute difference of magnitudes (Jansson et al., 2017; there a sum).

    Args:
        separated: Magnitudes, any shape that ends in (b, f).
        clean: Magnitudes of the same shape.

    Example:
        >>> separation_l1(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])).item()
        1.0
    """
    return (separated - clean).abs().mean()


def pretraining_l2(rows: Tensor, clean: Tensor, present: Tensor) -> Tensor:
    """Return the mean squared difference of rows from those of Clean, the loss of Direct's pre-training.

    The paper prints neither the loss nor the target of instruments that are not in the input. Here their target is 0,
    so that a row is short where its instrument is silent.

    Args:
        rows: Rows (n, K, d) of the extractor of all instruments.
        clean: Rows (n, K, d) of the extractors of single instruments.
        present: (n, K) bool, which instruments are in the input.

    Example:
        >>> rows = torch.tensor([[[1.0], [1.0]]])
        >>> pretraining_l2(rows, 3 * rows, torch.tensor([[True, False]])).item()  # (2^2 + 1^2) / 2
        2.5
    """
    return (rows - clean * present[:, :, None]).square().mean()
