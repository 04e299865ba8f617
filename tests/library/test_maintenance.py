"""Maintenance: every flipped bit is found, corrupt tracks are encoded again, unused space is freed."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, mounted, tune, write
from soundalike.cli.main import main
from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, Vectors
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import check_library, repair_library, vacuum_library
from soundalike.library.views import SharedViews, View
from soundalike.search.query import Query
from soundalike.search.search import search_library

COMMAND = [sys.executable, "-m", "soundalike"]
NAMES = ("up", "down", "leaps", "pedal")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for number, name in enumerate(NAMES):
        write(folder / f"{name}.wav", tune(TUNES[name], seconds=8 + 3 * number, seed=number))
    (folder / "bad.wav").write_bytes(b"RIFF....")
    return folder


@pytest.fixture(scope="module")
def original(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "library"
    with LibraryFolder.create(path) as library:
        index_files(library, [songs])
        shutil.copy(songs / "up.wav", songs / "copy.wav")
        assert index_files(library, [songs]).copied == 1
    return path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A library to corrupt."""
    return Path(shutil.copytree(original, tmp_path / "library"))


def content(folder: Path) -> dict[str, list[tuple[object, ...]]] | None:
    """Everything in a catalogue; None if it cannot be read."""
    database = sqlite3.connect(f"{(folder / 'catalog.sqlite').as_uri()}?immutable=1", uri=True)
    try:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(database.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in sorted(tables)}
    except sqlite3.Error:
        return None
    finally:
        database.close()


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def is_found(folder: Path) -> bool:
    try:
        with LibraryFolder(folder) as library:
            return not check_library(library).ok
    except LibraryError:
        return True  # it says so at once


def test_a_new_library_is_ok(folder: Path) -> None:
    with LibraryFolder(folder) as library:
        report = check_library(library)
        held = sum(int(library.catalog.groups("compact", level)[:, 1].sum()) for level in LEVELS)
    assert report.ok
    assert report.checked_tracks == 5
    assert report.rows == 4 * held


def test_every_flipped_bit_of_the_rows_is_found(folder: Path) -> None:
    chance = random.Random(1)
    files = sorted(file for file in folder.iterdir() if file.suffix in (".f32", ".i8", ".on", ".crc"))
    assert len(files) == 32
    for file in files:
        for _ in range(4):
            bit = chance.randrange(8 * file.stat().st_size)
            flip(file, bit)
            assert is_found(folder), (file.name, bit)
            flip(file, bit)
    assert not is_found(folder)


def test_every_flipped_bit_of_the_catalogue_is_found(folder: Path) -> None:
    """Except for bits in free pages, which carry no information."""
    chance = random.Random(2)
    catalogue, before = folder / "catalog.sqlite", content(folder)
    found = 0
    for _ in range(200):
        bit = chance.randrange(8 * catalogue.stat().st_size)
        flip(catalogue, bit)
        if is_found(folder):
            found += 1
        else:
            after = content(folder)
            assert after is not None
            after["meta"] = [line for line in after["meta"] if line[0] != "generation"]
            assert after == before | {"meta": [line for line in before["meta"] if line[0] != "generation"]}, bit
        flip(catalogue, bit)
    assert found > 20
    assert not is_found(folder)


def test_corrupt_tracks_never_match_and_encoding_again_repairs_them(folder: Path, songs: Path) -> None:
    with LibraryFolder(folder) as library:
        before = library.vectors()
        first, _ = library.catalog.rows_of(library.catalog.track_at(songs / "down.wav").id, "passage")
    flip(folder / "passage.compact@1.timbre.f32", 8 * 4 * 256 * first + 12)
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE tracks SET title = 'Another' WHERE path = ?", (b"pedal.wav",))
    database.commit()
    database.close()
    with LibraryFolder(folder) as library:
        result = search_library(library, Query(songs / "leaps.wav", k=9, by="passage", all_copies=True))
        assert {Path(path).name for path in result.corrupt} == {"down.wav", "pedal.wav"}
        assert {Path(match.span.track).name for match in result.matches} == {"up.wav", "copy.wav"}
        # A corrupt track as the query is encoded from its file.
        assert search_library(library, Query(songs / "down.wav", k=9)).query.track.endswith("down.wav")
        report = check_library(library)
        assert sorted((Path(report.paths[key]).name, what) for key, what in report.tracks.items()) == [
            ("down.wav", ("passage rows of compact/timbre",)),
            ("pedal.wav", ("its entry in the catalogue",)),
        ]
    with LibraryFolder.create(folder) as library:
        assert repair_library(library, report) == 2
        done = index_files(library, [songs])
        assert (done.changed, done.added) == (1, 1)
        assert check_library(library).ok
        after = library.vectors()
    assert after.spans == before.spans
    assert all(np.array_equal(after.rows[name], before.rows[name]) for name in before.rows)


def test_a_catalogue_that_is_corrupt_as_a_whole_is_not_repaired(folder: Path) -> None:
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE models SET source = 'elsewhere'")
    database.commit()
    database.close()
    with LibraryFolder.create(folder) as library:
        report = check_library(library)
        assert report.problems == ("models, spaces or tables fail their checksum",)
        with pytest.raises(LibraryError, match="corrupt as a whole .*; restore it from a copy"):
            repair_library(library, report)


def test_corrupt_caches_are_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from soundalike.core import mapped_arrays

    mapped_arrays.save(folder / "derived", "some", 1, {"numbers": np.arange(9)})
    flip(folder / "derived" / "some.derived", 8 * ((folder / "derived" / "some.derived").stat().st_size - 60))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert main(["library", "check", "--library", str(folder)]) == 0
    printed = capsys.readouterr()
    assert "corrupt the cache some.derived, which cannot be deleted" in printed.err
    assert "removed" not in printed.out
    with LibraryFolder(folder) as library:
        report = check_library(library)
    assert report.ok
    assert report.derived == ("some.derived",)
    assert list((folder / "derived").iterdir()) == []


# Vacuum -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def thinned(folder: Path, songs: Path) -> Path:
    """A library that has forgotten two tracks."""
    with LibraryFolder.create(folder) as library, library.catalog.transaction():
        gone = [library.catalog.track_at(songs / f"{name}.wav").id for name in ("down", "pedal")]
        library.catalog.remove(gone)
    return folder


def test_a_vacuum_frees_space_and_changes_nothing_else(thinned: Path, songs: Path) -> None:
    with LibraryFolder(thinned) as library:
        before, asked = library.vectors(), search_library(library, Query(songs / "up.wav", include_self=True))
    with LibraryFolder(thinned) as reader, LibraryFolder.create(thinned) as library:
        report = vacuum_library(library)
        assert report.dropped > 0
        assert report.after < report.before
        assert vacuum_library(library).dropped == 0
        assert check_library(library).ok
        # Who had it open before goes on, with what was or with what is.
        assert search_library(reader, Query(songs / "up.wav", include_self=True)).matches == asked.matches
    with LibraryFolder(thinned) as library:
        after = library.vectors()
        assert search_library(library, Query(songs / "up.wav", include_self=True)).matches == asked.matches
        # A copy still has the rows of what it is a copy of.
        ids = [library.catalog.track_at(songs / name).id for name in ("up.wav", "copy.wav")]
        assert len({library.catalog.rows_of(one, "passage") for one in ids}) == 1
    assert after.spans == before.spans
    assert all(np.array_equal(after.rows[name], before.rows[name]) for name in before.rows)
    assert not list(thinned.glob("*.f32"))
    with LibraryFolder.create(thinned) as library:
        assert index_files(library, [songs]).added == 2
        assert check_library(library).ok


def test_a_vacuum_does_not_copy_corrupt_rows(thinned: Path, songs: Path) -> None:
    with LibraryFolder(thinned) as library:
        first, _ = library.catalog.rows_of(library.catalog.track_at(songs / "up.wav").id, "track")
    flip(thinned / "track.compact@1.melody.f32", 8 * 4 * 256 * first + 100)
    before = sorted(file.name for file in thinned.iterdir())
    with LibraryFolder.create(thinned) as library, pytest.raises(LibraryError, match="copies would hide it"):
        vacuum_library(library)
    assert sorted(file.name for file in thinned.iterdir()) == before


# Forks a child per step of a vacuum. The child dies there without any clean-up, as after `kill -9`. Steps are the
# events at which Python opens, renames and removes files of the library, and the ends of transactions. The last child
# completes the vacuum.
DIES_AT_EVERY_STEP = """
import contextlib, os, shutil, sys, traceback
from soundalike.library.folder import LibraryFolder
from soundalike.library.maintenance import vacuum_library
from pathlib import Path

thinned, base = Path(sys.argv[1]), Path(sys.argv[2])
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.move")

def child(copy, step):
    steps = 0
    def reached():
        nonlocal steps
        steps += 1
        if steps == step:
            os._exit(9)
    opened = 0
    def hook(event, arguments):
        nonlocal opened
        if event in EVENTS and str(copy) in str(arguments[0]):
            opened += event == "open"
            if event != "open" or opened % 5 == 1:  # many files are opened in a row
                reached()
    with LibraryFolder.create(copy) as library:
        transaction = library.catalog.transaction
        @contextlib.contextmanager
        def dying_transaction():
            with transaction():
                yield
                reached()
            reached()
        library.catalog.transaction = dying_transaction
        sys.addaudithook(hook)
        vacuum_library(library)

child(Path(shutil.copytree(thinned, base / "warm")), 0)  # what is imported here need not be in every child
codes = []
while not codes or codes[-1] == 9:
    copy = Path(shutil.copytree(thinned, base / str(len(codes))))
    pid = os.fork()
    if pid == 0:
        try:
            child(copy, len(codes) + 1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(len(codes), codes[-1])
"""


def check_vacuumed(copy: Path, expected: Vectors) -> int:
    """After a vacuum that was cut off all rows are there, and the next vacuum is complete. Returns the epoch before."""
    with LibraryFolder(copy) as library:
        epoch = library.catalog.database.epoch
        assert check_library(library).ok
        found = library.vectors()
        assert found.spans == expected.spans
        assert all(np.array_equal(found.rows[name], expected.rows[name]) for name in expected.rows)
    with LibraryFolder.create(copy) as library:
        vacuum_library(library)
    assert [file.name for file in copy.glob("rows.*")] == ["rows.1"]
    return int(epoch)


def test_a_vacuum_that_is_killed_leaves_the_old_or_the_new(thinned: Path, tmp_path: Path) -> None:
    with LibraryFolder(thinned) as library:
        expected = library.vectors()
    rng = random.Random(3)
    for moment, (low, high) in enumerate([(0.1, 0.4), (0.4, 0.8)]):
        copy = Path(shutil.copytree(thinned, tmp_path / f"copy{moment}"))
        process = subprocess.Popen([*COMMAND, "library", "vacuum", "--library", copy], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(low, high))
        process.kill()
        process.wait()
        check_vacuumed(copy, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_vacuum_that_dies_at_any_step_leaves_the_old_or_the_new(thinned: Path, tmp_path: Path) -> None:
    with LibraryFolder(thinned) as library:
        expected = library.vectors()
    copies = tmp_path / "copies"
    copies.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", DIES_AT_EVERY_STEP, thinned, copies], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    runs, last = map(int, done.stdout.split())
    assert last == 0, done.stderr
    assert runs > 10
    epochs = [check_vacuumed(copies / str(number), expected) for number in range(runs)]
    assert epochs == sorted(epochs) and set(epochs) == {0, 1}, "the old, and from some step on the new"


@pytest.mark.slow
def test_a_vacuum_between_a_snapshot_and_its_rows_is_no_error(thinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter, vacuumed = SharedViews.enter, []

    def late(views: SharedViews, **options: bool) -> View:
        if not vacuumed:
            vacuumed.append(views._catalog.generation)  # SQLite takes the snapshot with the first read
            with LibraryFolder(thinned, writable=True) as writer:
                assert vacuum_library(writer).dropped > 0
        return enter(views, **options)

    with LibraryFolder(thinned) as library:
        before = library.vectors()
    monkeypatch.setattr(SharedViews, "enter", late)
    with LibraryFolder(thinned) as library:
        after = library.vectors()
    assert vacuumed and after.spans == before.spans
    assert all(np.array_equal(after.rows[space], rows) for space, rows in before.rows.items())


def test_others_search_during_a_vacuum(thinned: Path, songs: Path) -> None:
    """Searches return the same results during repeated vacuums."""
    ask = (
        "import sys; from pathlib import Path; from soundalike.library import LibraryFolder; "
        "from soundalike.search import Query, search_library; asked = 0\n"
        "query = Query(Path(sys.argv[2]), include_self=True)\n"
        "with LibraryFolder(Path(sys.argv[1])) as kept:\n"
        "    first = search_library(kept, query).matches\n"
        "    print('ready', flush=True)\n"
        "    while not Path(sys.argv[3]).exists():\n"
        "        with LibraryFolder(Path(sys.argv[1])) as fresh:\n"
        "            assert [m.span for m in search_library(fresh, query).matches if "
        "'x.wav' not in m.span.track] == [m.span for m in first]\n"
        "            assert [m.span for m in search_library(kept, query).matches if "
        "'x.wav' not in m.span.track] == [m.span for m in first]\n"
        "        asked += 1\n"
        "print(asked)\n"
    )
    done = thinned.parent / "done"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", ask, thinned, songs / "up.wav", done], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    extra = thinned.parent / "extra"
    with LibraryFolder.create(thinned) as library:
        for number in range(4):
            write(extra / "x.wav", tune(TUNES["up"], seconds=3 + number % 3, seed=number))
            index_files(library, [extra], jobs=1)
            with library.catalog.transaction():
                library.catalog.remove([library.catalog.track_at(extra / "x.wav").id])
            assert vacuum_library(library).dropped
    done.touch()
    for reader in readers:
        printed, _ = reader.communicate(timeout=60)
        assert reader.returncode == 0
        assert int(printed) >= 2


def test_a_vacuum_without_disk_space_changes_nothing(thinned: Path, tmp_path: Path, songs: Path) -> None:
    """On a small file system: refused beforehand where that can be known, and intact otherwise."""
    disk = tmp_path / "disk"
    disk.mkdir()
    pages = sum(-(-file.stat().st_size // 4096) for file in thinned.iterdir())
    with mounted("-t", "tmpfs", "-o", f"size={4096 * pages + 70_000}", "tmpfs", at=disk):
        library = Path(shutil.copytree(thinned, disk / "library"))
        before = {file.name: file.read_bytes() for file in library.glob("*.f32")}
        refused = subprocess.run(
            [*COMMAND, "library", "vacuum", "--library", library], capture_output=True, text=True, check=False
        )
        assert refused.returncode == 2
        assert "MB are free; free some space" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert {file.name: file.read_bytes() for file in library.glob("*.f32")} == before
        with LibraryFolder(library) as opened:
            assert check_library(opened).ok
            query = Query(songs / "up.wav", include_self=True, all_copies=True)
            assert len(search_library(opened, query).matches) == 3


def test_check_and_vacuum_speak_to_people_and_machines(thinned: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "library", *arguments, "--library", str(thinned)], capture_output=True, text=True, check=False
        )

    ok = run("check")
    assert ok.returncode == 0
    assert ok.stdout.endswith("checked: OK, no corruption found\n")
    assert json.loads(run("vacuum", "--json").stdout)["dropped_rows"] > 0
    flip(next(thinned.glob("rows.1/track.compact@1.melody.i8")), 9)
    corrupt = run("check")
    assert corrupt.returncode == 1
    assert "track rows of compact/melody" in corrupt.stderr
    assert "library check --repair, then soundalike index DIR" in corrupt.stdout
    found = json.loads(run("check", "--repair", "--json").stdout)
    assert not found["ok"]
    assert found["to_encode_again"] == len(found["corrupt"]) >= 1
    assert run("check").returncode == 0, "tracks that wait for encoding are no longer checked"


def test_a_corrupt_entry_stays_corrupt_when_it_changes(stocked: Path, music: Path, tmp_path: Path) -> None:
    """A move, a flag, a vacuum or a copy must not give a valid checksum to what was wrong before."""
    folder = Path(shutil.copytree(stocked, tmp_path / "library"))
    with LibraryFolder(folder) as library:
        first, second = library.catalog.tracks()[:2]
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE tracks SET title = 'wrong' WHERE id = ?", (first.id,))
    database.commit()
    database.close()
    with LibraryFolder(folder, writable=True) as library:
        for change in (
            lambda: library.catalog.mark([first.id], missing=True),
            lambda: library.catalog.families.put([[first.id, second.id]]),
            lambda: library.catalog.put_track(music, replace(first, path=music / "moved.wav")),
        ):
            with library.catalog.transaction():
                change()
            assert library.catalog.database.corrupt_tracks() == [first.id]
        vacuum_library(library)
        assert library.catalog.database.corrupt_tracks() == [first.id]
        with library.catalog.transaction():
            library.catalog.share_rows(first.id, second.id)
        assert library.catalog.database.corrupt_tracks() == [first.id, second.id]
