"""Stems over HTTP: a job separates tracks, the matrix compares them, and each stem can be played."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from fastapi.testclient import TestClient

import soundalike
from conftest import TUNES, tune, write
from soundalike.api.records.comparison import comparison_record
from soundalike.api.records.search import search_record
from soundalike.audio.separators import separated_stems
from soundalike.core import plugins
from soundalike.serve.answers import json_bytes
from soundalike.serve.app import create_app

BOTH = {"a": {"track": 1}, "b": {"track": 2}, "stems": "halves"}


@pytest.fixture
def cache(halves: Path, _distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of stems, which the processes of jobs share with this one; they find the separator too."""
    folder = tmp_path / "user" / "cache" / "soundalike"
    monkeypatch.setattr("soundalike.audio.separators.cache.cache_folder", lambda: folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(_distribution), os.environ.get("PYTHONPATH", "")]))
    return folder / "stems"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[soundalike.Library]:
    """A library of two recordings of 1.5 s, encoded by dsp."""
    for name in ("up", "leaps"):
        write(tmp_path / "music" / f"{name}.wav", tune(TUNES[name], seconds=1.5))
    with soundalike.open(tmp_path / "library", create=True) as opened:
        opened.index(tmp_path / "music", model="dsp", jobs=1)
        yield opened


@pytest.fixture
def client(library: soundalike.Library, cache: Path) -> Iterator[TestClient]:
    with TestClient(create_app(library), base_url="http://127.0.0.1") as found:
        yield found


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]


def separate(client: TestClient, *tracks: int) -> dict[str, Any]:
    """Do a job that separates tracks, and return its record."""
    answer = client.post("/api/v1/jobs", json={"kind": "stems", "separator": "halves", "tracks": tracks})
    assert answer.status_code == 202, answer.text
    events = client.get(f"{answer.headers['location']}/events").text
    record: dict[str, Any] = json.loads(events.split("data: ")[-1])
    return record


def matrix_of(library: soundalike.Library, **options: Any) -> dict[str, Any]:
    """What the Python interface says about the two tracks, as JSON."""
    a, b = (str(track.path) for track in library.folder.catalog.tracks_of([1, 2]))
    found = library.compare_stems(a, b, "halves", model="dsp", **options)
    record: dict[str, Any] = json.loads(json_bytes(comparison_record(a, b, found.mix, found)))
    return record


def test_a_job_separates_and_stems_are_compared_and_played(
    client: TestClient, library: soundalike.Library, dsp_halves: str, cache: Path, tmp_path: Path
) -> None:
    (model,) = client.get("/api/v1/models").json()
    assert model["separators"] == ["halves"]
    status, why = problem(client.post("/api/v1/compare", json=BOTH))
    assert (status, '{"kind": "stems", "separator": "halves", "tracks": [1]}' in why) == (409, True)
    assert client.get("/api/v1/tracks/1/stems/halves/bass").status_code == 409
    job = separate(client, 1, 2)
    assert (job["state"], job["progress"]["total"]) == ("done", 2)
    assert job["result"] == {"separator": "halves", "stems": ["bass", "vocals"], "tracks": 2, "failed": []}

    answer = client.post("/api/v1/compare", json=BOTH)
    assert answer.status_code == 200
    assert answer.json() == matrix_of(library)
    assert answer.json()["matrix"]["sources"] == ["mix", "bass", "vocals"]
    region = client.post("/api/v1/compare", json=BOTH | {"a": {"track": 1, "start": 0.25, "end": 1.25}})
    assert region.json()["matrix"] == matrix_of(library, region=(0.25, 1.25))["matrix"]

    (file,) = cache.glob(f"*/{library.folder.catalog.tracks_of([1])[0].content_hash}/bass.flac")
    whole = client.get("/api/v1/tracks/1/stems/halves/bass")
    assert (whole.status_code, whole.headers["content-type"], whole.content) == (200, "audio/flac", file.read_bytes())
    assert "leaps.bass.flac" in whole.headers["content-disposition"]
    ranged = client.get("/api/v1/tracks/1/stems/halves/bass", headers={"Range": "bytes=2-5"})
    assert (ranged.status_code, ranged.content) == (206, whole.content[2:6])
    excerpt = client.get("/api/v1/tracks/1/stems/halves/vocals?start=0.5&end=1")
    samples, rate = sf.read(io.BytesIO(excerpt.content))
    assert (samples.shape, rate) == ((11025, 2), 22050)
    expected, _ = sf.read(file.with_name("vocals.flac"), start=11025, stop=22050)
    assert abs(samples[300:-300] - expected[300:-300]).max() < 1e-4

    shutil.rmtree(tmp_path / "music")
    status, why = problem(client.get("/api/v1/tracks/1/stems/halves/bass"))
    assert (status, why.startswith("the file of track 1 is not there")) == (404, True)
    assert separate(client, 1)["result"]["failed"] == [
        {"track": 1, "error": "leaps.wav: cannot be read: No such file or directory"}
    ]


def test_what_cannot_be_had_is_said(client: TestClient, halves: Path) -> None:
    for body, expected, message in (
        (BOTH, 400, "install it with: soundalike models install dsp-halves"),
        (BOTH | {"stems": "nope"}, 400, "unknown separator 'nope'; known: "),
        (BOTH | {"weights": {"melody": 1}}, 400, "leave out weights and align"),
        (BOTH | {"align": True}, 400, "leave out weights and align"),
        (BOTH | {"model": "nope"}, 400, "the library holds dsp"),
    ):
        status, why = problem(client.post("/api/v1/compare", json=body))
        assert (status, message in why) == (expected, True), why
    for path, expected, message in (
        ("1/stems/halves/drums", 404, "halves makes no stem 'drums'; it makes bass, vocals"),
        ("1/stems/nope/bass", 400, "unknown separator 'nope'"),
        ("9/stems/halves/bass", 404, "the library has no track 9"),
    ):
        status, why = problem(client.get(f"/api/v1/tracks/{path}"))
        assert (status, message in why) == (expected, True), why
    for change, expected in (({"separator": "nope"}, 400), ({"tracks": [9]}, 404), ({"tracks": []}, 422)):
        job = {"kind": "stems", "separator": "halves", "tracks": [1]} | change
        assert client.post("/api/v1/jobs", json=job).status_code == expected
    assert not halves.exists()


def test_loops_like_a_stem_come_with_what_they_need(
    client: TestClient, library: soundalike.Library, tmp_path: Path, halves: Path
) -> None:
    line = (45, 45, 48, 50, 45, 52, 50, 43)
    high = tune((76, 79, 81, 84), seconds=5, drums=())
    write(tmp_path / "songs" / "song.wav", tune(line, beat=0.5, seconds=5, drums=()) + 0.3 * high)
    for name, samples in (
        ("line", tune(line, beat=0.5, seconds=4, drums=())),
        ("line up slow", tune([note + 3 for note in line], beat=0.5 / 0.9, seconds=4, drums=())),
        ("note", tune((57,), seconds=0.4, drums=())),
    ):
        write(tmp_path / "loops" / f"{name}.wav", samples)
    library.index(tmp_path / "songs", tmp_path / "loops", model="dsp", jobs=1)
    offered = {one["name"]: one for one in client.get("/api/v1/separators").json()}
    assert offered["halves"] == {"name": "halves", "stems": ["bass", "vocals"], "licence": "MIT"}
    assert "given" not in offered
    song = library.folder.catalog.track_at(tmp_path / "songs" / "song.wav")
    assert song is not None
    where = 'path = "*/loops/*"'
    asked = {"query": {"track": song.id}, "stem": "bass", "separator": "halves", "where": where, "k": 3}
    status, why = problem(client.post("/api/v1/search", json=asked))
    assert (status, f'{{"kind": "stems", "separator": "halves", "tracks": [{song.id}]}}' in why) == (409, True)
    separated_stems(plugins.load("separators", "halves"), song.path)

    def expected(**options: Any) -> dict[str, Any]:
        found = library.search_loops(song.path, "bass", "halves", where=where, **{"k": 3} | options)
        record: dict[str, Any] = json.loads(json_bytes(search_record(found, where)))
        return record

    whole = client.post("/api/v1/search", json=asked)
    assert whole.status_code == 200, whole.text
    assert whole.json() == expected()
    assert (whole.json()["query"]["stem"], whole.json()["query"]["separator"]) == ("bass", "halves")
    needed = {Path(one["path"]).stem: (one["stretch"], one["semitones"]) for one in whole.json()["matches"]}
    assert needed["line"] == (pytest.approx(1.0, rel=0.01), 0)
    assert needed["line up slow"] == (pytest.approx(1 / 0.9, rel=0.01), -3)
    assert needed["note"][0] is None
    region = client.post("/api/v1/search", json=asked | {"query": {"track": song.id, "start": 0.5, "end": 4.5}})
    assert region.json() == expected(region=(0.5, 4.5))
    weighted = client.post("/api/v1/search", json=asked | {"weights": {"timbre": 1}, "separator": None})
    assert weighted.json() == expected(weights={"timbre": 1})
    rest = client.post("/api/v1/search", json=asked | {"offset": 1, "k": 1}).json()["matches"]
    assert rest == whole.json()["matches"][1:2]
    assert halves.read_text() == "song.wav\n"


def test_searches_with_a_stem_that_cannot_be_done_are_one_line(client: TestClient, tmp_path: Path) -> None:
    content = (tmp_path / "music" / "up.wav").read_bytes()
    upload = client.post("/api/v1/uploads?name=a.wav", content=content).json()["id"]
    for change, status, message in (
        ({"query": {"upload": upload}}, 400, "uploads are not separated; search with a stem of a track of the library"),
        ({"query": {"track": 9}}, 404, "the library has no track 9"),
        ({"stem": "drums"}, 400, "halves has no stem 'drums'; it has bass, vocals"),
        ({"stem": "drum", "separator": None}, 400, "unknown stem 'drum'; expected one of vocals, drums, "),
        ({"stem": None}, 400, "a separator needs a stem; give both, or leave both out"),
        ({"separator": "nope"}, 400, "unknown separator 'nope'"),
        ({"separator": "given"}, 422, "it has no stem files"),
        ({"model": "nope"}, 400, "the library holds dsp"),
        ({"collapse": True}, 400, "stem does not go with collapse; leave it out"),
        (
            {"like": [{"track": 2}], "hubness": "mutual-proximity"},
            400,
            "stem does not go with like, hubness; leave them",
        ),
    ):
        asked = {"query": {"track": 1}, "stem": "bass", "separator": "halves"} | change
        found, why = problem(client.post("/api/v1/search", json=asked))
        assert (found, message in why) == (status, True), why


@pytest.mark.slow
def test_a_library_with_stems_needs_no_separation(
    client: TestClient, library: soundalike.Library, dsp_halves: str, cache: Path, tmp_path: Path, halves: Path
) -> None:
    library.index(tmp_path / "music", model=dsp_halves, jobs=1)
    expected, log = matrix_of(library), halves.read_text()
    shutil.rmtree(cache)
    assert client.post("/api/v1/compare", json=BOTH).json() == expected
    assert client.post("/api/v1/compare", json=BOTH | {"model": dsp_halves}).json() == expected
    assert client.post("/api/v1/compare", json=BOTH | {"b": {"track": 2, "start": 1}}).status_code == 409
    content = (tmp_path / "music" / "up.wav").read_bytes()
    upload = client.post("/api/v1/uploads?name=a.wav", content=content).json()["id"]
    status, why = problem(client.post("/api/v1/compare", json=BOTH | {"a": {"upload": upload}}))
    assert (status, why) == (400, "uploads are not separated; compare tracks of the library by stems")
    assert halves.read_text() == log
    # A library that holds only the model on the stems has no rows of the mix, which is encoded for the answer.
    with soundalike.open(tmp_path / "only stems", create=True) as only:
        only.index(tmp_path / "music", model=dsp_halves, jobs=1)
        with TestClient(create_app(only), base_url="http://127.0.0.1") as other:
            assert other.get("/api/v1/models").json()[0]["separators"] == ["halves"]
            assert other.post("/api/v1/compare", json=BOTH).json() == expected
