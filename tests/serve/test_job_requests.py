"""Requests for jobs: what is refused at once, and how jobs are written as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import soundalike.models
from soundalike.api import Library
from soundalike.core.arguments import shown
from soundalike.serve.app import create_app
from soundalike.serve.jobs.records import JobProgress, JobRecord, to_json
from soundalike.serve.settings import ServerSettings

JOBS = "/api/v1/jobs"


@pytest.fixture
def client(stocked: Path) -> Iterator[TestClient]:
    with Library(stocked) as opened, TestClient(create_app(opened), base_url="http://127.0.0.1") as found:
        yield found


def test_numbers_that_are_not_finite_are_null() -> None:
    progress = JobProgress(1, 2, seconds_of_audio=float("nan"))
    assert json.loads(to_json(progress))["seconds_of_audio"] is None
    record = JobRecord("1", "versions", {"NaN": [float("inf"), 0.5]}, "running", progress, "now")
    assert b'"arguments": {"NaN": [null, 0.5]}, "state": "running", "progress": {"done": 1, ' in to_json(record)


def test_the_document_declares_where_a_job_is(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"][JOBS]["post"]["responses"]
    for status in ("200", "202"):
        assert responses[status]["headers"]["Location"]["schema"]["type"] == "string"
        assert responses[status]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/JobRecord"}


def test_places_are_checked_at_once(client: TestClient, tmp_path: Path) -> None:
    for place, why in (
        ("music", "'music' is no full path; give one of the server's machine"),
        (str(tmp_path / "none"), "none does not exist on the server's machine"),
        ("/music\0", "which is not a valid path"),
        (f"/{'a' * 300}", "cannot be read on the server's machine (File name too long); give a folder or file that"),
    ):
        answer = client.post(JOBS, json={"kind": "index", "sources": [str(tmp_path), place]})
        assert answer.status_code == 400 and why in answer.json()["detail"]
    home = client.post(JOBS, json={"kind": "remove", "paths": ["~/none"]})
    assert home.json()["arguments"]["paths"] == [str(Path("~/none").expanduser())]
    assert client.post(JOBS, json={"kind": "remove", "paths": ["/music\0"]}).status_code == 400
    for model in ("none", f"/{'a' * 300}", "a\0"):
        assert client.post(JOBS, json={"kind": "duplicates", "model": model}).status_code == 400
    assert client.post(JOBS, json={"kind": "index", "sources": []}).status_code == 422
    assert client.post(JOBS, json={"kind": "index", "sources": [str(tmp_path)], "exclude": ["!"]}).status_code == 400
    assert client.post(JOBS, json={"kind": "duplicates", "k": 3}).status_code == 422


def test_a_shared_server_does_not_change_its_library(stocked: Path) -> None:
    model_folder = Path(soundalike.models.__file__).parent / "bundled" / "dsp"
    settings = ServerSettings(host="192.0.2.1", token="a-secret-of-twenty-letters")
    headers = {"Authorization": "Bearer a-secret-of-twenty-letters"}
    with Library(stocked) as opened, TestClient(create_app(opened, settings), base_url="http://192.0.2.1") as client:
        for job, why in (
            ({"kind": "index", "sources": ["/"]}, "use: soundalike index"),
            ({"kind": "remove", "paths": ["/"]}, "use: soundalike library remove"),
            ({"kind": "versions", "store": True}, "send store=false"),
        ):
            answer = client.post(JOBS, json=job, headers=headers)
            assert answer.status_code == 403 and answer.json()["detail"] == (
                f"other machines can reach this server, so it does not change its library; {why}"
            )
        # Whether there is a model in a folder, or a folder at all, is not told.
        for kind in ("duplicates", "versions", "map"):
            details = set()
            for model in (model_folder, model_folder.with_name("none")):
                answer = client.post(JOBS, json={"kind": kind, "model": str(model)}, headers=headers)
                assert answer.status_code == 400
                details.add(answer.json()["detail"].replace(shown(str(model)), "MODEL"))
            assert details == {"the library holds the models compact, not MODEL; name one of them"}
        assert client.get(JOBS, headers=headers).json() == []
        job = client.post(JOBS, json={"kind": "versions", "model": "compact"}, headers=headers).json()
        assert job["arguments"]["store"] is False
        client.delete(f"{JOBS}/{job['id']}", headers=headers)
