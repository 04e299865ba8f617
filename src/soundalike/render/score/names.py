"""Canonical names of chord progressions. The train, validation and test split is made by these names."""

from __future__ import annotations

from collections.abc import Sequence

from soundalike.render.score.music import Chord

__all__ = ["progression_name"]


def progression_name(chords: Sequence[Chord], beats: float) -> str:
    """Return the name of a loop of chords, such as "0:maj/4-7:maj/4".

    The name does not depend on where the loop starts or how often it is repeated: it is the smallest of all rotations
    of the shortest period.

    Args:
        chords: The chords in order of time, without gaps.
        beats: The length of the loop in beats.

    Returns:
        The chords as root:kind/length, joined by hyphens. Roots are in semitones above the tonic, lengths in beats.

    Example:
        >>> progression_name([Chord(0.0, 4.0, 7, "maj"), Chord(4.0, 4.0, 0, "maj")], 8.0)
        '0:maj/4-7:maj/4'
    """
    words: list[tuple[int, str, float]] = []
    for chord, end in zip(chords, [*(c.start for c in chords[1:]), beats], strict=True):
        if words and words[-1][:2] == (chord.root, chord.kind):
            words[-1] = (chord.root, chord.kind, words[-1][2] + end - chord.start)
        else:
            words.append((chord.root, chord.kind, end - chord.start))
    # A chord that continues across the end of the loop is one chord.
    if len(words) > 1 and words[0][:2] == words[-1][:2]:
        words[0] = (*words[0][:2], words[0][2] + words.pop()[2])
    spelled = [f"{root}:{kind}/{length:g}" for root, kind, length in words]
    rotations = [spelled[k:] + spelled[:k] for k in range(len(spelled))]
    period = next((k for k in range(1, len(rotations)) if rotations[k] == spelled), len(spelled))
    return "-".join(min(rotations)[:period])
