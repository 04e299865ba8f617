"""Accuracy of tempo, key and meter, compared with librosa, against known ground truth.

    python benchmarks/descriptors.py [--triplets DIR] [--grooves DIR] [--loops DIR ...] [--songs DIR] [--save DIR]

Each option names a set of recordings with ground truth:

- `--triplets`: what `soundalike render` wrote; its ground truth includes tempo and key.
- `--grooves`: the Groove MIDI Dataset. FluidSynth plays performances of at least eight seconds by the drummers of the
  test part, and the ground truth is the tempo of their metronome.
- `--loops`: audio files whose names begin with their tempo, such as those of `python tests/backbones/loops.py`.
- `--songs`: stems.csv (song, path, bpm, key) and the stems of songs. Excerpts of 20 s of the songs of the test part,
  caesium, hydrogen and sodium, are mixed from all stems.

Answers that a method leaves blank count as wrong, except in the columns "if answered".

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
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from common import report_of, show_and_save
from soundalike.audio import MonoStream, windows
from soundalike.backbones.analysis import descriptors
from soundalike.core import plugins
from soundalike.core.types import Report
from soundalike.evaluate import reports
from soundalike.evaluate.estimates import bootstrap
from soundalike.render.folders import META
from soundalike.render.score.music import PULSE
from soundalike.render.score.truth import ROOTS, read_truth
from soundalike.render.sound.soundfonts import find_soundfonts
from soundalike.render.sources.grooves import load_grooves, split_drummers

CONFIDENT = 0.7  # probability of a key
SECONDS = 8.0  # minimum duration of a performance
KINDS = {"major": "major", "mixolydian": "major", "minor": "minor", "dorian": "minor"}  # by the third of the mode
TEST_SONGS = ("caesium", "hydrogen", "sodium")
EXCERPT_RATE = 22050
EXCERPT = 20 * EXCERPT_RATE
AUDIBLE = 1e-3  # RMS of an excerpt
SHARPS = {"Bb": "A#", "Eb": "D#", "Ab": "G#", "Db": "C#", "Gb": "F#"}
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
    folders = [
        meta.parent
        for meta in sorted(triplets.glob(f"*/*/triplet/{META}"))
        if json.loads(meta.read_text(encoding="utf-8"))["part"] == "test"
    ]
    chosen = np.random.default_rng(0).permutation(len(folders))[: count // 2]
    found = []
    for place in sorted(chosen):
        for name in ("anchor", "negative"):
            (clip,) = folders[place].glob(f"{name}.*")
            truth = read_truth(clip.parents[1] / "truth" / f"{clip.stem}.jams")
            key = f"{ROOTS[truth.key]} {KINDS[truth.mode]}" if set(truth.parts) - {"drums"} else None
            found.append(Labelled(clip, truth.tempo / PULSE[truth.meter], key, truth.meter, str(place)))
    return found


def performances(folder: Path, count: int, place: Path) -> list[Labelled]:
    """Render performances of test drummers with a metronome tempo by FluidSynth to WAV files in `place`."""
    drummers = split_drummers(load_grooves(folder).grooves)
    font = next(soundfont.path for soundfont in find_soundfonts() if soundfont.part == "test")
    with (folder / "info.csv").open(newline="", encoding="utf-8") as file:
        lines = [
            row
            for row in csv.DictReader(file)
            if row["beat_type"] == "beat" and float(row["duration"]) >= SECONDS and drummers[row["drummer"]] == "test"
        ]
    found = []
    with tarfile.open(folder / "groove-midi.tar.gz") as tar:
        for number in sorted(np.random.default_rng(0).permutation(len(lines))[:count]):
            midi, sound = place / "one.mid", place / f"{number}.wav"
            midi.write_bytes(tar.extractfile(lines[number]["midi_filename"]).read())
            subprocess.run(["fluidsynth", "-niq", "-r", "22050", "-F", sound, font, midi], check=True)
            found.append(Labelled(sound, float(lines[number]["bpm"]), None, None, lines[number]["drummer"]))
    return found


def loops(folder: Path) -> list[Labelled]:
    """Return files whose names begin with their tempo, such as 140_house.wav."""
    return [Labelled(path, float(path.stem.split("_")[0]), None, None, path.stem) for path in sorted(folder.iterdir())]


def songs(folder: Path, place: Path) -> list[Labelled]:
    """Mix the stems of the test songs and cut them into excerpts, as WAV files in `place`."""
    with (folder / "stems.csv").open(newline="", encoding="utf-8") as file:
        stems = [row for row in csv.DictReader(file) if row["song"] in TEST_SONGS and row["stem_class"] != "mix"]
    found = []
    for song in TEST_SONGS:
        rows = [row for row in stems if row["song"] == song]
        mix = np.zeros(0)
        for row in rows:
            samples = np.concatenate(list(MonoStream(folder / row["path"], EXCERPT_RATE)))
            mix = np.pad(mix, (0, max(len(samples) - len(mix), 0)))
            mix[: len(samples)] += samples
        tonic, mode = rows[0]["key"].split()
        mix = 0.9 * mix / np.abs(mix).max()
        for number, first in enumerate(range(0, len(mix) - EXCERPT, EXCERPT)):
            excerpt = mix[first : first + EXCERPT]
            if np.sqrt(np.mean(np.square(excerpt))) > AUDIBLE:
                path = place / f"{song}-{number}.wav"
                wavfile.write(path, EXCERPT_RATE, excerpt.astype(np.float32))
                key = f"{SHARPS.get(tonic, tonic)} {mode}"
                found.append(Labelled(path, float(rows[0]["bpm"]), key, None, song))
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
    columns["tempo, if answered"] = np.where(np.isnan(tempo), np.nan, columns["tempo"])
    columns["tempo answered"] = (~np.isnan(tempo)).astype(float)
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
        given = np.array([bool(answer.key) for answer in answers])
        columns |= {
            "key": right,
            "key, weighted": weighted,
            "key, if answered": np.where(given, right, np.nan),
            "key answered": np.where(np.isnan(weighted), np.nan, given.astype(float)),
            f"key, p >= {CONFIDENT:g}": np.where(confident, right, np.nan),
        }
    if any(clip.meter for clip in labelled):
        answered = np.array([bool(answer.meter) for answer in answers])
        columns |= {
            "meter, if answered": np.where(
                answered,
                [answer.meter == clip.meter for clip, answer in zip(labelled, answers, strict=True)],
                np.nan,
            ),
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


def measure(title: str, labelled: Sequence[Labelled], args: argparse.Namespace, data: str) -> Report:
    """Run all methods on the clips and print a report."""
    command = f"python benchmarks/descriptors.py {data} --backbones {' '.join(args.backbones)}"
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
    """Measure on every set that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triplets", type=Path)
    parser.add_argument("--grooves", type=Path)
    parser.add_argument("--loops", type=Path, nargs="+", default=[])
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["compact", "dsp"])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if args.triplets:
            labelled = rendered(args.triplets, args.clips)
            title = f"Tempo, key and meter of {len(labelled)} rendered clips of 10 s"
            found.append(measure(title, labelled, args, "--triplets TRIPLETS"))
        if args.grooves:
            labelled = performances(args.grooves, args.clips // 4, place)
            title = f"Tempo of {len(labelled)} performances of drummers whose playing is not in the training data"
            found.append(measure(title, labelled, args, "--grooves GROOVES"))
        for number, each in enumerate(args.loops, start=1):
            labelled = loops(each)
            title = f"Tempo of {len(labelled)} loops of drums and bass, set {number}"
            found.append(measure(title, labelled, args, "--loops LOOPS"))
        if args.songs:
            labelled = songs(args.songs, place)
            title = f"Tempo and key of {len(labelled)} excerpts of 20 s of the test songs"
            found.append(measure(title, labelled, args, "--songs STEMS"))
    if args.save:
        print(f"saved: {reports.save_reports(found, args.save)}")


if __name__ == "__main__":
    main()
