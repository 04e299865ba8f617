"""Triplets of songs with a judgement of which one is more similar: by the listeners of Dim-sim, or simulated.

Simulated listeners count the concepts that two songs share. They judge a triplet if one song shares at least two more
concepts with the anchor than the other does, which stands for a high agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from soundalike.audio import CONCEPTS
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import IntArray
from soundalike.train.concepts.labels import alike_matrix
from soundalike.train.concepts.material import ConceptTrack

__all__ = ["COUNT", "JudgedSongs", "dim_sim_judgements", "simulated_judgements"]

COUNT: Final = 426
"""Triplets of Dim-sim on which at least 90 % of the listeners agree."""
_LEAD = 2
"""Concepts that the positive shares with the anchor beyond those of the negative."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSongs:
    """Songs, and triplets of them.

    Attributes:
        files: The n recordings.
        triplets: (m, 3): the numbers of the anchor, of the song that was found more similar, and of the other one.
        source: Whose judgements these are.
    """

    files: tuple[Path, ...]
    triplets: IntArray
    source: str

    @property
    def anchors(self) -> list[str]:
        """The recordings of the anchors: what a bootstrap draws."""
        return [str(self.files[anchor]) for anchor in self.triplets[:, 0]]


def dim_sim_judgements(root: Path, table: Path | None = None, agreement: float = 0.9) -> JudgedSongs:
    """Return the triplets of Dim-sim on which at least this share of the listeners agree.

    Raises:
        UsageError: The table or recordings are missing.

    Example:
        >>> len(dim_sim_judgements(Path("dim-sim")).triplets)
        426
    """
    found = plugins.load("datasets", "dim_sim", root=root, table=table).triplets(agreement)
    number: dict[Path, int] = {}
    triplets = [
        [number.setdefault(file, len(number)) for file in (one.anchor, one.positive, one.negative)] for one in found
    ]
    source = f"listeners of Dim-sim, {len(triplets):,} triplets with an agreement of {100 * agreement:g} % and more"
    return JudgedSongs(tuple(number), np.array(triplets, np.int64), source)


def simulated_judgements(tracks: Sequence[ConceptTrack], seed: int, count: int = COUNT) -> JudgedSongs:
    """Return triplets of labelled songs as simulated listeners judge them.

    Args:
        tracks: The songs, n. The three songs of a triplet are different ones.
        seed: Seed of the draws.
        count: The number m of triplets.

    Raises:
        UsageError: In no triplet does one song share two concepts more than the other.

    Example:
        >>> simulated_judgements(test_tracks, seed=0).triplets.shape
        (426, 3)
    """
    labels, songs = [one.labels for one in tracks], np.unique([one.song for one in tracks], return_inverse=True)[1]
    shared = np.sum([alike_matrix(concept, labels) == 1 for concept in CONCEPTS], axis=0)
    shared = np.where(songs[:, None] == songs, -len(CONCEPTS), shared)
    fewest = np.where(shared < 0, len(CONCEPTS), shared).min(axis=1, initial=len(CONCEPTS))
    positive = shared >= np.maximum(fewest, 0)[:, None] + _LEAD
    anchors = np.flatnonzero(positive.any(axis=1))
    if not len(anchors):
        raise UsageError(
            f"simulated listeners find nothing to judge among {len(tracks):,} test recordings; expected one that "
            f"shares {_LEAD} concepts more with another one than a third does"
        )
    rng = np.random.default_rng([seed, COUNT])
    triplets: list[tuple[int, ...]] = []
    while len(triplets) < count:
        for anchor in rng.permutation(anchors)[: count - len(triplets)]:
            near = rng.choice(np.flatnonzero(positive[anchor]))
            far = (shared[anchor] >= 0) & (shared[anchor] <= shared[anchor, near] - _LEAD)
            triplets.append((anchor, near, rng.choice(np.flatnonzero(far))))
    source = (
        f"simulated listeners, who judge {count:,} triplets in which one recording shares at least {_LEAD} concepts "
        "more with the anchor than the other does"
    )
    return JudgedSongs(tuple(one.path for one in tracks), np.array(triplets, np.int64), source)
