"""Extract the features of recordings with backbones, from the mix and from stems."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from soundalike.audio import AudioInfo, Fingerprinter, MonoStream, Words, windows
from soundalike.backbones import Backbone, Blocks, Features, WindowGrid
from soundalike.core.errors import AudioError, ModelError
from soundalike.core.files import content_hash as hash_of
from soundalike.core.object_stores import local_copy
from soundalike.core.types import Descriptors, FloatArray, Span
from soundalike.models.recipes import SeparatorVersion
from soundalike.models.stem_backbone import StemBackbone
from soundalike.models.stem_files import is_silent, stem_files

__all__ = ["RecordingFeatures", "extract"]


@dataclass(frozen=True, slots=True, eq=False)
class RecordingFeatures:
    """The features of a recording or a region, before any head.

    Attributes:
        span: The recording or region.
        features: The features per backbone name.
        info: Facts about the decoded audio.
        fingerprint: Acoustic fingerprint (f,).
        failures: Why separators could not separate the recording. Features of their stems are missing.
    """

    span: Span
    features: Mapping[str, Features]
    info: AudioInfo
    fingerprint: Words
    failures: Mapping[SeparatorVersion, str] = field(default_factory=dict)


def extract(
    backbones: Mapping[str, Backbone],
    path: Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    label: str | None = None,
    grid: WindowGrid = windows,
    content_hash: str | None = None,
) -> RecordingFeatures:
    """Extract the features of a recording or a region with every backbone.

    The mix is decoded once per backbone. A separator runs once per recording, however many backbones take its stems,
    and always on the whole recording, so that the stems of a region are a part of those of the recording.

    Args:
        backbones: The backbones by name, at least one; some may be a `StemBackbone`.
        path: The recording; an object of a store is copied first, and the copy deleted afterwards.
        start: Start of the region in seconds.
        end: End of the region in seconds; None is the end of the recording.
        label: Name of the track in the result; the default is the path.
        grid: Maps the duration of the mix to the windows.
        content_hash: The `core.files.content_hash` of the recording, if it is known: the key of its stems in the cache.

    Returns:
        The features per backbone, and the facts and the fingerprint of the mix.

    Raises:
        AudioError: The recording cannot be decoded, or the region is invalid; or every backbone is on a stem, and the
            recording cannot be separated.
        ModelError: A separator is not installed, or in another version.

    Example:
        >>> backbones = Model.load("dsp").backbones
        >>> extract(backbones, Path("song.wav")).features["dsp"].rows["melody"].shape
        (47, 500)
    """
    with local_copy(path) as file:
        return _extract(backbones, file, start, end, label or os.fsdecode(path), grid, content_hash)


def _extract(
    backbones: Mapping[str, Backbone],
    path: Path,
    start: float,
    end: float | None,
    label: str,
    grid: WindowGrid,
    content_hash: str | None,
) -> RecordingFeatures:
    """Extract the features of a file; see `extract`."""
    on_stems = {name: one for name, one in backbones.items() if isinstance(one, StemBackbone)}
    separators = dict.fromkeys(one.separator for one in on_stems.values())
    failures: dict[SeparatorVersion, str] = {}
    if separators and content_hash is None:
        content_hash = hash_of(path)
    for separator in separators:
        try:
            stem_files(separator, path, content_hash)
        except AudioError as error:
            failures[separator] = str(error)
    if len(on_stems) == len(backbones) and len(failures) == len(separators):
        raise AudioError("; ".join(failures.values()))
    features: dict[str, Features] = {}
    infos: list[AudioInfo] = []
    fingerprints: list[Words] = []
    for name, backbone in backbones.items():
        if name in on_stems:
            continue
        stream = MonoStream(path, backbone.rate, start=start, end=end, loudness=not infos)
        features[name], fingerprint = stream.read(partial(_consume, backbone, stream, grid))
        infos.append(stream.info)
        fingerprints.append(fingerprint)
    if not infos:  # every backbone is on a stem; the facts are still those of the mix
        rate = next(iter(backbones.values())).rate
        stream = MonoStream(path, rate, start=start, end=end, loudness=True)
        fingerprints.append(stream.read(partial(_fingerprint, rate)))
        infos.append(stream.info)
    # All models have the same passages: those of the mix.
    bounds = grid(infos[0].duration)
    for name, backbone in on_stems.items():
        if backbone.separator in failures:
            continue
        files = stem_files(backbone.separator, path, content_hash)  # again: a full cache drops what is not used
        if (file := files.get(backbone.stem)) is None:
            made = f"{backbone.separator.name} makes {', '.join(files)}"
            raise ModelError(f"the model takes the stem {backbone.stem}, but {made}; install the model again")
        if is_silent(file):
            features[name] = _inaudible(backbone, bounds, infos[0].duration)
        else:
            stream = MonoStream(file, backbone.rate, start=start, end=end)
            features[name] = stream.read(partial(_on_stem, backbone, bounds))
    span = Span(label, start, start + infos[0].duration)
    return RecordingFeatures(span, features, infos[0], fingerprints[0], failures)


def _consume(backbone: Backbone, stream: MonoStream, grid: WindowGrid, blocks: Blocks) -> tuple[Features, Words]:
    """Extract the features of the blocks of a stream, and compute their fingerprint on the way."""
    fingerprinter = Fingerprinter(backbone.rate)
    # The passages follow from the length of the file, not from the backbone's sample count, which may differ by a
    # sample after resampling. So all models have the same passages. The length is known when the stream has ended.
    features = backbone.features(fingerprinter.tap(blocks), lambda _: grid(stream.info.duration))
    return features, fingerprinter.words()


def _on_stem(backbone: StemBackbone, bounds: FloatArray, blocks: Blocks) -> Features:
    """Extract the features of a stem in the windows of its mix."""
    return backbone.features(blocks, lambda _: bounds)


def _fingerprint(rate: int, blocks: Blocks) -> Words:
    """Compute the fingerprint of the blocks of a stream."""
    fingerprinter = Fingerprinter(rate)
    for _ in fingerprinter.tap(blocks):
        pass
    return fingerprinter.words()


def _inaudible(backbone: StemBackbone, bounds: FloatArray, duration: float) -> Features:
    """The features of a silent stem."""
    rows = {name: np.zeros((len(bounds), dim), np.float32) for name, dim in backbone.dims.items()}
    audible = {name: np.zeros(len(bounds), np.bool_) for name in backbone.dims}
    return Features(bounds, rows, audible, Descriptors(), duration)
