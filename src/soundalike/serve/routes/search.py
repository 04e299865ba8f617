"""Search, one query or many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from soundalike.api.records.search import SearchRecord, search_record
from soundalike.core.errors import SoundalikeError, one_line
from soundalike.search import Example, Query, SearchResults, search_library
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


@router.post("/search", response_model=SearchRecord)
def search(server: State, asked: SearchRequest) -> Response:
    """Find what sounds like a track, an upload, or a region of one.

    The answer is that of `soundalike search --json`.
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
