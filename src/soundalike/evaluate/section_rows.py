"""Rows of recordings as the mean over non-overlapping sections of 3 s, as the papers on Dim-sim take them.

The mean is not scaled to unit length: its Euclidean distances are those of the papers. A section without content in a
space is left out of the mean; without any section the row is all zero.

Reference: Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation Learning for
Multi-Dimensional Modeling of Music Similarity, 2021, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.core.types import FloatArray, Span
from soundalike.evaluate.base import EncodedClips, Progress, encode_clips
from soundalike.models import presence

__all__ = ["SECTION", "encode_sections", "section_windows"]

SECTION = 3.0
"""Seconds of a section."""


def section_windows(duration: float) -> FloatArray:
    """Return the sections of a recording, (n, 2) starts and ends in seconds.

    What remains at the end is left out, unless the recording is shorter than a section.

    Example:
        >>> section_windows(7.5).tolist()
        [[0.0, 3.0], [3.0, 6.0]]
    """
    # Lengths are rounded to samples, so that three seconds may be a little less.
    count = max(1, math.floor(duration / SECTION + 1e-3))
    starts = SECTION * np.arange(count)
    return np.stack([starts, np.minimum(starts + SECTION, duration)], axis=1)


def encode_sections(
    clips: Iterable[Span], model: str | None = None, *, jobs: int | None = None, progress: Progress | None = None
) -> EncodedClips:
    """Encode every distinct clip as the mean of its sections. See `encode_clips` for the arguments and the errors.

    Example:
        >>> encoded = encode_sections([full_span(Path("a.wav")), Span("b.wav", 12.0, 15.0)], "compact")
        >>> len(encoded.rows["melody"])
        2
    """
    return encode_clips(clips, model, jobs=jobs, progress=progress, encode=_encode)


def _encode(task: tuple[str, Span]) -> tuple[dict[str, FloatArray], float]:
    """Encode one clip in a worker process, as `encode_clips` wants it."""
    from soundalike.models import extract, load_once

    name, clip = task
    model = load_once(name)
    end = None if math.isinf(clip.end) else clip.end
    recording = extract(model.backbones, Path(clip.track), start=clip.start, end=end, grid=section_windows)
    if (separator := model.recipe.separator) and (failure := recording.failures.get(separator)):
        raise AudioError(failure)
    rows = model.project(recording.features)
    return {space: _mean(own) for space, own in rows.items()}, recording.info.duration


def _mean(rows: FloatArray) -> FloatArray:
    audible = rows[presence(rows)]
    return audible.mean(axis=0) if len(audible) else np.zeros(rows.shape[1], np.float32)
