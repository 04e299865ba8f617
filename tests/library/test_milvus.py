"""A library in Milvus: pushed, searched and pulled back, row for row, and nothing lost when the server is killed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from milvus_servers import MilvusLite, running
from soundalike.api import open as open_library
from soundalike.audio.stream import windows
from soundalike.cli.main import main
from soundalike.core.errors import LibraryError, UsageError
from soundalike.core.types import LEVELS
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.editing import remove_tracks
from soundalike.library.exchange import push
from soundalike.library.exchange.import_ import import_library
from soundalike.library.exchange.pull import StoredLibrary, pull_catalog
from soundalike.library.exchange.push import PushReport, push_library
from soundalike.library.folder import LibraryFolder
from soundalike.library.stores import milvus_server
from soundalike.library.stores.milvus_server import Field, MilvusAddress, MilvusServer
from soundalike.models.heads import unit_rows

SPACES = {"m/a": 5, "m/b": 3, "n/c": 4}
NUMBERS = count()


@pytest.fixture(scope="module", params=["lite", pytest.param("standalone", marks=pytest.mark.slow)])
def running_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    with running(tmp_path_factory.mktemp("milvus") / "data", request.param) as server:
        yield server


@pytest.fixture
def address(running_server: MilvusLite) -> str:
    """The address of a library that nothing else uses."""
    return running_server.address(f"t{next(NUMBERS)}")


def track_of(path: Path, seconds: float, **fields: object) -> Track:
    values: dict[str, object] = {
        "path": path, "size": 5, "mtime_ns": 7, "content_hash": ascii(path.stem), "audio_hash": ascii(path.stem),
        "duration": seconds, "rate": 44100, "channels": 2, "codec": "mp3", "title": None, "artists": (),
        "album": None, "genres": (), "year": None, "bpm_tag": None, "key_tag": None, "tempo": 0.1 + 0.2, "key": None,
        "loudness": -9.5, "silent": False,
    }  # fmt: skip
    return Track(**(values | fields))  # type: ignore[arg-type]


def add(library: LibraryFolder, tracks: list[Track], models: str = "mn", seed: int = 0) -> None:
    """Add tracks as `index` does: rows first, then the catalogue. A track without models has no rows."""
    random, catalog = np.random.default_rng(seed), library.catalog
    with catalog.transaction():
        for model in "mn":
            if model not in catalog.models():
                dims = [(full[2:], level, dim) for full, dim in SPACES.items() if full[0] == model for level in LEVELS]
                catalog.put_model(model, HeldModel(f"digest of {model}", model), dims)
    library.refresh()
    for track in tracks:
        counts = {"track": 1, "passage": len(windows(track.duration))}
        firsts = {level: catalog.next_row(level) for level in LEVELS}
        for full, dim in SPACES.items():
            for level in LEVELS if full[0] in models else ():
                rows = unit_rows(random.standard_normal((counts[level], dim)).astype(np.float32))
                rows[random.random(len(rows)) < 0.2] = 0
                library.store.write(level, full, firsts[level], rows)
        library.store.flush()
        with catalog.transaction():
            one = catalog.put_track(track.path.parent, track)
            catalog.fingerprints.put(one, random.integers(0, 2**32, 200, dtype=np.uint32))
            for level in LEVELS if models else ():
                catalog.assign_rows(one, level, firsts[level], counts[level])
            for model in models:
                catalog.mark_encoded(one, model)
                for level in LEVELS:
                    catalog.commit_rows(model, level, firsts[level], counts[level])


def fill(path: Path, tracks: int = 12) -> Path:
    """A library with all that one can hold: two models, copies, odd names, missing, unencoded and unreadable files."""
    music = path.parent / "music"
    odd = Path(os.fsdecode(os.fsencode(music) + b"/odd\xff.mp3"))
    with LibraryFolder.create(path) as library:
        tagged = {"artists": ("Ä", "b"), "genres": ("x" * 500,), "year": 1999, "title": "\u2028 'quoted' \"title\""}
        add(library, [track_of(music / f"{n}.mp3", 12.5 + 3 * n, **tagged) for n in range(tracks)], seed=1)
        add(library, [track_of(odd, 30.0), track_of(music / "gone.mp3", 8.0, missing=True)], models="n", seed=2)
        add(library, [track_of(music / "plain.mp3", 200.0)], models="", seed=3)
        with library.catalog.transaction():
            copy = library.catalog.put_track(music, track_of(music / "copy.mp3", 12.5, title="a copy"))
            library.catalog.share_rows(library.catalog.id_at(music / "0.mp3") or 0, copy)
            library.catalog.failures.put(music / "bad\udcff.mp3", 3, 4, "not audio")
    return path


def content(path: Path) -> dict[str, object]:
    """All that a library holds, by path."""
    with LibraryFolder(path) as library, library.snapshot():
        catalog, found = library.catalog, {}
        roots = catalog.paths.roots_of(catalog.ids().tolist())
        for track in catalog.tracks():
            rows = {
                (full, level): library.store.read(level, full, dim, np.arange(first, first + number)).tobytes()
                for level in LEVELS
                for first, number in [catalog.rows_of(track.id, level)]
                for full, dim in SPACES.items()
                if catalog.is_encoded(track.id, full[0]) and number
            }
            words = catalog.fingerprints.get(track.id).tobytes()
            found[str(track.path)] = (
                replace(track, id=0),
                str(roots[track.id]),
                rows,
                words,
                catalog.models_of(track.id),
            )
        return found | {"failures": catalog.failures.all(), "models": catalog.models()}


def pushed(path: Path, address: str, **options: object) -> PushReport:
    with LibraryFolder(path) as library:
        return push_library(library, address, **options)  # type: ignore[arg-type]


def pulled(path: Path, address: str) -> Path:
    with StoredLibrary(address) as stored, LibraryFolder.create(path) as library:
        import_library(library, stored)
    return path


def test_there_and_back_row_for_row(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what changed in between, in small batches; and Milvus keeps nothing that the library no longer holds."""
    monkeypatch.setattr(push, "_BATCH_BYTES", 60_000)
    path = fill(tmp_path / "library")
    report = pushed(path, address)
    assert (report.written, report.kept, report.removed) == (16, 0, 0)
    assert content(pulled(tmp_path / "back", address)) == content(path)
    again = pushed(path, address)
    assert (again.written, again.kept, again.removed, again.rows) == (0, 16, 0, 0)
    with LibraryFolder(path, writable=True) as library:
        catalog = library.catalog
        tracks = {track.path.stem: track for track in catalog.tracks()}
        remove_tracks(library, [tracks["3"], tracks["copy"]])
        with catalog.transaction():
            catalog.put_track(tracks["4"].path.parent, replace(tracks["4"], title="new"))
        add(library, [track_of(tmp_path / "music" / "new.mp3", 40.0)], seed=9)
    changed = pushed(path, address)
    # A new track, a new title, and a track that lost its copy; a removed track; rows only for the new one.
    assert (changed.written, changed.kept, changed.removed) == (3, 12, 3)
    assert changed.rows == 1 + len(windows(40.0))
    assert content(pulled(tmp_path / "again", address)) == content(path)
    with MilvusServer(MilvusAddress.parse(address)) as server, LibraryFolder(path) as library:
        for level in LEVELS:
            held = {int(one["id"]) for one in server.query(level, "id >= 0", [])}
            used = sum(
                number for _, number in {library.catalog.rows_of(int(one), level) for one in library.catalog.ids()}
            )
            assert len(held) == used


def test_only_the_catalogue_is_pulled_and_rows_are_read_from_milvus(address: str, tmp_path: Path) -> None:
    path, remote = fill(tmp_path / "library"), tmp_path / "remote"
    pushed(path, address)
    assert pull_catalog(remote, address) == 16
    assert not list(remote.glob("*.f32"))
    assert content(remote) == content(path)
    with pytest.raises(LibraryError, match="are in Milvus and are not changed here"):
        LibraryFolder(remote, writable=True)
    with pytest.raises(UsageError, match="are in Milvus already"):
        pushed(remote, address)
    with pytest.raises(LibraryError, match="holds a library; give a new folder"):
        pull_catalog(path, address)


def test_searches_give_what_the_library_gives(
    address: str, stocked: Path, music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands and the Python interface: tracks, passages, weights of both signs, filters and excludes."""
    remote = tmp_path / "remote"
    assert main(["library", "push", address, "--library", str(stocked)]) == 0
    assert main(["library", "pull", address, "--library", str(remote), "--catalog"]) == 0
    assert "12 tracks written" in (printed := capsys.readouterr().out)
    assert "12 tracks in the library" in printed
    query = music / "up" / "0.wav"
    with open_library(stocked) as here, open_library(remote) as there:
        for options in (
            {}, {"weights": {"melody": 2, "timbre": -1}, "by": "track"}, {"by": "passage", "region": (2, 8)},
            {"where": "duration > 5", "by": "track"}, {"exclude_same_artist": True, "include_self": True},
            {"like": [music / "leaps" / "1.wav"], "k": 3},
        ):  # fmt: skip
            found, expected = there.search(query, **options), here.search(query, **options)
            assert list(found) == list(expected), options
            assert (found.searched, found.reference, found.level) == (
                expected.searched,
                expected.reference,
                expected.level,
            )
            assert len(found)


def test_what_was_acknowledged_survives_a_kill(
    running_server: MilvusLite, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is killed in the middle of a push; a second push completes it, and writes nothing twice."""
    monkeypatch.setattr(push, "_BATCH_BYTES", 60_000)
    path, acknowledged = fill(tmp_path / "library", tracks=25), []

    def kill(done: int, total: int, seconds: float) -> None:
        acknowledged.append(done)
        if len(acknowledged) == 3:
            running_server.kill()
            monkeypatch.setattr(milvus_server, "CALL", 2.0)

    with pytest.raises(LibraryError, match=r"^cannot reach Milvus at 127.0.0.1:\d+ to write; check the address"):
        pushed(path, address, progress=kill)
    assert 0 < acknowledged[-1] < 29
    monkeypatch.setattr(milvus_server, "CALL", 60.0)
    running_server.start()
    whole = content(path)
    partial = content(pulled(tmp_path / "partial", address))
    tracks = [name for name in partial if name not in ("failures", "models")]
    assert len(tracks) == acknowledged[-1]
    assert {name: partial[name] for name in tracks} == {name: whole[name] for name in tracks}
    report = pushed(path, address)
    assert (report.written, report.kept) == (29 - acknowledged[-1], acknowledged[-1])
    assert content(pulled(tmp_path / "whole", address)) == whole


@pytest.mark.slow  # several starts of a server
def test_a_server_that_comes_back_in_time_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_BATCH_BYTES", 60_000)
    path = fill(tmp_path / "library")
    with running(tmp_path / "data") as server:

        def restart(done: int, total: int, seconds: float) -> None:
            if done < total:
                server.kill()
                server.start()

        pushed(path, server.address("restarted"), progress=restart)
        assert content(pulled(tmp_path / "back", server.address("restarted"))) == content(path)


def test_a_full_disk_on_the_server(tmp_path: Path) -> None:
    path = fill(tmp_path / "library")
    with running(tmp_path / "data") as server:
        server.kill()
        server.start(largest_file=20_000)
        with pytest.raises(LibraryError, match=r"^Milvus at 127.0.0.1:\d+ has no space left to write; free some"):
            pushed(path, server.address("full"))
        server.kill()
        server.start()
        pushed(path, server.address("full"))
        assert content(pulled(tmp_path / "back", server.address("full"))) == content(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://localhost/x", "is not the address of a library in Milvus; expected milvus://HOST:PORT/NAME"),
        ("milvus://localhost:19530", "expected milvus://HOST:PORT/NAME"),
        ("milvus://localhost:0/x", "the port is 0, expected 1 to 65535"),
        ("milvus://localhost/a-b", "expected letters, digits and _"),
        ("milvus://127.0.0.1:1/x", "cannot reach Milvus at 127.0.0.1:1 to connect; check the address"),
    ],
)
def test_addresses_that_lead_nowhere(
    text: str, message: str, running_server: MilvusLite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["library", "pull", text, "--library", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_other_collections_of_the_name(address: str, tmp_path: Path) -> None:
    path = fill(tmp_path / "library")
    with pytest.raises(LibraryError, match="there is no library at .*; make one with: soundalike library push"):
        pulled(tmp_path / "back", address)
    with MilvusServer(MilvusAddress.parse(address)) as server:
        server.create("track", [Field("word", "VARCHAR", 9), Field("vector", "FLOAT_VECTOR", 2)], "FLAT")
        with pytest.raises(LibraryError, match=r"_track .* none of soundalike's \(it has .*word VARCHAR"):
            pushed(path, address)
    with MilvusServer(MilvusAddress.parse(address + "x")) as server:
        fields = [Field("silent", "VARCHAR", 1024), Field("checksum", "INT64"), Field("vector", "FLOAT_VECTOR", 2)]
        server.create("track", fields, "FLAT")
        with pytest.raises(LibraryError, match="_track .* has vectors of 2 dims, expected 15"):
            pushed(path, address + "x")
    pushed(path, address + "y")
    with LibraryFolder(path, writable=True) as library, library.catalog.transaction():
        library.catalog.drop_model("n")
    with pytest.raises(LibraryError, match=r"holds m digest o \(2 spaces\) and n .*; push it under another name"):
        pushed(path, address + "y")
    with LibraryFolder.create(tmp_path / "empty") as library, pytest.raises(LibraryError, match="holds no rows"):
        push_library(library, address + "z")


def test_changed_rows_and_entries_are_noticed(address: str, tmp_path: Path) -> None:
    path = fill(tmp_path / "library")
    pushed(path, address)
    with MilvusServer(MilvusAddress.parse(address)) as server:
        (row,) = server.query("passage", "id == 3", ["silent", "checksum", "vector"])
        vector = np.array(row["vector"], np.float32)
        vector[1] += 0.25
        server.upsert("passage", [{**row, "vector": vector}])
    with pytest.raises(LibraryError, match="rows of milvus://.* are missing or corrupt"):
        pulled(tmp_path / "back", address)
    pull_catalog(tmp_path / "remote", address)
    with LibraryFolder(tmp_path / "remote") as library:
        assert np.flatnonzero(library.store.corrupt("passage", "m/a", 5, np.arange(6))).tolist() == [3]
    with MilvusServer(MilvusAddress.parse(address)) as server:
        server.upsert("catalog", [{"id": 256, "parts": 1, "text": '{"body":{}}', "vector": [0.0, 0.0]}])
    with pytest.raises(LibraryError, match="entry 1 of the catalogue is invalid"):
        pulled(tmp_path / "other", address)


@pytest.mark.slow  # a server of the page beside the one of Milvus
def test_a_library_in_milvus_is_served(address: str, stocked: Path) -> None:
    pushed(stocked, address)
    command = [sys.executable, "-m", "soundalike", "serve", "--store", address, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            found = re.search(r"serving 12 tracks at (\S+)", served.stdout.readline())
            assert found
            request = urllib.request.Request(
                f"{found[1]}api/v1/search",
                json.dumps({"query": {"track": 1}, "k": 3}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as answer:
                body = json.load(answer)
        finally:
            served.terminate()
    with open_library(stocked) as library:
        expected = [match.path for match in library.search(body["query"]["path"], k=3)]
    assert [match["path"] for match in body["matches"]] == expected
