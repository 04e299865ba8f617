"""Which tracks sound alike to a model: the gate before fingerprints are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from soundalike.core.types import BoolArray, FloatArray
from soundalike.models import presence

__all__ = ["COPY_COSINE", "JoinedRows"]

COPY_COSINE = 0.7
"""Fingerprints of two tracks are compared from this mean cosine over the spaces on. Of 80 copies of rendered clips (MP3
at 64 to 128 kbit/s, cut, shifted, attenuated) the lowest was 0.78; none of 499,500 pairs of other clips reached 0.7."""


@dataclass(frozen=True, slots=True, eq=False)
class JoinedRows:
    """Rows of n tracks in all spaces of a model, side by side.

    Two tracks are alike if their mean cosine over the spaces that are audible in both is at least `COPY_COSINE`.

    Attributes:
        rows: (n, d), where d is the sum of the dims of the spaces.
        audible: (n, s) float32, 1 where a space is audible.
    """

    rows: FloatArray
    audible: FloatArray

    @classmethod
    def of(cls, rows: Mapping[str, FloatArray]) -> Self:
        """Join the rows (n, d) of each space."""
        audible = [presence(part) for part in rows.values()]
        return cls(np.concatenate(list(rows.values()), axis=1), np.stack(audible, axis=1).astype(np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    def alike(self, others: JoinedRows) -> BoolArray:
        """Which tracks (n,) are alike, each with the one of `others` (n) at its place."""
        with np.errstate(invalid="ignore", over="ignore"):  # corrupt rows may hold any value
            total = np.einsum("nd,nd->n", self.rows, others.rows)
            return self._is_alike(total, np.einsum("ns,ns->n", self.audible, others.audible))

    def alike_pairs(self, others: JoinedRows) -> BoolArray:
        """Which of all pairs (n, m) with `others` (m) are alike."""
        with np.errstate(invalid="ignore", over="ignore"):  # corrupt rows may hold any value
            return self._is_alike(self.rows @ others.rows.T, self.audible @ others.audible.T)

    @staticmethod
    def _is_alike(total: FloatArray, audible: FloatArray) -> BoolArray:
        found: BoolArray = total >= COPY_COSINE * np.maximum(audible, 1)
        return found
