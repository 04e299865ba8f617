"""The bodies that start jobs: pydantic models, which the server and the process of a job validate."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from soundalike.serve.requests import ModelName, TrackId, Weights, Where

__all__ = [
    "DuplicatesJob",
    "IndexJob",
    "JobRequest",
    "MapJob",
    "MapMethod",
    "RemoveJob",
    "StemsJob",
    "Task",
    "VersionsJob",
    "is_writing",
]

MapMethod: TypeAlias = Literal["auto", "pca", "umap"]
_Path = Annotated[str, Field(min_length=1, max_length=4096)]
_Paths = Annotated[
    tuple[_Path, ...],
    Field(
        min_length=1, max_length=1000, description="Full paths of folders and files of the server's machine.",
        examples=[["/music"]],
    ),
]  # fmt: skip


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IndexJob(_Job):
    """Encode what is new or changed below folders; see `soundalike.Library.index`. Only on an unshared server."""

    kind: Literal["index"]
    sources: _Paths
    exclude: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
        Field(max_length=1000, description="Patterns of what to leave out, as in .gitignore.", examples=[["*.wav"]]),
    ] = ()
    prune: Annotated[bool, Field(description="Remove tracks whose files are missing or excluded.")] = False
    retry: Annotated[bool, Field(description="Also try files that failed before.")] = False
    model: ModelName = None


class RemoveJob(_Job):
    """Remove tracks, not their files; see `soundalike.Library.remove`. Only on an unshared server."""

    kind: Literal["remove"]
    paths: _Paths


class DuplicatesJob(_Job):
    """Find tracks that are copies of one recording; see `soundalike.Library.duplicates`."""

    kind: Literal["duplicates"]
    model: ModelName = None


class VersionsJob(_Job):
    """Find versions of the same piece; see `soundalike.Library.versions`. A shared server does not store them."""

    kind: Literal["versions"]
    weights: Annotated[
        dict[str, FiniteFloat] | None,
        Field(description="Weights of the spaces; null takes melody 2 and harmony 1.", examples=[{"melody": 1}]),
    ] = None
    false_discovery_rate: Annotated[
        float, Field(gt=0, lt=1, description="The expected share of pairs that are similar by chance.")
    ] = 0.05
    store: Annotated[
        bool | None,
        Field(
            description=(
                "Store the families, for searches that collapse them; null does so unless other machines can reach "
                "the server."
            )
        ),
    ] = None
    model: ModelName = None


class MapJob(_Job):
    """Place the tracks in two dimensions, so that tracks that score high with each other are close.

    Spaces with a weight of 0 or less have no effect. `auto` takes UMAP where the server has it and the library holds at
    most 10,000 tracks, and otherwise PCA.
    """

    kind: Literal["map"]
    weights: Weights = None
    method: MapMethod = "auto"
    where: Where = None
    model: ModelName = None


class StemsJob(_Job):
    """Separate tracks, so that their stems can be played and compared. Those that are in the cache cost nothing."""

    kind: Literal["stems"]
    separator: Annotated[str, Field(max_length=100, description="The separator.", examples=["spleeter"])]
    tracks: Annotated[tuple[TrackId, ...], Field(min_length=1, max_length=100)]


JobRequest: TypeAlias = Annotated[
    IndexJob | RemoveJob | DuplicatesJob | VersionsJob | MapJob | StemsJob, Field(discriminator="kind")
]


class Task(BaseModel):
    """What the process of a job is told.

    Attributes:
        library: The folder of the library.
        job: The job.
        output: Where the job writes a result that is not JSON.
    """

    library: str
    job: JobRequest
    output: str


def is_writing(job: JobRequest) -> bool:
    """Whether a job changes what the library holds."""
    return bool(job.store) if isinstance(job, VersionsJob) else isinstance(job, IndexJob | RemoveJob)
