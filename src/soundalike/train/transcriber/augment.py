"""Augmentation of root spectra that keeps the targets: equaliser, hiss, and other music in the background.

It works on spectra instead of audio, where each change costs a few additions: powers add, and filters multiply them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["augment"]

_RIPPLES = 6  # cosines that make up the curve of an equaliser
_TILT_DB = 4.0  # standard deviation of the gain of the slowest of them
_HISS_DB = (12.0, 60.0)  # below the clip's level
_BEHIND_DB = (8.0, 40.0)
_BEHIND = 0.4  # share of clips with other music in the background


def augment(roots: Tensor, random: np.random.Generator) -> Tensor:
    """Augment root spectra (B, t, m) of any bands at random: same shape, float32."""
    clips, _, bands = roots.shape
    power = roots.float().square().square()
    level = power.mean(dim=(1, 2), keepdim=True)
    place = torch.linspace(0, 1, bands)
    ripples = torch.arange(1, _RIPPLES + 1)
    curves = torch.cos(torch.pi * ripples[:, None] * place) / ripples[:, None].sqrt()
    behind = power.flip(0) * (level / (level.flip(0) + 1e-20))
    gain = _drawn(random, _BEHIND_DB, clips) * torch.from_numpy(random.random((clips, 1, 1)) < _BEHIND)
    power = power + gain * behind
    power = power * _from_db(_TILT_DB * _normal(random, clips, _RIPPLES) @ curves)[:, None]
    colour = _from_db(2 * _TILT_DB * _normal(random, clips, 2) @ curves[:2])[:, None]
    noise = torch.from_numpy(random.standard_exponential(power.shape, np.float32))
    power = power + level * _drawn(random, _HISS_DB, clips) * colour * noise
    return power.sqrt().sqrt()


def _normal(random: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape, np.float32))


def _from_db(decibels: Tensor) -> Tensor:
    return 10 ** (decibels / 10)


def _drawn(random: np.random.Generator, below: tuple[float, float], clips: int) -> Tensor:
    """Random power ratios (clips, 1, 1), in decibels below 0."""
    return _from_db(-torch.from_numpy(random.uniform(*below, (clips, 1, 1)).astype(np.float32)))
