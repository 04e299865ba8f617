"""The nouns every module shares: frozen records, numpy only, no behaviour beyond their own fields.

Seconds outside, samples inside. n spans, d dims, t samples, c channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "LEVELS",
    "Alignment",
    "AnyArray",
    "Audio",
    "BoolArray",
    "ByteArray",
    "Calibration",
    "Descriptors",
    "ExampleScore",
    "FloatArray",
    "IntArray",
    "Item",
    "Level",
    "Match",
    "PercentileSource",
    "Report",
    "Space",
    "SpaceScore",
    "Span",
    "Triplet",
    "TripletKind",
    "Vectors",
    "Weights",
]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
ByteArray: TypeAlias = npt.NDArray[np.uint8]
AnyArray: TypeAlias = npt.NDArray[Any]
Level: TypeAlias = Literal["track", "passage"]
PercentileSource: TypeAlias = Literal["library", "model"]
TripletKind: TypeAlias = Literal["neutral", "adversarial"]

LEVELS: tuple[Level, ...] = ("track", "passage")


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Sound in memory: `samples` (c, t) float32, full scale ±1, at `rate` Hz."""

    samples: FloatArray
    rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.rate


@dataclass(frozen=True, slots=True)
class Item:
    """What a dataset yields: one recording, its separate stems where there are any, its labels."""

    path: Path
    stems: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a track: `track` is its path (`os.fsdecode`), `start` and `end` are seconds."""

    track: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What chance looks like in one space at one level.

    `mu` and `sigma` are the mean and spread of the similarity of random pairs of different tracks.
    `quantiles` are the similarities at 0, 1, ..., 100 % of such pairs; at the passage level each pair is
    (a passage, the best passage of another track), because that is what a search reports.
    """

    mu: float
    sigma: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """A named similarity: what is listened to (`source`), by whom (`backbone`, `feature`), projected how (`head`)."""

    model: str
    name: str
    source: str
    backbone: str
    feature: str
    head: str
    dim: int
    calibration: Mapping[Level, Calibration]

    @property
    def full_name(self) -> str:
        """`model/name`, unique across models."""
        return f"{self.model}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Rows of one or more spaces over the same spans.

    `rows` maps a space's name to (n, d) float32: unit rows, or all zero where there is nothing to hear.
    `digest` names the model that made them.
    """

    spans: tuple[Span, ...]
    rows: Mapping[str, FloatArray]
    digest: str

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What people filter by: `tempo` BPM, `key` such as "F# minor", `loudness` LUFS; None where not heard.

    `key_confidence` is how probable the key is, 0 to 1; `meter`, such as "3/4", is there only where it is sure.
    """

    tempo: float | None = None
    key: str | None = None
    loudness: float | None = None
    key_confidence: float | None = None
    meter: str | None = None


class Weights(Mapping[str, float]):
    """How much each space counts, of any sign; a space that is not named weighs 0.

    Raises ValueError if a weight is not a finite number.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"the weight of {name} is {value}, expected a finite number")
        self._values = MappingProxyType({name: float(value) for name, value in values.items()})

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "Weights(" + ", ".join(f"{name}={value:g}" for name, value in self.items()) + ")"


@dataclass(frozen=True, slots=True)
class SpaceScore:
    """What one space says about a match. Inaudible on either side: similarity, z, percentile None, share 0.

    The shares of a match's parts sum to its score. In a match of several examples `weight` and `share` are the means
    over them, a dislike's with the other sign, and there is no one similarity, z or percentile (None): each example has
    its own.
    """

    similarity: float | None
    z: float | None
    weight: float
    share: float
    percentile: float | None
    percentile_source: PercentileSource
    audible: bool


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a match lines up with the query.

    The match is the query transposed by `semitones` (-6 to +5), played `tempo_ratio` times as fast, and the
    query span's first moment falls `offset` seconds after the match span's start (negative: before it).
    `agreement` is the correlation of the two once aligned, -1 to 1.
    """

    semitones: int
    tempo_ratio: float
    offset: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Triplet:
    """An anchor that should be nearer to the positive than to the negative, in the space named `space`.

    `kind` says what the negative shares with the anchor: nothing that is known (neutral), or everything but the
    factor (adversarial). `group` is the unit that intervals resample (a song, a folder); `agreement` the share of
    listeners who voted for the positive, 1 where the truth is known.
    """

    anchor: Span
    positive: Span
    negative: Span
    space: str
    kind: TripletKind = "neutral"
    group: str = ""
    agreement: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What an evaluation found: a table of `values` (r, c) float64, NaN where there is nothing to say.

    `low` and `high` (r, c) bound the 95 % interval, `n` (r, c) counts what each value is a mean of, and `chance` (c,)
    is what guessing gives. `unit` is what the values are ("%", "", "s"); `command` makes the report again.
    """

    protocol: str
    title: str
    model: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    low: FloatArray
    high: FloatArray
    n: IntArray
    chance: FloatArray
    unit: str
    command: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleScore:
    """What one of several examples says of a match: `path` as it was asked with, and whether it is one to be `like`.

    A match's score is the mean of its examples' scores, those of dislikes with the other sign.
    """

    path: str
    like: bool
    score: float
    spaces: Mapping[str, SpaceScore]


@dataclass(frozen=True, slots=True)
class Match:
    """One answer to a query: where, how much closer than chance, and why. `examples` are there if it has several."""

    span: Span
    score: float
    spaces: Mapping[str, SpaceScore]
    query_span: Span | None = None
    alignment: Alignment | None = None
    examples: tuple[ExampleScore, ...] = ()
