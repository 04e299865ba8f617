"""What a search compares: the encoded query, and the tracks that it may find."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from soundalike.audio import Words, is_artist, read_tags
from soundalike.core.types import BoolArray, FloatArray, IntArray, Span
from soundalike.library.catalog.track import Track, measured_fields, tag_fields
from soundalike.library.stores.row_groups import Groups
from soundalike.models import Encoding, LevelRows, Spaces, select_rows

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

    @classmethod
    def of_encoding(
        cls, path: Path, encoding: Encoding, model: str, own: Track | None, known: Track | None, words: Words | None
    ) -> Self:
        """The subject of a file, or a region of it, that `model` encoded.

        Args:
            path: The file.
            encoding: What was encoded.
            model: The name of the model.
            own: The track of the library with this path, if any.
            known: The same track, if the file has not changed since it was indexed.
            words: The fingerprint of `known`.
        """
        description = known or describe_file(path, encoding, model)
        return cls(
            span=encoding.track.spans[0],
            passages=encoding.passages.rows,
            track={name: rows[0] for name, rows in encoding.track.rows.items()},
            audio_hash=known.audio_hash if known else encoding.info.audio_hash,
            fingerprint=encoding.fingerprint if words is None else words,
            artists=tuple(filter(is_artist, description.artists)),
            own=own,
            warning=encoding.warning,
            description=description,
        )

    @classmethod
    def of_track(cls, track: Track, rows: LevelRows, fingerprint: Words) -> Self:
        """The subject of a track of the library, whose file has not changed, with its rows as one model made them."""
        return cls(
            span=Span(str(track.path), 0.0, track.duration),
            passages=rows["passage"],
            track={name: part[0] for name, part in rows["track"].items()},
            audio_hash=track.audio_hash,
            fingerprint=fingerprint,
            artists=tuple(filter(is_artist, track.artists)),
            own=track,
            warning=track.warning,
            description=track,
        )

    @classmethod
    def joined(cls, spaces: Spaces, subjects: Sequence[Self]) -> Self:
        """One subject with the rows of all spaces of a request, given those of a recording by every model of it."""
        if len(subjects) == 1:
            return subjects[0]
        return replace(
            subjects[0],
            passages=select_rows(spaces, [one.passages for one in subjects]),
            track=select_rows(spaces, [one.track for one in subjects]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The tracks that a search may find: `table` (g, 3) of `SnapshotArrays.table`, and the mask `wanted` (g,).

    `not_encoded` is the number of tracks that are left out because a model of the request has not encoded them, by
    the name of the model.
    """

    table: IntArray
    groups: Groups
    wanted: BoolArray | None = None
    not_encoded: Mapping[str, int] = field(default_factory=dict)

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
        return replace(self, wanted=rest if self.wanted is None else self.wanted & rest)


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
