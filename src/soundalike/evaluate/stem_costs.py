"""What it costs to ask with a mix: core-seconds of separation and of encoding, measured on one recording."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from soundalike.audio.separators import Separator
from soundalike.core.types import FloatArray
from soundalike.evaluate.stem_clips import ACCOMPANIMENT, GIVEN, SongClips
from soundalike.models import DEFAULT_MODEL

__all__ = ["COST_COLUMNS", "core_seconds"]

COST_COLUMNS = ("separation", "encoding", "sum")
_WARM_UP = 2.0
"""Seconds of the recording that are processed before the measurement, so that weights are loaded."""


def core_seconds(
    model: str | None, song: SongClips, sources: Sequence[str], separators: Mapping[str, Separator]
) -> FloatArray:
    """Return the core-seconds per minute of music that every source of a query costs.

    The mix is encoded as it is. A separator divides it, and all stems that it makes are encoded. The given stems are
    encoded without any separation. The time is that of this process on all its cores.

    Args:
        model: A model's name or folder; None for the default model.
        song: The recording, with the files of its stems from all sources.
        sources: The sources, r of them.
        separators: The separators among them.

    Returns:
        (r, 3) float64, in the order of `COST_COLUMNS`.

    Example:
        >>> core_seconds("compact", song, ["mix", "given"], {})[:, 0].tolist()
        [0.0, 0.0]
    """
    from soundalike.models import load_once

    encoder = load_once(model or DEFAULT_MODEL)
    mix = next(iter(song.files["mix"].values()))
    encoder.encode(mix, end=_WARM_UP)
    rows = []
    for source in sources:
        begin = time.process_time()
        if source in separators:
            for _ in separators[source].separate(mix, end=_WARM_UP):
                pass
            begin = time.process_time()
            for _ in separators[source].separate(mix):
                pass
        between = time.process_time()
        # The accompaniment of the given stems is no stem of its own; that of a separator may be.
        made = {path for kind, path in song.files[source].items() if source != GIVEN or kind != ACCOMPANIMENT}
        for path in sorted(made):
            encoder.encode(path)
        end = time.process_time()
        rows.append([between - begin if source in separators else 0.0, end - between])
    cost = np.array(rows) * (60.0 / song.seconds)
    return np.concatenate([cost, cost.sum(axis=1, keepdims=True)], axis=1)
