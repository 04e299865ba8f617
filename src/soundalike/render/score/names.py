"""Names that splits go by."""

from __future__ import annotations

from collections.abc import Sequence

from soundalike.render.score.music import Chord

__all__ = ["progression_name"]


def progression_name(chords: Sequence[Chord], beats: float) -> str:
    """What a loop of chords is called, wherever it starts and however often it is written out: "0:maj/4-7:maj/4".

    `chords` are in order of time, without a gap, and fill `beats` beats. The name is the smallest of all rotations.
    """
    words: list[tuple[int, str, float]] = []
    for chord, end in zip(chords, [*(c.start for c in chords[1:]), beats], strict=True):
        if words and words[-1][:2] == (chord.root, chord.kind):
            words[-1] = (chord.root, chord.kind, words[-1][2] + end - chord.start)
        else:
            words.append((chord.root, chord.kind, end - chord.start))
    # A chord that sounds across the seam is one chord.
    if len(words) > 1 and words[0][:2] == words[-1][:2]:
        words[0] = (*words[0][:2], words[0][2] + words.pop()[2])
    spelled = [f"{root}:{kind}/{length:g}" for root, kind, length in words]
    turns = [spelled[k:] + spelled[:k] for k in range(len(spelled))]
    period = next((k for k in range(1, len(turns)) if turns[k] == spelled), len(spelled))
    return "-".join(min(turns)[:period])
