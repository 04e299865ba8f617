"""The bodies of requests: pydantic models, which validate them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from soundalike.core.literals import Level

__all__ = [
    "LARGEST_K",
    "CompareRequest",
    "Example",
    "M3uRequest",
    "ModelName",
    "PassagesRequest",
    "PathRequest",
    "PlaylistRequest",
    "Recording",
    "SearchRequest",
    "TrackId",
    "Weights",
    "Where",
]

LARGEST_K = 1000
TrackId = Annotated[int, Field(ge=1, lt=2**63, description="The number of a track in the library.")]
Weights = Annotated[
    dict[str, FiniteFloat] | None,
    Field(
        description="Weights of the spaces, any sign; null weighs each of the model 1. Spaces of other models of the "
        "library may be named too, such as dsp/rhythm.",
        examples=[{"melody": 2, "timbre": -1}],
    ),
]
Bounds = Annotated[
    dict[str, Annotated[float, Field(ge=0, le=100)]] | None,
    Field(description="Percentiles per space, 0 to 100.", examples=[{"rhythm": 95}]),
]
Where = Annotated[
    str | None,
    Field(max_length=4000, description="Conditions on tracks.", examples=["bpm 90..110 and genre = jazz"]),
]
ModelName = Annotated[str | None, Field(max_length=4000, description="A model of the library; null: the default one.")]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=1e6)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recording(_Body):
    """A track of the library or an upload, or a region of one in seconds."""

    track: TrackId | None = None
    upload: Annotated[str | None, Field(max_length=64, description="The id of an upload.")] = None
    start: Seconds | None = None
    end: Seconds | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.track is None) == (self.upload is None):
            raise ValueError("give either track or upload")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError(f"the region runs from {self.start or 0.0:g} s to {self.end:g} s, expected start < end")
        return self

    @property
    def is_region(self) -> bool:
        """Whether this is a part of the recording."""
        return self.start is not None or self.end is not None


class Example(Recording):
    """A recording to be like or unlike, with weights of its own; null takes those of the query."""

    weights: Weights = None


class SearchRequest(_Body):
    """A search; see `soundalike.Library.search`."""

    query: Recording
    weights: Weights = None
    k: Annotated[int, Field(ge=1, le=LARGEST_K, description="The number of matches.")] = 10
    offset: Annotated[int, Field(ge=0, le=LARGEST_K, description="Matches to skip.")] = 0
    by: Level | None = None
    where: Where = None
    like: Annotated[tuple[Example, ...], Field(max_length=50)] = ()
    unlike: Annotated[tuple[Example, ...], Field(max_length=50)] = ()
    at_least: Bounds = None
    at_most: Bounds = None
    collapse: bool = False
    all_copies: bool = False
    exclude_same_artist: bool = False
    include_self: bool = False
    hubness: Literal["none", "mutual-proximity"] = "none"
    stem: Annotated[
        str | None,
        Field(
            max_length=100,
            examples=["drums"],
            description="Search with this stem of a track: `stretch` and `semitones` are what each match, such as a "
            "loop, needs to fit. Leave out like, unlike, collapse, exclude_same_artist, include_self and hubness.",
        ),
    ] = None
    separator: Annotated[
        str | None,
        Field(
            max_length=100,
            examples=["spleeter"],
            description="What makes the stem. Null takes the stem files beside the track, else one that is installed.",
        ),
    ] = None
    model: ModelName = None


class CompareRequest(_Body):
    """A comparison; see `soundalike.compare`."""

    a: Recording
    b: Recording
    weights: Weights = None
    by: Level | None = None
    align: bool = False
    stems: Annotated[
        str | None,
        Field(
            max_length=100,
            examples=["spleeter"],
            description="A separator: the answer has the matrix of the mix and every stem in every factor. Leave out "
            "weights and align.",
        ),
    ] = None
    model: ModelName = None


class PassagesRequest(_Body):
    """The similarity of every passage of `a` with every passage of `b`, per space; no spaces means all."""

    a: Recording
    b: Recording
    spaces: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    model: ModelName = None


class PathRequest(_Body):
    """A path from one recording to another; see `soundalike.Library.path`."""

    a: Recording
    b: Recording
    steps: Annotated[int, Field(ge=1, le=LARGEST_K)] = 8
    weights: Weights = None
    where: Where = None
    model: ModelName = None


class PlaylistRequest(_Body):
    """A playlist; see `soundalike.Library.playlist`."""

    seed: Recording
    length: Annotated[int, Field(ge=1, le=LARGEST_K)] = 30
    weights: Weights = None
    where: Where = None
    spread: Annotated[float, Field(ge=0, le=1)] = 0.3
    tempo: tuple[Annotated[float, Field(gt=0, le=1000)], Annotated[float, Field(gt=0, le=1000)]] | None = None
    tempo_step: Annotated[float | None, Field(ge=0, le=1000)] = None
    half_double: bool = False
    harmonic: bool = False
    model: ModelName = None


class M3uRequest(_Body):
    """Tracks of the library, in the order of a playlist."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = "soundalike"
    tracks: Annotated[tuple[TrackId, ...], Field(min_length=1, max_length=10_000)]
