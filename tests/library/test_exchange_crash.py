"""Exports and imports of real processes: beside an `index` that writes, killed in the middle, on a full disk."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from test_exchange import Kind, content, make_library, take_out

from conftest import TUNES, mounted, tune, write
from soundalike.audio.stream import windows
from soundalike.cli.main import main
from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS
from soundalike.library.exchange.export import export_library
from soundalike.library.exchange.read import Export
from soundalike.library.folder import LibraryFolder

COMMAND = [sys.executable, "-m", "soundalike"]
QUIET = subprocess.DEVNULL
TRACKS = 2200


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in this process."""
    words, out, err = [str(argument) for argument in arguments], StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def held(library: Path) -> int:
    if not (library / "catalog.sqlite").exists():
        return 0
    with LibraryFolder(library) as opened:
        return opened.catalog.counts()["tracks"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of 2,200 tracks, which takes most of a second to import, in five batches."""
    base = tmp_path_factory.mktemp("large")
    kinds = [Kind(6.0, ("a", "b") if n % 2 else ("a",)) for n in range(1800)]
    kinds += [Kind(6.0, kind.encoded_by, copy_of=n) for n, kind in enumerate(kinds[:400])]
    make_library(base / "library", kinds)
    return take_out(base / "library", base / "export")


@pytest.mark.slow
def test_an_import_that_is_killed_is_completed_by_the_next(large: Path, tmp_path: Path) -> None:
    chance, library, seen = random.Random(1), tmp_path / "library", [0]
    for _ in range(3):
        process = subprocess.Popen(
            [*COMMAND, "library", "import", large, "--library", library], stdout=QUIET, stderr=QUIET
        )
        before = held(library)
        # The first batch that is committed, then a moment within the next.
        while process.poll() is None and held_if_made(library) == before:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        process.wait()
        seen.append(held(library))
        check_whole(library)
    assert seen == sorted(seen)
    assert sum(0 < number < TRACKS for number in seen) > 1, f"killed at {seen}: the moments are badly chosen"
    assert run("library", "import", large, "--library", library).returncode == 0
    assert content(take_out(library, tmp_path / "again")) == content(large)


def held_if_made(library: Path) -> int:
    try:
        return held(library)
    except LibraryError:  # it is just being made
        return 0


def check_whole(library: Path) -> None:
    """Every track that is there has all its rows."""
    with LibraryFolder(library) as opened:
        for model in opened.catalog.models():
            for level in LEVELS:
                counts = opened.catalog.groups(model, level)[:, 1]
                assert set(counts.tolist()) == {1}
        assert len(opened.catalog.encoded_by()) == opened.catalog.counts()["tracks"]


def test_an_export_that_is_killed_leaves_no_folder(large: Path, tmp_path: Path) -> None:
    library = large.parent / "library"
    process = subprocess.Popen([*COMMAND, "library", "export", tmp_path / "export", "--library", library], stdout=QUIET)
    while process.poll() is None and not list(tmp_path.iterdir()):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (tmp_path / "export").exists()
    assert run("library", "export", tmp_path / "export", "--library", library).returncode == 0
    assert content(tmp_path / "export") == content(large)


@pytest.mark.slow
def test_an_export_is_of_one_moment(tmp_path: Path) -> None:
    """While real `index` commands write, one after another, every export is complete and consistent."""
    for number in range(32):
        notes = [note + number % 7 for note in list(TUNES.values())[number % 4]]
        write(tmp_path / f"in{number % 4}" / f"{number:02}.wav", tune(notes, seconds=3 + number % 9, seed=number))
    library = tmp_path / "library"
    index = "main(['index', folder, '--library', 'library', '--jobs', '1'])"
    several = f"from soundalike.cli.main import main\nfor folder in ('in0', 'in1', 'in2', 'in3'): assert {index} == 0"
    writer = subprocess.Popen([sys.executable, "-c", several], cwd=tmp_path, stdout=QUIET, stderr=QUIET)
    while held_if_made(library) == 0:
        assert writer.poll() is None
        time.sleep(0.01)
    sizes = []
    while writer.poll() is None:
        with LibraryFolder(library) as opened:
            sizes.append(export_library(opened, tmp_path / f"export{len(sizes)}").tracks)
        time.sleep(0.1)
    assert writer.wait() == 0
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 1, f"exports of {sizes} tracks: the writer ended before the second export"
    with LibraryFolder(library) as opened:
        for number, size in enumerate(sizes):
            with Export(tmp_path / f"export{number}") as export:
                sounds = [sound for batch in export.batches() for sound in batch]
            assert sum(len(sound.copies) for sound in sounds) == size
            for sound in sounds:
                track = opened.catalog.track_at(sound.first.track.path)
                assert track is not None
                assert sound.first.passages == len(windows(track.duration))
                for level in LEVELS:
                    first, count = opened.catalog.rows_of(track.id, level)
                    for full, rows in sound.rows[level].items():
                        there = opened.store.read(level, full, rows.shape[1], np.arange(first, first + count))
                        assert np.array_equal(rows, there)


def test_a_full_disk_loses_nothing(large: Path, stocked: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1400k", "tmpfs", at=disk):
        library = disk / "library"
        check_full(run("library", "import", large, "--library", library))
        assert 0 < held(library) < TRACKS
        check_whole(library)
        check_full(run("library", "export", disk / "out", "--library", large.parent / "library"))
        (disk / "rest").write_bytes(bytes(shutil.disk_usage(disk).free))
        for name in ("v.npz", "v.parquet"):
            check_full(run("library", "export", disk / name, "--library", stocked))
        assert sorted(path.name for path in disk.iterdir()) == ["library", "rest"], "an export leaves nothing behind"
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        assert run("library", "import", large, "--library", library).returncode == 0
        assert content(take_out(library, tmp_path / "again")) == content(large)


def check_full(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert "No space left" in done.stderr or "full" in done.stderr
