"""A library of short clips with genres that can be heard, and a model of concepts that is learned from it."""

from __future__ import annotations

from pathlib import Path

import soundfile as sf

import soundalike
from conftest import TUNES, tune
from soundalike.cli.main import main

TAGGED, UNTAGGED = 24, 4
_RATE = 22050


def write_clips(folder: Path) -> Path:
    """Write clips of two genres by as many artists; the last four have no genre."""
    folder.mkdir(parents=True)
    notes = list(TUNES.values())
    for number in range(TAGGED + UNTAGGED):
        is_rock = number % 2 == 1
        samples = tune(
            [note + number % 5 for note in notes[number % 4]],
            seconds=2.5, beat=0.3 + 0.02 * (number % 7), harmonics=14 if is_rock else 1,
            drums=(0, 1, 2, 3, 4, 5, 6, 7) if is_rock else (), seed=number, rate=_RATE,
        )  # fmt: skip
        with sf.SoundFile(folder / f"{number:02}.flac", "w", _RATE, 1) as file:
            file.artist = f"Artist {number}"
            if number < TAGGED:
                file.genre = "Rock" if is_rock else "Chiptune"
            file.write(samples)
    return folder


def make_library(where: Path) -> tuple[Path, Path, Path]:
    """Index clips, learn concepts from their tags and add them; returns clips, library and model."""
    clips, library, model = write_clips(where / "clips"), where / "library", where / "concepts"
    with soundalike.open(library, create=True) as opened:
        opened.index(clips, model="dsp", jobs=1)
    assert main(["train", "concepts", "--library", str(library), "-o", str(model)]) == 0
    with soundalike.open(library) as opened:
        report = opened.index(clips, model=str(model), jobs=1)
    assert (report.reprojected, report.added, report.changed) == (TAGGED + UNTAGGED, 0, 0)
    return clips, library, model
