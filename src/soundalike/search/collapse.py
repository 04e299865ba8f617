"""Collapse version families during a search: the best match stands for its whole family."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

from soundalike.library import is_there
from soundalike.library.catalog import Catalog, Track

__all__ = ["FamilyCollapser"]


class FamilyCollapser:
    """The families that a search has met so far. To be used inside `Catalog.snapshot`."""

    def __init__(self, catalog: Catalog, families: Mapping[int, int]) -> None:
        """`families` maps the id of a track to the number of its family."""
        self._catalog, self._families = catalog, families
        self._met: dict[int, Track] = {}

    @classmethod
    def of(cls, catalog: Catalog) -> Self | None:
        """The families stored by `store_versions`; None if none were ever stored."""
        families = catalog.families.by_track()
        return None if families is None else cls(catalog, families)

    def is_first(self, track: Track) -> bool:
        """Whether this track is the first match of its family; a track without a family always is."""
        family = self._families.get(track.id)
        return family is None or self._met.setdefault(family, track) is track

    def others(self, searched: Collection[int], left_out: Collection[str]) -> dict[str, tuple[str, ...]]:
        """For the path of each match that stands for others, their sorted paths, if their files are there.

        Args:
            searched: The ids of the tracks that were searched; others are not listed.
            left_out: Paths that are not listed either, such as copies of the query.
        """
        paths: dict[str, list[str]] = {}
        wanted = set(searched)
        firsts = {one: self._met[family] for one, family in self._families.items() if family in self._met}
        others = [one for one, first in firsts.items() if one != first.id and one in wanted]
        for other in self._catalog.tracks_of(others):
            if str(other.path) not in left_out and is_there(other.path):
                paths.setdefault(str(firsts[other.id].path), []).append(str(other.path))
        return {path: tuple(sorted(found)) for path, found in paths.items()}
