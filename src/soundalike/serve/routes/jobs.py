"""Jobs: long work, with progress."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, Header, Request
from fastapi import Path as InPath
from starlette.responses import Response, StreamingResponse

from soundalike.audio.datasets.ignore import check_patterns
from soundalike.core.arguments import shown
from soundalike.core.errors import UsageError
from soundalike.core.files import as_path
from soundalike.search import as_filter
from soundalike.serve.jobs.events import job_events
from soundalike.serve.jobs.map import positive_weights
from soundalike.serve.jobs.records import JobRecord, to_json
from soundalike.serve.jobs.requests import IndexJob, JobRequest, MapJob, RemoveJob, StemsJob, VersionsJob, is_writing
from soundalike.serve.problems import PROBLEMS, ProblemError
from soundalike.serve.state import Server, State

__all__ = ["router"]

router = APIRouter(tags=["jobs"], responses=PROBLEMS)
JobId = Annotated[str, InPath(max_length=64, description="The id of a job.")]
_LOCATION = {
    "Location": {"description": "The path of the job.", "schema": {"type": "string", "format": "uri-reference"}}
}


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobRecord,
    responses={
        200: {
            "model": JobRecord, "description": "The same map is there already, or being made.", "headers": _LOCATION,
        },
        202: {"description": "The job is started.", "headers": _LOCATION},
    },
)  # fmt: skip
def start_job(server: State, request: Request, asked: Annotated[JobRequest, Body()]) -> Response:
    """Start a job: index or remove folders, find duplicates or versions, make a map, or separate tracks.

    Jobs that write to the library run one at a time, in the order of their requests; so do those that only read, beside
    them. `index`, `remove` and `versions` with `store` change what the library holds, and are refused by a server that
    other machines can reach.
    """
    record, new = server.jobs.start(*_checked(server, asked))
    place = str(request.app.url_path_for("show_job", job_id=record.id))
    return _answer(record, 202 if new else 200, {"Location": place})


def _checked(server: Server, asked: JobRequest) -> tuple[JobRequest, Hashable | None]:
    """A request whose arguments are right, with full paths, and what the result depends on.

    Raises ProblemError or SoundalikeError.
    """
    shared = server.settings.is_shared
    if isinstance(asked, VersionsJob) and asked.store is None:
        asked = asked.model_copy(update={"store": not shared})
    if shared and is_writing(asked):
        command = {"index": "use: soundalike index", "remove": "use: soundalike library remove"}
        instead = command.get(asked.kind, "send store=false")
        raise ProblemError(403, f"other machines can reach this server, so it does not change its library; {instead}")
    if isinstance(asked, IndexJob):
        check_patterns(asked.exclude)
        sources = tuple(_full_path(one, exists=True) for one in asked.sources)
        exclude = (*server.settings.exclude, *asked.exclude)
        return asked.model_copy(update={"sources": sources, "exclude": exclude}), None
    if isinstance(asked, RemoveJob):
        return asked.model_copy(update={"paths": tuple(_full_path(one) for one in asked.paths)}), None
    if isinstance(asked, StemsJob):
        server.stems.separator(asked.separator)
        for number in asked.tracks:
            server.recordings.track(number)
        return asked, None
    held = server.library.models
    if shared and held and asked.model not in (None, *held):  # a path would tell which folders exist
        raise UsageError(f"the library holds the models {', '.join(held)}, not {shown(asked.model)}; name one of them")
    folder = server.library.folder
    weights = asked.weights if isinstance(asked, VersionsJob | MapJob) else None
    spaces = folder.spaces(asked.model, weights or ())
    if isinstance(asked, VersionsJob) and asked.weights is not None:
        spaces.weights(asked.weights)
    if isinstance(asked, MapJob):
        as_filter(asked.where)
        positive = tuple(sorted(positive_weights(asked.weights, spaces).items()))
        digests = tuple(one.recipe.digest for one in spaces.models)
        return asked, ("map", positive, asked.method, digests, asked.where, folder.catalog.generation)
    return asked, None


def _full_path(text: str, *, exists: bool = False) -> str:
    if not Path(text).is_absolute() and not text.startswith("~"):
        raise UsageError(f"{text!r} is no full path; give one of the server's machine, such as /music")
    path = as_path(text, "the path")
    try:
        if exists and not path.exists():
            raise UsageError(f"{path} does not exist on the server's machine; give a folder or file that does")
    except OSError as error:  # the name is too long, or a folder above may not be read
        raise UsageError(
            f"{shown(text)} cannot be read on the server's machine ({error.strerror}); give a folder or file that can"
        ) from None
    return str(path)


@router.get("/jobs", response_model=list[JobRecord])
def list_jobs(server: State) -> Response:
    """List the jobs, the newest first, without their results. The last 50 finished ones are remembered."""
    return Response(to_json([replace(one, result=None) for one in server.jobs.all()]), media_type="application/json")


@router.get("/jobs/{job_id}", response_model=JobRecord)
def show_job(server: State, job_id: JobId) -> Response:
    """Show a job, with its result if it is done."""
    return _answer(server.jobs.get(job_id))


@router.delete(
    "/jobs/{job_id}",
    status_code=202,
    response_model=JobRecord,
    responses={204: {"description": "The job was finished, and is forgotten."}},
)
def cancel_job(server: State, job_id: JobId) -> Response:
    """Cancel a job, or forget one that is finished.

    An index keeps what it has encoded, and the next one continues. A job may take some seconds to stop.
    """
    record = server.jobs.cancel(job_id)
    return Response(status_code=204) if record is None else _answer(record, 202)


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events."}
    },
)
async def job_progress(server: State, job_id: JobId) -> Response:
    """Follow a job as server-sent events.

    Each event has the whole job as JSON: `progress` events now and whenever something changes, and a `done` event at
    the end, whatever the state is then. A client that connects again misses nothing.
    """
    server.jobs.get(job_id)
    return StreamingResponse(
        job_events(server.jobs, job_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get(
    "/jobs/{job_id}/map",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            "description": (
                "The ids of n tracks as n int64, then their coordinates as 2 n float32 (x and y of the first, x and y "
                "of the second, ...), all little-endian: 16 n bytes. `X-Count` is n. Coordinates are in [-1, 1]."
            ),
            "headers": {"X-Count": {"description": "The number of tracks.", "schema": {"type": "integer"}}},
        },
        304: {"description": "The client has the map already."},
    },
)
def job_map(server: State, job_id: JobId, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Get the coordinates of a map that is done.

    Tracks that are silent in all weighted spaces have no place, and are left out.
    """
    record = server.jobs.get(job_id)
    if record.kind != "map" or record.state != "done":
        raise ProblemError(409, f"the job is {record.kind}, {record.state}; a map can be had when a job map is done")
    headers = {"ETag": f'"{job_id}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    content = server.jobs.output(job_id)
    headers["X-Count"] = str(len(content) // 16)
    return Response(content, media_type="application/octet-stream", headers=headers)


def _answer(record: JobRecord, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(record), status, media_type="application/json", headers=headers)
