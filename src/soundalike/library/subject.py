"""What a search compares: the encoded query, and the tracks that it may find."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundalike.audio import Words, read_tags
from soundalike.core.types import BoolArray, FloatArray, IntArray, Span
from soundalike.library.catalog.track import Track, measured_fields, tag_fields
from soundalike.library.stores.row_groups import Groups
from soundalike.models import Encoding

__all__ = ["Candidates", "Subject", "describe_file"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An encoded recording.

    Attributes:
        span: The recording, or the region that was encoded.
        passages: Rows (n, d) of its passages by short space name.
        track: Rows (d,) of the whole recording by short space name.
        audio_hash: Hash of the decoded samples.
        fingerprint: Acoustic fingerprint.
        artists: The artists as tagged, without collective ones such as "Various Artists".
        own: The track of the library with the same path, if any.
        warning: What could not be decoded; None if everything could.
        description: Its tags and measurements; None if they are unknown.
    """

    span: Span
    passages: Mapping[str, FloatArray]
    track: Mapping[str, FloatArray]
    audio_hash: str
    fingerprint: Words
    artists: tuple[str, ...]
    own: Track | None
    warning: str | None = None
    description: Track | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The tracks that a search may find: `table` (g, 3) of `SnapshotArrays.table`, and the mask `wanted` (g,)."""

    table: IntArray
    groups: Groups
    wanted: BoolArray | None = None

    def count(self, without: Collection[int] = ()) -> int:
        """The number of tracks, without those of some ids."""
        number = len(self.table) if self.wanted is None else int(np.count_nonzero(self.wanted))
        for track_id in without:
            own = self.table[:, 2] == track_id
            number -= bool((own if self.wanted is None else own & self.wanted).any())
        return number

    def ids(self, without: Collection[int] = ()) -> IntArray:
        """The ids (n,) of the tracks, without some ids."""
        ids = self.table[:, 2] if self.wanted is None else self.table[self.wanted, 2]
        return ids[~np.isin(ids, list(without))] if without else ids

    def without(self, ids: Sequence[int]) -> Candidates:
        """The same candidates without some tracks."""
        rest = ~np.isin(self.table[:, 2], ids)
        return Candidates(self.table, self.groups, rest if self.wanted is None else self.wanted & rest)


def describe_file(path: Path, encoding: Encoding, model: str) -> Track:
    """The tags and measurements of a file that the library does not hold. Measurements are those of what was encoded.

    Args:
        path: The file.
        encoding: The file, or a region of it, as `model` encoded it.
        model: The name of the model.
    """
    info = encoding.info
    return Track(
        path=path,
        size=0,
        mtime_ns=0,
        content_hash="",
        audio_hash=info.audio_hash,
        duration=info.duration,
        rate=info.rate,
        channels=info.channels,
        codec=info.codec,
        silent=encoding.silent,
        warning=encoding.warning,
        **tag_fields(read_tags(path)),
        **measured_fields(encoding.descriptors, model),
    )
