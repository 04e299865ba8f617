"""Synthetic music that tests can reason about, and libraries made of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# One thread, as in the program itself: the matrices are small, and idle threads would spin. Before numpy is imported.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")
os.environ["MKL_NUM_THREADS"] = os.environ.get("MKL_NUM_THREADS", "1")
os.environ["SOUNDALIKE_CONFIG"] = os.devnull  # not the settings of whoever runs the tests

import numpy as np
import pytest
import soundfile as sf
from hypothesis import Phase, settings

import inline_workers  # noqa: F401 - before any module of the package imports what it replaces
from soundalike.api import Library
from soundalike.api import open as open_library
from soundalike.core.executors.cores import usable_cores
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

RATE = 22050

pytest_plugins = ["allowed_skips", "halves", "pytester", "served_pages"]

# `make test` tries fewer examples of every property than `make test-all`, which asks for the other profile.
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
# For `tools/mutate.py`: the first example that fails is enough, and every run tries the same ones.
settings.register_profile(
    "once", max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("quick")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process per core that the quota allows. Each takes up to 1.5 GB."""
    return min(8, usable_cores())


# A shell that starts pytest in the background has it ignore Ctrl-C, and so would every process that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def tune(
    notes: Sequence[int],
    *,
    seconds: float = 8.0,
    beat: float = 0.5,
    harmonics: int = 6,
    seed: int = 0,
    drums: Sequence[int] = (0, 4),
    rate: int = RATE,
) -> np.ndarray:
    """A melody of MIDI notes, one a beat and repeated, over a soft chord every four, with noise bursts on the given
    eighths of a bar: (t,).
    """
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    signal = np.zeros_like(t)
    for n in range(int(seconds / beat) + 1):
        start = round(n * beat * rate)
        part = t[start : start + round(beat * rate)] - n * beat
        pitch = 440.0 * 2 ** ((notes[n % len(notes)] - 69) / 12)
        wave = sum(np.sin(2 * np.pi * pitch * h * part) / h for h in range(1, harmonics + 1))
        signal[start : start + len(part)] += 0.2 * wave * np.exp(-3 * part)
    for n in range(0, int(seconds / beat) + 1, 4):
        start = round(n * beat * rate)
        part = t[start : start + round(4 * beat * rate)] - n * beat
        for interval in (-12, -8, -5):
            pitch = 440.0 * 2 ** ((notes[n % len(notes)] + interval - 69) / 12)
            wave = sum(np.sin(2 * np.pi * pitch * h * part) / h for h in range(1, 4))
            signal[start : start + len(part)] += 0.05 * wave * np.exp(-part)
    for n in range(int(seconds / (beat / 2)) + 1):
        if n % 8 in drums:
            start = round(n * beat / 2 * rate)
            part = t[start : start + rate // 20] - n * beat / 2
            signal[start : start + len(part)] += 0.3 * random.standard_normal(len(part)) * np.exp(-60 * part)
    return (0.5 * signal / max(1e-9, np.abs(signal).max())).astype(np.float32)


TUNES = {
    "up": (60, 62, 64, 65, 67, 69, 71, 72),
    "down": (72, 67, 71, 64, 69, 60, 65, 62),
    "leaps": (60, 72, 61, 70, 55, 67, 58, 63),
    "pedal": (60, 60, 67, 60, 60, 68, 60, 63),
}


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    """Write (t,) or (t, c) samples; the suffix chooses the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples, rate, **options)
    return path


# A child's peak memory starts at its parent's, and a process that ran other tests is large: a small one stands between.
LAUNCH = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2))
sys.exit(done.returncode)
"""


def run_measured(*command: object) -> tuple[str, int]:
    """Run a command: its standard output, and the peak of its largest process in MB."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, *map(str, command)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    printed, _, peak = done.stdout.rstrip().rpartition("\n")
    return printed, int(peak)


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[None]:
    """A file system at a folder, unmounted at the end; skips where this machine does not let us mount one."""
    try:
        done = subprocess.run(["mount", *arguments, str(at)], capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("cannot mount a file system here (this takes root)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=False)


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 clips of 12 s: four tunes, each in three sounds and keys; `<tune>/<n>.wav`."""
    folder = tmp_path_factory.mktemp("music")
    for number, (name, notes) in enumerate(TUNES.items()):
        for variant in range(3):
            samples = tune(
                [note + 2 * variant for note in notes],
                seconds=12,
                harmonics=2 + 4 * variant,
                seed=variant,
                drums=[(0, 4), (0, 3, 6), (0, 2, 5, 7)][(variant + number) % 3],
            )
            write(folder / name / f"{variant}.wav", samples)
    return folder


@pytest.fixture(scope="session")
def stocked(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of `music`; open it for reading only."""
    path = tmp_path_factory.mktemp("stocked") / "library"
    with LibraryFolder.create(path) as library:
        report = index_files(library, [music])
    assert report.added == 12
    return path


@pytest.fixture(scope="session")
def stocked_api(stocked: Path) -> Iterator[Library]:
    """The library of `music`, as the Python interface opens it."""
    with open_library(stocked) as opened:
        yield opened


@pytest.fixture(scope="session")
def stocked_client(stocked_api: Library) -> Iterator[TestClient]:
    """A client of a server with the default settings over the library of `music`."""
    from fastapi.testclient import TestClient

    from soundalike.serve import create_app

    with TestClient(create_app(stocked_api), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def library(stocked: Path) -> Iterator[LibraryFolder]:
    """The library of `music`, open for reading."""
    with LibraryFolder(stocked) as opened:
        yield opened


@pytest.fixture(scope="session")
def data() -> Path:
    """The development recordings, from $SOUNDALIKE_DATA or beside the checkout; skips where they are absent."""
    folder = Path(os.environ.get("SOUNDALIKE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "musicdelta" / "stems.csv").is_file():
        pytest.skip("the development recordings are not here: set SOUNDALIKE_DATA to their folder")
    return folder


@pytest.fixture
def files_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libraries of made-up paths give results, as if their files were there."""
    monkeypatch.setattr("soundalike.library.presence._is_file", lambda _: True)
    monkeypatch.setattr("soundalike.library.presence._has_entries", lambda _: True)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Write a clip into the test's folder: made("a.wav", seconds=3, notes=...)."""

    def make(name: str, notes: Sequence[int] = TUNES["up"], **options: object) -> Path:
        return write(tmp_path / name, tune(notes, **options))  # type: ignore[arg-type]

    return make
