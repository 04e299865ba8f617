"""Jobs: real processes that index, remove and compare; progress, cancelling, and the end of the server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from conftest import TUNES, tune, write
from soundalike.api import Library
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.serve.app import create_app
from soundalike.serve.jobs import events, runner
from soundalike.serve.jobs.records import JobRecord

JOBS = "/api/v1/jobs"
MANY = 24
"""Files of an index that is cancelled before it is done."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two clips of 3 s, one of them with a copy, for reading only. The clips are in `music` beside it."""
    folder = tmp_path_factory.mktemp("few")
    for name in ("up", "down"):
        write(folder / "music" / f"{name}.wav", tune(TUNES[name], seconds=3))
    shutil.copyfile(folder / "music" / "up.wav", folder / "music" / "again.wav")
    with LibraryFolder.create(folder / "library") as library:
        index_files(library, [folder / "music"])
    return folder / "library"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 clips of 5 s."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(MANY):
        write(folder / f"{number:02}.wav", tune([60 + number, 67, 64], seconds=5, seed=number))
    return folder


@pytest.fixture
def library(few: Path, tmp_path: Path) -> Path:
    """A copy of `few`, to be written to."""
    return Path(shutil.copytree(few, tmp_path / "library"))


@pytest.fixture
def client(library: Path) -> Iterator[TestClient]:
    with Library(library) as opened, TestClient(create_app(opened), base_url="http://127.0.0.1") as found:
        yield found


def read_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The names of events and their data; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def finish(client: TestClient, **job: Any) -> dict[str, Any]:
    """Do a job and return its record."""
    answer = client.post(JOBS, json=job)
    assert answer.status_code == 202, answer.text
    return read_events(client.get(f"{answer.headers['location']}/events").text)[-1][1]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for a condition, and return what it is."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def descendants(process: int) -> set[int]:
    """The processes that a process has started, and those that they have started, without zombies."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("processes are found in /proc")
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, *_ = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    found, known = set[int](), {process}
    while known:
        known = {child for child, parent in parents.items() if parent in known}
        found |= known
    return found


def runs_its_program(process: int) -> bool:
    """Whether a child has replaced the program of this process by its own.

    Until then this process waits for it, holding the GIL, and would wait forever for one that was stopped.
    """
    return Path(f"/proc/{process}/cmdline").read_bytes() != Path("/proc/self/cmdline").read_bytes()


def is_running(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_index_reports_progress_and_its_result(client: TestClient, tmp_path: Path) -> None:
    write(tmp_path / "new" / "leaps.wav", tune(TUNES["leaps"], seconds=3))
    (tmp_path / "new" / "broken.wav").write_bytes(b"no audio")
    (tmp_path / "new" / "left-out.wav").write_bytes(b"no audio")
    answer = client.post(JOBS, json={"kind": "index", "sources": [str(tmp_path / "new")], "exclude": ["left-*"]})
    assert (answer.status_code, answer.json()["kind"]) == (202, "index")
    place = answer.headers["location"]
    assert place == f"{JOBS}/{answer.json()['id']}"
    *changes, (last, job) = read_events(client.get(f"{place}/events").text)
    assert last == "done" and {name for name, _ in changes} == {"progress"}
    progress = [change["progress"] for _, change in changes]
    assert {(one["done"], one["total"], one["message"]) for one in progress} >= {
        (0, None, "looking for files"), (2, 2, "encoding"),
    }  # fmt: skip
    assert progress[-1]["unit"] == "file" and progress[-1]["seconds_of_audio"] == pytest.approx(3, abs=0.1)
    result = job["result"]
    assert (job["state"], job["error"], result["added"], result["tracks"]) == ("done", None, 1, 4)
    assert [Path(one["path"]).name for one in result["failed"]] == ["broken.wav"] and not result["interrupted"]
    assert job["created"] <= job["started"] <= job["finished"] and job["finished"].endswith("Z")
    # A page that is loaded again sees the same, and the list.
    assert client.get(place).json() == job
    assert read_events(client.get(f"{place}/events").text) == [("done", job)]
    assert client.get(JOBS).json() == [job | {"result": None}]
    TypeAdapter(JobRecord).validate_python(job)
    assert len(client.get("/api/v1/tracks").json()["tracks"]) == 4
    # A job that is finished can be forgotten.
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == client.delete(place).status_code == 404
    assert client.get(f"{place}/events").json()["detail"].startswith("there is no job")


@pytest.mark.slow
def test_duplicates_versions_and_remove(client: TestClient, few: Path) -> None:
    music = few.with_name("music")
    jobs = [
        {"kind": "duplicates"},
        {"kind": "versions", "weights": {"melody": 1}},
        {"kind": "remove", "paths": [str(music / "up.wav")]},
    ]
    places = [client.post(JOBS, json=job).headers["location"] for job in jobs]
    found = [read_events(client.get(f"{place}/events").text)[-1][1] for place in places]
    for job in found:
        TypeAdapter(JobRecord).validate_python(job)
    duplicates, versions, removed = found
    (group,) = duplicates["result"]["duplicates"]
    assert {group["best"], *(one["path"] for one in group["copies"])} == {
        str(music / "up.wav"), str(music / "again.wav"),
    }  # fmt: skip
    assert (versions["result"]["recordings"], versions["result"]["families"]) == (2, [])
    assert versions["arguments"] == {
        "weights": {"melody": 1.0}, "false_discovery_rate": 0.05, "store": True, "model": None,
    }  # fmt: skip
    assert (removed["result"]["removed"], removed["result"]["tracks"]) == (1, 2)
    # Jobs that write wait for each other; others do not wait for them.
    assert versions["finished"] <= removed["started"]
    assert duplicates["started"] < versions["finished"]
    assert [one["id"] for one in client.get(JOBS).json()] == [one["id"] for one in reversed(found)]


@pytest.mark.slow
def test_a_cancelled_index_keeps_what_was_done(client: TestClient, library: Path, many: Path) -> None:
    place = client.post(JOBS, json={"kind": "index", "sources": [str(many)]}).headers["location"]
    waiting = client.post(JOBS, json={"kind": "remove", "paths": [str(many)]}).headers["location"]
    assert client.get(waiting).json()["state"] == "waiting"
    until(lambda: client.get(place).json()["progress"]["done"] >= 1)
    assert client.delete(waiting).json()["state"] == "cancelled"
    answer = client.delete(place)
    assert (answer.status_code, answer.json()["progress"]["message"]) == (202, "stopping")
    job = read_events(client.get(f"{place}/events").text)[-1][1]
    assert (job["state"], job["error"], job["result"]["interrupted"]) == ("cancelled", None, True)
    assert 1 <= job["result"]["added"] < MANY
    with Library(library) as opened:
        assert len(opened) == job["result"]["tracks"] == 3 + job["result"]["added"]
        assert opened.check().ok
    assert client.get(waiting).json()["started"] is None


def test_a_killed_process_is_a_failed_job_and_the_next_one_runs(client: TestClient, many: Path) -> None:
    before = descendants(os.getpid())
    place = client.post(JOBS, json={"kind": "index", "sources": [str(many)]}).headers["location"]
    (worker,) = until(lambda: descendants(os.getpid()) - before)
    os.kill(worker, signal.SIGKILL)
    job = read_events(client.get(f"{place}/events").text)[-1][1]
    assert (job["state"], job["result"]) == ("failed", None)
    assert job["error"].startswith("the process of the job died (signal 9); memory may have run out")
    job = finish(client, kind="remove", paths=[str(many)])
    assert (job["state"], job["result"]) == ("failed", None) and "is not in the library" in job["error"]


def test_an_unexpected_error_is_one_sentence_and_its_traceback_is_logged() -> None:
    command = [sys.executable, "-m", "soundalike.serve.jobs.worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        process.stdin.write("{}\n")  # no task; the pipe stays open, or the job would be cancelled
        process.stdin.flush()
        assert json.loads(process.stdout.read()) == {
            "error": "the job failed unexpectedly (ValidationError); the server's log has the details"
        }
        assert process.stderr.read().startswith("Traceback")


def test_a_quiet_stream_is_kept_open_and_a_client_that_leaves_costs_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_HEARTBEAT", 0.01)
    jobs = client.app.state.server.jobs  # type: ignore[attr-defined]
    job = client.post(JOBS, json={"kind": "duplicates"}).json()["id"]

    async def read() -> set[bytes]:
        stream = events.job_events(jobs, job)
        found = {(await anext(stream)).split(b"\n")[0] for _ in range(5)}
        assert len(jobs._find(job).listeners) == 1
        await stream.aclose()
        return found

    assert asyncio.run(read()) == {b"event: progress", b": still running"}
    assert jobs._find(job).listeners == []


def test_a_server_remembers_a_few_jobs_and_refuses_too_many(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_UNFINISHED", 4)
    monkeypatch.setattr(runner, "_KEPT", 2)
    places = [client.post(JOBS, json={"kind": "duplicates"}).headers["location"] for _ in range(4)]
    refused = client.post(JOBS, json={"kind": "duplicates"})
    assert refused.status_code == 429 and refused.json()["detail"].startswith("4 jobs run or wait already")
    assert b"soundalike_jobs_running 4.0" in client.get("/api/v1/metrics").content
    for place in places[1:]:
        assert client.delete(place).json()["state"] == "cancelled"
    assert [client.get(place).status_code for place in places] == [200, 404, 200, 200]


def test_the_jobs_that_ended_last_are_remembered(client: TestClient, many: Path) -> None:
    long = client.post(JOBS, json={"kind": "index", "sources": [str(many)]}).headers["location"]
    places = []
    for _ in range(50):
        places.append(client.post(JOBS, json={"kind": "remove", "paths": [str(many)]}).headers["location"])
        assert client.delete(places[-1]).json()["state"] == "cancelled"
    assert client.delete(long).json()["state"] == "running"
    job = read_events(client.get(f"{long}/events").text)[-1][1]
    assert (client.get(long).json(), client.get(places[0]).status_code) == (job, 404)
    assert len(client.get(JOBS).json()) == 50 and client.get(places[1]).status_code == 200


def test_many_arguments_delay_nobody(client: TestClient) -> None:
    paths = [f"/{number:04}/" + "/".join(["name" * 25] * 10) for number in range(1000)]
    assert sum(map(len, paths)) > 1_000_000
    place = client.post(JOBS, json={"kind": "remove", "paths": paths}).headers["location"]
    while not (job := client.get(place).json())["finished"]:
        begin = time.monotonic()
        assert [one["id"] for one in client.get(JOBS).json()] == [job["id"]]
        assert time.monotonic() - begin < 3
    assert job["state"] == "failed" and "is not in the library" in job["error"]
    assert client.post(JOBS, json={"kind": "remove", "paths": [*paths, "/more"]}).status_code == 422


def test_a_process_that_reads_nothing_does_not_block_its_server(client: TestClient) -> None:
    before = descendants(os.getpid())
    paths = ["/" + "a" * 1000 for _ in range(1000)]
    place = client.post(JOBS, json={"kind": "remove", "paths": paths}).headers["location"]
    (worker,) = until(lambda: {one for one in descendants(os.getpid()) - before if runs_its_program(one)})
    os.kill(worker, signal.SIGSTOP)

    async def first_event() -> bytes:
        stream = events.job_events(client.app.state.server.jobs, place.rpartition("/")[2])  # type: ignore[attr-defined]
        return await asyncio.wait_for(anext(stream), 5)

    assert asyncio.run(first_event()).startswith(b"event: progress")
    assert client.delete(place).json()["progress"]["message"] == "stopping"
    assert client.get(JOBS).json()[0]["state"] == "running"
    os.kill(worker, signal.SIGCONT)
    assert read_events(client.get(f"{place}/events").text)[-1][1]["state"] == "cancelled"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_the_name_of_a_library_need_not_be_utf_8(few: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(few, tmp_path / os.fsdecode(b"\xff"))
    with Library(folder) as opened, TestClient(create_app(opened), base_url="http://127.0.0.1") as client:
        assert finish(client, kind="duplicates")["state"] == "done"


@pytest.fixture
def server(library: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process of its own, and its address."""
    command = [sys.executable, "-m", "soundalike", "serve", "--port", "0", "--library", str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split(" at ")[1].strip().rstrip("/")
        finally:
            process.kill()


def start_index(process: subprocess.Popen[str], address: str, many: Path) -> tuple[str, set[int]]:
    """Start to index: the address of the job, and its processes, some of which decode."""
    place = httpx.post(address + JOBS, json={"kind": "index", "sources": [str(many)]}).headers["location"]
    until(lambda: len(descendants(process.pid)) >= 3)
    return address + place, descendants(process.pid)


def test_a_server_that_is_told_to_stop_cancels_its_jobs(server, many: Path, library: Path) -> None:
    process, address = server
    place, workers = start_index(process, address, many)
    with httpx.stream("GET", f"{place}/events", timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        job = read_events("\n".join(lines))[-1][1]
    assert (job["state"], job["result"]["interrupted"]) == ("cancelled", True)
    assert process.wait(30) == 0
    assert not any(map(is_running, workers))
    with Library(library) as opened:
        assert len(opened) == job["result"]["tracks"] and opened.check().ok


def test_no_process_outlives_a_server_that_is_killed(server, many: Path, library: Path) -> None:
    process, address = server
    _, workers = start_index(process, address, many)
    process.kill()
    process.wait()
    until(lambda: not any(map(is_running, workers)), 20)
    with Library(library) as opened:
        assert 3 <= len(opened) < 3 + MANY and opened.check().ok
