"""One library, many threads, and another process that writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import soundalike
from conftest import TUNES

SEARCHES, THREADS = 1000, 8
# Index, remove and vacuum until told to stop: the library changes under the readers all the time.
WRITER = """
import pathlib, sys, soundalike
library, new, stop = map(pathlib.Path, sys.argv[1:])
rounds = 0
with soundalike.open(library) as opened:
    while not stop.exists() or rounds < 3:
        opened.index(new, jobs=1)
        opened.remove(*(track.path for track in opened.tracks() if track.path.parent == new))
        opened.vacuum()
        rounds += 1
print(rounds)
"""


@pytest.mark.slow
def test_threads_share_a_library_while_another_process_writes(stocked: Path, music: Path, tmp_path: Path, made) -> None:
    shutil.copytree(stocked, tmp_path / "library")
    made("new/other.wav", TUNES["down"], seconds=1)
    songs = sorted(music.rglob("*.wav"))
    questions = [
        {"query": song, "weights": weights, "k": 6, "by": "track", "where": f"path ~ {music.name}"}
        for song in songs
        for weights in ("melody=2,timbre=-1", "rhythm", None)
    ]
    with soundalike.open(tmp_path / "library") as library:

        def ask(number: int) -> list[tuple[str, float]]:
            return [(match.path, match.score) for match in library.search(**questions[number % len(questions)])]

        expected = [ask(number) for number in range(len(questions))]
        assert all(len(answer) == 6 for answer in expected)
        command = [sys.executable, "-c", WRITER, tmp_path / "library", tmp_path / "new", tmp_path / "stop"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
            with ThreadPoolExecutor(THREADS) as pool:
                answers = list(pool.map(ask, range(SEARCHES)))
            (tmp_path / "stop").touch()
            printed, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
        assert int(printed) >= 3
        wrong = [number for number, answer in enumerate(answers) if answer != expected[number % len(expected)]]
        assert not wrong
        assert len(library) == 12 and library.check().ok
