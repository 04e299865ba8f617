"""Tempo, key and meter, as people filter by them, beside librosa's, against what is known of the sound.

    python benchmarks/descriptors.py TRIPLETS [--grooves FOLDER] [--backbones compact dsp] [--clips 600] [--save DIR]

TRIPLETS come from `soundalike render`: the truth beside a clip has tempo and key. FOLDER holds the Groove MIDI
Dataset; performances of at least eight seconds are played by FluidSynth, and the tempo is that of their metronome.
Tempo: share within 4 %, and within 4 % of it, its half, third, double or triple. Key: share that is right, also of
those that are sure, and mir_eval's weighted score, which gives half for a fifth, 0.3 for the relative and 0.2 for the
parallel key. Meter: share that is right of those where it is said, and how often it is.

librosa has tempo (`librosa.feature.tempo` of its onset strength) but no key: its mean `chroma_cqt` is matched with the
profiles that ours uses.
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
from soundalike.audio.stream import MonoStream, windows
from soundalike.backbones.analysis import descriptors
from soundalike.core import plugins
from soundalike.core.types import Report
from soundalike.evaluate import reports
from soundalike.evaluate.reports import bootstrap
from soundalike.render.score.music import PULSE
from soundalike.render.score.truth import ROOTS, read_truth
from soundalike.render.sound.soundfonts import find_soundfonts
from soundalike.train.data.folders import read_folders

SURE = 0.7  # of a key's probability
SECONDS = 8.0  # of the shortest performance that is worth a tempo
KINDS = {"major": "major", "mixolydian": "major", "minor": "minor", "dorian": "minor"}  # by their third
FACTORS = (1.0, 0.5, 2.0, 1 / 3, 3.0)


@dataclass(frozen=True)
class Known:
    """A clip, its tempo in beats a minute, its key, such as "F# minor", and meter, where known, and its group."""

    path: Path
    tempo: float
    key: str | None
    meter: str | None
    group: str


@dataclass(frozen=True)
class Said:
    """What an ear says of it."""

    tempo: float | None
    key: str | None
    key_confidence: float | None = None
    meter: str | None = None


def rendered(triplets: Path, count: int) -> list[Known]:
    """Clips of the test folders, at most one key and tempo a folder: anchors and neutral negatives."""
    folders = [folder for parts in read_folders(triplets, 0).values() for folder in parts["test"]]
    chosen = np.random.default_rng(0).permutation(len(folders))[: count // 2]
    found = []
    for place in sorted(chosen):
        for clip in (folders[place].anchor, folders[place].negative):
            if clip is None:
                continue
            truth = read_truth(clip.parents[1] / "truth" / f"{clip.stem}.jams")
            key = f"{ROOTS[truth.key]} {KINDS[truth.mode]}" if set(truth.parts) - {"drums"} else None
            found.append(Known(clip, truth.tempo / PULSE[truth.meter], key, truth.meter, str(place)))
    return found


def performances(folder: Path, count: int, place: Path) -> list[Known]:
    """Human drumming in one tempo, played by FluidSynth to wave files in `place`."""
    font = next(one.path for one in find_soundfonts() if one.part == "test")
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
            found.append(Known(sound, float(lines[number]["bpm"]), None, None, lines[number]["drummer"]))
    return found


def ours(backbone: str, path: Path) -> Said:
    """The descriptors of a backbone."""
    ear = plugins.load("backbones", backbone)
    heard = ear.features(MonoStream(path, ear.rate), windows).descriptors
    return Said(heard.tempo, heard.key, heard.key_confidence, heard.meter)


def librosas(path: Path) -> Said:
    """The same of librosa."""
    import librosa

    samples, rate = librosa.load(path, sr=22050)
    tempo = float(np.atleast_1d(librosa.feature.tempo(y=samples, sr=rate))[0])
    chroma = librosa.feature.chroma_cqt(y=samples, sr=rate).sum(axis=1)
    return Said(tempo, descriptors.key(np.roll(chroma, 3)))  # ours counts from A


def scores(known: Sequence[Known], said: Sequence[Said]) -> dict[str, np.ndarray]:
    """Right or not, or a score, of every clip; NaN where it is not asked about, or nothing is said."""
    from mir_eval.key import weighted_score

    tempo = np.array([one.tempo or np.nan for one in said]) / np.array([one.tempo for one in known])
    columns = {
        "tempo": np.abs(tempo - 1) <= 0.04,
        "tempo or a multiple": np.any([np.abs(tempo / factor - 1) <= 0.04 for factor in FACTORS], axis=0),
    }
    columns = {name: column.astype(float) for name, column in columns.items()}
    if any(one.key for one in known):
        pairs = list(zip(known, said, strict=True))
        found = np.array(
            [
                np.nan if not truth.key else weighted_score(truth.key, one.key) if one.key else 0.0
                for truth, one in pairs
            ]
        )
        right = np.where(np.isnan(found), np.nan, found == 1.0)
        sure = np.array([(one.key_confidence or 0.0) >= SURE for one in said])
        meant = np.array([bool(one.meter) for one in said])
        columns |= {
            "key": right,
            "key, weighted": found,
            f"key, p >= {SURE:g}": np.where(sure, right, np.nan),
            "meter, where said": np.where(meant, [one.meter == truth.meter for truth, one in pairs], np.nan),
            "meter said": meant.astype(float),
        }
    return columns


def estimates(columns: Sequence[np.ndarray], groups: Sequence[str]) -> list[list[float]]:
    """Value, low, high and n of every column over the clips that are asked about in it."""
    found = []
    for column in columns:
        asked = ~np.isnan(column)
        if not asked.any():
            found.append([np.nan, np.nan, np.nan, 0])
            continue
        one = bootstrap(100 * column[asked, None], [group for group, yes in zip(groups, asked, strict=True) if yes], 0)
        found.append([float(one.value[0]), float(one.low[0]), float(one.high[0]), int(one.n[0])])
    return [list(part) for part in zip(*found, strict=True)]


def measure(title: str, known: Sequence[Known], args: argparse.Namespace, command: str) -> Report:
    """Ask everybody and print a table."""
    ears = {name: partial(ours, name) for name in args.backbones} | {"librosa": librosas}
    rows: dict[str, list[list[float]]] = {}
    names: list[str] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for name, ear in ears.items():
            table = scores(known, list(pool.map(ear, [one.path for one in known], chunksize=8)))
            names = list(table)
            rows[name] = estimates(list(table.values()), [one.group for one in known])
    values, low, high, n = zip(*rows.values(), strict=True)
    report = report_of(
        "bench-descriptors", title, command, rows=list(rows), columns=[f"{name} (%)" for name in names],
        values=values, low=low, high=high, n=n, model=args.backbones[0],
        notes=("Intervals: bootstrap over folders, or drummers. Key: of clips in which more than drums plays.",),
    )  # fmt: skip
    show_and_save(report, None)
    return report


def main() -> None:
    """Measure on rendered clips, and on human drumming where it is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triplets", type=Path)
    parser.add_argument("--grooves", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["compact", "dsp"])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    command = f"python benchmarks/descriptors.py TRIPLETS --grooves FOLDER --backbones {' '.join(args.backbones)}"
    known = rendered(args.triplets, args.clips)
    found = [measure(f"Tempo, key and meter of {len(known)} rendered clips of 10 s", known, args, command)]
    if args.grooves:
        with tempfile.TemporaryDirectory() as place:
            known = performances(args.grooves, args.clips // 4, Path(place))
            found.append(measure(f"Tempo of {len(known)} human drum performances", known, args, command))
    if args.save:
        print(f"saved: {reports.save_reports(found, args.save)}")


if __name__ == "__main__":
    main()
