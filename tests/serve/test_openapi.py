"""The OpenAPI document says what the server does: generated requests get documented answers, and never status 500."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import serving

import soundalike

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
TOKEN = "a-secret-of-twenty-letters"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
STEM = "tracks/{track_id}/stems/{separator}/{stem}"
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@schemathesis.serializer("application/jsonl")
def lines(_: object, value: object) -> bytes:
    """The body of a batch, which is any text."""
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def schema(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    """The document of a server for other machines, whose library jobs may change."""
    folder = Path(shutil.copytree(stocked, tmp_path_factory.mktemp("openapi") / "library"))
    with (
        soundalike.open(folder) as library,
        serving(library, host="0.0.0.0", token=TOKEN, uploads=2) as address,
    ):
        yield schemathesis.openapi.from_url(f"{address}/openapi.json", headers=HEADERS)


def test_every_route_is_described(schema: schemathesis.BaseSchema) -> None:
    document = schema.raw_schema
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert "4XX" in operation["responses"], (method, path)


def test_headers_for_ranges_are_described(schema: schemathesis.BaseSchema) -> None:
    for path in ("tracks/{track_id}/audio", "uploads/{upload_id}/audio", "tracks/{track_id}/cover", STEM):
        for method in ("get", "head"):
            parameters = schema.raw_schema["paths"][f"/api/v1/{path}"][method]["parameters"]
            names = {one["name"] for one in parameters if one["in"] == "header"}
            assert names == {"Range", "If-Range", "If-None-Match"}


def try_operations(schema: schemathesis.BaseSchema, examples: int, *without: str) -> int:
    """Send generated requests, valid and invalid ones, to every operation; returns how many operations there are."""
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        count += 1
        if operation.label in without:
            continue
        for mode in MODES:

            @settings(
                max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
                database=None,
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKS, headers=HEADERS)

            try:
                call()
            except Unsatisfiable:  # where any text will do, no request is invalid
                assert mode is GenerationMode.NEGATIVE, operation.label
    return count


def test_generated_requests_get_documented_answers(schema: schemathesis.BaseSchema) -> None:
    assert try_operations(schema, 2, "POST /api/v1/jobs") > 20


@pytest.mark.slow
def test_many_generated_requests_get_documented_answers(schema: schemathesis.BaseSchema) -> None:
    assert try_operations(schema, 100) > 20
