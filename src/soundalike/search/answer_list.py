"""The matches of an answer: every recording takes one place, with the best file listed and its copies under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(slots=True, eq=False)
class AnswerList:
    """Collects k recordings from tracks in the order of their scores.

    Args:
        finder: Finds copies.
        k: The number of recordings.
        fold: Whether copies of a recording share a place.
    """

    finder: CopyFinder
    k: int
    fold: bool = True
    _entries: list[Entry] = field(default_factory=list)
    _first: list[int] = field(default_factory=list)
    """Per entry, the number of the entry that it is a copy of, or its own."""
    _recordings: int = 0

    @property
    def is_full(self) -> bool:
        """Whether there are k different recordings; copies of them may follow."""
        return self._recordings >= self.k

    def leader_of(self, track: Track) -> int | None:
        """The number of the recording in the list that a track is a copy of; None if it is of none."""
        if self.fold:
            for number, entry in enumerate(self._entries):
                if self.finder.are_copies(entry.track, track):
                    return self._first[number]
        return None

    def add(self, entry: Entry, leader: int | None = None) -> None:
        """Add a recording, or a copy of the one with the number `leader`."""
        self._first.append(len(self._entries) if leader is None else leader)
        if leader is None:
            self._recordings += 1
        else:
            entry.relation = self._entries[leader].relation
        self._entries.append(entry)

    def listed(self) -> list[Entry]:
        """The entries to list, in the order of their scores: the best file of each recording, with its copies."""
        if not self.fold:
            return self._entries[: self.k]
        tracks = [entry.track for entry in self._entries]
        chosen = []
        for best, *others in sorted(self.finder.group(tracks)):
            self._entries[best].copies = tuple(str(tracks[other].path) for other in others)
            chosen.append(self._entries[best])
        return chosen[: self.k]

    def tracks(self) -> list[Track]:
        """The tracks that are listed, and their copies."""
        return [entry.track for entry in self._entries]

    def of_best(self, versions: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Paths of versions by the path of a match, under the path of the file that is listed for it."""
        best = {copy: str(entry.track.path) for entry in self._entries for copy in entry.copies}
        copies = {str(entry.track.path): {str(entry.track.path), *entry.copies} for entry in self._entries}
        found = {}
        for path, others in versions.items():
            name = best.get(path, path)
            found[name] = tuple(other for other in others if other not in copies.get(name, ()))
        return found
