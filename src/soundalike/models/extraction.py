"""Extract the features of recordings with backbones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from soundalike.audio import AudioInfo, Fingerprinter, MonoStream, Words, windows
from soundalike.backbones import Backbone, Blocks, Features
from soundalike.core.types import Span

__all__ = ["RecordingFeatures", "extract"]


@dataclass(frozen=True, slots=True, eq=False)
class RecordingFeatures:
    """The features of a recording or a region, before any head.

    Attributes:
        span: The recording or region.
        features: The features per backbone name.
        info: Facts about the decoded audio.
        fingerprint: Acoustic fingerprint (f,).
    """

    span: Span
    features: Mapping[str, Features]
    info: AudioInfo
    fingerprint: Words


def extract(
    backbones: Mapping[str, Backbone],
    path: Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    label: str | None = None,
) -> RecordingFeatures:
    """Extract the features of a recording or a region with every backbone. The audio is decoded once per backbone.

    Args:
        backbones: The backbones by name, at least one.
        path: The recording.
        start: Start of the region in seconds.
        end: End of the region in seconds; None is the end of the recording.
        label: Name of the track in the result; the default is the path.

    Returns:
        The features per backbone, and the facts and the fingerprint of the audio.

    Raises:
        AudioError: The recording cannot be decoded, or the region is invalid.

    Example:
        >>> backbones = Model.load("dsp").backbones
        >>> extract(backbones, Path("song.wav")).features["dsp"].rows["melody"].shape
        (47, 500)
    """
    features: dict[str, Features] = {}
    infos: list[AudioInfo] = []
    fingerprints: list[Words] = []
    for name, backbone in backbones.items():
        stream = MonoStream(path, backbone.rate, start=start, end=end, loudness=not infos)
        features[name], fingerprint = stream.read(partial(_consume, backbone, stream))
        infos.append(stream.info)
        fingerprints.append(fingerprint)
    span = Span(label or os.fsdecode(path), start, start + infos[0].duration)
    return RecordingFeatures(span, features, infos[0], fingerprints[0])


def _consume(backbone: Backbone, stream: MonoStream, blocks: Blocks) -> tuple[Features, Words]:
    """Extract the features of the blocks of a stream, and compute their fingerprint on the way."""
    fingerprinter = Fingerprinter(backbone.rate)
    # The passages follow from the length of the file, not from the backbone's sample count, which may differ by a
    # sample after resampling. So all models have the same passages. The length is known when the stream has ended.
    features = backbone.features(fingerprinter.tap(blocks), lambda _: windows(stream.info.duration))
    return features, fingerprinter.words()
