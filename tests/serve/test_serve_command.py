"""`soundalike serve` as a process: it starts, answers, finishes what it does, and stops."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soundalike.cli.main import main

COMMAND = [sys.executable, "-m", "soundalike", "serve"]


@contextmanager
def running(library: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and the address that it prints."""
    process = subprocess.Popen(
        [*COMMAND, "--library", str(library), "--port", "0", *arguments], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert " at http" in line, (line, process.stderr and process.stderr.read())
        yield process, line.rpartition(" ")[2].strip()
    finally:
        process.kill()
        process.communicate()


def get(address: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_body_of_an_answer_does_not_wait_for_the_receipt_of_its_header(stocked: Path) -> None:
    # Nagle's algorithm and a delayed acknowledgement together take 40 ms.
    with running(stocked) as (_, address):
        connection = http.client.HTTPConnection(address.split("/")[2])
        times = []
        for _ in range(30):
            began = time.perf_counter()
            connection.request("POST", "/api/v1/search", b'{"query": {}}', {"Content-Type": "application/json"})
            assert connection.getresponse().read()
            times.append(time.perf_counter() - began)
        connection.close()
    assert min(times) < 0.03


def test_requests_may_use_the_names_that_were_given(stocked: Path) -> None:
    names = ("--name", "music.local", "--name", "loft.example")
    with running(stocked, *names, "--token", "secret-of-sixteen") as (_, address):
        connection = http.client.HTTPConnection(address.split("/")[2])
        statuses = []
        for name in ("music.local", "loft.example", "other.example"):
            connection.request("GET", "/api/v1/health", headers={"Host": name})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
    assert statuses[:2] == [200, 200] and statuses[2] >= 400


def test_jobs_leave_out_what_the_file_of_settings_excludes(stocked: Path, tmp_path: Path) -> None:
    config, music = tmp_path / "config.toml", tmp_path / "music"
    config.write_text('exclude = ["*.wav"]\n')
    music.mkdir()
    (music / "song.wav").write_bytes(b"no audio")
    with running(Path(shutil.copytree(stocked, tmp_path / "library")), SOUNDALIKE_CONFIG=str(config)) as (_, address):
        asked = json.dumps({"kind": "index", "sources": [str(music)]}).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{address}api/v1/jobs", asked, headers)) as answer:
            place = answer.headers["location"]
        events = get(f"{address.rstrip('/')}{place}/events")[1].decode()
    assert json.loads(events.rpartition("data: ")[2])["result"]["failed"] == []


def test_it_serves_until_it_is_told_to_stop(stocked: Path) -> None:
    with running(stocked) as (process, address):
        assert get(f"{address}api/v1/health")[0] == 200
        status, page = get(address)
        assert status == 200 and b"soundalike" in page
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        _, messages = process.communicate()
    assert "Traceback" not in messages


@pytest.mark.slow
def test_requests_in_progress_are_finished(stocked: Path) -> None:
    with running(stocked) as (process, address):
        lines = b'{"query": {"track": 1}, "by": "passage"}\n' * 30
        request = urllib.request.Request(f"{address}api/v1/search/batch", data=lines, method="POST")
        answers: list[bytes] = []
        started = threading.Event()

        def ask() -> None:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answers.append(answer.readline())
                started.set()
                answers.extend(answer.readlines())

        asking = threading.Thread(target=ask)
        asking.start()
        assert started.wait(60)
        process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert process.wait(15) == 0
    assert len(answers) == 30
    assert all("matches" in json.loads(line) for line in answers)


@pytest.mark.slow
def test_other_machines_need_the_token_that_it_prints(stocked: Path) -> None:
    with running(stocked, "--host", "0.0.0.0", SOUNDALIKE_TOKEN="") as (_, address):
        assert "?token=" in address
        local = address.replace("0.0.0.0", "127.0.0.1")
        bare = local.partition("?")[0]
        assert get(bare)[0] == 401
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert opener.open(local, timeout=20).status == 200


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--port", "99999"], "65535"),
        (["--port", "abc"], "abc"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
        (["--token", "two words"], "token"),
    ],
)
def test_wrong_arguments_are_one_line(
    stocked: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert main(["serve", "--library", str(stocked), *arguments]) == 2
    message = capsys.readouterr().err
    assert word in message
    assert "Traceback" not in message


def test_a_port_in_use_is_named(stocked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--library", str(stocked), "--port", port]) == 2
    assert f"port {port}" in capsys.readouterr().err


def test_a_library_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--library", str(tmp_path / "nowhere"), "--port", "0"]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_serves_its_clips_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "soundalike", "demo", "--page", str(tmp_path / "demo.html")]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True)
    os.close(slave)
    try:
        seen = b""
        while b"Ctrl-C stops" not in seen:
            seen += os.read(master, 4096)
        address = re.search(rb"http://127\.0\.0\.1:\d+/", seen)
        assert address, seen
        status, found = get(f"{address[0].decode()}api/v1/health")
        assert status == 200 and json.loads(found)["tracks"] == 36
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "next: soundalike index" in os.read(master, 4096).decode()
    finally:
        process.kill()
        _, messages = process.communicate()
        os.close(master)
    assert "Traceback" not in messages
