"""Two recordings side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter
from starlette.responses import Response

from soundalike.api.records.comparison import ComparisonRecord, comparison_record
from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, Vectors
from soundalike.models import Encoding, SearchSpaces
from soundalike.search import Comparison, choose_level, compare_encodings, make_stem_matrix
from soundalike.serve.answers import json_response
from soundalike.serve.problems import PROBLEMS, ProblemError
from soundalike.serve.requests import CompareRequest, PassagesRequest, Recording
from soundalike.serve.state import Server, State

__all__ = ["router"]

router = APIRouter(tags=["compare"], responses=PROBLEMS)
_LARGEST = 1_000_000
"""Cells of a matrix."""


@router.post("/compare", response_model=ComparisonRecord)
def compare(server: State, asked: CompareRequest) -> Response:
    """Score `b` as a match of `a`, with the most similar passages per space; `align` also lines them up.

    `stems` compares the mix and every stem in every factor. Both have to be tracks, and each has to be encoded by the
    model on the stems or to be in the cache of separated stems; if not, the answer is 409, and a job `stems` separates
    them. Percentiles are those of the library if it holds the model on the stems.
    """
    recordings = [asked.a, asked.b]
    if asked.stems is not None:
        if asked.weights is not None or asked.align:
            raise UsageError("stems compares every space by itself; leave out weights and align")
        of_mix, of_stems = server.stems.spaces(asked.stems, asked.model)
        server.stems.check(recordings, of_stems.models[0])
        mix, stems = _compared(server, asked, of_mix, {}), _compared(server, asked, of_stems, {})
        matrix = make_stem_matrix(mix, of_mix.models[0].spaces, stems, of_stems.models[0].spaces)
        a, b = (_name(server, one, {}) for one in recordings)
        return json_response(comparison_record(a, b, mix, matrix))
    spaces = server.recordings.spaces(asked.model, asked.weights or ())
    with server.recordings.named(recordings) as names:
        found = _compared(server, asked, spaces, names)
    a, b = (_name(server, one, names) for one in recordings)
    return json_response(comparison_record(a, b, found))


def _compared(server: Server, asked: CompareRequest, spaces: SearchSpaces, names: Mapping[str, str]) -> Comparison:
    """Compare two recordings in some spaces, with what answers call uploads."""
    folder, known = server.library.folder, server.recordings
    weights = spaces.weights(asked.weights)
    region = asked.a.is_region or asked.b.is_region
    with folder.snapshot():
        first, second = known.encoding(asked.a, spaces), known.encoding(asked.b, spaces)
        level, reason = choose_level(asked.by, region=region, seconds=first.info.duration)
        held = all(model.name in server.library.models for model in spaces.models)
        reference = folder.reference(spaces, level) if held else None
        found = compare_encodings(
            spaces, first, second, weights, level=level, aligned=asked.align, reference=reference,
            level_reason=reason,
        )  # fmt: skip
    return found.renamed(names)


def _name(server: Server, recording: Recording, names: Mapping[str, str]) -> str:
    path = str(server.recordings.path(recording))
    return names.get(path, path)


@dataclass(frozen=True, slots=True)
class PassageTimes:
    """The passages of a recording, in seconds."""

    start: Sequence[float]
    end: Sequence[float]


@dataclass(frozen=True, slots=True)
class PassageMatrices:
    """The cosine similarity of every passage of `a` (rows) with every passage of `b` (columns), per space.

    It is null where a space is inaudible in a passage. `mean` and `sigma` are those of random pairs.
    """

    model: str
    a: PassageTimes
    b: PassageTimes
    spaces: Mapping[str, Sequence[Sequence[float | None]]]
    mean: Mapping[str, float]
    sigma: Mapping[str, float]


@router.post("/passages", response_model=PassageMatrices)
def passages(server: State, asked: PassagesRequest) -> Response:
    """Compare every passage of one recording with every passage of another."""
    folder = server.library.folder
    spaces = server.recordings.spaces(asked.model, asked.spaces)
    known = spaces.names
    if unknown := [name for name in asked.spaces if name not in known]:
        raise UsageError(f"unknown space {unknown[0]!r}; known: {spaces.known}")
    chosen = [known[name] for name in asked.spaces] or [space.name for space in spaces.spaces]
    with server.recordings.named([asked.a, asked.b]):
        first, second = server.recordings.encoding(asked.a, spaces), server.recordings.encoding(asked.b, spaces)
    cells = len(first.passages) * len(second.passages)
    if cells * len(chosen) > _LARGEST:
        raise ProblemError(
            400, f"{cells * len(chosen):,} pairs of passages, expected at most {_LARGEST:,}; ask for regions, or for "
            "fewer spaces"
        )  # fmt: skip
    with folder.snapshot():
        calibrations = {one.name: one.calibration["passage"] for one in folder.reference(spaces, "passage").spaces}
    answer = PassageMatrices(
        model=spaces.models[0].name,
        a=_times(first),
        b=_times(second),
        spaces={name: _matrix(first.passages, second.passages, name) for name in chosen},
        mean={name: calibrations[name].mu for name in chosen},
        sigma={name: calibrations[name].sigma for name in chosen},
    )
    return json_response(answer)


def _times(encoding: Encoding) -> PassageTimes:
    return PassageTimes([one.start for one in encoding.passages.spans], [one.end for one in encoding.passages.spans])


def _matrix(a: Vectors, b: Vectors, space: str) -> list[list[float | None]]:
    left: FloatArray = a.rows[space].astype(np.float64)
    right: FloatArray = b.rows[space].astype(np.float64)
    similarity = np.round(left @ right.T, 4).astype(object)
    similarity[~left.any(axis=1)] = None
    similarity[:, ~right.any(axis=1)] = None
    cells: list[list[float | None]] = similarity.tolist()
    return cells
