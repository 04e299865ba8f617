"""Accuracy of tempo, key and meter, compared with librosa, against known ground truth.

    python benchmarks/descriptors.py TRIPLETS [--grooves FOLDER] [--backbones compact dsp] [--clips 600] [--save DIR]

TRIPLETS come from `soundalike render`, whose ground truth includes tempo and key. FOLDER holds the Groove MIDI Dataset;
FluidSynth plays performances of at least eight seconds, and the ground truth is the tempo of their metronome.

- Tempo: share within 4 %, and within 4 % of the tempo or of its half, third, double or triple.
- Key: share that is right, overall and among confident answers, and the weighted score of mir_eval, which gives 0.5 for
  a fifth, 0.3 for the relative and 0.2 for the parallel key.
- Meter: share that is right among the answers, and the share of clips with an answer.

librosa estimates the tempo (`librosa.feature.tempo` of its onset strength) but not the key: its mean `chroma_cqt` is
matched with the same key profiles as ours.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.audio import MonoStream, windows
from soundalike.backbones.analysis import descriptors
from soundalike.core import plugins
from soundalike.core.types import Report
from soundalike.evaluate import reports
from soundalike.evaluate.estimates import bootstrap
from soundalike.render.score.music import PULSE
from soundalike.render.score.truth import ROOTS, read_truth
from soundalike.render.sound.soundfonts import find_soundfonts
from soundalike.train.data.folders import read_folders

CONFIDENT = 0.7  # probability of a key
SECONDS = 8.0  # minimum duration of a performance
KINDS = {"major": "major", "mixolydian": "major", "minor": "minor", "dorian": "minor"}  # by the third of the mode
FACTORS = (1.0, 0.5, 2.0, 1 / 3, 3.0)


@dataclass(frozen=True)
class Labelled:
    """A clip with its tempo in BPM, key such as "F# minor", meter (None: unknown), and group for the bootstrap."""

    path: Path
    tempo: float
    key: str | None
    meter: str | None
    group: str


@dataclass(frozen=True)
class Answer:
    """The descriptors that a method gives for a clip."""

    tempo: float | None
    key: str | None
    key_confidence: float | None = None
    meter: str | None = None


def rendered(triplets: Path, count: int) -> list[Labelled]:
    """Return anchors and neutral negatives of test folders with their ground truth."""
    folders = [folder for parts in read_folders(triplets, 0).values() for folder in parts["test"]]
    chosen = np.random.default_rng(0).permutation(len(folders))[: count // 2]
    found = []
    for place in sorted(chosen):
        for clip in (folders[place].anchor, folders[place].negative):
            if clip is None:
                continue
            truth = read_truth(clip.parents[1] / "truth" / f"{clip.stem}.jams")
            key = f"{ROOTS[truth.key]} {KINDS[truth.mode]}" if set(truth.parts) - {"drums"} else None
            found.append(Labelled(clip, truth.tempo / PULSE[truth.meter], key, truth.meter, str(place)))
    return found


def performances(folder: Path, count: int, place: Path) -> list[Labelled]:
    """Render human drum performances with a metronome tempo by FluidSynth to WAV files in `place`."""
    font = next(soundfont.path for soundfont in find_soundfonts() if soundfont.part == "test")
    with (folder / "info.csv").open(newline="", encoding="utf-8") as file:
        lines = [
            row for row in csv.DictReader(file) if row["beat_type"] == "beat" and float(row["duration"]) >= SECONDS
        ]
    found = []
    with tarfile.open(folder / "groove-midi.tar.gz") as tar:
        for number in sorted(np.random.default_rng(0).permutation(len(lines))[:count]):
            midi, sound = place / "one.mid", place / f"{number}.wav"
            midi.write_bytes(tar.extractfile(lines[number]["midi_filename"]).read())
            subprocess.run(["fluidsynth", "-niq", "-r", "22050", "-F", sound, font, midi], check=True)
            found.append(Labelled(sound, float(lines[number]["bpm"]), None, None, lines[number]["drummer"]))
    return found


def ours(backbone: str, path: Path) -> Answer:
    """Return the descriptors of a backbone."""
    extractor = plugins.load("backbones", backbone)
    found = extractor.features(MonoStream(path, extractor.rate), windows).descriptors
    return Answer(found.tempo, found.key, found.key_confidence, found.meter)


def librosas(path: Path) -> Answer:
    """Return the descriptors of librosa."""
    import librosa

    samples, rate = librosa.load(path, sr=22050)
    tempo = float(np.atleast_1d(librosa.feature.tempo(y=samples, sr=rate))[0])
    chroma = librosa.feature.chroma_cqt(y=samples, sr=rate).sum(axis=1)
    key = descriptors.key(np.roll(chroma, 3))  # our pitch classes start at A
    return Answer(tempo, key[0] if key else None)


def scores(labelled: Sequence[Labelled], answers: Sequence[Answer]) -> dict[str, np.ndarray]:
    """Score every clip, 0 to 1, by column; NaN if the column does not apply to the clip."""
    from mir_eval.key import weighted_score

    tempo = np.array([answer.tempo or np.nan for answer in answers]) / np.array([clip.tempo for clip in labelled])
    columns = {
        "tempo": np.abs(tempo - 1) <= 0.04,
        "tempo or a multiple": np.any([np.abs(tempo / factor - 1) <= 0.04 for factor in FACTORS], axis=0),
    }
    columns = {name: column.astype(float) for name, column in columns.items()}
    if any(clip.key for clip in labelled):
        pairs = list(zip(labelled, answers, strict=True))
        weighted = np.array(
            [
                np.nan if not clip.key else weighted_score(clip.key, answer.key) if answer.key else 0.0
                for clip, answer in pairs
            ]
        )
        right = np.where(np.isnan(weighted), np.nan, weighted == 1.0)
        confident = np.array([(answer.key_confidence or 0.0) >= CONFIDENT for answer in answers])
        answered = np.array([bool(answer.meter) for answer in answers])
        columns |= {
            "key": right,
            "key, weighted": weighted,
            f"key, p >= {CONFIDENT:g}": np.where(confident, right, np.nan),
            "meter, if answered": np.where(answered, [answer.meter == clip.meter for clip, answer in pairs], np.nan),
            "meter answered": answered.astype(float),
        }
    return columns


def estimates(columns: Sequence[np.ndarray], groups: Sequence[str]) -> list[list[float]]:
    """Return value, low, high and n of every column, over the clips to which it applies."""
    found = []
    for column in columns:
        applies = ~np.isnan(column)
        if not applies.any():
            found.append([np.nan, np.nan, np.nan, 0])
            continue
        units = [group for group, use in zip(groups, applies, strict=True) if use]
        estimate = bootstrap(100 * column[applies, None], units, 0)
        found.append([float(estimate.value[0]), float(estimate.low[0]), float(estimate.high[0]), int(estimate.n[0])])
    return [list(part) for part in zip(*found, strict=True)]


def measure(title: str, labelled: Sequence[Labelled], args: argparse.Namespace, command: str) -> Report:
    """Run all methods on the clips and print a report."""
    methods = {name: partial(ours, name) for name in args.backbones} | {"librosa": librosas}
    rows: dict[str, list[list[float]]] = {}
    names: list[str] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for name, method in methods.items():
            table = scores(labelled, list(pool.map(method, [clip.path for clip in labelled], chunksize=8)))
            names = list(table)
            rows[name] = estimates(list(table.values()), [clip.group for clip in labelled])
    values, low, high, n = zip(*rows.values(), strict=True)
    report = report_of(
        "bench-descriptors", title, command, rows=list(rows), columns=[f"{name} (%)" for name in names],
        values=values, low=low, high=high, n=n, model=args.backbones[0],
        notes=("Intervals: bootstrap over folders, or drummers. Key: clips in which not only drums play.",),
    )  # fmt: skip
    show_and_save(report, None)
    return report


def main() -> None:
    """Measure on rendered clips and, with --grooves, on human drum performances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triplets", type=Path)
    parser.add_argument("--grooves", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["compact", "dsp"])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    command = f"python benchmarks/descriptors.py TRIPLETS --grooves FOLDER --backbones {' '.join(args.backbones)}"
    labelled = rendered(args.triplets, args.clips)
    found = [measure(f"Tempo, key and meter of {len(labelled)} rendered clips of 10 s", labelled, args, command)]
    if args.grooves:
        with tempfile.TemporaryDirectory() as place:
            labelled = performances(args.grooves, args.clips // 4, Path(place))
            found.append(measure(f"Tempo of {len(labelled)} human drum performances", labelled, args, command))
    if args.save:
        print(f"saved: {reports.save_reports(found, args.save)}")


if __name__ == "__main__":
    main()
