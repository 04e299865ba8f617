"""The records that all packages share: frozen dataclasses that depend on numpy only.

Times are in seconds. In shapes, n counts spans, d dimensions, t samples and c channels.
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

from soundalike.core.literals import LEVELS, Level, LevelReason, PercentileSource
from soundalike.core.space_inputs import SpaceInput

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
    "LevelReason",
    "Match",
    "PercentileSource",
    "Report",
    "Space",
    "SpaceInput",
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
TripletKind: TypeAlias = Literal["neutral", "adversarial"]


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Sound in memory.

    Attributes:
        samples: (c, t) float32, full scale ±1.
        rate: Sample rate in Hz.

    Example:
        >>> Audio(np.zeros((2, 44100), np.float32), 44100).duration
        1.0
    """

    samples: FloatArray
    rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.rate


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of a dataset.

    `stems` maps the names of its separate stems to their files; `labels` are its annotations. Both may be empty.
    """

    path: Path
    stems: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A section of a track. `track` is its path (`os.fsdecode`); `start` and `end` are in seconds."""

    track: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The null distribution of one space at one level: the similarity of random pairs of different tracks.

    Attributes:
        mu: Mean.
        sigma: Standard deviation.
        quantiles: 101 similarities at 0, 1, ..., 100 %.
        source: Whose random pairs these are: those of a library or of the model.
    """

    mu: float
    sigma: float
    quantiles: tuple[float, ...]
    source: PercentileSource = "model"


@dataclass(frozen=True, slots=True)
class Space:
    """A named similarity of a model.

    Attributes:
        model: Name of the model.
        name: Short name, unique within the model, such as "melody". In a request over several models, the full name if
            the short one names another space.
        source: The signal that is encoded: "mix" or a stem.
        backbone: Name of the backbone that extracts the features.
        feature: The feature that the head projects; "a+b" joins two.
        head: Kind of head, one of `soundalike.models.heads.KINDS`.
        dim: Dimensions of a row.
        calibration: The null distribution per level.
        tensors: The name under which the weights hold the head; None is the short name.
        inputs: The rows that the head projects, side by side; none if it projects the feature.
    """

    model: str
    name: str
    source: str
    backbone: str
    feature: str
    head: str
    dim: int
    calibration: Mapping[Level, Calibration]
    tensors: str | None = None
    inputs: tuple[SpaceInput, ...] = ()

    @property
    def short_name(self) -> str:
        """The name that is unique within the model."""
        return self.name.rpartition("/")[2]

    @property
    def full_name(self) -> str:
        """The name `model/short_name`, unique across models."""
        return f"{self.model}/{self.short_name}"


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Rows of one or more spaces over the same spans.

    `rows` maps the short name of a space to (n, d) float32 unit rows. A row is all zero if the space is inaudible
    there. `digest` identifies the model that made the rows.
    """

    spans: tuple[Span, ...]
    rows: Mapping[str, FloatArray]
    digest: str

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Properties of a recording that users filter by.

    A property that cannot be estimated, or only with a low probability, is None, and so is its confidence.

    Attributes:
        tempo: Beats per minute.
        key: Such as "F# minor", always with sharps.
        loudness: Integrated loudness in LUFS.
        key_confidence: Probability of the key, 0 to 1.
        meter: Such as "3/4".
        tempo_confidence: Probability that the tempo is within 4 %, 0 to 1.
        meter_confidence: Probability of the meter, 0 to 1.
    """

    tempo: float | None = None
    key: str | None = None
    loudness: float | None = None
    key_confidence: float | None = None
    meter: str | None = None
    tempo_confidence: float | None = None
    meter_confidence: float | None = None


class Weights(Mapping[str, float]):
    """The weight of each space, of any sign. A space that is not named has weight 0.

    Raises:
        ValueError: A weight is not a finite number.

    Example:
        >>> Weights({"melody": 2, "timbre": -1})["melody"]
        2.0
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

    def __reduce__(self) -> tuple[Any, ...]:
        return Weights, (dict(self._values),)

    def __repr__(self) -> str:
        return "Weights(" + ", ".join(f"{name}={value:g}" for name, value in self.items()) + ")"


@dataclass(frozen=True, slots=True)
class SpaceScore:
    """The contribution of one space to a match.

    If the space is inaudible in the query or in the match, `similarity`, `z` and `percentile` are None and `share` is
    0. The shares of all spaces sum to the score of the match. If the query has several examples, `weight` and `share`
    are means over the examples, with the sign reversed for dislikes, and `similarity`, `z` and `percentile` are None
    because each example has its own.

    Attributes:
        similarity: Inner product of the two rows, -1 to 1.
        z: Standard deviations above the mean of random pairs.
        weight: The weight of the space.
        share: The part of the score that comes from the space.
        percentile: Percentage of random pairs that are less similar, 0 to 100. At the passage level, the percentage of
            random tracks with as many audible passages whose best passage is less similar.
        percentile_source: Whose random pairs z and percentile compare with: those of the library or of the model.
        audible: Whether the space is audible in both.
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
    """How a match is aligned with the query.

    Attributes:
        semitones: The match is the query transposed by this interval, -6 to 5.
        tempo_ratio: The match is this many times as fast as the query.
        offset: Seconds from the start of the match span to the moment at which the query span starts; negative if the
            query starts earlier.
        agreement: Correlation of the two after alignment, -1 to 1.
    """

    semitones: int
    tempo_ratio: float
    offset: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Triplet:
    """An anchor that should be more similar to the positive than to the negative, in the space named `space`.

    Attributes:
        anchor: The anchor.
        positive: The clip that shares the factor with the anchor.
        negative: The clip that does not.
        space: Short name of the space under test.
        kind: What the negative shares with the anchor: "neutral" nothing known, "adversarial" all but the factor.
        group: The unit that confidence intervals resample, such as a song or a folder.
        agreement: Fraction of listeners who chose the positive; 1 if the ground truth is known.
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
    """The result of an evaluation: a table with r rows and c columns.

    Attributes:
        protocol: Name of the protocol.
        title: One line on what was measured.
        model: Name of the model.
        rows: Names of the r rows.
        columns: Names of the c columns.
        values: (r, c) float64, NaN where a value is undefined.
        low: (r, c) lower bounds of the 95 % intervals.
        high: (r, c) upper bounds of the 95 % intervals.
        n: (r, c) number of observations behind each value.
        chance: (c,) chance level.
        unit: Unit of the values: "%", "s" or "".
        command: The command that makes the report again.
        notes: Remarks printed below the table.
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
    """The score of a match for one of several examples.

    `path` is the example as the query names it. `like` is false for a dislike. The score of a match is the mean of the
    scores of its examples, with the sign reversed for dislikes.
    """

    path: str
    like: bool
    score: float
    spaces: Mapping[str, SpaceScore]


@dataclass(frozen=True, slots=True)
class Match:
    """One result of a search: where it is, how similar it is, and why.

    `score` is the weighted mean of the z-scores of the spaces; the shares in `spaces` sum to it. `examples` is empty
    unless the search had several. `percentile` is the percentage of random matches with a lower score: of random
    pairs of tracks, or at the passage level of random tracks with as many audible passages, whose best one counts.
    Matches are ordered by it; None where the order is another one. `rank` counts from 1. The facts about the track
    (`title` to `duration`, in seconds) are those of the library; None where it has none. `artist` joins all `artists`.
    `copies` are the paths of other files of the same recording. `relation` tells what the match is to the query if they
    share audio: "other mix of the query", "contains the query", "part of the query", or with `include_self` "copy of
    the query". `stretch` and `semitones` are what the match needs to fit the query, or in a path the track before it:
    the factor of its speed, half and double tempo being equal, and its smallest transposition, relative keys being
    equal; None if a tempo or a key is unknown. Searches for loops say more precisely what a match needs (`LoopFit`).
    """

    span: Span
    score: float
    spaces: Mapping[str, SpaceScore]
    query_span: Span | None = None
    alignment: Alignment | None = None
    examples: tuple[ExampleScore, ...] = ()
    rank: int = 0
    title: str | None = None
    artist: str | None = None
    artists: tuple[str, ...] = ()
    album: str | None = None
    bpm: float | None = None
    key: str | None = None
    duration: float | None = None
    percentile: float | None = None
    copies: tuple[str, ...] = ()
    relation: str | None = None
    stretch: float | None = None
    semitones: int | None = None

    @property
    def path(self) -> str:
        """The path of the track."""
        return self.span.track
