"""Who may ask a server, and what it does with what they send."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from served import serving as served

import soundalike
from conftest import RATE, TUNES, tune, write
from soundalike.serve import ServerSettings, create_app
from soundalike.serve.rate_limits import RateLimits
from soundalike.serve.recordings import LeastRecentlyUsed

API = "/api/v1"
TOKEN = "dG9rZW4-._~+/=12"


@contextmanager
def serving(library: soundalike.Library, host: str = "127.0.0.1", **options: object) -> Iterator[TestClient]:
    app = create_app(library, ServerSettings(**options))
    with TestClient(app, base_url=f"http://{host}", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:80", "[::1]:8765"])
def test_names_of_this_machine_are_served(stocked_client: TestClient, host: str) -> None:
    assert stocked_client.get(f"{API}/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8765", "", "192.168.0.9"])
def test_a_foreign_host_is_refused(stocked_client: TestClient, host: str) -> None:
    for path in ("/", f"{API}/health", "/rest/ping", "/openapi.json"):
        answer = stocked_client.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert repr(host) in answer.json()["detail"]


def test_a_shared_server_is_named_by_addresses_and_its_names(stocked_api: soundalike.Library) -> None:
    app = create_app(stocked_api, ServerSettings(token=TOKEN, names=("Music.local",)))
    with TestClient(app, base_url="http://192.168.0.9") as client:
        assert client.get(f"{API}/health").status_code == 421, "bound to one address, it has that name only"
    app = create_app(stocked_api, ServerSettings(host="0.0.0.0", token=TOKEN, names=("Music.local",)))
    with TestClient(app, base_url="http://192.168.0.9") as client:
        for host, status in {
            "192.168.0.9": 200,
            "music.local": 200,
            "MUSIC.local:80": 200,
            "evil.example": 421,
        }.items():
            assert client.get(f"{API}/health", headers={"Host": host}).status_code == status


def test_other_origins_cannot_write(stocked_client: TestClient) -> None:
    body = {"query": {"track": 1}, "k": 1}
    own = {"Origin": "http://127.0.0.1"}
    assert stocked_client.post(f"{API}/search", json=body, headers=own).status_code == 200
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        for method, path in (("POST", "/search"), ("POST", "/uploads"), ("POST", "/jobs"), ("DELETE", "/uploads/x")):
            assert stocked_client.request(method, f"{API}{path}", json=body, headers=headers).status_code == 403


def test_a_token_is_needed_where_one_is_set(stocked_api: soundalike.Library) -> None:
    with serving(stocked_api, token=TOKEN) as client:
        assert client.get(f"{API}/health").status_code == 200, "health checks need none"
        right = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/", f"{API}/tracks", f"{API}/metrics", "/openapi.json", "/assets/main.js"):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc"}, {"Cookie": "a=b"}):
                answer = client.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert client.get(path, headers=right).status_code in (200, 404)


@pytest.mark.parametrize("token", ["", "two words", "grün", "a;b", "a\n"])
def test_a_token_is_what_a_header_can_hold(token: str) -> None:
    with pytest.raises(soundalike.UsageError, match="token"):
        ServerSettings(token=token)


def test_the_page_turns_a_token_into_a_cookie(stocked_api: soundalike.Library) -> None:
    with serving(stocked_api, token=TOKEN) as client:
        answer = client.get("/", params={"token": TOKEN})
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/", "the token leaves the address"
        assert answer.headers["Cache-Control"] == "no-store"
        cookie = answer.headers["Set-Cookie"]
        assert TOKEN not in cookie, "other services of the host get the cookie too"
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        assert client.get("/").status_code == 200, "the client sends the cookie"
        assert client.get(f"{API}/tracks").status_code == 200
        name, _, value = cookie.partition(";")[0].partition("=")
    with serving(stocked_api, token=TOKEN) as client:
        assert client.get("/?token=wrong").status_code == 401
        beside = {"Cookie": f'prefs={{"a": 1}}; a=b c; {name}={value}; z'}
        assert client.get("/", headers=beside).status_code == 200, "other programs set cookies of any form"
        assert client.get("/", headers={"Cookie": f"{name}={TOKEN}"}).status_code == 401


def test_browsers_are_told_to_load_nothing_from_elsewhere(stocked_client: TestClient) -> None:
    for path in ("/", f"{API}/tracks", "/assets/nothing.js"):
        headers = stocked_client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/assets/../app.py", "/assets/..%2fapp.py", "/assets/%2e%2e/app.py", "/assets//etc/passwd", "/assets/.hidden.js",
     f"/assets/{'a' * 300}.js", "/assets/..%5capp.py", "/assets/index.html", "/assets/", "/assets/vendor/../../app.py"],
)  # fmt: skip
def test_assets_are_those_of_the_page(stocked_client: TestClient, path: str) -> None:
    answer = stocked_client.get(path)
    assert answer.status_code in (404, 405)
    assert b"create_app" not in answer.content


def test_one_client_cannot_take_all_requests() -> None:
    now = 0.0
    limits = RateLimits(None, 2.0, clock=lambda: now)  # type: ignore[arg-type]
    assert [limits._wait("a") for _ in range(20)] == [0] * 20, "ten seconds' worth at once"
    assert limits._wait("a") == 1
    assert limits._wait("b") == 0, "another client is not affected"
    now = 1.0
    assert [limits._wait("a") for _ in range(3)] == [0, 0, 1]


def test_names_make_a_server_shared_and_a_shared_one_needs_a_long_token() -> None:
    assert not ServerSettings().is_shared and not ServerSettings(host="::1").is_shared
    assert ServerSettings(names=("music.example",)).is_shared, "a proxy passes requests on to it"
    assert ServerSettings(host="192.168.0.9").is_shared and ServerSettings(host="music").is_shared
    with pytest.raises(soundalike.UsageError, match="3 characters"):
        ServerSettings(host="0.0.0.0", token="abc")
    assert ServerSettings(token="abc").token == "abc"


def test_wrong_tokens_count_towards_the_limit(stocked_api: soundalike.Library) -> None:
    with serving(stocked_api, token=TOKEN, requests_per_second=0.2) as client:
        wrong = {"Authorization": "Bearer wrong"}
        assert [client.get("/", headers=wrong).status_code for _ in range(4)] == [401, 401, 429, 429]


def test_a_large_body_is_refused_before_it_is_parsed(stocked_client: TestClient) -> None:
    for path in ("/search", "/compare", "/jobs", "/playlists/m3u"):
        answer = stocked_client.post(f"{API}{path}", content=b'{"query": "' + b"x" * 2_000_000)
        assert answer.status_code == 413
        assert "1,048,576 bytes" in answer.json()["detail"]


def test_models_are_those_of_the_library(stocked_client: TestClient, tmp_path: Path) -> None:
    for model in ("dsp", str(tmp_path), "x\0", "../compact"):
        answer = stocked_client.post(f"{API}/search", json={"query": {"track": 1}, "model": model})
        assert answer.status_code == 400
        assert "the library holds compact" in answer.json()["detail"]


def test_head_asks_for_what_get_returns(stocked_client: TestClient) -> None:
    for path in ("/", "/map", "/assets/main.js", f"{API}/health"):
        answer = stocked_client.head(path)
        assert answer.status_code == 200 and not answer.content


def test_metrics_have_few_labels(stocked_client: TestClient) -> None:
    for number in range(3):
        stocked_client.request(f"ZZ{number}", f"{API}/nothing{number}")
    stocked_client.get("/library")
    stocked_client.get(f"{API}/library")
    text = stocked_client.get(f"{API}/metrics").text
    assert "ZZ0" not in text and "nothing" not in text
    assert 'method="other",route="other"' in text
    assert 'route="/library"' in text and 'route="/api/v1/library"' in text


def test_too_many_requests_are_a_problem(stocked_api: soundalike.Library) -> None:
    with serving(stocked_api, requests_per_second=0.1) as client:
        assert client.get(f"{API}/health").status_code == 200
        answer = client.get(f"{API}/health")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "requests per second" in answer.json()["detail"]


# Uploads --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return write(tmp_path / "clip.wav", tune(TUNES["leaps"], seconds=4, seed=3)).read_bytes()


def test_an_upload_is_searched_like_a_file(
    stocked_client: TestClient, stocked_api: soundalike.Library, clip: bytes, tmp_path: Path
) -> None:
    answer = stocked_client.post(f"{API}/uploads", params={"name": "../../etc/passwd\n"}, content=clip)
    assert answer.status_code == 201
    sent = answer.json()
    assert sent["name"] == "../../etc/passwd\\n"
    assert sent["duration"] == pytest.approx(4, abs=0.01)
    found = stocked_client.post(f"{API}/search", json={"query": {"upload": sent["id"]}, "k": 3}).json()
    expected = stocked_api.search(tmp_path / "clip.wav", k=3)
    assert [one["path"] for one in found["matches"]] == [match.path for match in expected]
    assert [one["score"] for one in found["matches"]] == pytest.approx([match.score for match in expected], abs=1e-3)
    assert found["query"]["path"] == sent["name"]
    part = stocked_client.post(f"{API}/search", json={"query": {"upload": sent["id"], "start": 1, "end": 3}})
    assert part.status_code == 200
    assert stocked_client.get(f"{API}/uploads/{sent['id']}").json() == sent
    assert stocked_client.delete(f"{API}/uploads/{sent['id']}").status_code == 204
    assert stocked_client.get(f"{API}/uploads/{sent['id']}").status_code == 404


def test_uploads_are_bounded(stocked_api: soundalike.Library, clip: bytes) -> None:
    with serving(stocked_api, upload_bytes=len(clip), upload_seconds=3.0) as client:
        large = client.post(f"{API}/uploads", content=clip + b"\0")
        assert large.status_code == 413
        assert f"{len(clip):,} bytes" in large.json()["detail"]

        def chunks() -> Iterator[bytes]:  # without a Content-Length
            yield clip
            yield b"\0" * 10_000_000

        assert client.post(f"{API}/uploads", content=chunks()).status_code == 413
        long = client.post(f"{API}/uploads", content=clip)
        assert long.status_code == 422
        assert "longer than 3 s" in long.json()["detail"]
        stated = client.post(f"{API}/uploads", content=b"x", headers={"Content-Length": str(2 * 1024**3)})
        assert stated.status_code == 413
        uploads = client.app.state.server.uploads
        assert len(uploads) == 0
        assert list(Path(uploads._folder.name).iterdir()) == []


def test_old_uploads_make_room(stocked_api: soundalike.Library, clip: bytes) -> None:
    with serving(stocked_api, uploads=2) as client:
        ids = [client.post(f"{API}/uploads", content=clip).json()["id"] for _ in range(2)]
        client.get(f"{API}/uploads/{ids[0]}")  # used last
        ids.append(client.post(f"{API}/uploads", content=clip).json()["id"])
        assert [client.get(f"{API}/uploads/{one}").status_code for one in ids] == [200, 404, 200]
        folder = Path(client.app.state.server.uploads._folder.name)
        assert len(list(folder.iterdir())) == 2
    assert not folder.exists(), "a server leaves nothing behind"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (lambda clip: b"", "empty"),
        (lambda clip: b"RIFF", "not audio"),
        (lambda clip: b"<html>" * 1000, "not audio"),
        (lambda clip: clip[: len(clip) // 3], "truncated"),
        (lambda clip: clip[:44] + b"\0" * 8, "truncated"),
    ],
)
def test_a_bad_upload_is_a_problem(
    stocked_client: TestClient, clip: bytes, content: Callable[..., bytes], word: str
) -> None:
    answer = stocked_client.post(f"{API}/uploads", params={"name": "song.wav"}, content=content(clip))
    assert answer.status_code == 422
    assert word in answer.json()["detail"]
    assert "Traceback" not in answer.text and "/tmp" not in answer.text


def test_a_silent_upload_is_called_by_its_name(stocked_client: TestClient, tmp_path: Path) -> None:
    quiet = write(tmp_path / "quiet.wav", np.zeros(5 * RATE)).read_bytes()
    sent = stocked_client.post(f"{API}/uploads", params={"name": "quiet.wav"}, content=quiet).json()
    own, other = {"upload": sent["id"]}, {"track": 1}
    for path, body in (
        ("/search", {"query": own}), ("/compare", {"a": other, "b": own}), ("/path", {"a": own, "b": other}),
        ("/playlist", {"seed": own}),
    ):  # fmt: skip
        answer = stocked_client.post(f"{API}{path}", json=body)
        assert answer.status_code in (400, 422), path
        assert "/tmp" not in answer.text, answer.text


def test_uploads_that_wait_do_not_stop_searches(stocked_api: soundalike.Library, clip: bytes) -> None:
    with served(stocked_api) as address:

        def send(_: int) -> int:
            request = urllib.request.Request(f"{address}{API}/uploads", clip, {"Content-Type": "audio/wav"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        with ThreadPoolExecutor(30) as pool:
            sending = pool.map(send, range(30))
            time.sleep(0.2)
            began = time.monotonic()
            with urllib.request.urlopen(f"{address}{API}/health", timeout=60) as answer:
                assert answer.status == 200
            waited = time.monotonic() - began
            statuses = set(sending)
    assert waited < 2, "decoding takes longer than that"
    assert statuses == {201, 429}


def test_a_client_that_leaves_is_no_error_of_the_server(stocked_api: soundalike.Library, clip: bytes) -> None:
    with served(stocked_api) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST {API}/uploads HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(clip)}\r\n\r\n"
            connection.sendall(head.encode() + clip[:1000])
        deadline = time.monotonic() + 10
        text = ""
        while '"/api/v1/uploads"' not in text and time.monotonic() < deadline:
            time.sleep(0.05)
            text = urllib.request.urlopen(f"{address}{API}/metrics", timeout=10).read().decode()
        assert 'route="/api/v1/uploads",status="499"' in text


def test_one_encoding_serves_all_who_ask_meanwhile() -> None:
    made: list[int] = []
    ready = threading.Barrier(4, timeout=60)
    cache = LeastRecentlyUsed[int](2)

    def make() -> int:
        time.sleep(0.1)
        made.append(1)
        return len(made)

    def ask(_: int) -> int:
        ready.wait()
        return cache.get("key", make)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [1] * 4
    with pytest.raises(ZeroDivisionError):
        cache.get("bad", lambda: 1 // 0)
    assert cache.get("bad", lambda: 7) == 7, "an error is not kept"
    cache.get("third", lambda: 8)
    assert cache.get("key", lambda: 9) == 9, "the one that was used longest ago has gone"
