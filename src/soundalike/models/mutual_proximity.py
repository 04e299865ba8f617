"""Hubs, and similarities that have none: mutual proximity.

In spaces of many dims a few recordings, the hubs, are among the nearest of very many others, and many are among those
of nobody. A hub is near to everybody; so each side is asked how near the other is *for it*. In one space, with the mean
m_q and spread s_q of the similarity of q to the recordings of the library, and m_x, s_x those of x:

    z_q = (<q, x> - m_q) / s_q,    z_x = (<q, x> - m_x) / s_x
    MP  = Phi(z_q) Phi(z_x)
    z   = Phi^-1(MP (1 - ln MP))       in place of the law's z (`score.py`)

MP is mutual proximity with independent Gaussians. MP (1 - ln MP) is the distribution function of the product of two
independent uniform numbers, so by the assumption that MP itself makes, z of a random pair is standard normal: it ranks
as MP does, and is on the scale of the law. Phi: the standard normal distribution function. As the law's z, it is 0
where one side is inaudible.

Means and spreads follow from the first two moments of the library's rows, so nothing has to be kept for every track:
with rows [s, 1] of the c audible others, M = sum [s, 1] [s, 1]^T, sum <x, s> = M[-1, :-1] x and sum <x, s>^2 =
x^T M[:-1, :-1] x. A recording is no other to itself.

References: Radovanovic, Nanopoulos and Ivanovic, Hubs in Space, JMLR 11, 2010; Schnitzer, Flexer, Schedl and Widmer,
Local and Global Scaling Reduce Hubs in Space, JMLR 13, 2012 (mutual proximity, and its independent Gaussians).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np

from soundalike.core.types import AnyArray, Calibration, FloatArray, IntArray
from soundalike.models.score import presence

__all__ = ["CORRECTIONS", "RESCORED", "Background", "Correction", "mutual_z"]

Correction: TypeAlias = Literal["none", "mutual-proximity"]
CORRECTIONS: tuple[Correction, ...] = ("none", "mutual-proximity")

RESCORED = 2000
"""As many of the best by the law are scored anew. In a library of no more tracks, that is all of them."""
_FEWEST = 10
"""Others without which a mean and a spread of one's own are not worth having: those of the recipe stand in."""
_NARROWEST = 1e-6
"""A spread below this is rounding."""
_FAR = 37.0
"""Spreads from the mean beyond which the normal distribution cannot be told from 1."""
_TINY = 1e-8


def mutual_z(similarity: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """The z of mutual proximity for similarities (...), float64.

    `left` and `right` (..., 2) are the mean and the spread of the similarity of either side to the library.
    """
    from scipy.special import gammainc, log_ndtr, ndtri_exp

    surprise = np.zeros(similarity.shape)  # -ln MP
    for own in (left, right):
        surprise = surprise - log_ndtr(np.clip((similarity - own[..., 0]) / own[..., 1], -_FAR, _FAR))
    # F = MP (1 - ln MP) is the upper regularised incomplete gamma function of 2 at -ln MP. Whichever of F and 1 - F is
    # the smaller is taken, as its logarithm: neither is lost to rounding.
    below = np.log1p(surprise) - surprise
    small = np.minimum(surprise, 1.0)
    above = np.where(small < _TINY, 2 * np.log(small) - math.log(2), np.log(gammainc(2, np.maximum(small, _TINY))))
    return np.where(surprise > 1.0, ndtri_exp(below), -ndtri_exp(above))


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What the library's recordings are like, as far as means and spreads of similarities to them go.

    `moments` maps short space names to M (d + 1, d + 1) float64; `positions` (m,) int64, ascending, are the rows summed
    in it.
    """

    positions: IntArray
    moments: Mapping[str, FloatArray]

    @classmethod
    def of(cls, positions: IntArray, rows: Mapping[str, FloatArray]) -> Self:
        """From tracks at `positions` (m,) and their rows by short space name, (m, d) float32."""
        moments = {}
        for name, part in rows.items():
            extended = np.hstack([part, presence(part)[:, None]]).astype(np.float64)
            moments[name] = extended.T @ extended
        return cls(positions, moments)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, AnyArray]) -> Self:
        """What `arrays` gave."""
        return cls(arrays["positions"], {name: array for name, array in arrays.items() if name != "positions"})

    def arrays(self) -> dict[str, AnyArray]:
        """All of it by name, to be kept."""
        return {"positions": self.positions, **self.moments}

    def chance(self, space: str, law: Calibration, rows: FloatArray, positions: IntArray) -> FloatArray:
        """Mean and spread of the similarity of rows (n, d) to all others of the background: (n, 2) float64.

        `positions` (n,) are those of the rows in the library; -1: not in it. Where there are fewer than 10 others, or
        all are equally similar, they are those of the law.
        """
        wide, moments = rows.astype(np.float64), self.moments[space]
        within = np.append(self.positions, -2)[np.searchsorted(self.positions, positions)] == positions
        own = np.where(within, np.einsum("nd,nd->n", wide, wide), 0.0)
        others = moments[-1, -1] - within
        count = np.maximum(others, 1)
        mean = (wide @ moments[-1, :-1] - own) / count
        square = (np.einsum("nd,nd->n", wide @ moments[:-1, :-1], wide) - own**2) / count
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        known = (others >= _FEWEST) & (spread > _NARROWEST)
        return np.where(known[:, None], np.stack([mean, spread], axis=1), (law.mu, law.sigma))

    def mutual(
        self, space: str, law: Calibration, query: FloatArray, position: int, rows: FloatArray, positions: IntArray
    ) -> FloatArray:
        """z of candidates `rows` (m, d) at `positions` (m,) for a query (d,): (m,) float64, 0 where inaudible.

        `position` is that of the query itself in the library; -1: not in it.
        """
        left = self.chance(space, law, query[None, :], np.array([position]))
        right = self.chance(space, law, rows, positions)
        similarity = rows.astype(np.float64) @ query.astype(np.float64)
        return np.where(presence(rows) & query.any(), mutual_z(similarity, left, right), 0.0)
