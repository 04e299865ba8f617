"""What a match needs to fit the query: another tempo, another key."""

from __future__ import annotations

import math

from soundalike.audio import parse_key, semitones_between

__all__ = ["semitones_to", "stretch_to"]


def stretch_to(bpm: float | None, query_bpm: float | None) -> float | None:
    """Return the factor by which a match must be played faster to have the tempo of the query.

    Args:
        bpm: The tempo of the match.
        query_bpm: The tempo of the query.

    Returns:
        The tempo of the query, its half or its double, by that of the match: the factor that is nearest to 1. None if a
        tempo is unknown.

    Example:
        >>> stretch_to(70.0, 126.0)
        0.9
    """
    if not bpm or not query_bpm:
        return None
    return min((factor * query_bpm / bpm for factor in (1.0, 0.5, 2.0)), key=lambda ratio: abs(math.log(ratio)))


def semitones_to(key: str | None, query_key: str | None) -> int | None:
    """Return the smallest transposition, in semitones, that brings a match to the key of the query or its relative key.

    Args:
        key: The key of the match, such as "A minor".
        query_key: The key of the query.

    Returns:
        -5 to 6; None if a key is unknown.

    Example:
        >>> semitones_to("B minor", "A minor")
        -2
    """
    ours, theirs = (parse_key(one) if one else None for one in (key, query_key))
    return semitones_between(ours, theirs) if ours and theirs else None
