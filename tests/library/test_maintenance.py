"""Care of a library: every flipped bit is found, what is damaged is mended by listening again, room is given back."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, mounted, tune, write
from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import check_library, repair_library, vacuum_library
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
    """A library of one's own, to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "library"))


def content(folder: Path) -> dict[str, list[tuple[object, ...]]] | None:
    """All that a catalogue says; None where it cannot be read."""
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


def test_a_library_is_well(folder: Path) -> None:
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
    """But for those that say nothing: in room that is free."""
    chance = random.Random(2)
    catalogue, before = folder / "catalog.sqlite", content(folder)
    found = 0
    for _ in range(400):
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
    assert found > 40
    assert not is_found(folder)


def test_what_is_damaged_is_never_served_and_listening_again_mends_it(folder: Path, songs: Path) -> None:
    with LibraryFolder(folder) as library:
        before = library.vectors()
        first, _ = library.catalog.rows_of(library.catalog.track_at(songs / "down.wav").id, "passage")
    flip(folder / "passage.compact.timbre.f32", 8 * 4 * 256 * first + 12)
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE tracks SET title = 'Another' WHERE path = ?", (b"pedal.wav",))
    database.commit()
    database.close()
    with LibraryFolder(folder) as library:
        result = search_library(library, Query(songs / "leaps.wav", k=9, by="passage"))
        assert {Path(path).name for path in result.corrupt} == {"down.wav", "pedal.wav"}
        assert {Path(match.span.track).name for match in result.matches} == {"up.wav", "copy.wav"}
        # Asked with what is damaged, the file itself is listened to.
        assert search_library(library, Query(songs / "down.wav", k=9)).query.track.endswith("down.wav")
        report = check_library(library)
        assert sorted((Path(report.paths[key]).name, what) for key, what in report.tracks.items()) == [
            ("down.wav", ("passage rows of compact/timbre",)),
            ("pedal.wav", ("its line in the catalogue",)),
        ]
    with LibraryFolder.create(folder) as library:
        assert repair_library(library, report) == 2
        done = index_files(library, [songs])
        assert (done.changed, done.added) == (1, 1)
        assert check_library(library).ok
        after = library.vectors()
    assert after.spans == before.spans
    assert all(np.array_equal(after.rows[name], before.rows[name]) for name in before.rows)


def test_a_catalogue_that_is_damaged_as_a_whole_is_not_mended(folder: Path) -> None:
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE models SET source = 'elsewhere'")
    database.commit()
    database.close()
    with LibraryFolder.create(folder) as library:
        report = check_library(library)
        assert report.problems == ("models, spaces or tables are not what was written",)
        with pytest.raises(LibraryError, match="damaged as a whole .*; restore it from a copy"):
            repair_library(library, report)


def test_arrays_that_can_be_made_again_are_removed_where_they_are_damaged(folder: Path) -> None:
    from soundalike.core import mapped_arrays

    mapped_arrays.save(folder / "derived", "some", 1, {"numbers": np.arange(9)})
    flip(folder / "derived" / "some.derived", 8 * ((folder / "derived" / "some.derived").stat().st_size - 60))
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


def test_room_is_given_back_and_nothing_else_changes(thinned: Path, songs: Path) -> None:
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


def test_damaged_rows_are_not_sealed_as_well(thinned: Path, songs: Path) -> None:
    with LibraryFolder(thinned) as library:
        first, _ = library.catalog.rows_of(library.catalog.track_at(songs / "up.wav").id, "track")
    flip(thinned / "track.compact.melody.f32", 8 * 4 * 256 * first + 100)
    before = sorted(file.name for file in thinned.iterdir())
    with LibraryFolder.create(thinned) as library, pytest.raises(LibraryError, match="would pass for well"):
        vacuum_library(library)
    assert sorted(file.name for file in thinned.iterdir()) == before


def test_a_vacuum_that_is_killed_leaves_the_old_or_the_new(thinned: Path, tmp_path: Path, songs: Path) -> None:
    with LibraryFolder(thinned) as library:
        expected = library.vectors()
    chance, epochs = random.Random(3), set()
    for moment in range(10):
        copy = Path(shutil.copytree(thinned, tmp_path / f"copy{moment}"))
        process = subprocess.Popen([*COMMAND, "library", "vacuum", "--library", copy], stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.8))
        process.kill()
        process.wait()
        with LibraryFolder(copy) as library:
            epochs.add(library.catalog.database.epoch)
            assert check_library(library).ok
            found = library.vectors()
            assert found.spans == expected.spans
            assert all(np.array_equal(found.rows[name], expected.rows[name]) for name in expected.rows)
        subprocess.run([*COMMAND, "library", "vacuum", "--library", copy], check=True, capture_output=True)
        assert [file.name for file in copy.glob("rows.*")] == ["rows.1"]
        shutil.rmtree(copy)
    assert epochs


def test_others_search_while_rows_are_written_anew(thinned: Path, songs: Path) -> None:
    """A library that is vacuumed again and again answers every question as before."""
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
        for number in range(8):
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


def test_a_vacuum_without_room_changes_nothing(thinned: Path, tmp_path: Path, songs: Path) -> None:
    """On a real small file system: told beforehand where that can be seen, and whole where it cannot."""
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
        assert "MB are free; make room" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert {file.name: file.read_bytes() for file in library.glob("*.f32")} == before
        with LibraryFolder(library) as opened:
            assert check_library(opened).ok
            assert len(search_library(opened, Query(songs / "up.wav", include_self=True)).matches) == 3


def test_check_and_vacuum_speak_to_people_and_machines(thinned: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "library", *arguments, "--library", str(thinned)], capture_output=True, text=True, check=False
        )

    ok = run("check")
    assert ok.returncode == 0
    assert ok.stdout.endswith("checked: OK, no corruption found\n")
    assert json.loads(run("vacuum", "--json").stdout)["dropped_rows"] > 0
    flip(next(thinned.glob("rows.1/track.compact.melody.i8")), 9)
    corrupt = run("check")
    assert corrupt.returncode == 1
    assert "track rows of compact/melody" in corrupt.stderr
    assert "library check --repair, then soundalike index DIR" in corrupt.stdout
    found = json.loads(run("check", "--repair", "--json").stdout)
    assert not found["ok"]
    assert found["to_encode_again"] == len(found["corrupt"]) >= 1
    assert run("check").returncode == 0, "what is to be heard again is no longer looked at"
