"""Threads that share one library: searches while another process writes, connections, and closing."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import tune, write
from soundalike.core.errors import LibraryError
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.feature_tables import FeatureTables
from soundalike.library.catalog.filters import Filter
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.transactions import CatalogDatabase
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.search.query import Query
from soundalike.search.search import search_library

THREADS = 8
SEARCHES = 125
"""Per thread, at least."""
VACUUMS = 2
"""The searches go on until the rows have been moved this often."""
Answer = tuple[Any, ...]

# Indexes the folder of visitors, removes them and vacuums, again and again. Visitors are added in one transaction and
# removed in another, so a library holds all of them or none.
WRITER = """
import sys
from pathlib import Path
from soundalike.library import LibraryFolder, vacuum_library
from soundalike.library.indexing import index, writer

library, visitors, stop = map(Path, sys.argv[1:])
writer._BATCH_SECONDS = 1e9

def run_tasks(function, tasks, *_):
    for task in tasks:
        yield task, function(task)

index.run_tasks = run_tasks
while not stop.exists():
    with LibraryFolder.create(library) as opened:
        assert index.index_files(opened, [visitors]).added == len(list(visitors.iterdir()))
    with LibraryFolder.create(library) as opened:
        tracks = opened.catalog.tracks()
        with opened.catalog.transaction():
            opened.catalog.remove([track.id for track in tracks if track.path.parent == visitors])
        assert vacuum_library(opened).dropped
    print("vacuumed", flush=True)
"""


@pytest.fixture
def path(stocked: Path, tmp_path: Path) -> Path:
    """A copy of the stocked library."""
    return Path(shutil.copytree(stocked, tmp_path / "library"))


@pytest.fixture
def visitors(tmp_path: Path) -> Path:
    """A folder of three clips that the stocked library does not hold."""
    folder = tmp_path / "visitors"
    for number in range(3):
        write(folder / f"{number}.wav", tune([60 + number, 64, 67, 71 - number], seconds=6, seed=number))
    return folder


def queries(music: Path) -> list[Query]:
    """Queries to tracks of the library, at both levels, with and without a filter that excludes the visitors."""
    up, leaps = music / "up" / "0.wav", music / "leaps" / "1.wav"
    return [
        Query(up, weights={"melody": 1}, k=3, where="path != *visitors*"),
        Query(leaps, by="track", weights={"rhythm": 1, "timbre": -0.5}, k=3, where="path != *visitors*"),
        Query(up, by="track", k=20),
        Query(leaps, start=2, end=9, weights={"harmony": 2, "timbre": 1}, k=20),
    ]


def ask(library: LibraryFolder, query: Query) -> Answer:
    """Everything in an answer that does not depend on ids."""
    found = search_library(library, query)
    return found.matches, found.searched, found.copies, found.corrupt, found.level


def run_threads(work: Callable[[int], None]) -> list[BaseException]:
    """Call `work` on every thread at once; returns the exceptions."""
    errors: list[BaseException] = []
    start = threading.Barrier(THREADS, timeout=60)

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def open_connections() -> int:
    """The number of open connections of this process to any SQLite file."""
    gc.collect()
    count = 0
    for found in gc.get_objects():
        if issubclass(type(found), sqlite3.Connection):  # isinstance would load lazy objects of other tests
            try:
                found.execute("SELECT 1")
                count += 1
            except sqlite3.ProgrammingError:
                pass  # closed
    return count


def open_files(folder: Path) -> list[str]:
    """The files under a folder, deleted ones included, that this process has open; empty where there is no /proc."""
    found = []
    for handle in Path("/proc/self/fd").glob("*"):
        try:
            target = str(handle.readlink())
        except OSError:  # it was the handle of this listing
            continue
        found += [target] if target.startswith(f"{folder}{os.sep}") else []
    return found


@contextmanager
def writing(library: Path, visitors: Path, stop: Path) -> Iterator[Callable[[], int]]:
    """Run the writer; yields a function that says how often it has vacuumed."""
    vacuumed = 0

    def count(stream: Any) -> None:
        nonlocal vacuumed
        for _ in stream:
            vacuumed += 1

    command = [sys.executable, "-c", WRITER, str(library), str(visitors), str(stop)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    reader = threading.Thread(target=count, args=(process.stdout,))
    reader.start()
    try:
        yield lambda: vacuumed
    finally:
        stop.touch()
        reader.join(timeout=60)  # it reads until the writer ends; communicate() would close the pipe under it
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_eight_threads_search_while_another_process_indexes_removes_and_vacuums(
    path: Path, visitors: Path, music: Path, tmp_path: Path
) -> None:
    full = Path(shutil.copytree(path, tmp_path / "full"))
    with LibraryFolder.create(full) as library:
        assert index_files(library, [visitors]).added == 3
    with LibraryFolder(path) as without, LibraryFolder(full) as everything:
        asked = queries(music)
        allowed = [(ask(without, query), ask(everything, query)) for query in asked]
    for (empty, complete), query in zip(allowed, asked, strict=True):
        assert (empty == complete) == (query.where != Filter())

    seen: set[tuple[int, int]] = set()
    with_and_without = {(2, 0), (2, 1)}
    connections = open_connections()
    with LibraryFolder(path) as library:
        first_epoch = library.catalog.database.epoch
        with writing(path, visitors, tmp_path / "stop") as vacuums:
            deadline = time.monotonic() + 60

            def work(number: int) -> None:
                done = 0
                while done < SEARCHES or (
                    (vacuums() < VACUUMS or not with_and_without <= seen) and time.monotonic() < deadline
                ):
                    which = 3 if done % 60 == number else (number + done) % 3  # the last one encodes, which takes long
                    answer = ask(library, asked[which])
                    assert answer in allowed[which]
                    seen.add((which, allowed[which].index(answer)))
                    done += 1
                    if done > SEARCHES:
                        time.sleep(0.02)  # the writer needs the processor

            assert run_threads(work) == []
            assert vacuums() >= VACUUMS
        assert library.catalog.database.epoch >= first_epoch + VACUUMS
        assert with_and_without <= seen, "the threads saw the library with visitors and without"
        assert open_connections() == connections + 1, "connections of threads that ended are closed"
        ask(library, asked[0])
        epoch = library.catalog.database.epoch
        held = {Path(file).parent.name for file in open_files(path) if "rows." in file}
        assert held <= {f"rows.{epoch}"}, "old rows are released"
    assert open_connections() == connections
    assert open_files(path) == []


def test_threads_can_finish_what_they_began_before_the_library_was_closed(path: Path, music: Path) -> None:
    query = queries(music)[0]
    connections = open_connections()
    library = LibraryFolder(path)
    expected = ask(library, query)
    inside, closed = threading.Barrier(THREADS + 1, timeout=60), threading.Event()

    def work(number: int) -> None:
        with library.snapshot():
            inside.wait()
            closed.wait(60)
            assert ask(library, query) == expected
            assert library.catalog.counts()["tracks"] == 12
        with pytest.raises(LibraryError, match="is closed; open it again"):
            ask(library, query)

    def close() -> None:
        inside.wait()
        library.close()
        closed.set()

    closer = threading.Thread(target=close)
    closer.start()
    assert run_threads(work) == []
    closer.join()
    assert open_connections() == connections
    assert open_files(path) == []


def test_closing_at_any_moment_raises_nothing_but_a_library_error(path: Path, music: Path) -> None:
    query = queries(music)[3]
    for pause in (0.0, 0.003, 0.01, 0.03):
        library = LibraryFolder(path)
        expected = ask(library, query)

        def work(
            number: int, library: LibraryFolder = library, expected: Answer = expected, pause: float = pause
        ) -> None:
            if number == 0:
                time.sleep(pause)
                library.close()
                return
            with pytest.raises(LibraryError, match="is closed; open it again"):
                while True:
                    assert ask(library, query) == expected

        assert run_threads(work) == []
        assert open_files(path) == []


def public(kind: type) -> set[str]:
    """The names of the public methods and properties of a class."""
    return {name for name in vars(kind) if not name.startswith("_")}


def test_every_method_of_a_closed_library_says_that_it_is_closed(path: Path, music: Path) -> None:
    library = LibraryFolder(path)
    model, track = library.model(), library.catalog.tracks()[0]
    catalog, file = library.catalog, music / "up" / "0.wav"
    store, arrays = library.store, library.arrays
    none = np.zeros(0, np.int64)
    zero = np.zeros(1, np.int64)
    library.close()
    library.close()

    folder_calls: dict[str, Callable[[], Any]] = {
        "snapshot": lambda: entered(library.snapshot()),
        "store": lambda: library.store,
        "arrays": lambda: library.arrays,
        "model": library.model,
        "spaces": lambda: library.spaces(None, []),
        "subject": lambda: library.subject(file, model),
        "subjects": lambda: library.subjects(file, [model]),
        "rows": lambda: library.rows(model.spaces, "track", zero),
        "candidates": lambda: library.candidates(model, "track", Filter()),
        "find_corrupt": lambda: library.find_corrupt(model, "track", none, none),
        "find_absent": lambda: library.find_absent(zero),
        "absent_roots": library.absent_roots,
        "reference": lambda: library.reference(model, "track"),
        "vectors": library.vectors,
        "parts": lambda: list(library.parts()),
        "info": library.info,
        "refresh": library.refresh,
    }
    assert folder_calls.keys() == public(LibraryFolder) - {"create", "close"}
    database = catalog.database
    database_calls: dict[str, Callable[[], Any]] = {
        "connected": lambda: entered(database.connected()),
        "connection": lambda: database.connection,
        "transaction": lambda: entered(database.transaction()),
        "snapshot": lambda: entered(database.snapshot()),
        "epoch": lambda: database.epoch,
        "number": lambda: database.number("edition"),
        "set_number": lambda: database.set_number("edition", 1),
        "new_edition": database.new_edition,
        "generation": lambda: database.generation,
        "rows": lambda: database.rows("SELECT 1"),
        "numbers": lambda: database.numbers("SELECT 1", (), 1),
        "rows_as_stored": lambda: database.rows_as_stored("SELECT 1"),
        "names_by_id": lambda: database.names_by_id("SELECT 1, 2"),
        "corrupt_tracks": database.corrupt_tracks,
        "will_change": lambda: database.will_change((1,)),
        "inherit_corruption": lambda: database.inherit_corruption(2, 3),
        "was_corrupt": lambda: database.was_corrupt(4),
        "find_problems": database.find_problems,
        "compact": database.compact,
    }
    assert database_calls.keys() == public(CatalogDatabase) - {"close", "was_written", "reading_text"}
    catalog_calls: dict[str, Callable[[], Any]] = {
        "generation": lambda: catalog.generation,
        "tracks": catalog.tracks,
        "tracks_of": lambda: catalog.tracks_of([1]),
        "ids": catalog.ids,
        "track_at": lambda: catalog.track_at(file),
        "id_at": lambda: catalog.id_at(file),
        "page": lambda: catalog.page(0, 1),
        "columns": lambda: list(catalog.columns(["id"])),
        "put_track": lambda: catalog.put_track(music, track),
        "mark": lambda: catalog.mark([1], missing=True),
        "remove": lambda: catalog.remove([1]),
        "with_audio": lambda: catalog.with_audio(""),
        "same_sound": catalog.same_sound,
        "models": catalog.models,
        "put_model": lambda: catalog.put_model("other", HeldModel("", ""), []),
        "spaces": catalog.spaces,
        "editions": catalog.editions,
        "row_counts": catalog.row_counts,
        "begin_epoch": lambda: catalog.begin_epoch(1),
        "forget_rows": lambda: catalog.forget_rows(1),
        "drop_model": lambda: catalog.drop_model("compact"),
        "next_row": lambda: catalog.next_row("track"),
        "commit_rows": lambda: catalog.commit_rows("compact", "track", 0, 1),
        "assign_rows": lambda: catalog.assign_rows(1, "track", 0, 1),
        "mark_encoded": lambda: catalog.mark_encoded(1, "compact"),
        "share_rows": lambda: catalog.share_rows(1, 2),
        "unmark_encoded": lambda: catalog.unmark_encoded(1),
        "rows_of": lambda: catalog.rows_of(1, "track"),
        "is_encoded": lambda: catalog.is_encoded(1, "compact"),
        "models_of": lambda: catalog.models_of(1),
        "encoded_by": catalog.encoded_by,
        "groups": lambda: catalog.groups("compact", "track"),
        "segments": lambda: catalog.segments("track"),
        "move_rows": lambda: catalog.move_rows("track", [(0, 1)]),
        "recount_rows": catalog.recount_rows,
        "counts": catalog.counts,
    }
    assert catalog_calls.keys() == public(Catalog) - {"close"}
    feature_calls: dict[str, Callable[[], Any]] = {
        "features": catalog.features.features,
        "editions": catalog.features.editions,
        "put": lambda: catalog.features.put([]),
        "drop": lambda: catalog.features.drop("compact"),
        "mark": lambda: catalog.features.mark(1, "compact"),
        "backbones_of": lambda: catalog.features.backbones_of(1),
        "backbones_by_track": catalog.features.backbones_by_track,
        "places": lambda: catalog.features.places("compact"),
    }
    assert feature_calls.keys() == public(FeatureTables)
    other_calls: list[Callable[[], Any]] = [
        catalog.failures.all,
        catalog.failures.corrupt,
        catalog.failures.remove_corrupt,
        lambda: catalog.failures.put(file, 1, 1, "bad"),
        lambda: catalog.failures.forget([file]),
        catalog.families.by_track,
        lambda: catalog.families.of(1),
        lambda: len(catalog),
        lambda: catalog.families.put([[1, 2]]),
        lambda: search_library(library, Query(file)),
        lambda: store.read("track", model.spaces[0].full_name, model.spaces[0].dim, zero),
        lambda: store.check("track", model.spaces[0].full_name, model.spaces[0].dim, 1),
        lambda: arrays.background(model),
    ]
    calls = [folder_calls, database_calls, catalog_calls, feature_calls]
    for call in [*(call for named in calls for call in named.values()), *other_calls]:
        with pytest.raises(LibraryError, match="is closed; open it again"):
            call()
    assert open_files(path) == []


def entered(block: AbstractContextManager[Any]) -> None:
    """Enter and leave a context manager."""
    with block:
        pass


def test_the_connection_of_a_thread_closes_when_the_thread_ends(path: Path) -> None:
    with LibraryFolder(path) as library:
        before = open_connections()
        counts: list[int] = []

        def work(number: int) -> None:
            assert library.catalog.counts()["tracks"] == 12
            counts.append(number)

        for _ in range(3):
            assert run_threads(work) == []
            assert open_connections() == before
    assert len(counts) == 3 * THREADS
    assert open_connections() == before - 1


def test_a_generator_that_is_abandoned_in_another_thread_ends_only_its_own_snapshot(path: Path, music: Path) -> None:
    query = queries(music)[0]
    connections = open_connections()
    with LibraryFolder(path) as library:
        expected = ask(library, query)
        parts = []

        def begin() -> None:
            parts.append(library.parts())
            next(parts[0])

        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        with library.snapshot():
            parts.clear()  # ends the generator
            store = library.store
            assert ask(library, query) == expected
            assert library.store is store
            assert library._active.view is not None
        assert open_connections() == connections + 1
    assert open_connections() == connections
    assert open_files(path) == []
