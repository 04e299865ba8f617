"""Indexing the objects of a store: listed and read by URL, recognised later, flagged when they are deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from library_contents import contents

from soundalike.api import Library
from soundalike.core.errors import UsageError
from soundalike.core.files import absolute, make_folder
from soundalike.core.object_stores import (
    StoredObject,
    is_remote,
    is_taken,
    list_objects,
    local_copy,
    local_folder,
    local_target,
    url_of,
)
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.find_files import find_files
from soundalike.library.indexing.index import IndexReport, index_files
from soundalike.search.query import Query
from soundalike.search.search import search_library
from soundalike.serve.app import create_app

TestClient = pytest.importorskip("fastapi.testclient", reason="soundalike[serve] is not installed").TestClient
fsspec = pytest.importorskip("fsspec", reason="soundalike[ray] is not installed")

URL = Path("memory://bucket/music")


@pytest.fixture
def store(made: Callable[..., Path]) -> Iterator[Any]:
    """A store in memory with two recordings, and files that are none."""
    system = fsspec.filesystem("memory")
    for name, seed in (("a.wav", 1), ("new/b.wav", 2)):
        system.pipe_file(f"/bucket/music/{name}", made(f"local/{name}", seconds=3, seed=seed).read_bytes())
    system.pipe_file("/bucket/music/notes.txt", b"no recording")
    yield system
    system.rm("/bucket", recursive=True)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., IndexReport]:
    def go(*sources: Path, name: str = "library", **options: Any) -> IndexReport:
        with LibraryFolder.create(tmp_path / name) as library:
            return index_files(library, sources or [URL], model="dsp", **options)

    return go


def test_urls_become_paths_and_back() -> None:
    assert absolute(Path("s3://bucket/a b/c.flac")) == Path("/s3:/bucket/a b/c.flac")
    assert absolute(Path("/s3:/bucket/c.flac")) == Path("/s3:/bucket/c.flac")
    assert absolute(Path("file:///music")) == Path("/music")
    assert absolute(Path("music")) == Path.cwd() / "music"
    assert url_of(Path("/s3:/bucket/a b/c.flac")) == "s3://bucket/a b/c.flac"
    assert [is_remote(path) for path in ("/gs:/a", b"/gs:/a", Path("/gs:/a"), "/music/a", "/a/gs:/b", "gs:/a")] == [
        True, True, True, False, False, False
    ]  # fmt: skip


def test_objects_have_the_rows_of_local_files(store: Any, run: Callable[..., IndexReport], tmp_path: Path) -> None:
    report = run()
    assert (report.added, report.failed, report.skipped) == (2, [], {".txt files": 1})
    run(tmp_path / "local", name="other")
    assert contents(tmp_path / "library") == contents(tmp_path / "other")
    with LibraryFolder(tmp_path / "library") as library:
        paths = sorted(str(track.path) for track in library.catalog.tracks())
        assert paths == ["/memory:/bucket/music/a.wav", "/memory:/bucket/music/new/b.wav"]
        result = search_library(library, Query(tmp_path / "local/a.wav"))
        # Its own content is no match, so the other one is, although no file is at its path.
        assert [match.span.track for match in result.matches] == ["/memory:/bucket/music/new/b.wav"]


def test_a_later_run_follows_the_store(store: Any, run: Callable[..., IndexReport], tmp_path: Path) -> None:
    run()
    assert (again := run()).unchanged == 2 and again.added == 0
    store.rm("/bucket/music/a.wav")
    store.pipe_file("/bucket/music/new/b.wav", (tmp_path / "local/a.wav").read_bytes())
    report = run()
    assert (report.changed, report.missing, report.away) == (1, 1, [])
    assert run(prune=True).pruned == 1
    assert [name for name, *_ in contents(tmp_path / "library").values()] == ["b.wav"]


def test_local_files_take_no_entries_of_objects(store: Any, run: Callable[..., IndexReport], tmp_path: Path) -> None:
    run()
    report = run(tmp_path / "local")
    assert (report.moved, report.copied, report.missing) == (0, 2, 0)
    with LibraryFolder(tmp_path / "library") as library:
        assert sum(is_remote(track.path) for track in library.catalog.tracks()) == 2


def test_patterns_exclude_objects(store: Any, run: Callable[..., IndexReport]) -> None:
    report = run(exclude=["/new/"])
    assert (report.added, report.skipped) == (1, {".txt files": 1, "excluded files": 1})


def test_files_of_systems_are_passed_over(store: Any, run: Callable[..., IndexReport], tmp_path: Path) -> None:
    content = (tmp_path / "local/a.wav").read_bytes()
    for name in ("._a.wav", "@eaDir/a.wav", "new/.Trash-1000/files/a.wav"):
        store.pipe_file(f"/bucket/music/{name}", content)
    report = run()
    assert (report.added, report.failed) == (2, [])
    assert report.skipped == {
        ".txt files": 1, "._ files of macOS": 1, "files in folders of trash, version control or the system": 2,
    }  # fmt: skip


def test_a_store_may_name_objects_without_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [StoredObject(Path("/http:/music/a.wav"), 1, 0), StoredObject(Path("/http:/@eaDir/a.wav"), 1, 0)]
    monkeypatch.setattr("soundalike.library.indexing.find_files.list_objects", lambda source: found)
    listed = find_files([Path("/http:/host/music")])
    assert list(listed.files) == [Path("/http:/music/a.wav")]
    assert listed.skipped == {"files in folders of trash, version control or the system": 1}


def test_an_unreadable_object_fails_alone(store: Any, run: Callable[..., IndexReport]) -> None:
    store.pipe_file("/bucket/music/c.wav", b"RIFF")
    report = run()
    assert report.added == 2
    assert [name for name, _ in report.failed] == ["/memory:/bucket/music/c.wav"]


def test_copies_are_deleted(store: Any) -> None:
    with local_copy(absolute(URL / "a.wav")) as file:
        assert file.read_bytes() == store.cat_file("/bucket/music/a.wav")
        assert file.name == "a.wav"
    assert not file.parent.exists()


def test_a_server_reads_no_objects(
    store: Any, run: Callable[..., IndexReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    read: list[str] = []
    monkeypatch.setattr(store, "get_file", lambda name, local: read.append(name))
    with (
        Library(tmp_path / "library") as opened,
        TestClient(create_app(opened), base_url="http://127.0.0.1") as client,
    ):
        whole = {"query": {"track": opened.tracks()[0].id}, "by": "passage"}
        assert client.post("/api/v1/search", json=whole).json()["matches"]
        region = {"query": {**whole["query"], "start": 0, "end": 2}}
        refused = client.post("/api/v1/search", json=region)
        assert 400 <= refused.status_code < 500
        assert "in an object store, from which the server does not read" in refused.json()["detail"]
    assert read == []


def test_a_folder_is_stored_as_a_whole_or_not_at_all(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    put_file = store.put_file

    def put(local: str, name: str) -> None:
        order.append(name.rpartition("/")[2])
        put_file(local, name)
        if len(order) == failing:
            raise OSError("the line is down")

    def write() -> None:
        with local_target(Path("memory://bucket/out"), last="a") as folder:
            folder.mkdir()
            for name in "abc":
                (folder / name).write_text(name)

    monkeypatch.setattr(store, "put_file", put)
    failing = 2
    with pytest.raises(UsageError, match="^memory://bucket/out cannot be written: the line is down; give another"):
        write()
    assert not is_taken(Path("memory://bucket/out"))
    order, failing = [], 0
    write()
    assert order == ["b", "c", "a"] and is_taken(Path("memory://bucket/out"))
    with local_folder(Path("memory://bucket/out"), ["a", "none"]) as folder:
        assert {file.name: file.read_text() for file in folder.iterdir()} == {"a": "a"}


def test_what_was_stored_before_survives_a_failure(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store.pipe_file("/bucket/v.npz", b"old")
    store.pipe_file("/bucket/stems/bass.flac", b"old")

    def fail(local: str, name: str) -> None:
        raise OSError("the line is down")

    monkeypatch.setattr(store, "put_file", fail)
    with pytest.raises(UsageError), local_target(Path("memory://bucket/v.npz")) as file:
        file.write_bytes(b"new")
    with pytest.raises(UsageError), local_target(Path("memory://bucket/stems")) as folder:
        folder.mkdir()
        (folder / "bass.flac").write_bytes(b"new")
    assert store.cat_file("/bucket/v.npz") == store.cat_file("/bucket/stems/bass.flac") == b"old"


def test_urls_of_files_are_paths(tmp_path: Path) -> None:
    with local_target(Path(f"file://{tmp_path}/out")) as target, local_folder(Path(f"file://{tmp_path}"), []) as folder:
        assert (target, folder) == (tmp_path / "out", tmp_path)


def test_local_paths_are_used_as_they_are(tmp_path: Path) -> None:
    with local_target(tmp_path / "out") as target, local_folder(tmp_path, ["any"]) as folder:
        assert (target, folder) == (tmp_path / "out", tmp_path)
    assert not is_taken(tmp_path)


def test_folders_that_must_be_local(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder on a disk, found a URL; give a folder to --out"):
        make_folder(Path("s3://bucket/out"), "--out")
    with pytest.raises(UsageError, match="expected a folder on a disk, found a URL"):
        make_folder(Path("/s3:/bucket/out"), "--out")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nowhere", "memory://nowhere: nothing is there"),
        ("nosuch://bucket", "nosuch://bucket cannot be opened: Protocol not known: nosuch"),
    ],
)
def test_wrong_urls(url: str, message: str) -> None:
    with pytest.raises(UsageError, match="^" + message):
        list_objects(absolute(Path(url)))
