"""A baseline without any model: the mean and the deviation of a log-mel spectrum, as the row of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import numpy as np

from soundalike.core.errors import SoundalikeError
from soundalike.core.types import Audio, FloatArray, Span
from soundalike.evaluate.base import Progress
from soundalike.evaluate.terms import Source, load_sources

__all__ = ["MEL_BANDS", "mel_row", "mel_rows"]

MEL_BANDS = 40
_SIZE, _HOP = 2048, 1024
_FLOOR = 1e-8
"""Power below which a band counts as silent, -80 dB."""


def mel_row(audio: Audio) -> FloatArray:
    """Return the mean and the standard deviation over time of 40 log-mel bands, in dB: (80,) float32.

    Example:
        >>> mel_row(load("song.wav", end=10.0)).shape
        (80,)
    """
    from soundalike.audio import SpectrumStream

    stream = SpectrumStream(_SIZE, _HOP)
    mono = audio.samples.mean(axis=0).astype(np.float32)
    power = np.concatenate([stream.push(mono), stream.finish()])
    levels = 10 * np.log10(power @ _bands(audio.rate) + _FLOOR)
    return np.concatenate([levels.mean(axis=0), levels.std(axis=0)]).astype(np.float32)


@lru_cache(maxsize=4)
def _bands(rate: int) -> FloatArray:
    from soundalike.audio import mel_matrix

    return mel_matrix(_SIZE, rate, MEL_BANDS, 30.0, rate / 2)


def mel_rows(
    sources: Mapping[Span, Sequence[Source]], *, jobs: int | None = None, progress: Progress | None = None
) -> dict[Span, FloatArray]:
    """Return the `mel_row` of sums of parts of files.

    Args:
        sources: What each span stands for, as in `encode_mixes`.
        jobs: The number of worker processes.
        progress: Called after every clip.

    Raises:
        AudioError: A clip cannot be decoded.

    Example:
        >>> mel_rows({Span("drums", 0.0, 10.0): (Source((drums,), 0.0, 10.0),)})[Span("drums", 0.0, 10.0)].shape
        (80,)
    """
    from soundalike.core.executors.base import run_tasks

    rows: dict[Span, FloatArray] = {}
    outcomes = run_tasks(partial(_measure, sources), sorted(sources), jobs)
    seconds = 0.0
    try:
        for done, (span, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):
                raise outcome
            rows[span] = outcome
            seconds += span.end - span.start
            if progress:
                progress(done, len(sources), seconds)
    finally:
        outcomes.close()
    return rows


def _measure(sources: Mapping[Span, Sequence[Source]], span: Span) -> FloatArray:
    return mel_row(load_sources([one for one in sources[span] if one.files]))
