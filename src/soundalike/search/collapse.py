"""Version families while a search runs: of each, the best match stands for all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

from soundalike.library.catalog import Catalog, Track

__all__ = ["FamilyCollapser"]


class FamilyCollapser:
    """Which families a search has met so far; inside `Catalog.snapshot`."""

    def __init__(self, catalog: Catalog, families: Mapping[int, int]) -> None:
        """`families` has the number of the family of every track (by id) that is in one."""
        self._catalog, self._families = catalog, families
        self._met: dict[int, Track] = {}

    @classmethod
    def of(cls, catalog: Catalog) -> Self | None:
        """The families that `families.keep` kept; None if they were never looked for."""
        families = catalog.families.by_track()
        return None if families is None else cls(catalog, families)

    def is_first(self, track: Track) -> bool:
        """Whether this match, asked about in order, is the first of its family; a track without one always is."""
        family = self._families.get(track.id)
        return family is None or self._met.setdefault(family, track) is track

    def others(self, searched: Collection[int], left_out: Collection[str]) -> dict[str, tuple[str, ...]]:
        """For the path of each track that stands for others, theirs: of ids that were searched, but for those left out.

        Sorted; a track that stands only for itself is not among them.
        """
        paths: dict[str, list[str]] = {}
        among = set(searched)
        firsts = {one: self._met[family] for one, family in self._families.items() if family in self._met}
        others = [one for one, first in firsts.items() if one != first.id and one in among]
        for other in self._catalog.tracks_of(others):
            if str(other.path) not in left_out:
                paths.setdefault(str(firsts[other.id].path), []).append(str(other.path))
        return {path: tuple(sorted(found)) for path, found in paths.items()}
