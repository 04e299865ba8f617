"""Real processes that are killed, interrupted, or run side by side: nothing stored is ever lost or torn."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, mounted, run_measured, tune, write
from soundalike.cli.main import main
from soundalike.core.errors import LibraryError
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import check_library
from soundalike.search.query import Query
from soundalike.search.search import search_library

COMMAND = [sys.executable, "-m", "soundalike"]
FILES = 64  # twice as many as are committed at once
Rows = list[tuple[str, float, float, bytes]]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty-four short recordings, and one file that cannot be decoded. The small model encodes them: see `index`."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        notes = [note + number % 7 for note in list(TUNES.values())[number % 4]]
        write(folder / f"{number:02}.wav", tune(notes, seconds=1.5 + number % 3, seed=number))
    (folder / "bad.wav").write_bytes(b"RIFF....")
    return folder


def index(sources: Path, library: Path, *more: object) -> list[str]:
    """The arguments of the command."""
    return [str(part) for part in ("index", sources, "--model", "dsp", "--library", library, *more)]


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def rows_of(library: Path) -> Rows:
    """(path, start, end, all vectors) of every passage and track, sorted. Every checksum is compared."""
    found: Rows = []
    with LibraryFolder(library) as opened:
        assert check_library(opened).ok
        for level in ("passage", "track"):
            vectors = opened.vectors(level)
            assert sorted(vectors.rows) == ["harmony", "melody", "rhythm", "timbre"]
            rows = np.concatenate([vectors.rows[space] for space in sorted(vectors.rows)], axis=1)
            for span, row in zip(vectors.spans, rows, strict=True):
                found.append((str(span.track), float(span.start), float(span.end), row.tobytes()))
    return sorted(found)


def complete(sources: Path, library: Path) -> None:
    """Index what an earlier run left, in this process and one worker."""
    with LibraryFolder.create(library) as opened:
        report = index_files(opened, [sources], model="dsp", jobs=1)
    assert [Path(path).name for path, _ in report.failed] in ([], ["bad.wav"])


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The library of an uninterrupted run, not to be changed, and how long that run took."""
    library = tmp_path_factory.mktemp("undisturbed") / "library"
    began = time.monotonic()
    done = subprocess.run([*COMMAND, *index(many, library)], capture_output=True, check=False)
    took = time.monotonic() - began
    assert done.returncode == 1, "one file is bad, the rest is done"
    return library, took


@pytest.fixture(scope="module")
def expected(undisturbed: tuple[Path, float]) -> Rows:
    """The rows of that run."""
    rows = rows_of(undisturbed[0])
    assert len({path for path, *_ in rows}) == FILES
    return rows


def held(library: Path) -> int:
    """How many tracks a library has; 0 where it was cut off before there was one."""
    if not (library / "catalog.sqlite").exists():
        return 0
    try:
        with LibraryFolder(library) as opened:
            return opened.catalog.counts()["tracks"]
    except LibraryError as error:
        assert str(error).startswith(f"no library at {library}; ")
        return 0


def cut_off(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a run, and check how it ends."""
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: to the whole group
    else:
        process.kill()
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors, errors.decode()
    if how is signal.SIGINT:
        # -2: the interpreter itself was still starting, and had nothing to clean up.
        assert process.returncode in (1, 130, -signal.SIGINT)


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGINT], ids=["kill -9", "Ctrl-C"]
)
def test_a_run_that_is_cut_off_is_completed_by_the_next(
    how: signal.Signals, many: Path, undisturbed: tuple[Path, float], expected: Rows, tmp_path: Path
) -> None:
    """At any time, while processes start, and once something is stored; at every step of the writer see below."""
    _, took = undisturbed
    rng = random.Random(int(how))
    for moment, share in enumerate((rng.uniform(0.02, 0.4), rng.uniform(0.4, 1))):
        library = tmp_path / f"library{moment}"
        process = start(index(many, library))
        time.sleep(share * took)
        cut_off(process, how)
        held(library)
        complete(many, library)
        assert rows_of(library) == expected
    for attempt in range(8):  # the run may be over before it is cut off
        library = tmp_path / f"middle{attempt}"
        process = start(index(many, library))
        while process.poll() is None and held(library) == 0:
            time.sleep(0.005)
        cut_off(process, how)
        if 0 < held(library) < FILES:
            break
    else:
        pytest.fail("no run was cut off in the middle")
    complete(many, library)
    assert rows_of(library) == expected


# Forks a child per step that the writer takes. The child dies at that step, without any clean-up, as after `kill -9`; a
# second child completes the library. Files are encoded in the child itself, in batches of two.
DIES_AT_EVERY_STEP = """
import contextlib, os, sys, traceback
from pathlib import Path
from soundalike.core.errors import SoundalikeError
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing import index, writer
from soundalike.library.stores.flat import FlatStore

sources, base = Path(sys.argv[1]), Path(sys.argv[2])
writer._BATCH_TRACKS = 2

def run_tasks(function, tasks, *_):
    for task in tasks:
        try:
            yield task, function(task)
        except SoundalikeError as error:
            yield task, error

index.run_tasks = run_tasks

def child(library, step=None):
    steps = 0
    def reached():
        nonlocal steps
        steps += 1
        if steps == step:
            os._exit(9)
    with LibraryFolder.create(library) as opened:
        flush, transaction, write = FlatStore.flush, opened.catalog.transaction, FlatStore.write
        calls = 0
        def dying_write(*arguments):
            nonlocal calls
            write(*arguments)
            calls += 1
            if calls % 8 == 5:
                reached()
        def dying_flush(store):
            reached()
            flush(store)
            reached()
        @contextlib.contextmanager
        def dying_transaction():
            with transaction():
                yield
                reached()
            reached()
        if step is not None:
            FlatStore.flush, FlatStore.write = dying_flush, dying_write
            opened.catalog.transaction = dying_transaction
        index.index_files(opened, [sources], model="dsp", jobs=1)

def code_of(*arguments):
    pid = os.fork()
    if pid == 0:
        try:
            child(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

child(base / "warm")  # what is imported and loaded here need not be in every child
codes = []
while not codes or codes[-1] == 9:
    codes.append(code_of(base / str(len(codes)), len(codes) + 1))
again = [code_of(base / str(number)) for number in range(len(codes))]
print(len(codes), codes[-1], max(again))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_writer_that_dies_at_any_step_loses_nothing(many: Path, expected: Rows, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("00.wav", "01.wav", "02.wav", "03.wav", "04.wav", "bad.wav"):
        shutil.copy(many / name, few / name)
    done = subprocess.run(
        [sys.executable, "-c", DIES_AT_EVERY_STEP, few, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    runs, last, completed = map(int, done.stdout.split())
    assert (last, completed) == (0, 0), done.stderr
    assert runs > 12, "every batch has steps at which a writer can die"
    of_these = [(Path(path).name, *rest) for path, *rest in expected if Path(path).stem < "05"]
    for number in range(runs):
        assert [(Path(path).name, *rest) for path, *rest in rows_of(tmp_path / str(number))] == of_these, number


@pytest.mark.slow
def test_a_cut_off_prune_and_re_encode(
    many: Path, tmp_path: Path, undisturbed: tuple[Path, float], expected: Rows
) -> None:
    """Killing a run over an existing library never makes it worse."""
    original, took = undisturbed
    library = Path(shutil.copytree(original, tmp_path / "library"))
    # Every track counts as encoded by an older version of the model: all are encoded again.
    catalog = Catalog(library / "catalog.sqlite", writable=True)
    with catalog.transaction():
        catalog.database.connection.execute("UPDATE models SET digest = 'older'")
    catalog.close()
    process = start(index(many, library, "--prune"))
    time.sleep(0.6 * took)
    cut_off(process, signal.SIGKILL)
    complete(many, library)
    assert rows_of(library) == expected


def test_one_writes_while_others_read(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = tmp_path / "library"
    write(tmp_path / "first" / "x.wav", tune(TUNES["leaps"], seconds=5))
    complete(tmp_path / "first", library)
    writer = start(index(many, library, "--jobs", 1))
    answers: list[int] = []
    refused: list[tuple[int, str]] = []
    while writer.poll() is None:
        with LibraryFolder(library) as opened:
            answers.append(len(search_library(opened, Query(many / "00.wav", k=99)).matches))
        if len(set(answers)) > 1:  # the writer needs a moment to take the lock
            code = main(index(many, library, "--jobs", 1))
            answer = (code, capsys.readouterr().err)
            if held(library) <= FILES:  # it has not given it back
                refused.append(answer)
    writer.communicate()
    assert answers == sorted(answers), "readers see more and more, never less"
    assert answers[0] >= 1
    assert refused, "the writer was done before another could ask, or was not alone"
    for code, text in refused:
        assert code == 2
        assert "another process is writing to the library" in text
        assert text.count("\n") == 1


def check_read_only(library: Path, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(many / "00.wav"), "--library", str(library)]) == 0
    capsys.readouterr()
    assert main(index(many, library)) == 2
    refusal = capsys.readouterr().err
    assert "it is read-only, belongs to another user" in refusal
    assert refusal.count("\n") == 1


def test_a_read_only_library_can_be_searched_but_not_written(
    many: Path, undisturbed: tuple[Path, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = Path(shutil.copytree(undisturbed[0], tmp_path / "library"))
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # whom file modes do not stop
        disk = tmp_path / "disk"
        disk.mkdir()
        with mounted("--bind", "-o", "ro", str(tmp_path), at=disk):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=False)
            check_read_only(disk / "library", many, capsys)
        return
    for file in library.iterdir():
        file.chmod(0o444)
    library.chmod(0o555)
    try:
        check_read_only(library, many, capsys)
    finally:
        library.chmod(0o755)


def test_a_full_disk_loses_nothing(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a real small file system; tests/library/test_indexing.py writes to /dev/full where there is none."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=400k", "tmpfs", at=disk):
        for name in ("00.wav", "01.wav"):
            write(tmp_path / "few" / name, tune(TUNES["up"], seconds=4, seed=int(name[:2])))
        library = disk / "library"
        assert main(index(tmp_path / "few", library, "--jobs", 1)) == 0
        before = rows_of(library)
        capsys.readouterr()
        assert main(index(many, library, "--jobs", 1)) == 2
        full = capsys.readouterr()
        assert full.err.strip().count("\n") <= 1
        assert "full" in full.err or "No space left" in full.err, full.err
        after = rows_of(library)
        assert set(before) <= set(after)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path) -> None:
    """The samples of the additional quarter of an hour take 58 MB."""
    minute = tune(TUNES["leaps"], seconds=60, rate=16_000)
    peaks = []
    for minutes in (5, 20):
        sources = tmp_path / f"{minutes}" / "set.flac"
        sources.parent.mkdir()
        with sf.SoundFile(sources, "w", 16_000, 1) as file:
            for _ in range(minutes):
                file.write(minute)
        peaks.append(run_measured(*COMMAND, *index(sources, tmp_path / f"library{minutes}"))[1])
    assert peaks[1] < peaks[0] + 40


@pytest.mark.slow
def test_three_hours_in_little_memory(tmp_path: Path) -> None:
    """A DJ's set: the largest process of an `index` stays under 500 MB."""
    minute = tune(TUNES["leaps"], seconds=60, rate=16_000)
    with sf.SoundFile(tmp_path / "set.flac", "w", 16_000, 1) as file:
        for _ in range(181):
            file.write(minute)
    _, peak = run_measured(*COMMAND, "index", tmp_path / "set.flac", "--library", tmp_path / "library")
    assert peak < 500
