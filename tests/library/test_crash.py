"""Real processes that are killed, interrupted, or run side by side: nothing stored is ever lost or torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, mounted, run_measured, tune, write
from soundalike.core.errors import LibraryError
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.folder import LibraryFolder

COMMAND = [sys.executable, "-m", "soundalike"]
MOMENTS = 20
FILES = 96


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety-six short recordings, and a bad one."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        notes = [note + number % 7 for note in list(TUNES.values())[number % 4]]
        write(folder / f"{number:02}.wav", tune(notes, seconds=8 + number % 9, seed=number))
    (folder / "bad.wav").write_bytes(b"RIFF....")
    return folder


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def export(library: Path, output: Path) -> list[tuple[str, float, float, bytes]]:
    """(path, start, end, all vectors) of every row, sorted."""
    subprocess.run([*COMMAND, "library", "export", output, "--library", library], check=True, capture_output=True)
    with np.load(output, allow_pickle=False) as file:
        spaces = sorted(set(file.files) - {"path", "start", "end"})
        assert spaces == ["harmony", "melody", "rhythm", "timbre"]
        rows = np.concatenate([file[space] for space in spaces], axis=1)
        return sorted(
            (str(path), float(low), float(high), row.tobytes())
            for path, low, high, row in zip(file["path"], file["start"], file["end"], rows, strict=True)
        )


@pytest.fixture(scope="module")
def undisturbed(
    many: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[tuple[str, float, float, bytes]], float]:
    """The export of a run that nobody disturbed, and how long that took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    done = subprocess.run([*COMMAND, "index", many, "--library", folder / "library"], capture_output=True, check=False)
    took = time.monotonic() - began
    assert done.returncode == 1, "one file is bad, the rest is done"
    rows = export(folder / "library", folder / "all.npz")
    assert len({path for path, *_ in rows}) == FILES
    return rows, took


def is_empty(library: Path) -> bool:
    """Whether it was cut off before there was anything in it."""
    try:
        LibraryFolder(library).close()
    except LibraryError as error:
        assert str(error) == f"no library at {library}; make one with: soundalike index DIR"
        return True
    return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_run_that_is_cut_off_is_completed_by_the_next(
    how: signal.Signals, many: Path, undisturbed, tmp_path: Path
) -> None:
    expected, took = undisturbed
    chance = random.Random(int(how))
    kept_something = 0
    for moment in range(MOMENTS // 2):
        library = tmp_path / f"library{moment}"
        process = start("index", many, "--library", library)
        time.sleep(chance.uniform(0.02, 1.0) * took)
        if how is signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does: to the whole group
        else:
            process.kill()
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
        if how is signal.SIGINT:
            # -2: the interpreter itself was still starting, and had nothing to clean up.
            assert process.returncode in (1, 130, -signal.SIGINT)
        if (library / "catalog.sqlite").exists() and not is_empty(library):
            with LibraryFolder(library) as opened:
                held = opened.catalog.counts()["tracks"]
            kept_something += 0 < held < FILES
        again = subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
        assert again.returncode == 1, again.stderr.decode()
        assert export(library, tmp_path / "again.npz") == expected
    assert kept_something, "no run was cut off in the middle: the moments are badly chosen"


def test_a_cut_off_prune_and_re_encode(many: Path, tmp_path: Path, undisturbed) -> None:
    """Killing a run over an existing library never makes it worse."""
    expected, took = undisturbed
    library = tmp_path / "library"
    subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
    # Every track counts as heard by an older version of the model: all are encoded again.
    catalog = Catalog(library / "catalog.sqlite", writable=True)
    with catalog.transaction():
        catalog.database.connection.execute("UPDATE models SET digest = 'older'")
    catalog.close()
    process = start("index", many, "--prune", "--library", library)
    time.sleep(0.6 * took)
    process.kill()
    process.communicate(timeout=60)
    subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
    assert export(library, tmp_path / "again.npz") == expected


def test_one_writes_while_others_read(many: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    write(tmp_path / "first" / "x.wav", tune(TUNES["leaps"], seconds=5))
    subprocess.run([*COMMAND, "index", tmp_path / "first", "--library", library], check=True, capture_output=True)
    writer = start("index", many, "--library", library)
    answers, refused = [], []
    while writer.poll() is None:
        found = subprocess.run(
            [*COMMAND, "search", many / "00.wav", "--library", library, "--json", "-k", "99"],
            capture_output=True, check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr.decode()
        answers.append(found.stdout.count(b'"score"'))
        second = subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
        if writer.poll() is None:
            refused.append((second.returncode, second.stderr.decode()))
    writer.communicate()
    assert answers == sorted(answers), "readers see more and more, never less"
    assert answers[0] >= 1
    assert refused, "the writer was done before anybody could ask"
    for code, text in refused[:-1]:
        assert code == 2
        assert "another process is writing to the library" in text
        assert text.count("\n") == 1


def check_read_only(library: Path, many: Path) -> None:
    search = [*COMMAND, "search", many / "00.wav", "--library", library]
    found = subprocess.run(search, capture_output=True, check=False)
    assert found.returncode == 0, found.stderr.decode()
    refused = subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"read-only or not yours" in refused.stderr
    assert refused.stderr.count(b"\n") == 1


def test_a_read_only_library_can_be_searched_but_not_written(many: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # whom file modes do not stop
        disk = tmp_path / "disk"
        disk.mkdir()
        with mounted("--bind", "-o", "ro", str(tmp_path), at=disk):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=False)
            check_read_only(disk / "library", many)
        return
    for file in library.iterdir():
        file.chmod(0o444)
    library.chmod(0o555)
    try:
        check_read_only(library, many)
    finally:
        library.chmod(0o755)


def test_a_full_disk_loses_nothing(many: Path, tmp_path: Path) -> None:
    """On a real small file system; tests/test_indexing.py writes to /dev/full where there is none."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=400k", "tmpfs", at=disk):
        for name in ("00.wav", "01.wav"):
            write(tmp_path / "few" / name, tune(TUNES["up"], seconds=4, seed=int(name[:2])))
        library = disk / "library"
        first = subprocess.run(
            [*COMMAND, "index", tmp_path / "few", "--library", library], capture_output=True, check=False
        )
        assert first.returncode == 0, first.stderr.decode()
        before = export(library, tmp_path / "before.npz")
        full = subprocess.run([*COMMAND, "index", many, "--library", library], capture_output=True, check=False)
        assert full.returncode == 2, full.stdout.decode()
        assert b"Traceback" not in full.stderr
        assert full.stderr.decode().strip().count("\n") <= 1
        assert b"full" in full.stderr or b"No space left" in full.stderr, full.stderr.decode()
        after = export(library, tmp_path / "after.npz")
        assert set(before) <= set(after)


def test_three_hours_in_little_memory(tmp_path: Path) -> None:
    """A DJ's set: the largest process of an `index` stays under 500 MB."""
    minute = tune(TUNES["leaps"], seconds=60, rate=16_000)
    with sf.SoundFile(tmp_path / "set.flac", "w", 16_000, 1) as file:
        for _ in range(181):
            file.write(minute)
    _, peak = run_measured(*COMMAND, "index", tmp_path / "set.flac", "--library", tmp_path / "library")
    assert peak < 500
