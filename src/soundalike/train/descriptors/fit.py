"""Fit the tempo network: a softmax over candidate tempi, with the true tempo as its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from soundalike.backbones.analysis import TEMPI, TEMPO_EVIDENCE, tempo_evidence
from soundalike.core.types import FloatArray

__all__ = ["Beat", "fit_tempo"]

_HIDDEN = 32
_EPOCHS, _BATCH, _RATE, _DECAY, _DROPOUT = 12, 64, 3e-3, 0.05, 0.1
_COPIES = 4  # of every example, all but the first at another tempo
_STRETCH = 0.05  # largest change of the tempo of a copy
_BLUR = 0.012  # standard deviation of the target around the tempo, relative: most of it is within two candidates


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """One example: correlations (lags, CHANNELS) of onsets from `onset_correlations`, and the tempo in BPM or 0."""

    correlations: FloatArray
    tempo: float


def fit_tempo(examples: Sequence[Beat], period: float, seed: int) -> dict[str, FloatArray]:
    """Fit the weights of `TempoEstimator`.

    Args:
        examples: The examples. Those without onsets or with a tempo beyond the candidates are not used.
        period: Seconds between lags.
        seed: Seed of the copies, the initial weights, and the order of the examples.

    Returns:
        The weights by name. The standardisation of the evidence is part of the first layer.
    """
    torch.manual_seed(seed)
    evidence, target = _copies(examples, period, np.random.default_rng(seed))
    mean, deviation = evidence.mean(axis=(0, 1)), evidence.std(axis=(0, 1)) + 1e-3
    given = torch.from_numpy((evidence - mean) / deviation)
    wanted = torch.from_numpy(target)
    layers = [
        torch.nn.Linear(TEMPO_EVIDENCE, _HIDDEN),
        torch.nn.Linear(_HIDDEN, _HIDDEN // 2),
        torch.nn.Linear(_HIDDEN // 2, 1),
    ]
    network = torch.nn.Sequential(
        layers[0], torch.nn.ReLU(), torch.nn.Dropout(_DROPOUT), layers[1], torch.nn.ReLU(), layers[2]
    )
    size = min(_BATCH, len(given))
    batches = len(given) // size
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_EPOCHS * batches + 1)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(given))
        for batch in order[: batches * size].view(batches, size):
            scores = torch.log_softmax(network(given[batch]).squeeze(-1), dim=1)
            loss = -(wanted[batch] * scores).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    weights = {}
    for k, layer in enumerate(layers):
        weights[f"weight_{k}"] = layer.weight.detach().numpy().T.copy()
        weights[f"bias_{k}"] = layer.bias.detach().numpy().copy()
    weights["weight_0"] = weights["weight_0"] / deviation[:, None]
    weights["bias_0"] = weights["bias_0"] - mean @ weights["weight_0"]
    return {name: np.ascontiguousarray(values, np.float32) for name, values in weights.items()}


def _copies(examples: Sequence[Beat], period: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return evidence (n, candidates, TEMPO_EVIDENCE) and targets (n, candidates) of all examples and their copies.

    A copy is the example played slower or faster.
    """
    evidence, targets = [], []
    for one in examples:
        if not one.correlations.any():
            continue
        for copy in range(_COPIES):
            ratio = float(np.exp(rng.uniform(-_STRETCH, _STRETCH))) if copy else 1.0
            if one.tempo:
                target = np.exp(-0.5 * np.square(np.log(TEMPI * ratio / one.tempo) / _BLUR))
            else:
                target = np.ones(len(TEMPI))  # no tempo is more probable than another
            if target.sum() < 0.3:
                continue
            evidence.append(tempo_evidence(one.correlations, period, ratio))
            targets.append(target / target.sum())
    return np.stack(evidence), np.asarray(np.stack(targets), np.float32)
