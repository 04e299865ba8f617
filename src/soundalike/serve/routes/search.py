"""Search, one query or many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from soundalike.api.records.search import SearchRecord, search_record
from soundalike.core.errors import SoundalikeError, UsageError, one_line
from soundalike.library import Subject
from soundalike.models import SearchSpaces
from soundalike.search import Example, Query, SearchResults, search_library, search_stem_file
from soundalike.serve.answers import json_bytes, json_response
from soundalike.serve.problems import PROBLEMS, ProblemError, describe_errors
from soundalike.serve.requests import SearchRequest
from soundalike.serve.state import Server, State

__all__ = ["router", "search_results"]

router = APIRouter(tags=["search"], responses=PROBLEMS)
_LARGEST_BATCH = 4 * 1024 * 1024
"""Bytes of a batch."""


def search_results(server: Server, asked: SearchRequest) -> SearchResults:
    """Answer a search request. Raises SoundalikeError or ProblemError."""
    if asked.stem is not None:
        return _stem_results(server, asked, asked.stem)
    if asked.separator is not None:
        raise UsageError("a separator needs a stem; give both, or leave both out")
    known, query = server.recordings, asked.query
    others = [(example, True) for example in asked.like] + [(example, False) for example in asked.unlike]
    everything = [query, *(example for example, _ in others)]
    given = [asked.weights, *(one.weights for one, _ in others), asked.at_least, asked.at_most]
    spaces = known.spaces(asked.model, [name for one in given for name in one or ()])
    with known.named(everything) as names, server.library.folder.snapshot():
        paths = [known.path(one) for one in everything]
        subjects = [known.subject(one, path, spaces) for one, path in zip(everything, paths, strict=True)]
        examples = tuple(Example(path, like, one.weights) for path, (one, like) in zip(paths[1:], others, strict=True))
        wanted = Query(
            paths[0], query.start, query.end, asked.weights, asked.by, asked.offset + asked.k, asked.where,
            asked.exclude_same_artist, asked.include_self, asked.model, examples, asked.hubness, asked.collapse,
            asked.at_least, asked.at_most, asked.all_copies,
        )  # fmt: skip
        found = search_library(server.library.folder, wanted, *subjects)
    return replace(found, matches=found.matches[asked.offset :]).renamed(names)


_NOT_WITH_STEM = ("like", "unlike", "collapse", "exclude_same_artist", "include_self")


def _stem_results(server: Server, asked: SearchRequest, stem: str) -> SearchResults:
    """Answer a search with one stem of a track."""
    known, query, folder = server.recordings, asked.query, server.library.folder
    refused = [name for name in _NOT_WITH_STEM if getattr(asked, name)]
    refused += ["hubness"] if asked.hubness != "none" else []
    if refused:
        raise UsageError(f"stem does not go with {', '.join(refused)}; leave {'them' if refused[1:] else 'it'} out")
    if query.track is None:
        raise ProblemError(400, "uploads are not separated; search with a stem of a track of the library")
    track, model = known.track(query.track), known.model(asked.model).name
    separator, file = server.stems.file(track, stem, asked.separator)
    wanted = Query(
        track.path, query.start, query.end, asked.weights, asked.by, asked.offset + asked.k, asked.where,
        model=model, at_least=asked.at_least, at_most=asked.at_most,
        all_copies=asked.all_copies,
    )  # fmt: skip

    def encode(path: Path, spaces: SearchSpaces) -> Subject:
        return known.subject(query, path, spaces)

    return search_stem_file(folder, wanted, file, encode, stem=stem, separator=separator.name, offset=asked.offset)


@router.post("/search", response_model=SearchRecord)
def search(server: State, asked: SearchRequest) -> Response:
    """Find what sounds like a track, an upload, or a region of one.

    The answer is that of `soundalike search --json`. With `stem`, the query is a track; if it has not been separated,
    the answer is 409, and a job `stems` separates it.
    """
    return json_response(search_record(search_results(server, asked), asked.where))


@router.post(
    "/search/batch",
    response_class=Response,
    responses={200: {"content": {"application/jsonl": {}}, "description": "One line per line of the request."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/jsonl": {"schema": {"type": "string", "description": "One search per line."}}},
        }
    },
)
async def search_batch(server: State, request: Request) -> Response:
    """Answer many searches: JSON lines in, JSON lines out, in the same order.

    A search that fails is a line with `error`; the others go on.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BATCH:
            raise ProblemError(413, f"a batch has at most {_LARGEST_BATCH:,} bytes; send it in parts")
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise ProblemError(422, "the batch is empty; send one search per line, as JSON")

    def answers() -> Iterator[bytes]:
        for line in lines:
            yield _answer(server, line) + b"\n"

    await run_in_threadpool(len, server.library)  # a closed library is an error before the answer begins
    return StreamingResponse(answers(), media_type="application/jsonl")


_REQUEST = TypeAdapter(SearchRequest)


def _answer(server: Server, line: bytes) -> bytes:
    """The answer to one line of a batch."""
    try:
        asked = _REQUEST.validate_json(line)
        return json_bytes(search_record(search_results(server, asked), asked.where))
    except ValidationError as error:
        message = describe_errors(error.errors())
    except ProblemError as error:
        message = error.detail
    except SoundalikeError as error:
        message = str(error)
    return json.dumps({"error": one_line(message)}).encode()
