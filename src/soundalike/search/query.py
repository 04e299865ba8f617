"""What is asked of a library, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundalike.core.types import Level, Match, Span, Weights
from soundalike.library.catalog import Filter, Track
from soundalike.models import Correction

__all__ = ["Example", "Query", "Result"]


@dataclass(frozen=True, slots=True)
class Example:
    """A recording that answers are to be like, or unlike; `weights` None are those of the query it belongs to."""

    path: Path
    like: bool = True
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `start` and `end` in seconds choose a region; `by` None lets the lengths decide the level.

    `examples` are asked with beside `path`, which is the first like. `hubness` says how to do without hubs, among whole
    tracks.

    With `collapse` only the best match of every version family is listed (`families.keep` made them).
    """

    path: Path
    start: float | None = None
    end: float | None = None
    weights: Mapping[str, float] | None = None
    by: Level | None = None
    k: int = 10
    where: Filter = field(default_factory=Filter)
    exclude_same_artist: bool = False
    include_self: bool = False
    model: str | None = None
    examples: tuple[Example, ...] = ()
    hubness: Correction = "none"
    collapse: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer to a query: matches best first, the copies of the query that were left out, and how it was asked.

    `artists` are those of the likes, as tagged. `examples` are all of them with their weights, the query itself first;
    none where it is alone. `corrupt` are tracks that would have been matches, but of which something is not what was
    written. `versions` has, for the path of a match that stands for its family, the paths of the others; None if not
    collapsed.
    """

    query: Span
    level: Level
    model: str
    weights: Weights
    matches: tuple[Match, ...]
    tracks: Mapping[str, Track]
    copies: tuple[str, ...]
    searched: int
    artists: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    hubness: Correction = "none"
    corrupt: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] | None = None
