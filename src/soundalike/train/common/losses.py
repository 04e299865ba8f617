"""Losses for metric learning, and the choice of semi-hard negatives.

B triplets or pairs, R unit rows of a batch. Similarities are cosines. All losses are differentiable, keep the type of
their arguments and run on any device. Some are sums and some are means, which makes little difference with AdamW.

References: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026 (as in its code; Eq. 2 of the
paper has a sign error); Sun et al., Circle Loss, CVPR 2020; Schroff et al., FaceNet, CVPR 2015; Khosla et al.,
Supervised Contrastive Learning, NeurIPS 2020.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

__all__ = ["circle_merit", "circle_sun", "semi_hard", "supervised_contrastive", "triplet_margin"]


def circle_merit(sp: Tensor, sn: Tensor, gamma: float = 10.0, m: float = 0.2) -> Tensor:
    """Return the circle loss of MERIT, a sum over triplets.

    The loss of a triplet is softplus(gamma [alpha_n (sn - m) + alpha_p (1 - m - sp)]) with alpha_p = max(0, 1 - m - sp)
    and alpha_n = max(0, sn - m). The alphas are weights, and no gradient flows through them. Unlike in Sun's loss, the
    optimum of a similarity is also its margin, so a similarity beyond its margin has no effect.

    Args:
        sp: Cosines (B,) of anchors and positives.
        sn: Cosines (B,) of anchors and negatives.
        gamma: Scale, > 0.
        m: Margin, 0 to 1.

    Example:
        >>> circle_merit(torch.tensor([1.0]), torch.tensor([0.0])).item()  # log 2: both are beyond the margin
        0.6931471824645996
    """
    optimum = 1.0 - m
    alpha_p = relu(optimum - sp).detach()
    alpha_n = relu(sn - m).detach()
    return softplus(gamma * (alpha_n * (sn - m) + alpha_p * (optimum - sp))).sum()


def circle_sun(similarity: Tensor, positive: Tensor, negative: Tensor, gamma: float = 80.0, m: float = 0.4) -> Tensor:
    """Return the circle loss of Sun et al. (Eq. 6), all positives against all negatives, a mean over anchors.

    O_p = 1 + m, O_n = -m, Delta_p = 1 - m and Delta_n = m. No gradient flows through the alphas. The defaults are those
    of the paper for fine-grained retrieval.

    Args:
        similarity: Cosines (R, R) of the rows of a batch.
        positive: (R, R) bool, which columns are positives of the anchor of a row.
        negative: (R, R) bool, which columns are negatives of the anchor of a row.
        gamma: Scale, > 0.
        m: Margin, 0 to 1.

    Returns:
        The mean over anchors with a positive and a negative; 0 if there are none.

    Example:
        >>> same = labels[:, None] == labels
        >>> loss = circle_sun(rows @ rows.T, same & ~torch.eye(len(rows), dtype=torch.bool), ~same)
    """
    anchors = positive.any(dim=1) & negative.any(dim=1)
    if not bool(anchors.any()):
        return similarity.sum() * 0.0
    s, positive, negative = similarity[anchors], positive[anchors], negative[anchors]
    alpha_p = relu(1.0 + m - s).detach()
    alpha_n = relu(s + m).detach()
    positive_logits = (-gamma * alpha_p * (s - (1.0 - m))).masked_fill(~positive, -math.inf)
    negative_logits = (gamma * alpha_n * (s - m)).masked_fill(~negative, -math.inf)
    return softplus(torch.logsumexp(positive_logits, dim=1) + torch.logsumexp(negative_logits, dim=1)).mean()


def triplet_margin(sp: Tensor, sn: Tensor, margin: float = 0.2) -> Tensor:
    """Return the triplet margin loss on cosines, max(0, sn - sp + margin), a mean over triplets.

    FaceNet uses squared distances of unit rows, |a - p|^2 = 2 - 2 sp. Its loss with twice the margin is twice this one.

    Args:
        sp: Cosines (B,) of anchors and positives.
        sn: Cosines (B,) of anchors and negatives.
        margin: Margin, >= 0.

    Example:
        >>> triplet_margin(torch.tensor([0.5, 1.0]), torch.tensor([0.5, 0.0]), margin=0.5).item()
        0.25
    """
    return relu(sn - sp + margin).mean()


def supervised_contrastive(rows: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss of Khosla et al. (L_out, Eq. 2), a mean over anchors.

    The positives of an anchor are the other rows with its label. All other rows of the batch are in the denominator.

    Args:
        rows: (R, d), unit.
        labels: (R,).
        temperature: Temperature, > 0.

    Returns:
        The mean over rows that have a positive; 0 if there are none.

    Example:
        >>> loss = supervised_contrastive(normalize(torch.randn(6, 8), dim=1), torch.tensor([0, 0, 1, 1, 2, 2]))
    """
    logits = rows @ rows.T / temperature
    diagonal = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    positive = (labels[:, None] == labels) & ~diagonal
    counts = positive.sum(dim=1)
    anchors = counts > 0
    if not bool(anchors.any()):
        return rows.sum() * 0.0
    log_probability = logits - torch.logsumexp(logits.masked_fill(diagonal, -math.inf), dim=1, keepdim=True)
    sums = log_probability.masked_fill(~positive, 0.0).sum(dim=1)
    return -(sums[anchors] / counts[anchors]).mean()


def semi_hard(similarity: Tensor, labels: Tensor, anchor: Tensor, positive: Tensor) -> Tensor:
    """Choose a semi-hard negative in the batch for each pair of anchor and positive, as in FaceNet.

    Candidates are rows with another label than the anchor. The choice is the most similar candidate among those less
    similar to the anchor than the positive is. If there is none, it is the least similar candidate, because training on
    the hardest negatives can collapse.

    Args:
        similarity: Cosines (R, R) of the rows of a batch.
        labels: (R,).
        anchor: (B,), rows of the anchors.
        positive: (B,), rows of the positives.

    Returns:
        (B,) int64, rows of the negatives; -1 if there is no candidate.

    Example:
        >>> similarity = torch.tensor([[1.0, 0.5, 0.9, 0.2], [0.5, 1, 0, 0], [0.9, 0, 1, 0], [0.2, 0, 0, 1]])
        >>> semi_hard(similarity, torch.tensor([0, 0, 1, 2]), torch.tensor([0]), torch.tensor([1])).tolist()
        [3]
    """
    s = similarity.detach()[anchor]
    candidate = labels[anchor][:, None] != labels
    easier = candidate & (s < s.gather(1, positive[:, None]))
    hardest = s.masked_fill(~easier, -math.inf).argmax(dim=1)
    easiest = s.masked_fill(~candidate, math.inf).argmin(dim=1)
    chosen = torch.where(easier.any(dim=1), hardest, easiest)
    return torch.where(candidate.any(dim=1), chosen, -1)
