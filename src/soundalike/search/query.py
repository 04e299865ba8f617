"""What is asked of a library."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundalike.core.arguments import as_choice, as_count, as_flag, as_model_name, as_number, shown
from soundalike.core.errors import UsageError
from soundalike.core.types import LEVELS, Level
from soundalike.library import Subject
from soundalike.library.catalog import Filter, parse_filter, resolve_filter
from soundalike.models import CORRECTIONS, Correction, parse_weights

__all__ = [
    "Example",
    "Query",
    "as_bounds",
    "as_filter",
    "as_region",
    "as_weights",
    "parse_region",
    "relative_to",
]


@dataclass(frozen=True, slots=True)
class Example:
    """A recording that matches should be like, or unlike.

    `weights` are those of this example, as a mapping or as text; None takes those of the query.
    """

    path: str | os.PathLike[str]
    like: bool = True
    weights: Mapping[str, float] | str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _as_path(self.path, "the path of an example"))
        object.__setattr__(self, "like", as_flag(self.like, "like"))
        object.__setattr__(self, "weights", as_weights(self.weights))


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a library.

    Attributes:
        path: The recording to ask with.
        start: Start of a region in seconds; None is the beginning.
        end: End of a region in seconds; None is the end.
        weights: Weights of the spaces, any sign, as a mapping or as text ("melody=2,timbre=-1"); None weighs each of
            the model 1. Spaces of other models that the library holds may be named too ("melody=2,dsp/rhythm=1").
        by: Compare whole tracks or passages. None compares passages if the query is a region or shorter than 30 s.
        k: The number of matches.
        where: Conditions on tracks, such as "bpm 90..110 and genre = jazz", or "bpm ~ query".
        exclude_same_artist: Leave out tracks by any artist of the query.
        include_self: Keep the query and its copies among the matches.
        model: The name of the model; None takes the default model of the library.
        examples: Further recordings to be like or unlike.
        hubness: A correction for tracks that are close to everything; whole tracks only.
        collapse: List only the best match of every version family (after `find_versions`).
        at_least: The lowest percentile per space, 0 to 100, as a mapping or as text ("rhythm=95"). Spaces without a
            weight may have bounds too. Tracks in which the space is inaudible never match.
        at_most: The highest percentile per space.
        all_copies: List every copy of a recording as a match of its own, instead of the best file with its copies.

    Example:
        >>> Query("song.wav", weights="melody=2", where="bpm 90..110", k=5).k
        5
    """

    path: str | os.PathLike[str]
    start: float | None = None
    end: float | None = None
    weights: Mapping[str, float] | str | None = None
    by: Level | None = None
    k: int = 10
    where: Filter | str | None = field(default_factory=Filter)
    exclude_same_artist: bool = False
    include_self: bool = False
    model: str | None = None
    examples: tuple[Example, ...] = ()
    hubness: Correction = "none"
    collapse: bool = False
    at_least: Mapping[str, float] | str | None = None
    at_most: Mapping[str, float] | str | None = None
    all_copies: bool = False

    @property
    def named_spaces(self) -> tuple[str, ...]:
        """The names of spaces in the weights and bounds."""
        given = [self.weights, *(one.weights for one in self.examples), self.at_least, self.at_most]
        return tuple(name for one in given if isinstance(one, Mapping) for name in one)

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if (seconds := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_number(seconds, name))
        examples = tuple(self.examples) if isinstance(self.examples, Iterable) else None
        if examples is None or not all(isinstance(one, Example) for one in examples):
            raise UsageError(f"examples is {shown(self.examples)}; expected a tuple of Example objects")
        object.__setattr__(self, "examples", examples)
        object.__setattr__(self, "path", _as_path(self.path, "path"))
        object.__setattr__(self, "weights", as_weights(self.weights))
        object.__setattr__(self, "where", as_filter(self.where))
        object.__setattr__(self, "at_least", as_bounds(self.at_least, "at_least"))
        object.__setattr__(self, "at_most", as_bounds(self.at_most, "at_most"))
        as_choice(self.by, "by", (*LEVELS, None))
        as_choice(self.hubness, "hubness", CORRECTIONS)
        object.__setattr__(self, "k", as_count(self.k, "k"))
        if self.model is not None:
            object.__setattr__(self, "model", as_model_name(self.model))
        for name in ("exclude_same_artist", "include_self", "collapse", "all_copies"):
            object.__setattr__(self, name, as_flag(getattr(self, name), name))


def _as_path(path: object, name: str) -> Path:
    """A path as it was given: `Library.search` expands it and makes it absolute."""
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{name} is {shown(path)}; expected a path")
    return Path(os.fsdecode(path))


def as_weights(weights: Mapping[str, float] | str | None) -> Mapping[str, float] | None:
    """Weights as a mapping, from a mapping, text such as "melody=2,timbre=-1", or None.

    Raises:
        UsageError: The text cannot be read, or a weight is not a number.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        return parse_weights(weights)
    if not isinstance(weights, Mapping):
        raise UsageError(
            f"weights is {shown(weights)}; expected a mapping of spaces to numbers, or text such as "
            "'melody=2,timbre=-1'"
        )
    return _numbers(weights, "weight")


def as_bounds(bounds: Mapping[str, float] | str | None, name: str = "bounds") -> Mapping[str, float] | None:
    """Bounds of percentiles as a mapping, from a mapping, text such as "rhythm=95,timbre=30", or None.

    Raises:
        UsageError: The text cannot be read, or a bound is not a number of 0 to 100; the message has the `name`.

    Example:
        >>> as_bounds("rhythm=95,timbre=30")
        {'rhythm': 95.0, 'timbre': 30.0}
    """
    if bounds is None:
        return None
    found: dict[str, float] = {}
    if isinstance(bounds, str):
        for part in bounds.split(","):
            space, _, text = (piece.strip() for piece in part.partition("="))
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            if not space or math.isnan(number):
                raise UsageError(f"cannot read the bound {part!r}; expected SPACE=PERCENTILE, such as rhythm=95")
            if space in found:
                raise UsageError(f"{space} has two bounds, {found[space]:g} and {number:g}; give one")
            found[space] = number
    elif isinstance(bounds, Mapping):
        found = _numbers(bounds, "bound")
    else:
        raise UsageError(
            f"{name} is {shown(bounds)}; expected a mapping of spaces to percentiles, or text such as 'rhythm=95'"
        )
    for space, value in found.items():
        if not 0 <= value <= 100:
            raise UsageError(f"the bound of {space} is {value:g}; expected a percentile of 0 to 100")
    return found


def _numbers(values: Mapping[str, float], what: str) -> dict[str, float]:
    """Numbers by the names of spaces."""
    for space in values:
        if not isinstance(space, str):
            raise UsageError(f"a {what} is for {shown(space)}; expected the name of a space, such as 'melody'")
    return {space: as_number(value, f"the {what} of {space}") for space, value in values.items()}


def as_filter(where: Filter | str | None) -> Filter:
    """A filter from text such as "bpm 90..110", from a filter, or from None, which every track meets.

    Raises:
        UsageError: The text cannot be read.
    """
    if where is None:
        return Filter()
    if isinstance(where, str):
        return parse_filter(where)
    if not isinstance(where, Filter):
        raise UsageError(f"where is {shown(where)}; expected text such as 'bpm 90..110 and genre = jazz'")
    return where


def relative_to(where: Filter, subject: Subject) -> Filter:
    """The filter with the values of a query, such as its tempo in place of `bpm ~ query`.

    Raises:
        UsageError: The query has no such value.
    """
    return where if subject.description is None else resolve_filter(where, subject.description)


def as_region(region: tuple[float, float | None] | str | None) -> tuple[float | None, float | None]:
    """Start and end in seconds, from a pair, text such as "0:30-0:40", or None for the whole recording.

    Raises:
        UsageError: It is neither, or does not end after it starts.
    """
    if region is None:
        return None, None
    if isinstance(region, str):
        return parse_region(region)
    try:
        start, end = region
    except (TypeError, ValueError):
        raise UsageError(f"the region is {shown(region)}; expected (start, end) in seconds or '0:30-0:40'") from None
    first = as_number(start, "the start of the region")
    last = None if end is None else as_number(end, "the end of the region")
    if not 0 <= first < math.inf or (last is not None and not last > first):
        until = "the end" if last is None else f"{last:g} s"
        raise UsageError(f"the region runs from {first:g} s to {until}; expected 0 <= start < end")
    return first, last


def parse_region(text: str) -> tuple[float, float | None]:
    """Read a region as seconds: "0:30-0:40", "30-40", or "1:02:03.5-" to the end.

    Raises:
        UsageError: The text cannot be read.

    Example:
        >>> parse_region("0:30-0:40")
        (30.0, 40.0)
    """
    start, dash, end = text.partition("-")
    try:
        region = (_seconds(start), _seconds(end) if end else None)
    except ValueError:
        region = (0.0, 0.0)
    if not dash or (region[1] is not None and region[1] <= region[0]):
        raise UsageError(f"cannot read the region {text!r}; expected FROM-TO such as 0:30-0:40, or FROM- to the end")
    return region


def _seconds(text: str) -> float:
    parts = text.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d{1,6}(\.\d+)?", part) for part in parts):
        raise ValueError(text)
    if any(float(part) >= 60 for part in parts[1:]):
        raise ValueError(text)
    return sum(float(part) * 60.0**place for place, part in enumerate(reversed(parts)))
