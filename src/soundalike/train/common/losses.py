"""Losses that draw similar rows together and push others apart, and the choice of hard negatives.

B triplets or pairs, R unit rows of a batch, S their similarities (cosines). All work in the type they are given, on any
device, and can be differentiated. Each says whether it is a sum or a mean; AdamW hardly minds.

References: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026 (as its code has it; the
paper's Eq. 2 has a sign error); Sun et al., Circle Loss, CVPR 2020; Schroff et al., FaceNet, CVPR 2015; Khosla et al.,
Supervised Contrastive Learning, NeurIPS 2020.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

__all__ = ["circle_merit", "circle_sun", "semi_hard", "supervised_contrastive", "triplet_margin"]


def circle_merit(sp: Tensor, sn: Tensor, gamma: float = 10.0, m: float = 0.2) -> Tensor:
    """MERIT's circle loss on cosines `sp` to the positive and `sn` to the negative, (B,) each: a sum over triplets.

    softplus(gamma [alpha_n (sn - m) + alpha_p (1 - m - sp)]) with alpha_p = max(0, 1 - m - sp) and
    alpha_n = max(0, sn - m), which are weights: no gradient flows through them. Unlike Sun's, the optimum of a
    similarity is also its margin, so that a similarity on the right side of it counts nothing.
    """
    optimum = 1.0 - m
    alpha_p = relu(optimum - sp).detach()
    alpha_n = relu(sn - m).detach()
    return softplus(gamma * (alpha_n * (sn - m) + alpha_p * (optimum - sp))).sum()


def circle_sun(similarity: Tensor, positive: Tensor, negative: Tensor, gamma: float = 80.0, m: float = 0.4) -> Tensor:
    """Sun's circle loss (Eq. 6) of `similarity` (R, R), all positives against all negatives: a mean over anchors.

    `positive` and `negative` (R, R) bool mark the columns that are such for the anchor of a row; anchors that lack
    either are left out (none left: 0). With O_p = 1 + m, O_n = -m, Delta_p = 1 - m, Delta_n = m; the alphas are
    detached. The defaults are those of the paper for fine-grained retrieval.
    """
    anchors = positive.any(dim=1) & negative.any(dim=1)
    if not bool(anchors.any()):
        return similarity.sum() * 0.0
    s, positive, negative = similarity[anchors], positive[anchors], negative[anchors]
    alpha_p = relu(1.0 + m - s).detach()
    alpha_n = relu(s + m).detach()
    of_positives = (-gamma * alpha_p * (s - (1.0 - m))).masked_fill(~positive, -math.inf)
    of_negatives = (gamma * alpha_n * (s - m)).masked_fill(~negative, -math.inf)
    return softplus(torch.logsumexp(of_positives, dim=1) + torch.logsumexp(of_negatives, dim=1)).mean()


def triplet_margin(sp: Tensor, sn: Tensor, margin: float = 0.2) -> Tensor:
    """max(0, sn - sp + margin) on cosines `sp` and `sn` (B,): a mean over triplets.

    FaceNet's loss in squared distances of unit rows, |a - p|^2 = 2 - 2 sp, is twice this with twice the margin.
    """
    return relu(sn - sp + margin).mean()


def supervised_contrastive(rows: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Khosla's L_out (Eq. 2) of unit `rows` (R, d) with `labels` (R,): a mean over anchors.

    An anchor's positives are the other rows of its label, all other rows of the batch are in its denominator. Rows
    that are alone with their label are no anchors (none left: 0).
    """
    logits = rows @ rows.T / temperature
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    positive = (labels[:, None] == labels) & ~itself
    counts = positive.sum(dim=1)
    anchors = counts > 0
    if not bool(anchors.any()):
        return rows.sum() * 0.0
    log_share = logits - torch.logsumexp(logits.masked_fill(itself, -math.inf), dim=1, keepdim=True)
    of_positives = log_share.masked_fill(~positive, 0.0).sum(dim=1)
    return -(of_positives[anchors] / counts[anchors]).mean()


def semi_hard(similarity: Tensor, labels: Tensor, anchor: Tensor, positive: Tensor) -> Tensor:
    """FaceNet's semi-hard negatives in a batch: for each pair (B,) of `anchor` and `positive`, the row of a negative.

    `similarity` (R, R), `labels` (R,). Candidates are the rows of other labels than the anchor's. Taken is the one most
    similar to the anchor among those less similar than the positive; where all are more similar, the least similar:
    the very hardest ones make training collapse. Returns (B,) int64, -1 where there is no candidate.
    """
    s = similarity.detach()[anchor]
    candidate = labels[anchor][:, None] != labels
    easier = candidate & (s < s.gather(1, positive[:, None]))
    hardest = s.masked_fill(~easier, -math.inf).argmax(dim=1)
    easiest = s.masked_fill(~candidate, math.inf).argmin(dim=1)
    chosen = torch.where(easier.any(dim=1), hardest, easiest)
    return torch.where(candidate.any(dim=1), chosen, -1)
