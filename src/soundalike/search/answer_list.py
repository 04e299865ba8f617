"""The matches of an answer: every recording takes one place, with the best file listed and its copies under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundalike.core.types import Match
from soundalike.library.catalog import Track
from soundalike.search.copies import CopyFinder

__all__ = ["AnswerList", "Entry"]


@dataclass(slots=True, eq=False)
class Entry:
    """A track with its match, what it is to the query, and the paths of its copies."""

    track: Track
    match: Match
    relation: str | None = None
    copies: tuple[str, ...] = ()


class AnswerList:
    """Collects k recordings from tracks in the order of their scores.

    Args:
        finder: Finds copies, which share a place; None lists every copy in a place of its own.
        k: The number of recordings.
    """

    def __init__(self, finder: CopyFinder | None, k: int) -> None:
        self._finder, self._k = finder, k
        self._offered = 0
        self._entries: dict[int, Entry] = {}
        self._leader: dict[int, int] = {}
        self._recordings = 0

    @property
    def is_full(self) -> bool:
        """Whether there are k different recordings; copies of them may follow."""
        return self._recordings >= self._k

    def offer(self, tracks: Sequence[Track]) -> range:
        """Prepare tracks to be added; returns their numbers."""
        first = self._offered
        self._offered += len(tracks)
        return self._finder.add(tracks) if self._finder else range(first, self._offered)

    def copies_of(self, number: int) -> list[int]:
        """The tracks in the list that an offered track is a copy of."""
        return self._finder.copies_of(number, self._entries) if self._finder else []

    def add(self, number: int, entry: Entry, copies: Sequence[int]) -> None:
        """Add an offered track, given its copies in the list. Without any, it is a recording of its own."""
        self._entries[number] = entry
        self._leader[number] = number
        leaders = {self._first(copy) for copy in copies}
        self._leader.update(dict.fromkeys(leaders, number))
        # A track may be a copy of two that are none of each other; then these are no longer counted as two.
        self._recordings += 1 - len(leaders)

    def _first(self, number: int) -> int:
        while self._leader[number] != number:
            number = self._leader[number]
        return number

    def listed(self) -> list[Entry]:
        """The entries to list, in the order of their scores: the best file of each recording, with its copies."""
        if not self._finder:
            return list(self._entries.values())[: self._k]
        chosen = []
        for best, *others in sorted(self._finder.group(list(self._entries))):
            self._entries[best].copies = tuple(str(self._entries[other].track.path) for other in others)
            chosen.append(self._entries[best])
        return chosen[: self._k]

    def tracks(self) -> list[Track]:
        """The tracks that are listed, and their copies."""
        return [entry.track for entry in self._entries.values()]

    def of_best(self, versions: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Paths of versions by the path of a match, under the path of the file that is listed for it."""
        best = {copy: str(entry.track.path) for entry in self._entries.values() for copy in entry.copies}
        copies = {str(entry.track.path): {str(entry.track.path), *entry.copies} for entry in self._entries.values()}
        found = {}
        for path, others in versions.items():
            name = best.get(path, path)
            found[name] = tuple(other for other in others if other not in copies.get(name, ()))
        return found
