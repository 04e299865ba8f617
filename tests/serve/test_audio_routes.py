"""Files, excerpts, waveforms and covers over HTTP."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mutagen.flac
import mutagen.id3
import numpy as np
import pytest
import soundfile as sf
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.requests import Request

import soundalike
from conftest import TUNES, tune, write
from soundalike.serve.app import create_app
from soundalike.serve.problems import ProblemError
from soundalike.serve.routes import audio
from soundalike.serve.sound import excerpts
from soundalike.serve.sound.cache import SoundCache
from soundalike.serve.sound.excerpts import Excerpt, make_excerpt
from soundalike.serve.sound.responses import bytes_response

RATE = 22_050
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def read(content: bytes) -> tuple[np.ndarray, int]:
    return sf.read(io.BytesIO(content), dtype="float32", always_2d=True)


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["detail"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    write(folder / "1 up.wav", tune(TUNES["up"], seconds=4), RATE)
    both = np.stack([tune(TUNES["leaps"], seconds=3), tune(TUNES["down"], seconds=3)], axis=1)
    write(folder / '2 "ä"; x=\n.flac', both, RATE)
    write(folder / "3 gone.wav", tune(TUNES["down"], seconds=1), RATE)
    write(folder / "4 broken.wav", tune(TUNES["leaps"], seconds=1), RATE)
    tagged = mutagen.flac.FLAC(folder / '2 "ä"; x=\n.flac')
    picture = mutagen.flac.Picture()
    picture.type, picture.mime, picture.data = 3, "text/html", PNG
    tagged.add_picture(picture)
    tagged.save()
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with soundalike.open(folder / "library", create=True) as library:
        library.index(folder, jobs=1)
        (folder / "3 gone.wav").unlink()
        (folder / "4 broken.wav").write_bytes(b"no sound at all")
        with TestClient(create_app(library), base_url="http://127.0.0.1") as client:
            yield client


@pytest.fixture(scope="module")
def tracks(client: TestClient) -> dict[int, str]:
    """The address of each file, by the number in its name."""
    found = client.get("/api/v1/tracks").json()["tracks"]
    return {int(Path(one["path"]).name[0]): f"/api/v1/tracks/{one['id']}" for one in found}


def test_a_track_is_its_file(client: TestClient, tracks: dict[int, str], folder: Path) -> None:
    content = (folder / "1 up.wav").read_bytes()
    whole = client.get(f"{tracks[1]}/audio")
    assert whole.status_code == 200 and whole.content == content
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"] == "inline; filename*=UTF-8''1%20up.wav"
    head = client.head(f"{tracks[1]}/audio")
    assert head.content == b"" and head.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("query", ["", "?start=1&end=2"])
@pytest.mark.parametrize(
    ("given", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-99999999999", 5, None)],
)
def test_a_range_is_a_part_of_the_whole(
    client: TestClient, tracks: dict[int, str], query: str, given: str, first: int, last: int | None
) -> None:
    address = f"{tracks[1]}/audio{query}"
    whole = client.get(address).content
    part = client.get(address, headers={"Range": given})
    right = whole[first : None if last is None else last + 1]
    start = first % len(whole)
    assert part.status_code == 206 and part.content == right
    assert part.headers["content-length"] == str(len(right))
    assert part.headers["content-range"] == f"bytes {start}-{start + len(right) - 1}/{len(whole)}"
    assert client.head(address, headers={"Range": given}).headers["content-length"] == str(len(right))


@pytest.mark.parametrize("query", ["", "?start=1&end=2"])
def test_ranges_that_cannot_be_answered(client: TestClient, tracks: dict[int, str], query: str) -> None:
    address = f"{tracks[1]}/audio{query}"
    whole = client.get(address)
    behind = client.get(address, headers={"Range": "bytes=99999999-"})
    assert "99,999,999" in problem(behind, 416)
    assert behind.headers["content-range"] == f"bytes */{len(whole.content)}"
    assert "416" in str(client.get(address, headers={"Range": "bytes=-0"}).status_code)
    for ignored in ("bytes=9-3", "bytes=a-b", "bytes=-", "lines=0-9", "bytes=0-1,5-6"):
        found = client.get(address, headers={"Range": ignored})
        assert found.status_code == 200 and found.content == whole.content, ignored


@pytest.mark.parametrize("query", ["", "?start=1&end=2"])
def test_conditions(client: TestClient, tracks: dict[int, str], query: str) -> None:
    address = f"{tracks[1]}/audio{query}"
    tag = client.get(address).headers["etag"]
    known = client.get(address, headers={"If-None-Match": f'"other", W/{tag}'})
    assert known.status_code == 304 and known.content == b""
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(address, headers={"Range": "bytes=0-9", "If-Range": tag}).status_code == 206
    assert client.get(address, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


def test_a_date_is_a_condition_of_a_file(client: TestClient, tracks: dict[int, str]) -> None:
    date = client.get(f"{tracks[1]}/audio").headers["last-modified"]
    headers = {"Range": "bytes=0-9", "If-Range": date}
    assert client.get(f"{tracks[1]}/audio", headers=headers).status_code == 206


def test_names_cannot_add_headers(client: TestClient, tracks: dict[int, str]) -> None:
    found = client.get(f"{tracks[2]}/audio")
    assert found.headers["content-disposition"] == "inline; filename*=UTF-8''2%20%22%C3%A4%22%3B%20x%3D%0A.flac"
    assert found.headers["content-type"] == "audio/flac"


def test_an_excerpt_is_the_part_of_the_recording(client: TestClient, tracks: dict[int, str], folder: Path) -> None:
    whole, _ = sf.read(folder / "1 up.wav", dtype="float32", always_2d=True)
    for kind in ("wav", "flac"):
        found = client.get(f"{tracks[1]}/audio", params={"start": 1, "end": 2.5, "format": kind})
        assert found.headers["content-type"] == f"audio/{kind}"
        part, rate = read(found.content)
        right = whole[RATE : round(2.5 * RATE)]
        assert rate == RATE and part.shape == right.shape
        fade = round(0.01 * RATE)
        np.testing.assert_allclose(part[fade:-fade], right[fade:-fade], atol=2 / 32768)
        # Both ends are faded, because both are cut.
        assert np.abs(part[0]).max() < 0.01 + np.abs(right[0]).max() / fade
        assert np.abs(part[: fade // 2]).max() < np.abs(right[: fade // 2]).max()
        assert np.abs(part[-fade // 2 :]).max() < np.abs(right[-fade // 2 :]).max()


def test_the_ends_of_a_recording_are_not_faded(client: TestClient, tracks: dict[int, str], folder: Path) -> None:
    whole, _ = sf.read(folder / "1 up.wav", dtype="float32", always_2d=True)
    part, _ = read(client.get(f"{tracks[1]}/audio", params={"format": "wav"}).content)
    np.testing.assert_allclose(part, whole, atol=2 / 32768)


def test_excerpts_are_stretched_and_transposed(client: TestClient, tracks: dict[int, str]) -> None:
    found = client.get(f"{tracks[2]}/audio", params={"tempo_ratio": 1.5, "semitones": 4})
    samples, rate = read(found.content)
    assert samples.shape[1] == 2
    assert len(samples) / rate == pytest.approx(2.0, abs=0.01)
    lower, _ = read(client.get(f"{tracks[2]}/audio", params={"tempo_ratio": 1.5, "semitones": -4}).content)
    assert centroid(samples) > 1.2 * centroid(lower)


def centroid(samples: np.ndarray) -> float:
    energy = np.abs(np.fft.rfft(samples[:, 0])) ** 2
    return float(energy @ np.arange(len(energy)) / energy.sum())


def test_mp3_and_many_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "six.wav", np.tile(tune(TUNES["pedal"], seconds=2)[:, None], (1, 6)), RATE)
    samples, rate = read(make_excerpt(path, Excerpt(start=0.5, format="mp3")))
    assert rate == RATE and samples.shape[1] == 1
    assert len(samples) / rate == pytest.approx(1.5, abs=0.1)
    loud = sf.read(path, dtype="float32")[0][RATE // 2 :, 0]
    assert np.std(samples) == pytest.approx(np.std(loud), rel=0.05)


def test_excerpts_of_high_rates_have_48_khz(tmp_path: Path) -> None:
    path = write(tmp_path / "high.wav", tune(TUNES["up"], seconds=1, rate=96_000), 96_000)
    excerpt = make_excerpt(path, Excerpt(end=0.5))
    assert read(excerpt)[1] == 48_000 and len(read(excerpt)[0]) == pytest.approx(24_000, abs=2)


def test_parameters_that_make_no_sense(client: TestClient, tracks: dict[int, str]) -> None:
    def detail(query: str, status: int = 422) -> str:
        return problem(client.get(f"{tracks[1]}/audio?{query}"), status)

    assert "from 3 s to 2 s, expected start < end" in detail("start=3&end=2")
    assert "semitones" in detail("semitones=25")
    assert "semitones" in detail("semitones=nan")
    assert "tempo_ratio" in detail("tempo_ratio=0.2")
    assert "'wav', 'flac' or 'mp3'" in detail("format=ogg")
    assert detail("start=9") == "1 up.wav: the region starts at 9.0 s but the recording ends at 4.0 s; " \
        "choose a region inside it"  # fmt: skip


def test_long_excerpts_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "long.flac", np.zeros(8_000 * 400, np.float32), 8_000)
    with pytest.raises(soundalike.UsageError, match="the excerpt lasts 1600 s or more, expected at most 1200 s"):
        make_excerpt(path, Excerpt(tempo_ratio=0.25))
    assert len(read(make_excerpt(path, Excerpt(end=10.0, tempo_ratio=4)))[0]) == 20_000


def test_large_excerpts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpts, "LARGEST", 50 * 1024)
    silence = write(tmp_path / "silence.wav", np.zeros(40_000, np.float32), 8_000)
    noise = write(tmp_path / "noise.wav", np.random.default_rng(0).uniform(-1, 1, 40_000).astype(np.float32), 8_000)
    assert len(make_excerpt(silence, Excerpt(format="flac"))) < 50 * 1024
    assert len(make_excerpt(noise, Excerpt(format="mp3"))) < 50 * 1024
    assert len(make_excerpt(noise, Excerpt(end=3))) < 50 * 1024
    for path, kind in ((silence, "wav"), (noise, "wav"), (noise, "flac")):
        with pytest.raises(soundalike.UsageError, match="ask for a shorter part with start and end, or for format=mp3"):
            make_excerpt(path, Excerpt(format=kind))


@pytest.mark.parametrize(("given", "first"), [({}, 0), ({"range": "bytes=1-"}, 1)])
def test_slow_readers_share_one_copy(given: dict[str, str], first: int) -> None:
    data = np.random.default_rng(0).bytes(300_000)
    scope = {"type": "http", "method": "GET", "headers": Headers(given).raw}
    response = bytes_response(Request(scope), data, "audio/wav", "tag", "a.wav")

    async def sent() -> list[memoryview]:
        return [chunk async for chunk in response.body_iterator]

    chunks = asyncio.run(sent())
    assert all(chunk.obj is data and len(chunk) <= 64 * 1024 for chunk in chunks)
    assert b"".join(chunks) == data[first:]


def test_files_that_are_gone_or_broken(client: TestClient, tracks: dict[int, str]) -> None:
    for part in ("audio", "audio?start=1", "peaks", "cover"):
        assert "is not there; connect its disk" in problem(client.get(f"{tracks[3]}/{part}"), 404)
    for part in ("audio?start=1", "peaks"):
        assert problem(client.get(f"{tracks[4]}/{part}"), 422).startswith("4 broken.wav: ")
    for address in ("/api/v1/tracks/999", "/api/v1/uploads/none"):
        for part in ("audio", "audio?start=1", "peaks"):
            problem(client.get(f"{address}/{part}"), 404)


def test_uploads_are_played_and_drawn_like_tracks(client: TestClient, tracks: dict[int, str], folder: Path) -> None:
    sent = client.post(
        "/api/v1/uploads", params={"name": "../my\r\nX-Evil: 1.wav"}, content=(folder / "1 up.wav").read_bytes()
    ).json()
    address = f"/api/v1/uploads/{sent['id']}"
    whole = client.get(f"{address}/audio")
    assert whole.headers["content-type"] == "audio/flac"
    assert whole.headers["content-disposition"] == "inline; filename*=UTF-8''my%5Cr%5CnX-Evil%3A%201.flac"
    for query in ("start=1&end=2", "tempo_ratio=0.9"):
        mine = read(client.get(f"{address}/audio?{query}").content)[0]
        np.testing.assert_allclose(mine, read(client.get(f"{tracks[1]}/audio?{query}").content)[0], atol=1e-3)
    assert client.get(f"{address}/peaks").json() == client.get(f"{tracks[1]}/peaks").json()


def test_peaks_are_rounded_and_of_the_region(client: TestClient, tracks: dict[int, str]) -> None:
    found = client.get(f"{tracks[1]}/peaks?count=20").json()
    assert found["duration"] == 4.0 and found["count"] == len(found["low"]) == len(found["high"]) == 20
    assert all(-1 <= low <= high <= 1 and round(low, 3) == low for low, high in zip(found["low"], found["high"]))  # noqa: B905
    half = client.get(f"{tracks[1]}/peaks?count=10&start=2").json()
    assert half["duration"] == 2.0 and half["high"] == found["high"][10:]
    assert "count" in problem(client.get(f"{tracks[1]}/peaks?count=0"), 422)
    assert "start < end" in problem(client.get(f"{tracks[1]}/peaks?start=2&end=1"), 422)


def test_a_cover_has_the_type_of_its_content(client: TestClient, tracks: dict[int, str]) -> None:
    found = client.get(f"{tracks[2]}/cover")
    assert found.content == PNG
    assert found.headers["content-type"] == "image/png"
    assert found.headers["x-content-type-options"] == "nosniff"
    head = client.head(f"{tracks[2]}/cover")
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(len(PNG))
    for number in (1, 4):  # no tags, no audio
        assert "hold no JPEG, PNG, WebP or GIF" in problem(client.get(f"{tracks[number]}/cover"), 404)


@pytest.mark.parametrize("data", [b"BM" + bytes(100), PNG + bytes(10 * 1024 * 1024)])
def test_pictures_that_browsers_should_not_get(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "a.mp3", tune(TUNES["up"], seconds=1), RATE)
    tags = mutagen.id3.ID3()
    tags.add(mutagen.id3.APIC(mime="image/png", type=3, data=data))
    tags.save(path)
    with pytest.raises(ProblemError, match="hold no JPEG, PNG, WebP or GIF"):
        audio._cover(audio._Named(path, "a.mp3", "track 1"))


def test_the_same_excerpt_is_made_once(
    client: TestClient, tracks: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, running, most, lock, real = 0, 0, 0, threading.Lock(), audio.make_excerpt

    def counted(path: Path, excerpt: Excerpt) -> bytes:
        nonlocal made, running, most
        with lock:
            made, running = made + 1, running + 1
            most = max(most, running)
        try:
            return real(path, excerpt)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(audio, "make_excerpt", counted)
    queries = [f"start={n % 4 / 10 + 0.01}&semitones=1" for n in range(16)]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda query: client.get(f"{tracks[1]}/audio?{query}").content, queries))
    assert made == 4 and most <= 2
    assert found[:4] == found[4:8] == found[12:] and len(set(found)) == 4


async def wait_for(cache: SoundCache, *keys: str) -> None:
    for key in keys:
        assert await cache.excerpt(key, lambda: bytes(100)) == bytes(100)


def test_the_oldest_excerpts_go_first() -> None:
    cache = SoundCache(excerpt_bytes=250)
    asyncio.run(wait_for(cache, "a", "b", "a", "c"))
    assert cache.size == 200

    async def held() -> list[bytes]:
        return [await cache.excerpt(key, lambda: b"made again") for key in ("a", "c", "b")]

    assert asyncio.run(held()) == [bytes(100), bytes(100), b"made again"]
    cache.close()


def test_too_many_different_excerpts_are_refused(client: TestClient) -> None:
    cache, stop = SoundCache(), threading.Event()

    async def ask() -> list[Any]:
        waits = [cache.excerpt(n, lambda: b"x" if stop.wait(10) else b"") for n in range(70)]
        tasks = [asyncio.ensure_future(one) for one in waits]
        await asyncio.sleep(0.05)
        stop.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(ask())
    cache.close()
    assert found[:64] == [b"x"] * 64
    assert all("try again in a second" in str(one) for one in found[64:])


@pytest.mark.slow
def test_an_excerpt_of_b_meets_a(client: TestClient, tracks: dict[int, str], folder: Path) -> None:
    """What the description of the route says: B is A, changed and a second later; its excerpt is as A again."""
    changed, rate = read(make_excerpt(folder / "1 up.wav", Excerpt(semitones=3, tempo_ratio=1.1)))
    later = np.concatenate([np.zeros((rate, 1), np.float32), changed])

    def upload(samples: np.ndarray) -> str:
        file = io.BytesIO()
        sf.write(file, samples, rate, format="WAV")
        return str(client.post("/api/v1/uploads", content=file.getvalue()).json()["id"])

    def alignment(b: str) -> dict[str, float]:
        asked = {"a": {"track": int(tracks[1].rpartition("/")[2])}, "b": {"upload": b}, "align": True}
        found = client.post("/api/v1/compare", json=asked).json()
        # Both are shorter than a passage, so the spans that are aligned start at 0.
        assert {one["b"]["start"] for one in found["passages"].values() if one} == {0.0}
        record: dict[str, float] = found["matches"][0]["alignment"]
        return record

    b = upload(later)
    found = alignment(b)
    assert found["semitones"] == 3
    assert found["tempo_ratio"] == pytest.approx(1.1, abs=0.01)
    assert found["offset"] == pytest.approx(1.0, abs=0.05)
    query = {
        "start": found["offset"],
        "semitones": -found["semitones"],
        "tempo_ratio": 1 / found["tempo_ratio"],
    }
    again = alignment(upload(read(client.get(f"/api/v1/uploads/{b}/audio", params=query).content)[0]))
    assert again["semitones"] == 0
    assert again["tempo_ratio"] == pytest.approx(1.0, abs=0.01)
    assert again["offset"] == pytest.approx(0.0, abs=0.05)
