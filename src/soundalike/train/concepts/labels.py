"""The labels of tracks for training: what can be learned from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soundalike.audio import TAG_CONCEPTS, Alikeness, Concept, TrackLabels, alike, alike_matrix
from soundalike.core.errors import UsageError

__all__ = [
    "TAG_CONCEPTS",
    "Alikeness",
    "Concept",
    "TrackLabels",
    "alike",
    "alike_matrix",
    "decade_of",
    "find_unusable",
]

_YEARS = (1000, 2999)
_MOST = 2000  # labelled tracks that are compared to see whether a concept can be learned


def decade_of(year: int) -> str:
    """Return the decade of a year.

    Raises:
        UsageError: The year is not 1000 to 2999.

    Example:
        >>> decade_of(1994)
        '1990s'
    """
    if not _YEARS[0] <= year <= _YEARS[1]:
        raise UsageError(f"the year is {year}; expected {_YEARS[0]} to {_YEARS[1]}")
    return f"{year // 10 * 10}s"


def find_unusable(concepts: Sequence[Concept], labels: Sequence[TrackLabels]) -> dict[Concept, str]:
    """Return the concepts that cannot be learned from some tracks, each with the reason in one line.

    A concept needs two tracks that are alike, and two that are not. Of many tracks, 2,000 labelled ones are compared.

    Args:
        concepts: The concepts to look at.
        labels: The labels of the tracks.

    Example:
        >>> find_unusable(["genre"], [TrackLabels(genre=("Rock",)), TrackLabels(genre=("Rock",))])
        {'genre': 'all 2 labelled tracks are alike (Rock); expected at least two kinds'}
    """
    found: dict[Concept, str] = {}
    for concept in concepts:
        known = [one for one in labels if one.known(concept)]
        if len(known) < 2:
            lacking = "no track is labelled" if not known else "only 1 track is labelled"
            found[concept] = f"{lacking} (of {len(labels):,}); expected at least 4"
            continue
        step = -(-len(known) // _MOST)
        related = alike_matrix(concept, known[::step])
        pairs = related[np.triu_indices(len(related), 1)]
        if pairs.all():
            one = known[0].of(concept)
            example = ", ".join(one) if isinstance(one, tuple) else f"{one:g} BPM" if isinstance(one, float) else one
            found[concept] = f"all {len(known):,} labelled tracks are alike ({example}); expected at least two kinds"
        elif not pairs.any():
            found[concept] = f"no two of {len(known):,} labelled tracks are alike; expected some that share a label"
    return found
