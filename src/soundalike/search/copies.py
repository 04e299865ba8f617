"""Copies in a library: which tracks are the same audio, which of them is the best file, and how lists show them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import numpy as np

from soundalike.audio import Fingerprint, Relation, Words, relate
from soundalike.library import LibraryFolder, Subject
from soundalike.library.catalog import Track
from soundalike.models import Model
from soundalike.search.alike import JoinedRows
from soundalike.search.recordings import blocks

__all__ = ["CopyFinder", "Sound", "group_copies", "quality", "relation_text", "why_best"]

_BLOCK = 1024
"""Tracks that are compared with all others at a time."""

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
        pair = (self._key(), other._key())
        with suppress(KeyError):
            return _RELATIONS[pair]
        if len(_RELATIONS) >= _MOST_RELATIONS:
            _RELATIONS.clear()
        found = _RELATIONS[pair] = relate(self.fingerprint, other.fingerprint)
        return found

    def _key(self) -> tuple[str, int]:
        """What identifies the fingerprint; it is missing until the recording is indexed by a version that makes it."""
        return self.audio_hash, zlib.crc32(self.fingerprint.signs.tobytes())


_RELATIONS: dict[tuple[tuple[str, int], tuple[str, int]], Relation | None] = {}
"""Relations that are known, since a person who moves a slider compares the same recordings again and again. Each takes
milliseconds to find."""
_MOST_RELATIONS = 100_000


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
    """Bits per second of the audio; if the library does not know it, those of the file, with its tags and pictures."""
    if track.bit_rate is not None:
        return float(track.bit_rate)
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


class CopyFinder:
    """Finds copies among tracks of a library. To be used inside its snapshot.

    Tracks are known by their numbers, in the order in which they were added. Two tracks are compared by their
    fingerprints only if they sound alike to the model, as all copies do, and no pair is compared twice.
    """

    def __init__(self, library: LibraryFolder, model: Model) -> None:
        self._library, self._model = library, model
        table = library.arrays.table(model.name, "track")
        self._table = table[np.argsort(table[:, 2], kind="stable")]  # fast, as most tables are in order
        self.tracks: list[Track] = []
        self._rows: list[JoinedRows] = []
        self._near: list[set[int]] = []
        self._by_hash: dict[str, list[int]] = {}
        self._sounds: dict[int, Sound] = {}
        self._compared: dict[tuple[int, int], bool] = {}

    def add(self, tracks: Sequence[Track]) -> range:
        """Add tracks that the model encoded; returns their numbers."""
        first = len(self.tracks)
        for part in blocks(len(tracks), _BLOCK):
            self._add(tracks[part])
        return range(first, len(self.tracks))

    def _add(self, tracks: Sequence[Track]) -> None:
        first = len(self.tracks)
        self.tracks += tracks
        self._near += [set() for _ in tracks]
        for number, track in enumerate(tracks, start=first):
            same = self._by_hash.setdefault(track.audio_hash, [])
            self._pair([(number, other) for other in same])
            same.append(number)
        places = np.searchsorted(self._table[:, 2], [track.id for track in tracks])
        rows = JoinedRows.of(self._library.rows(self._model.spaces, "track", self._table[places, 0]))
        self._rows.append(rows)
        before = 0
        for others in self._rows:
            self._pair((np.argwhere(rows.alike_pairs(others)) + np.array([first, before])).tolist())
            before += len(others)

    def _pair(self, pairs: Iterable[Sequence[int]]) -> None:
        for a, b in pairs:
            if a != b:
                self._near[a].add(b)
                self._near[b].add(a)

    def are_copies(self, a: int, b: int) -> bool:
        """Whether two tracks are copies of each other."""
        pair = (min(a, b), max(a, b))
        if pair not in self._compared:
            one, other = self.tracks[a], self.tracks[b]
            if one.audio_hash == other.audio_hash:
                self._compared[pair] = not (one.silent or other.silent)
            else:
                self._compared[pair] = b in self._near[a] and self._sound(a).relation_of(self._sound(b)) == "copy"
        return self._compared[pair]

    def _sound(self, number: int) -> Sound:
        if number not in self._sounds:
            track = self.tracks[number]
            self._sounds[number] = Sound.of_track(track, self._library.catalog.fingerprints.get(track.id))
        return self._sounds[number]

    def copies_of(self, number: int, among: Container[int]) -> list[int]:
        """Those of some other tracks that are copies of a track."""
        return [other for other in sorted(self._near[number]) if other in among and self.are_copies(number, other)]

    def copies_of_subject(self, subject: Subject) -> list[int]:
        """The tracks that are copies of an encoded recording."""
        sound = Sound.of_subject(subject)
        row = JoinedRows.of({space.name: subject.track[space.name][None, :] for space in self._model.spaces})
        alike = [part.alike_pairs(row)[:, 0] for part in self._rows]
        near = np.flatnonzero(np.concatenate(alike)).tolist() if alike else []
        numbers = sorted({*near, *self._by_hash.get(subject.audio_hash, ())})
        return [number for number in numbers if sound.relation_of(self._sound(number)) == "copy"]

    def group(self, numbers: Sequence[int]) -> list[list[int]]:
        """The groups of copies among some tracks; see `group_copies`."""
        place = {number: at for at, number in enumerate(numbers)}
        groups = group_copies(
            [self.tracks[number] for number in numbers],
            lambda a, b: self.are_copies(numbers[a], numbers[b]),
            lambda at: (place[other] for other in self._near[numbers[at]] if other in place),
        )
        return [[numbers[at] for at in group] for group in groups]

    def group_of(self, number: int, among: Container[int]) -> list[int]:
        """The group of a track among itself and some others."""
        joined, waiting = {number}, [number]
        while waiting:
            new = set(self.copies_of(waiting.pop(), among)) - joined
            joined |= new
            waiting += sorted(new)
        return next(group for group in self.group(sorted(joined)) if number in group)
