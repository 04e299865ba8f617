"""What goes wrong around a library is named for what it is, and repaired where that is possible."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import soundalike
from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core.errors import LibraryBusyError, LibraryError
from soundalike.core.sqlite import take_lock
from soundalike.library.catalog.schema import as_library_error
from soundalike.library.catalog.transactions import CatalogDatabase
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import check_library, vacuum_library
from soundalike.library.stores.sidecars import SidecarFiles
from soundalike.search.query import Query
from soundalike.search.search import search_library


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for number, name in enumerate(("up", "down")):
        write(folder / f"{name}.wav", tune(TUNES[name], seconds=6 + number, seed=number))
    return folder


@pytest.fixture(scope="module")
def original(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "library"
    with LibraryFolder.create(path) as library:
        index_files(library, [songs], model="dsp", jobs=1)
    return path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "library"))


# Errors of SQLite and of the system ---------------------------------------------------------------------------------


def sqlite_error(code: int, text: str = "database is locked, full, readonly") -> sqlite3.Error:
    """An error with a code. The text says other things, as messages of SQLite may in another version."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_SOMETHING"
    return error


@pytest.mark.parametrize(
    ("error", "message", "corrupt"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), "another process is writing", False),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), "another process is writing", False),
        (sqlite_error(sqlite3.SQLITE_LOCKED), "another process is writing", False),
        (sqlite_error(sqlite3.SQLITE_FULL), "cannot write .* free some space", False),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write .* free some space", False),
        (OSError(errno.EFBIG, "File too large"), "cannot write .* free some space", False),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), "the disk .* reports an error", False),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), "the disk .* reports an error", False),
        (sqlite_error(sqlite3.SQLITE_READONLY), "is read-only, belongs to another user", False),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), "is read-only, belongs to another user", False),
        (PermissionError(errno.EACCES, "Permission denied"), "is read-only, belongs to another user", False),
        (OSError(errno.EIO, "Input/output error", "/l/a.f32"), r"\(a.f32: Input/output error\); check that its", False),
        (sqlite_error(sqlite3.SQLITE_ERROR), "cannot be read .* another program changed it", False),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), "cannot be used this way: Cannot", False),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), "is corrupt and cannot be read", True),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), "is corrupt and cannot be read", True),
        (sqlite_error(sqlite3.SQLITE_NOTADB), "is corrupt and cannot be read", True),
    ],
)
def test_messages_follow_the_code_of_an_error(error: Exception, message: str, corrupt: bool) -> None:
    found = as_library_error(Path("/l/catalog.sqlite"), error)
    with pytest.raises(LibraryError, match=message):
        raise found
    assert "\n" not in str(found)
    assert ("corrupt" in str(found), isinstance(found, LibraryBusyError)) == (corrupt, "another process" in message)


def test_a_catalogue_that_cannot_grow_is_a_full_disk_and_nothing_is_lost(folder: Path) -> None:
    with LibraryFolder(folder, writable=True) as library:
        connection = library.catalog.database.connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        tracks = library.catalog.tracks()
        with (
            pytest.raises(LibraryError, match=r"cannot write .*: database or disk is full; free some space"),
            library.catalog.transaction(),
        ):
            for number in range(2000):
                library.catalog.failures.put(Path(f"/music/{number}.mp3"), 1, 1, "x" * 100)
        assert library.catalog.tracks() == tracks
        connection.execute("PRAGMA max_page_count = 1000000")
        with library.catalog.transaction():
            library.catalog.failures.put(Path("/music/1.mp3"), 1, 1, "x")
        assert check_library(library).ok


LIMITED = """
import resource, sys
from soundalike.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("limit", [600, pytest.param(60_000, marks=pytest.mark.slow)])
def test_a_limit_on_the_size_of_files_is_named_as_a_full_disk(folder: Path, tmp_path: Path, limit: int) -> None:
    """600 bytes are too few for vectors or even the catalogue, and 60 kB for the WAL of a few thousand entries."""
    music = tmp_path / "music"
    write(music / "new.wav", tune(TUNES["pedal"], seconds=3))
    for number in range(600 if limit > 1000 else 0):
        (music / f"{number:0200}.wav").write_bytes(b"RIFF")
    command = ["index", str(music), "--library", str(folder), "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "(nothing stored is lost)" in done.stderr
    assert "Traceback" not in done.stderr and "corrupt" not in done.stderr
    with LibraryFolder(folder) as library:
        assert check_library(library).ok
        assert {track.path.name for track in library.catalog.tracks()} >= {"up.wav", "down.wav"}
    with LibraryFolder.create(folder) as library:
        index_files(library, [music / "new.wav"], jobs=1)
        assert library.catalog.track_at(music / "new.wav") is not None


# Use in the wrong place ----------------------------------------------------------------------------------------------


def test_snapshots_may_be_nested(folder: Path) -> None:
    with LibraryFolder(folder) as library, library.snapshot():
        before = library.catalog.generation
        with LibraryFolder(folder, writable=True) as writer, writer.catalog.transaction():
            writer.catalog.failures.put(Path("/music/1.mp3"), 1, 1, "x")
        with library.catalog.snapshot(), library.snapshot(), library.catalog.snapshot():
            assert library.catalog.generation == before
        assert library.catalog.generation == before, "leaving an inner snapshot does not end the outer one"
    with LibraryFolder(folder) as library, library.catalog.snapshot(), library.snapshot():
        assert library.catalog.generation == before + 1


def test_a_library_is_not_changed_inside_a_snapshot(folder: Path) -> None:
    with LibraryFolder(folder, writable=True) as library:
        for block in (library.snapshot, library.catalog.transaction):
            with (
                block(),
                pytest.raises(LibraryError, match="cannot be changed inside a snapshot or another transaction"),
                library.catalog.transaction(),
            ):
                pass
        with library.catalog.transaction():
            library.catalog.failures.put(Path("/music/1.mp3"), 1, 1, "x")


def test_a_closed_library_says_so(folder: Path) -> None:
    library = LibraryFolder(folder)
    catalog = library.catalog
    library.close()
    for use in (catalog.tracks, catalog.models, lambda: library.model("dsp"), library.info):
        with pytest.raises(LibraryError, match="is closed; open it again"):
            use()


def test_a_library_may_be_closed_in_another_thread(folder: Path) -> None:
    library = LibraryFolder(folder, writable=True)
    thread = threading.Thread(target=library.close)
    thread.start()
    thread.join()
    with LibraryFolder(folder, writable=True) as again:  # the lock was released
        assert again.catalog.counts()["tracks"] == 2


def test_foreign_content_of_the_lock_is_removed(folder: Path) -> None:
    (folder / "writer.lock").write_bytes(b"not a database, but long enough to be read as one ......." * 40)
    with LibraryFolder(folder, writable=True):
        with pytest.raises(LibraryBusyError, match="another process is writing"):
            LibraryFolder(folder, writable=True)
        (folder / "writer.lock").write_bytes(b"written while the lock is held, by a tool for backups....." * 40)
        with pytest.raises(LibraryBusyError, match="another process is writing"):
            LibraryFolder(folder, writable=True)
    with LibraryFolder(folder, writable=True), pytest.raises(sqlite3.OperationalError, match="locked"):
        take_lock(folder / "writer.lock")


def test_a_lock_whose_file_is_deleted_meanwhile_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that held it may have deleted the library: others would lock a new file."""
    path, connect, opened = tmp_path / "writer.lock", sqlite3.connect, []

    class Connection(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            done = super().execute(*arguments)
            opened.append(self)
            if len(opened) == 1:
                path.unlink()
            return done

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Connection, **options))
    with closing(take_lock(path)):
        assert path.exists() and len(opened) == 2
        with pytest.raises(sqlite3.OperationalError):
            take_lock(path)


def test_a_lock_that_is_a_folder_is_an_error_of_one_line(folder: Path) -> None:
    (folder / "writer.lock").unlink()
    (folder / "writer.lock").mkdir()
    with pytest.raises(LibraryError, match="cannot write to the library") as caught:
        LibraryFolder(folder, writable=True)
    assert "corrupt" not in str(caught.value)


# Missing files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("cut", [False, True], ids=["missing", "truncated"])
def test_files_that_follow_from_others_are_made_again(folder: Path, writable: bool, cut: bool) -> None:
    files = [*folder.glob("track.*.melody.i8"), *folder.glob("passage.*.timbre.i8"), *folder.glob("passage.*.on")]
    assert len(files) == 6
    before = {file: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
        if cut:
            file.write_bytes(before[file][:1])
    with LibraryFolder(folder, writable=writable) as library:
        assert check_library(library).ok
    assert {file: file.read_bytes() for file in files} == before
    assert not list(folder.glob(".soundalike*"))


def test_rows_that_are_made_again_do_not_hide_corruption(folder: Path) -> None:
    (exact,) = folder.glob("passage.*.melody.f32")
    content = bytearray(exact.read_bytes())
    content[3] ^= 1
    exact.write_bytes(content)
    exact.with_suffix(".i8").unlink()
    with LibraryFolder(folder) as library:
        assert list(check_library(library).tracks.values()) == [("passage rows of dsp/melody",)]


@pytest.mark.parametrize("incomplete", [False, True])
def test_while_nothing_can_be_written_missing_files_are_computed_in_memory(
    folder: Path, songs: Path, incomplete: bool
) -> None:
    """Another process is writing, or the library is read-only."""
    with LibraryFolder(folder) as library:
        before = search_library(library, Query(songs / "up.wav", include_self=True))
    files = [next(folder.glob("track.*.melody.i8")), *folder.glob("passage.*.on"), *folder.glob("passage.*.i8")]
    with LibraryFolder(folder, writable=True):
        for file in files:
            file.unlink()
        with LibraryFolder(folder, incomplete=incomplete) as library:
            assert check_library(library).ok
            found = search_library(library, Query(songs / "up.wav", include_self=True))
            passages = search_library(library, Query(songs / "up.wav", include_self=True, by="passage"))
        assert not any(file.exists() for file in files)
    assert [(match.path, match.score) for match in found] == [(match.path, match.score) for match in before]
    assert len(passages) == 2
    with LibraryFolder(folder) as library:
        assert all(file.exists() for file in files)


def test_a_writer_does_not_write_after_missing_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    next(folder.glob("track.*.melody.i8")).unlink()
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(LibraryError, match=r"cannot write track\.dsp@1\.melody\.i8: No space left"):
        LibraryFolder(folder, writable=True)


@pytest.mark.parametrize("suffix", ["f32", "crc"])
def test_lost_rows_are_encoded_again_after_a_repair(
    folder: Path, songs: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = next(folder.glob(f"track.*.rhythm.{suffix}"))
    lost.unlink()
    with pytest.raises(LibraryError, match=rf"{lost.name} is missing; to encode its tracks again, run: .* --repair"):
        LibraryFolder(folder)
    assert main(["library", "check", "--library", str(folder)]) == 1
    printed = capsys.readouterr()
    assert f"lost {lost.name} is missing" in printed.err
    assert f"lost {songs / 'up.wav'}: track rows of dsp/rhythm (lost)" in printed.err
    assert "2 tracks corrupt or lost" in printed.out
    assert main(["library", "check", "--repair", "--json", "--library", str(folder)]) == 1
    assert json.loads(capsys.readouterr().out)["to_encode_again"] == 2
    with LibraryFolder(folder, writable=True) as library:
        assert check_library(library).ok
        assert index_files(library, [songs], jobs=1).changed == 2
        assert check_library(library).ok
        assert len(library.vectors(model="dsp").spans) == 2


def test_lost_rows_are_repaired_from_python_too(folder: Path, songs: Path) -> None:
    next(folder.glob("track.*.rhythm.f32")).unlink()
    with pytest.raises(LibraryError, match="missing"):
        soundalike.open(folder)
    with soundalike.open(folder, incomplete=True) as library:
        report = library.check(repair=True)
        assert sorted(Path(path).name for path in report.paths.values()) == ["down.wav", "up.wav"]
        assert library.check().ok
        assert library.index(songs, jobs=1).changed == 2
        assert len(library.search(songs / "up.wav", include_self=True)) == 2


def test_a_truncated_file_loses_only_the_tracks_at_its_end(folder: Path, songs: Path) -> None:
    exact = next(folder.glob("track.*.rhythm.f32"))
    exact.write_bytes(exact.read_bytes()[: exact.stat().st_size // 2])
    with LibraryFolder(folder, writable=True, incomplete=True) as library:
        report = check_library(library)
        assert [reason for reason in report.unreadable if "truncated: it holds 1 rows, 2 were committed" in reason]
        assert report.tracks and not report.problems


# Syncing -------------------------------------------------------------------------------------------------------------


def test_an_error_of_fsync_is_named_and_nothing_is_committed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    music = tmp_path / "music"
    write(music / "new.wav", tune(TUNES["pedal"], seconds=3))
    with LibraryFolder(folder, writable=True) as library:
        tracks = library.catalog.tracks()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            with pytest.raises(LibraryError, match=r"cannot write the vectors: Input/output error; check the disk"):
                index_files(library, [music], jobs=1)
        assert library.catalog.tracks() == tracks
        assert check_library(library).ok
        assert index_files(library, [music], jobs=1).added == 1


def test_every_file_is_synced_before_the_catalogue_refers_to_it(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Index, and rewrite by a vacuum; also the folder, which holds the names of new files."""
    unsynced: set[tuple[int, int]] = set()
    commits = 0
    fsync, put, transaction = os.fsync, SidecarFiles._put, CatalogDatabase.transaction

    def identity(status: os.stat_result) -> tuple[int, int]:
        return status.st_dev, status.st_ino

    def recorded_put(files: SidecarFiles, name: str, offset: int, data: bytes) -> None:
        new = not (files.folder / name).exists()
        put(files, name, offset, data)
        unsynced.add(identity((files.folder / name).stat()))
        if new:
            unsynced.add(identity(files.folder.stat()))

    def recorded_fsync(handle: int) -> None:
        fsync(handle)
        unsynced.discard(identity(os.fstat(handle)))

    @contextmanager
    def recorded_transaction(database: CatalogDatabase) -> Iterator[None]:
        nonlocal commits
        with transaction(database):
            yield
            assert not unsynced, "the catalogue is committed before its rows are on disk"
            commits += 1

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(SidecarFiles, "_put", recorded_put)
    monkeypatch.setattr(CatalogDatabase, "transaction", recorded_transaction)
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [songs], model="dsp", jobs=1, keep_features=True)
        with library.catalog.transaction():
            library.catalog.remove(library.catalog.ids().tolist()[:1])
        before = commits
        assert vacuum_library(library).dropped == 2
        assert commits > before > 2


# Text that is not UTF-8 ---------------------------------------------------------------------------------------------


def test_text_that_is_not_utf_8_is_a_library_error_wherever_it_is_read(folder: Path) -> None:
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE tracks SET title = CAST(x'ff' AS TEXT) WHERE id = 1")
    database.execute("UPDATE models SET source = CAST(x'ff' AS TEXT)")
    database.commit()
    database.close()
    with LibraryFolder(folder, writable=True) as library:
        catalog = library.catalog
        for read in (
            catalog.tracks,
            lambda: list(catalog.columns(["title"])),
            catalog.database.corrupt_tracks,
            lambda: catalog.mark([2], missing=True),
        ):
            with (
                pytest.raises(LibraryError, match="the catalogue of the library at .* cannot be read"),
                catalog.transaction(),
            ):
                read()


def test_errors_of_other_text_inside_a_snapshot_are_not_those_of_the_library(folder: Path) -> None:
    with LibraryFolder(folder) as library, pytest.raises(UnicodeDecodeError), library.snapshot():
        b"\xff".decode()
