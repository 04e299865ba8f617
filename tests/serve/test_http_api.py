"""The HTTP interface gives the answers of the Python interface."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import serving
from stocked import stock, track_of

import soundalike
from conftest import RATE, TUNES, tune, write
from soundalike.models.heads import unit_rows
from soundalike.models.model import load_once
from soundalike.serve import create_app

API = "/api/v1"


def post(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(f"{API}{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def detail(answer: Any, status: int) -> str:
    """The sentence of a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    return str(problem["detail"])


@pytest.fixture(scope="module")
def first(stocked_client: TestClient) -> dict[str, Any]:
    return stocked_client.get(f"{API}/tracks?limit=1").json()["tracks"][0]


def test_health_and_metrics(stocked_client: TestClient) -> None:
    assert stocked_client.get(f"{API}/health").json() == {
        "status": "ok", "version": soundalike.__version__, "tracks": 12,
    }  # fmt: skip
    text = stocked_client.get(f"{API}/metrics").text
    assert "soundalike_tracks 12.0" in text
    assert 'soundalike_requests_total{method="GET",route="/api/v1/health",status="200"}' in text


def test_the_library_says_what_sliders_there_are(stocked_client: TestClient) -> None:
    found = stocked_client.get(f"{API}/library").json()
    assert [space["name"] for space in found["spaces"]] == ["melody", "rhythm", "timbre", "harmony"]
    assert {space["group"] for space in found["spaces"]} == {"factor"}
    assert len({space["colour"] for space in found["spaces"]}) == 4
    assert found["models"][0]["licence"] == "Apache-2.0"
    assert found["editable"] is True
    assert sum(folder["tracks"] for folder in found["folders"]) == found["tracks"]
    assert {folder["absent"] for folder in found["folders"]} == {False}
    groove = next(preset for preset in found["presets"] if preset["name"] == "groove")
    assert groove["weights"] == {"rhythm": 2, "timbre": 1}
    assert stocked_client.get(f"{API}/spaces").json() == found["spaces"]
    assert stocked_client.get(f"{API}/models").json() == found["models"]


def test_tracks_are_listed_in_pages(stocked_client: TestClient, stocked_api: soundalike.Library) -> None:
    everything = [str(track.path) for track in stocked_api.tracks()]
    pages = [stocked_client.get(f"{API}/tracks?limit=5&offset={offset}").json() for offset in (0, 5, 10)]
    assert [one["path"] for page in pages for one in page["tracks"]] == everything
    assert {page["total"] for page in pages} == {12}
    named = stocked_client.get(f"{API}/tracks", params={"q": "up 0"}).json()
    assert [one["path"] for one in named["tracks"]] == [str(one.path) for one in stocked_api.find("up 0")]
    some = stocked_client.get(f"{API}/tracks", params={"where": "path ~ down"}).json()
    assert [one["path"] for one in some["tracks"]] == [str(one.path) for one in stocked_api.tracks("path ~ down")]
    both = stocked_client.get(f"{API}/tracks", params={"q": "0", "where": "path ~ down"}).json()
    assert both["total"] == len([one for one in named_tracks(stocked_api, "0") if "down" in one])


def test_named_tracks_come_in_their_order(stocked_client: TestClient, stocked_api: soundalike.Library) -> None:
    last, first = stocked_api.tracks()[-1], stocked_api.tracks()[0]
    params: dict[str, Any] = {"id": [last.id, first.id, 10**6, last.id], "path": [str(first.path), "/nowhere", "a\0b"]}
    found = stocked_client.get(f"{API}/tracks", params=params).json()
    assert [one["id"] for one in found["tracks"]] == [last.id, first.id, first.id]
    assert stocked_client.get(f"{API}/tracks", params={"path": "/nowhere"}).json() == {
        "tracks": [], "total": 0, "offset": 0,
    }  # fmt: skip


def named_tracks(library: soundalike.Library, text: str) -> list[str]:
    return [str(track.path) for track in library.find(text)]


def test_a_track_is_shown_with_what_is_known(
    stocked_client: TestClient, stocked_api: soundalike.Library, first: dict[str, Any]
) -> None:
    shown = stocked_client.get(f"{API}/tracks/{first['id']}").json()
    assert shown["track"] == first
    assert shown["models"] == ["compact"]
    assert shown["passages"] == stocked_api.show(first["path"]).passages


def test_columns_hold_all_tracks(stocked_client: TestClient, stocked_api: soundalike.Library) -> None:
    found = stocked_client.get(f"{API}/track-columns?field=duration&field=key").json()
    tracks = stocked_api.tracks()
    assert found["ids"] == [track.id for track in tracks]
    assert found["fields"]["duration"] == [track.duration for track in tracks]
    assert found["fields"]["key"] == [track.key for track in tracks]


REQUESTS: list[dict[str, Any]] = [
    {},
    {"weights": {"melody": 2, "timbre": -1}, "k": 3},
    {"by": "track", "hubness": "mutual-proximity"},
    {"by": "passage", "where": "path ~ down"},
    {"at_least": {"rhythm": 50}, "include_self": True},
    {"all_copies": True, "exclude_same_artist": True, "at_most": {"melody": 90}},
]


@pytest.mark.parametrize("options", REQUESTS)
def test_searches_give_the_answers_of_the_library(
    stocked_client: TestClient, stocked_api: soundalike.Library, first: dict[str, Any], options: dict[str, Any]
) -> None:
    found = post(stocked_client, "/search", {"query": {"track": first["id"]}, **options})
    expected = stocked_api.search(first["path"], **options)
    assert [one["path"] for one in found["matches"]] == [match.path for match in expected]
    for one, match in zip(found["matches"], expected, strict=True):
        assert one["score"] == match.score
        assert sum(space["share"] for space in one["spaces"].values()) == pytest.approx(match.score, abs=1e-9)
        assert {name: space["percentile"] for name, space in one["spaces"].items()} == {
            name: space.percentile for name, space in match.spaces.items()
        }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weights=st.dictionaries(st.sampled_from(["melody", "rhythm", "timbre", "harmony"]), st.floats(-3, 3)))
def test_shares_sum_to_the_score_for_any_weights(stocked_client: TestClient, weights: dict[str, float]) -> None:
    answer = stocked_client.post(f"{API}/search", json={"query": {"track": 1}, "weights": weights, "k": 5})
    sizes = [abs(value) for value in weights.values() if value]
    if not sizes or min(sizes) < 1e-6:
        assert answer.status_code == 400
        return
    for match in answer.json()["matches"]:
        assert sum(space["share"] for space in match["spaces"].values()) == pytest.approx(match["score"], abs=1e-9)


def test_a_region_and_examples(
    stocked_client: TestClient, stocked_api: soundalike.Library, first: dict[str, Any]
) -> None:
    tracks = stocked_api.tracks()
    body = {
        "query": {"track": first["id"], "start": 1.0, "end": 4.0},
        "like": [{"track": tracks[4].id, "weights": {"melody": 1}}],
        "unlike": [{"track": tracks[8].id}],
    }
    found = post(stocked_client, "/search", body)
    expected = stocked_api.search(
        first["path"], region=(1.0, 4.0), like=[(tracks[4].path, {"melody": 1})], unlike=[tracks[8].path]
    )
    assert [(one["path"], one["score"]) for one in found["matches"]] == [(one.path, one.score) for one in expected]
    assert found["query"]["level_reason"] == "region"


def test_pages_of_matches_continue_one_another(stocked_client: TestClient) -> None:
    whole = post(stocked_client, "/search", {"query": {"track": 1}, "k": 6})["matches"]
    parts = [
        match
        for offset in (0, 2, 4)
        for match in post(stocked_client, "/search", {"query": {"track": 1}, "k": 2, "offset": offset})["matches"]
    ]
    assert parts == whole


def test_a_batch_goes_on_past_a_bad_line(stocked_client: TestClient) -> None:
    lines = [b'{"query": {"track": 1}, "k": 1}', b"no json", b'{"query": {"track": 999}}', b'{"query": {"track": 2}}']
    answer = stocked_client.post(f"{API}/search/batch", content=b"\n".join(lines))
    assert answer.headers["content-type"].startswith("application/jsonl")
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert found[0] == post(stocked_client, "/search", {"query": {"track": 1}, "k": 1})
    assert "JSON" in found[1]["error"]
    assert "no track 999" in found[2]["error"]
    assert len(found[3]["matches"]) == 10
    assert "empty" in detail(stocked_client.post(f"{API}/search/batch", content=b"\n"), 422)


def test_comparisons_give_the_answers_of_the_library(
    stocked_client: TestClient, stocked_api: soundalike.Library
) -> None:
    a, b = stocked_api.tracks()[:2]
    found = post(stocked_client, "/compare", {"a": {"track": a.id}, "b": {"track": b.id}, "align": True})
    expected = stocked_api.compare(a.path, b.path, align=True)
    assert found["matches"][0]["score"] == expected.match.score
    assert found["matches"][0]["alignment"]["semitones"] == expected.match.alignment.semitones
    pair = expected.pairs["melody"]
    assert found["passages"]["melody"]["similarity"] == pair.similarity


def test_every_passage_is_compared_with_every_passage(
    stocked_client: TestClient, stocked_api: soundalike.Library
) -> None:
    a, b = stocked_api.tracks()[0], stocked_api.tracks()[5]
    found = post(stocked_client, "/passages", {"a": {"track": a.id}, "b": {"track": b.id}, "spaces": ["rhythm"]})
    rows = [stocked_api.embed(track.path).rows["rhythm"] for track in (a, b)]
    assert list(found["spaces"]) == ["rhythm"]
    np.testing.assert_allclose(np.array(found["spaces"]["rhythm"], float), rows[0] @ rows[1].T, atol=1e-3)
    assert len(found["a"]["start"]) == len(rows[0])


def test_silence_is_null_in_a_matrix(tmp_path: Path) -> None:
    quiet = write(tmp_path / "quiet.wav", np.concatenate([tune(TUNES["up"], seconds=6), np.zeros(12 * RATE)]))
    with soundalike.open(tmp_path / "library", create=True) as library:
        library.index(quiet, jobs=1)
        with TestClient(create_app(library), base_url="http://127.0.0.1") as client:
            found = post(client, "/passages", {"a": {"track": 1}, "b": {"track": 1}})
    matrix = found["spaces"]["melody"]
    assert matrix[0][0] == pytest.approx(1, abs=1e-3)
    assert matrix[-1] == [None] * len(matrix)


def test_paths_and_playlists(stocked_client: TestClient, stocked_api: soundalike.Library) -> None:
    a, b = stocked_api.tracks()[0], stocked_api.tracks()[7]
    found = post(stocked_client, "/path", {"a": {"track": a.id}, "b": {"track": b.id}, "steps": 2})
    expected = stocked_api.path(a.path, b.path, 2)
    assert [*(one["path"] for one in found["matches"]), found["arrival"]["path"]] == [one.path for one in expected]
    found = post(stocked_client, "/playlist", {"seed": {"track": a.id}, "length": 4, "spread": 0.5})
    assert [one["path"] for one in found["matches"]] == [
        one.path for one in stocked_api.playlist(a.path, 4, spread=0.5)
    ]
    answer = stocked_client.post(f"{API}/playlists/m3u", json={"tracks": [b.id, a.id]})
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert lines == [str(b.path), str(a.path)]


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/search", {"query": {"track": 1}, "weights": {"meldy": 1}}, 400, "meldy"),
    ("POST", "/search", {"query": {"track": 1}, "weights": {"melody": 0}}, 400, "weight"),
    ("POST", "/search", {"query": {"track": 1}, "k": -1}, 422, "k:"),
    ("POST", "/search", {"query": {"track": 1}, "k": 10**9}, 422, "k:"),
    ("POST", "/search", {"query": {"track": 1, "start": 500}}, 422, "ends at"),
    ("POST", "/search", {"query": {"track": 1, "start": 5, "end": 2}}, 422, "start < end"),
    ("POST", "/search", {"query": {"track": 1, "upload": "x"}}, 422, "either"),
    ("POST", "/search", {"query": {"track": 10**6}}, 404, "no track"),
    ("POST", "/search", {"query": {"upload": "nothing"}}, 404, "no upload"),
    ("POST", "/search", {"query": {"track": 1}, "where": "bpm >"}, 400, "bpm"),
    ("POST", "/search", {"query": {"track": 1}, "model": "nothing"}, 400, "nothing"),
    ("GET", "/tracks?id=1&q=x", None, 400, "leave out"),
    ("POST", "/search", {"query": {"track": 1}, "colour": "red"}, 422, "colour"),
    ("POST", "/search", {"query": {"track": 1}, "at_least": {"melody": 101}}, 422, "at_least"),
    ("POST", "/search", {"query": {"track": 1}, "by": "passage", "hubness": "mutual-proximity"}, 400, "whole tracks"),
    ("POST", "/passages", {"a": {"track": 1}, "b": {"track": 2}, "spaces": ["drums"]}, 400, "drums"),
    ("POST", "/path", {"a": {"track": 1}, "b": {"track": 2}, "weights": {"melody": -1}}, 400, "melody"),
    ("POST", "/playlists/m3u", {"tracks": []}, 422, "tracks"),
    ("GET", "/tracks/0", None, 422, "track_id"),
    ("GET", "/tracks/9999", None, 404, "no track"),
    ("GET", "/tracks?where=colour%20%3D%20red", None, 400, "colour"),
    ("GET", "/tracks?limit=0", None, 422, "limit"),
    ("GET", "/track-columns?field=path", None, 422, "field"),
    ("GET", "/nothing", None, 404, "Not Found"),
    ("DELETE", "/search", None, 405, "Method"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "word"), BAD)
def test_a_bad_request_is_a_problem_document(
    stocked_client: TestClient, method: str, path: str, body: Any, status: int, word: str
) -> None:
    answer = stocked_client.request(method, f"{API}{path}", json=body)
    assert word in detail(answer, status)


def test_paths_that_are_not_utf8_are_escaped_as_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    write(folder / "plain.wav", tune(TUNES["up"], seconds=3))
    write(folder / "cafe.wav", tune(TUNES["down"], seconds=3)).rename(folder / "caf\udce9.wav")
    with soundalike.open(tmp_path / "library", create=True) as library:
        library.index(folder, jobs=1)
        with TestClient(create_app(library), base_url="http://127.0.0.1") as client:
            listed = client.get(f"{API}/tracks").json()["tracks"]
            plain = next(one["id"] for one in listed if "plain" in one["path"])
            found = post(client, "/search", {"query": {"track": plain}})
            m3u = client.post(f"{API}/playlists/m3u", json={"tracks": [one["id"] for one in listed]})
    assert [Path(one["path"]).name for one in found["matches"]] == ["caf\udce9.wav"]
    assert b"caf\xe9.wav" in m3u.content


def test_an_empty_library_is_served(tmp_path: Path) -> None:
    with (
        soundalike.open(tmp_path / "library", create=True) as library,
        TestClient(create_app(library), base_url="http://127.0.0.1") as client,
    ):
        assert client.get(f"{API}/library").json()["tracks"] == 0
        assert client.get(f"{API}/tracks").json() == {"tracks": [], "total": 0, "offset": 0}
        assert "is empty" in detail(client.post(f"{API}/search", json={"query": {"track": 1}}), 404)


def test_the_examples_of_the_documentation_run(stocked_api: soundalike.Library, music: Path, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "serving.md"
    examples = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(examples) == 3
    shutil.copyfile(music / "up" / "0.wav", tmp_path / "song.wav")
    with serving(stocked_api) as address:
        program = "\n".join(examples).replace("http://127.0.0.1:8765", address)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"]
    assert len(lines) > 3 + 12 and "done" in lines[-1]


def test_tags_of_megabytes_are_cut(tmp_path: Path) -> None:
    music, model, text = tmp_path / "music", load_once("compact"), "long " * 100_000
    music.mkdir()
    tracks = []
    for number in range(3):
        path = write(music / f"{number}.wav", tune(TUNES["up"], seconds=2))
        tags = {"title": text, "artists": (text,), "album": text, "album_artist": text, "genres": (text,)}
        tracks.append(track_of(path, path.stat(), duration=2.0, **tags))
    random = np.random.default_rng(0)
    rows = {space.name: unit_rows(random.standard_normal((3, space.dim)).astype(np.float32)) for space in model.spaces}
    where = stock(tmp_path / "library", rows, model, music, tracks)
    with soundalike.open(where) as library, TestClient(create_app(library), base_url="http://127.0.0.1") as client:
        assert client.get(f"{API}/tracks/1").json()["track"]["title"] == text[:1000]
        answers = [client.post(f"{API}/search", json={"query": {"track": 1}, "by": "track"})]
        fields = (
            "track-columns?field=title&field=artist&field=album&field=genre",
            "tracks",
            "tracks?q=long",
            "tracks/2",
        )
        answers += [client.get(f"{API}/{one}") for one in fields]
        rest = ("search3?query=long", "getArtists?", "getGenres?", "getSong?id=tr-1", "getSonicSimilarTracks?id=tr-1")
        answers += [client.get(f"/rest/{one}&u=a&c=b&v=1.16.1&f=json") for one in rest]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 400_000, answer.url
