"""Copies in a library: which tracks are the same audio, which of them is the best file, and how lists show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from soundalike.audio import Fingerprint, Relation, Words, relate
from soundalike.core.types import FloatArray
from soundalike.library import LibraryFolder, Subject
from soundalike.library.catalog import Track
from soundalike.models import Model

__all__ = ["COPY_COSINE", "CopyFinder", "Sound", "group_copies", "quality", "relation_text", "why_best"]

COPY_COSINE = 0.7
"""Fingerprints of two tracks are compared from this mean cosine over the spaces on. Of 80 copies of rendered clips (MP3
at 64 to 128 kbit/s, cut, shifted, attenuated) the lowest was 0.78; none of 499,500 pairs of other clips reached 0.7."""

_LOSSLESS = (
    "pcm_",
    "flac",
    "alac",
    "wavpack",
    "ape",
    "tta",
    "mlp",
    "truehd",
    "dsd_",
    "float",
    "double",
    "tak",
    "shorten",
)
_LOSSY_PCM = ("pcm_alaw", "pcm_mulaw")


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """What identifies the audio of a recording: the hash of its samples, and its fingerprint.

    Silent recordings are like no other one, not even one that is as long.
    """

    audio_hash: str
    fingerprint: Fingerprint
    silent: bool = False

    @classmethod
    def of_subject(cls, subject: Subject) -> Self:
        """The audio of an encoded recording."""
        silent = not any(rows.any() for rows in subject.track.values())
        return cls(subject.audio_hash, Fingerprint.of(subject.fingerprint), silent)

    @classmethod
    def of_track(cls, track: Track, words: Words) -> Self:
        """The audio of a track with its stored fingerprint."""
        return cls(track.audio_hash, Fingerprint.of(words), track.silent)

    def relation_of(self, other: Sound) -> Relation | None:
        """What another recording is to this one; None if they share no audio."""
        if self.silent or other.silent:
            return None
        if self.audio_hash == other.audio_hash:
            return "copy"
        return relate(self.fingerprint, other.fingerprint)

    def is_copy_of(self, others: Iterable[Sound]) -> bool:
        """Whether it is a copy of one of the others."""
        return any(self.relation_of(other) == "copy" for other in others)


def relation_text(relation: Relation | None, of: str = "the query") -> str | None:
    """What a match is to a recording, in words: "other mix of the query", "contains the query", "part of the query"."""
    if relation is None:
        return None
    return f"{relation} {of}" if relation in ("contains", "part of") else f"{relation} of {of}"


# The best file -------------------------------------------------------------------------------------------------------


def quality(track: Track) -> tuple[bool, float, float, float]:
    """A key that is larger for better files of one recording: lossless, sample rate or bit rate, length.

    A lossless file that was made from a lossy one is not recognised.
    """
    lossless, bit_rate = _is_lossless(track), _bit_rate(track)
    rates = (float(track.rate), bit_rate) if lossless else (round(bit_rate, -3), float(track.rate))
    return (lossless, *rates, round(track.duration, 1))


def why_best(best: Track, other: Track) -> str:
    """Why a file is better than a copy of it."""
    if _is_lossless(best) != _is_lossless(other):
        return "lossless"
    if _is_lossless(best) and best.rate != other.rate:
        return f"{best.rate / 1000:g} kHz, not {other.rate / 1000:g}"
    ours, theirs = (round(_bit_rate(one) / 1000) for one in (best, other))
    if ours != theirs:
        return f"{ours} kbit/s, not {theirs}"
    if round(best.duration, 1) != round(other.duration, 1):
        return f"{best.duration - other.duration:.1f} s longer"
    return "added first"


def _is_lossless(track: Track) -> bool:
    codec = track.codec.lower()
    return codec.startswith(_LOSSLESS) and not codec.startswith(_LOSSY_PCM)


def _bit_rate(track: Track) -> float:
    """Bits per second of the file, with its tags and pictures."""
    return 8 * track.size / track.duration if track.duration else 0.0


# Groups ---------------------------------------------------------------------------------------------------------------


def group_copies(
    tracks: Sequence[Track], is_copy: Callable[[int, int], bool], near: Callable[[int], Iterable[int]] | None = None
) -> list[list[int]]:
    """Group tracks that are copies of one file: the best file of each group first.

    Every member agrees with the best file of its group. So a chain of copies, in which the ends differ, is no group.

    Args:
        tracks: The tracks.
        is_copy: Whether two tracks, by their numbers, are copies.
        near: The numbers of the tracks that can be copies of a track; all others by default.

    Returns:
        The numbers of the tracks of every group, also of those of one track.

    Example:
        >>> group_copies([flac, mp3, other], lambda a, b: {a, b} == {0, 1})
        [[0, 1], [2]]
    """
    order = sorted(range(len(tracks)), key=lambda n: (*(-value for value in quality(tracks[n])), tracks[n].id))
    place = {number: at for at, number in enumerate(order)}
    free = set(order)
    groups = []
    for best in order:
        if best not in free:
            continue
        free.remove(best)
        others = sorted(free.intersection(near(best)) if near else free, key=place.__getitem__)
        members = [other for other in others if is_copy(best, other)]
        free.difference_update(members)
        groups.append([best, *members])
    return groups


@dataclass(slots=True, eq=False)
class CopyFinder:
    """Finds copies among tracks of a library. To be used inside its snapshot.

    Two tracks are compared by their fingerprints only if they sound alike to the model, as all copies do.
    """

    library: LibraryFolder
    model: Model
    _sounds: dict[int, Sound] = field(default_factory=dict)
    _rows: dict[int, Mapping[str, FloatArray]] = field(default_factory=dict)

    def sound(self, track: Track) -> Sound:
        """The audio of a track."""
        if track.id not in self._sounds:
            self._sounds[track.id] = Sound.of_track(track, self.library.catalog.fingerprints.get(track.id))
        return self._sounds[track.id]

    def are_copies(self, a: Track, b: Track) -> bool:
        """Whether two tracks are copies of each other."""
        if a.audio_hash == b.audio_hash:
            return not (a.silent or b.silent)
        return self._are_alike(a, b) and self.sound(a).relation_of(self.sound(b)) == "copy"

    def group(self, tracks: Sequence[Track]) -> list[list[int]]:
        """The groups of copies among tracks, by their numbers; see `group_copies`."""
        return group_copies(tracks, lambda a, b: self.are_copies(tracks[a], tracks[b]))

    def _are_alike(self, a: Track, b: Track) -> bool:
        total = audible = 0.0
        ours, theirs = self._rows_of(a), self._rows_of(b)
        with np.errstate(invalid="ignore", over="ignore"):  # corrupt rows may hold any value
            for name, row in ours.items():
                total += float(row @ theirs[name])
                audible += bool(row.any() and theirs[name].any())
        return total >= COPY_COSINE * max(audible, 1.0)

    def _rows_of(self, track: Track) -> Mapping[str, FloatArray]:
        """The rows (d,) of a whole track."""
        if track.id not in self._rows:
            first, _ = self.library.catalog.rows_of(track.id, "track")
            rows = self.library.rows(self.model.spaces, "track", np.array([first]))
            self._rows[track.id] = {name: row[0] for name, row in rows.items()}
        return self._rows[track.id]
