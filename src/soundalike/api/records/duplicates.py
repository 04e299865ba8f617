"""Duplicates of a library as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundalike.search import Duplicates

__all__ = ["DuplicatesRecord", "duplicates_record"]


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """A copy, and why the best file of its group is better."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """Files of one recording: the best one, and those to spare."""

    best: str
    copies: Sequence[CopyRecord]


@dataclass(frozen=True, slots=True)
class RelatedRecord:
    """Two tracks that share audio without being copies; `relation` is what `b` is to `a`."""

    a: str
    b: str
    relation: str


@dataclass(frozen=True, slots=True)
class DuplicatesRecord:
    """Every recording that the library holds more than once."""

    duplicates: Sequence[GroupRecord]
    related: Sequence[RelatedRecord]


def duplicates_record(found: Duplicates) -> DuplicatesRecord:
    """Return the record of the duplicates of a library."""
    return DuplicatesRecord(
        [
            GroupRecord(
                str(group.best.path),
                [
                    CopyRecord(str(track.path), reason)
                    for track, reason in zip(group.copies, group.reasons, strict=True)
                ],
            )
            for group in found.groups
        ],
        [RelatedRecord(str(pair.a.path), str(pair.b.path), pair.relation) for pair in found.related],
    )
