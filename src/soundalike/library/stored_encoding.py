"""The encoding of a track as the library stores it, for comparisons that need no decoding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from soundalike.audio import AudioInfo, Words
from soundalike.core.types import LEVELS, Descriptors, Level, Vectors
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder, is_current, span_of
from soundalike.models import Encoding, Model

__all__ = ["encoding_of", "load_encoding"]


def load_encoding(library: LibraryFolder, path: Path, model: Model) -> Encoding | None:
    """Return the stored encoding of a whole file.

    Args:
        library: The library.
        path: The absolute path of the file.
        model: The model.

    Returns:
        The encoding; None if the library does not hold the file, if the file has changed since or is not there, if
        another model encoded it, or if what is stored is corrupt.

    Example:
        >>> load_encoding(library, Path("/music/song.flac"), model).track.rows["rhythm"].shape
        (1, 256)
    """
    with library.snapshot():
        track = library.catalog.track_at(path)
        if track is None or not is_current(track) or not library.catalog.is_encoded(track.id, model.name):
            return None
        levels = {}
        for level in LEVELS:
            first, count = library.catalog.rows_of(track.id, level)
            positions = np.arange(first, first + count)
            if library.find_corrupt(model, level, positions, np.full(count, track.id)).any():
                return None
            spans = tuple(span_of(track, level, number) for number in range(count))
            levels[level] = Vectors(spans, library.rows(model.spaces, level, positions), model.recipe.digest)
        return encoding_of(track, levels, library.catalog.fingerprints.get(track.id))


def encoding_of(track: Track, levels: Mapping[Level, Vectors], fingerprint: Words) -> Encoding:
    """Return the encoding of a track, given its rows, with the facts that its entry holds.

    Example:
        >>> encoding_of(track, levels, catalog.fingerprints.get(track.id)).info.duration
        240.0
    """
    return Encoding(
        passages=levels["passage"],
        track=levels["track"],
        descriptors=Descriptors(
            track.tempo, track.key, track.loudness, track.key_confidence, track.meter, track.tempo_confidence,
            track.meter_confidence,
        ),
        info=AudioInfo(
            track.rate, track.channels, track.codec, track.duration, track.audio_hash, track.warning,
            bit_rate=track.bit_rate,
        ),
        fingerprint=fingerprint,
    )  # fmt: skip
