"""Conditions relative to the recording that is searched with: `bpm ~ query` becomes `bpm ~ 140`."""

from __future__ import annotations

from soundalike.core.errors import UsageError
from soundalike.core.text import fold
from soundalike.library.catalog.filters import (
    NUMBERS,
    AllOf,
    AnyOf,
    Expression,
    Filter,
    Not,
    NumberCondition,
    QueryCondition,
    TextCondition,
    mixes_with,
    near_tempo,
)
from soundalike.library.catalog.track import Track

__all__ = ["resolve_filter"]


def resolve_filter(where: Filter, query: Track) -> Filter:
    """Put the values of a query into a filter.

    A query with several genres or artists meets `=` and `~` with any of them, and `!=` with none of them.

    Args:
        where: The filter.
        query: The tags and measurements of the recording that is searched with.

    Returns:
        The same filter without any `QueryCondition`.

    Raises:
        UsageError: The query has no value in a field; the message names both.

    Example:
        >>> resolve_filter(parse_filter("year = query"), track).conditions
        (NumberCondition(field='year', operator='=', value=1999.0),)
    """
    return Filter(tuple(_resolve(condition, query) for condition in where.conditions))


def _resolve(expression: Expression, query: Track) -> Expression:
    match expression:
        case QueryCondition(field, operator):
            return _with_values(field, operator, query)
        case AllOf(parts):
            return AllOf(tuple(_resolve(part, query) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_resolve(part, query) for part in parts))
        case Not(part):
            return Not(_resolve(part, query))
        case _:
            return expression


def _with_values(field: str, operator: str, query: Track) -> Expression:
    values = _values(field, query)
    if not values:
        raise UsageError(
            f"{query.path} has no {field}, so '{field} {operator} query' says nothing; write a value instead of query"
        )
    conditions = tuple(_with_value(field, operator, value) for value in values)
    if len(conditions) == 1:
        return conditions[0]
    return AllOf(conditions) if operator == "!=" else AnyOf(conditions)


def _with_value(field: str, operator: str, value: str | float) -> Expression:
    if isinstance(value, str):
        return mixes_with(value) if (field, operator) == ("key", "~") else TextCondition(field, operator, fold(value))
    return near_tempo(value) if operator == "~" else NumberCondition(field, operator, float(value))


def _values(field: str, query: Track) -> tuple[str, ...] | tuple[float, ...]:
    """The values of a field, those of tags first, as in the columns of a library."""
    several = {"genre": query.genres, "artist": query.artists}
    if field in several:
        return several[field]
    one = {"key": query.known_key, "path": str(query.path)}
    value = one[field] if field in one else getattr(query, field)
    if value is None:
        return ()
    return (float(value),) if field in NUMBERS else (str(value),)
