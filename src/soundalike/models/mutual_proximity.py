"""Mutual proximity: a correction for hubs.

In spaces with many dimensions, a few recordings (hubs) are among the nearest neighbours of very many others, and many
recordings are among the nearest neighbours of none. A hub is similar to most recordings, so a similarity is judged
relative to both sides. In one space, let m_q and s_q be the mean and standard deviation of the similarity of q to the
recordings of the library, and m_x and s_x those of x:

    z_q = (<q, x> - m_q) / s_q,    z_x = (<q, x> - m_x) / s_x
    MP  = Phi(z_q) Phi(z_x)
    z   = Phi^-1(MP (1 - ln MP))       replaces the z-score of the scoring function (`score.py`)

Phi is the standard normal distribution function. MP is mutual proximity with independent Gaussians. MP (1 - ln MP) is
the distribution function of the product of two independent uniform variables. Under the same independence assumption as
MP, z of a random pair is therefore standard normal: it ranks as MP does, and has the scale of the scoring function. It
is 0 where either side is inaudible.

Means and standard deviations follow from the first two moments of the library's rows, so nothing is stored per track:
for the rows s of the c audible other recordings, M = sum [s, 1] [s, 1]^T, sum <x, s> = M[-1, :-1] x and sum <x, s>^2 =
x^T M[:-1, :-1] x. A recording itself is excluded from its own mean and standard deviation.

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
"""Number of best candidates, by the scoring function, that are scored again. A smaller library is scored completely."""
_MIN_OTHERS = 10
"""Minimum number of other recordings. With fewer, the calibration of the recipe is used."""
_MIN_SIGMA = 1e-6
"""A standard deviation below this is a rounding error."""
_FAR = 37.0
"""Standard deviations from the mean beyond which the normal distribution function equals 1 in float64."""
_TINY = 1e-8


def mutual_z(similarity: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the z-scores of mutual proximity.

    Args:
        similarity: Similarities (...).
        left: Mean and standard deviation (..., 2) of the similarity of one side to the library.
        right: The same for the other side.

    Returns:
        z-scores (...) float64.

    Example:
        >>> mutual_z(np.array([0.9]), np.array([[0.1, 0.2]]), np.array([[0.3, 0.2]])).shape
        (1,)
    """
    from scipy.special import gammainc, log_ndtr, ndtri_exp

    surprise = np.zeros(similarity.shape)  # -ln MP
    for side in (left, right):
        surprise = surprise - log_ndtr(np.clip((similarity - side[..., 0]) / side[..., 1], -_FAR, _FAR))
    # F = MP (1 - ln MP) is the upper regularised incomplete gamma function of 2 at -ln MP. To avoid rounding errors,
    # the logarithm of the smaller of F and 1 - F is used.
    below = np.log1p(surprise) - surprise
    small = np.minimum(surprise, 1.0)
    above = np.where(small < _TINY, 2 * np.log(small) - math.log(2), np.log(gammainc(2, np.maximum(small, _TINY))))
    return np.where(surprise > 1.0, ndtri_exp(below), -ndtri_exp(above))


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """The moments of a library's rows. Means and standard deviations of similarities follow from them.

    Attributes:
        positions: Positions (m,) int64, ascending, of the rows that are summed.
        moments: M (d + 1, d + 1) float64 per short space name.

    Example:
        >>> background = Background.from_rows(np.arange(1000), {"melody": rows})
        >>> background.z_scores("melody", calibration, query, -1, candidates, positions).shape
        (50,)
    """

    positions: IntArray
    moments: Mapping[str, FloatArray]

    @classmethod
    def from_rows(cls, positions: IntArray, rows: Mapping[str, FloatArray]) -> Self:
        """Compute the moments of tracks at `positions` (m,) from their rows (m, d) float32 per short space name."""
        moments = {}
        for name, part in rows.items():
            extended = np.hstack([part, presence(part)[:, None]]).astype(np.float64)
            moments[name] = extended.T @ extended
        return cls(positions, moments)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> Self:
        """Restore a background from the result of `to_arrays`."""
        return cls(arrays["positions"], {name: array for name, array in arrays.items() if name != "positions"})

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return positions and moments by name, for a cache."""
        return {"positions": self.positions, **self.moments}

    def similarity_moments(
        self, space: str, calibration: Calibration, rows: FloatArray, positions: IntArray
    ) -> FloatArray:
        """Return the mean and standard deviation of the similarity of rows to all other rows of the background.

        Args:
            space: Short name of the space.
            calibration: Used instead if there are fewer than 10 other rows, or all are equally similar.
            rows: Rows (n, d).
            positions: Positions (n,) of the rows in the library; -1 if not in it.

        Returns:
            (n, 2) float64.
        """
        wide, moments = rows.astype(np.float64), self.moments[space]
        within = np.append(self.positions, -2)[np.searchsorted(self.positions, positions)] == positions
        self_similarity = np.where(within, np.einsum("nd,nd->n", wide, wide), 0.0)
        others = moments[-1, -1] - within
        count = np.maximum(others, 1)
        mean = (wide @ moments[-1, :-1] - self_similarity) / count
        square = (np.einsum("nd,nd->n", wide @ moments[:-1, :-1], wide) - self_similarity**2) / count
        sigma = np.sqrt(np.maximum(square - mean**2, 0.0))
        valid = (others >= _MIN_OTHERS) & (sigma > _MIN_SIGMA)
        return np.where(valid[:, None], np.stack([mean, sigma], axis=1), (calibration.mu, calibration.sigma))

    def z_scores(
        self,
        space: str,
        calibration: Calibration,
        query: FloatArray,
        position: int,
        rows: FloatArray,
        positions: IntArray,
    ) -> FloatArray:
        """Return the z-scores of candidates for a query.

        Args:
            space: Short name of the space.
            calibration: Used for rows without statistics of their own, see `similarity_moments`.
            query: Row (d,) of the query.
            position: Position of the query in the library; -1 if not in it.
            rows: Rows (m, d) of the candidates.
            positions: Positions (m,) of the candidates in the library; -1 if not in it.

        Returns:
            z-scores (m,) float64; 0 where query or candidate is inaudible.
        """
        left = self.similarity_moments(space, calibration, query[None, :], np.array([position]))
        right = self.similarity_moments(space, calibration, rows, positions)
        similarity = rows.astype(np.float64) @ query.astype(np.float64)
        return np.where(presence(rows) & query.any(), mutual_z(similarity, left, right), 0.0)
