"""Encode the items of a dataset, by a convention of how much of a recording is used.

- passages: the whole recording, as in a library: the mean of its passages of 10 s.
- 10s and 30s: the first 10 or 30 seconds as one window, filled up with zeros if the recording is shorter. MERIT trains
  on 10 s, and its probes use 30 s, so that short clips are padded and long introductions count.

An item with several stems is their sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.core.types import Audio, FloatArray, Item, Span
from soundalike.evaluate.base import EncodedClips, Progress, encode_clips

__all__ = ["CONVENTIONS", "encode_items", "item_span", "mix"]

CONVENTIONS: Mapping[str, float | None] = {"passages": None, "10s": 10.0, "30s": 30.0}
"""The seconds of the only window of each convention; None is all passages."""

_Sources: TypeAlias = Mapping[Span, tuple[Path, ...]]


def item_span(item: Item) -> Span:
    """Return the span that stands for an item in `EncodedClips`.

    It names the file of the item, or the first of its stems and how many there are.

    Example:
        >>> item_span(Item(Path("a.wav")))
        Span(track='a.wav', start=0.0, end=inf)
    """
    several = f" and {len(item.stems) - 1} more" if len(item.stems) > 1 else ""
    return Span(f"{item.path}{several}", 0.0, math.inf)


def mix(parts: Sequence[Audio]) -> Audio:
    """Return the sum of recordings of one rate. Shorter ones end early; mono is added to every channel.

    Raises:
        AudioError: The rates differ, or the numbers of channels differ and are not 1.

    Example:
        >>> mix([load("drums.wav"), load("bass.wav")]).rate
        44100
    """
    rates, channels = {part.rate for part in parts}, {len(part.samples) for part in parts}
    if len(rates) > 1 or len(channels - {1}) > 1:
        raise AudioError(
            f"stems at {', '.join(map(str, sorted(rates)))} Hz with {', '.join(map(str, sorted(channels)))} channels; "
            "expected one rate, and one number of channels beside mono"
        )
    total = np.zeros((max(channels), max(part.samples.shape[1] for part in parts)), np.float32)
    for part in parts:
        total[:, : part.samples.shape[1]] += part.samples
    return Audio(total, parts[0].rate)


def _cut(audio: Audio, seconds: float) -> Audio:
    """The first `seconds` of a recording, filled up with zeros."""
    length = round(seconds * audio.rate)
    samples = np.zeros((len(audio.samples), length), np.float32)
    part = audio.samples[:, :length]
    samples[:, : part.shape[1]] = part
    return Audio(samples, audio.rate)


def _load(path: Path, end: float | None) -> Audio:
    """One of the files of an item; errors name it."""
    from soundalike.audio import load

    try:
        return load(path, end=end)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def _encode(sources: _Sources, seconds: float | None, task: tuple[str, Span]) -> tuple[dict[str, FloatArray], float]:
    """Encode one item in a worker process, as `encode_clips` wants it."""
    from soundalike.audio import load, recording_file
    from soundalike.models import extract, load_once, mean_rows

    name, clip = task
    model, files = load_once(name), sources[clip]
    if seconds is None and len(files) == 1:
        encoding = model.encode(files[0])
        return {space: rows[0] for space, rows in encoding.track.rows.items()}, encoding.info.duration
    audio = mix([_load(file, seconds) for file in files]) if len(files) > 1 else load(files[0], end=seconds)
    if seconds is None:
        encoding = model.encode(audio)
        return {space: rows[0] for space, rows in encoding.track.rows.items()}, encoding.info.duration
    window = np.array([[0.0, seconds]])
    with recording_file(_cut(audio, seconds)) as path:
        features = extract(model.backbones, path, grid=lambda _: window).features
    return dict(mean_rows(model.project(features))), seconds


def encode_items(
    items: Iterable[Item],
    model: str | None = None,
    convention: str = "passages",
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> EncodedClips:
    """Encode the items of a dataset. See `encode_clips` for the other arguments and the errors.

    Args:
        items: The items; their spans are those of `item_span`.
        model: A model's name or folder; None for the default model.
        convention: One of `CONVENTIONS`.
        jobs: The number of worker processes.
        progress: Called after every item.

    Example:
        >>> encoded = encode_items(plugins.load("datasets", "ballroom", root=Path("BallroomData")).items(), "compact")
        >>> len(encoded.index)
        685
    """
    sources = {item_span(item): tuple(item.stems.values()) or (item.path,) for item in items}
    encode = partial(_encode, sources, CONVENTIONS[convention])
    return encode_clips(sources, model, jobs=jobs, progress=progress, encode=encode)
