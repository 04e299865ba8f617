"""Bounds of percentiles that matches must meet, such as timbre at most 30."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.models import SearchSpaces, percentiles, presence
from soundalike.search.compiled_query import CompiledQuery
from soundalike.search.query import Query, as_bounds

__all__ = ["Bounds", "bounds_of"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and highest percentiles, by the names of spaces."""

    at_least: Mapping[str, float]
    at_most: Mapping[str, float]

    def __bool__(self) -> bool:
        return bool(self.at_least or self.at_most)

    def met(self, compiled: CompiledQuery, rows: Mapping[str, FloatArray]) -> BoolArray:
        """Which candidates meet the bounds by the percentiles that a match shows for the query, the first example.

        A space that is inaudible in the query or in the candidate has no percentile, and meets no bound.

        Args:
            compiled: The query.
            rows: The rows (m, d) of candidates by space.

        Returns:
            (m,) bool.
        """
        found = np.ones(len(next(iter(rows.values()))), np.bool_)
        query = compiled.examples[0].rows
        for name in {**self.at_least, **self.at_most}:
            with np.errstate(invalid="ignore", over="ignore"):  # corrupt rows may hold any value
                # Row by row as in `explain`, since a matrix product rounds differently, and a percentile that is shown
                # as equal to the bound meets it.
                one = query[name].astype(np.float64)
                similarity = np.array([float(row @ one) for row in rows[name].astype(np.float64)])
                percent = percentiles(similarity, compiled.reference.calibration(name))
            found &= presence(rows[name]) & query[name].any()
            found &= (percent >= self.at_least.get(name, 0.0)) & (percent <= self.at_most.get(name, 100.0))
        return found


def bounds_of(query: Query, spaces: SearchSpaces) -> Bounds:
    """The bounds of a query by the names of spaces.

    Raises:
        UsageError: A space is unknown, or no percentile can meet both of its bounds.
    """
    names = spaces.names
    found: list[dict[str, float]] = []
    for option, given in (("--at-least", query.at_least), ("--at-most", query.at_most)):
        resolved = {}
        for name, value in (as_bounds(given) or {}).items():
            if name not in names:
                raise UsageError(f"unknown space {name!r} in {option}; known: {spaces.known}")
            resolved[names[name]] = value
        found.append(resolved)
    at_least, at_most = found
    for name, low in at_least.items():
        if low > at_most.get(name, 100.0):
            raise UsageError(f"{name} is at least {low:g} and at most {at_most[name]:g}; no track can meet both bounds")
    return Bounds(at_least, at_most)
