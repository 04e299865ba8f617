"""Accuracy of tempo, key and meter, compared with librosa, against known ground truth.

    python benchmarks/descriptors.py [--triplets DIR] [--grooves DIR] [--loops DIR ...] [--songs DIR] [--save DIR]
    python benchmarks/descriptors.py --reliability [--part train] [--seconds 60] --songs DIR ...

Each option names a set of recordings with ground truth:

- `--triplets`: what `soundalike render` wrote; its ground truth includes tempo and key.
- `--grooves`: the Groove MIDI Dataset. FluidSynth plays performances of at least eight seconds by the drummers of the
  test part, and the ground truth is the tempo of their metronome.
- `--loops`: audio files whose names begin with their tempo, such as those of `python tests/backbones/loops.py`.
- `--songs`: stems.csv (song, path, bpm, key) and the stems of songs. Excerpts of `--seconds` (20) of the songs of the
  test part, caesium, hydrogen and sodium, are mixed from all stems; `--seconds 0` takes whole songs, and `--part train`
  the other songs. Mixing takes minutes, so `--mixes` keeps the mixes in a folder.

Answers that a method leaves blank count as wrong, except in the columns "if answered".

- Tempo: share within 4 %, and within 4 % of the tempo or of its half, third, double or triple.
- Key: share that is right, overall and among confident answers, and the weighted score of mir_eval, which gives 0.5 for
  a fifth, 0.3 for the relative and 0.2 for the parallel key.
- Meter: share that is right among the answers, and the share of clips with an answer.

With `--reliability`, the tables are of confidences instead: by confidence, how many answers are right. Every answer
counts, also one that the product leaves blank because its confidence is below the threshold. The meter counts where the
tempo is given. librosa has no confidences.

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
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from common import report_of, show_and_save
from reliability import Row, reliability
from soundalike.audio import MonoStream, windows
from soundalike.backbones.analysis import descriptors, key_and_meter, passage_descriptors, tempo
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
AUDIBLE = 1e-3  # RMS of an excerpt
SHARPS = {"Bb": "A#", "Eb": "D#", "Ab": "G#", "Db": "C#", "Gb": "F#"}
FACTORS = (1.0, 0.5, 2.0, 1 / 3, 3.0)
TOLERANCE = 0.04
MIN_TEMPO = tempo._MIN_PROBABILITY


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
    tempo_confidence: float | None = None
    meter_confidence: float | None = None


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
            root = ROOTS[truth.key]
            key = f"{SHARPS.get(root, root)} {KINDS[truth.mode]}" if set(truth.parts) - {"drums"} else None
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


def songs(folder: Path, place: Path, part: str, seconds: float, mixes: Path | None) -> list[Labelled]:
    """Mix the stems of the songs of a part and cut them into WAV files in `place`, or one per song for 0 s."""
    with (folder / "stems.csv").open(newline="", encoding="utf-8") as file:
        stems = [row for row in csv.DictReader(file) if row["stem_class"] != "mix"]
    found = []
    for song in sorted({row["song"] for row in stems if (row["song"] in TEST_SONGS) == (part == "test")}):
        rows = [row for row in stems if row["song"] == song]
        mix = mix_of(folder, rows, mixes and mixes / f"{song}.wav")
        tonic, mode = rows[0]["key"].split()
        length = round(seconds * EXCERPT_RATE) or len(mix)
        for number, first in enumerate(range(0, len(mix) - length + 1, length)):
            excerpt = mix[first : first + length]
            if np.sqrt(np.mean(np.square(excerpt))) > AUDIBLE:
                path = place / f"{song}-{number}.wav"
                wavfile.write(path, EXCERPT_RATE, excerpt)
                key = f"{SHARPS.get(tonic, tonic)} {mode}"
                found.append(Labelled(path, float(rows[0]["bpm"]), key, None, song))
    return found


def mix_of(folder: Path, stems: Sequence[Mapping[str, str]], kept: Path | None) -> np.ndarray:
    """Return the mix (t,) float32 of stems, from the file `kept` if there is one."""
    if kept and kept.exists():
        return np.asarray(wavfile.read(kept)[1])
    mix = np.zeros(0)
    for row in stems:
        samples = np.concatenate(list(MonoStream(folder / row["path"], EXCERPT_RATE)))
        mix = np.pad(mix, (0, max(len(samples) - len(mix), 0)))
        mix[: len(samples)] += samples
    mix = (0.9 * mix / np.abs(mix).max()).astype(np.float32)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(kept, EXCERPT_RATE, mix)
    return mix


def ours(backbone: str, path: Path) -> Answer:
    """Return the descriptors of a backbone."""
    extractor = plugins.load("backbones", backbone)
    found = extractor.features(MonoStream(path, extractor.rate), windows).descriptors
    return Answer(
        found.tempo, found.key, found.key_confidence, found.meter, found.tempo_confidence, found.meter_confidence
    )


def drop_thresholds() -> None:
    """Let this process give every descriptor, whatever its confidence."""
    tempo._MIN_PROBABILITY = passage_descriptors._MIN_KEY = 0.0
    key_and_meter._MIN_KEY = key_and_meter._MIN_METER = 0.0


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

    ratio = np.array([answer.tempo or np.nan for answer in answers]) / np.array([clip.tempo for clip in labelled])
    columns = {
        "tempo": np.abs(ratio - 1) <= TOLERANCE,
        "tempo or a multiple": np.any([np.abs(ratio / factor - 1) <= TOLERANCE for factor in FACTORS], axis=0),
    }
    columns = {name: column.astype(float) for name, column in columns.items()}
    columns["tempo, if answered"] = np.where(np.isnan(ratio), np.nan, columns["tempo"])
    columns["tempo answered"] = (~np.isnan(ratio)).astype(float)
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
    methods = {name: partial(ours, name) for name in args.backbones}
    if not args.no_librosa:
        methods["librosa"] = librosas
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


def rows_of(labelled: Sequence[Labelled], answers: Sequence[Answer]) -> list[Row]:
    """Return the reliability of the confidences of all descriptors."""
    pairs = list(zip(labelled, answers, strict=True))
    judged = {
        "tempo": [
            (answer.tempo_confidence, abs(answer.tempo / clip.tempo - 1) <= TOLERANCE)
            for clip, answer in pairs
            if answer.tempo
        ],
        "key": [(answer.key_confidence, answer.key == clip.key) for clip, answer in pairs if clip.key and answer.key],
        "meter": [
            (answer.meter_confidence, answer.meter == clip.meter)
            for clip, answer in pairs
            if clip.meter and answer.meter and (answer.tempo_confidence or 0.0) >= MIN_TEMPO
        ],
    }
    return [
        row
        for name, found in judged.items()
        for row in reliability(name, [pair[0] or 0.0 for pair in found], [pair[1] for pair in found])
    ]


def measure_reliability(title: str, labelled: Sequence[Labelled], args: argparse.Namespace, data: str) -> list[Report]:
    """Run our backbones without thresholds on the clips and print a report for each."""
    found = []
    for name in args.backbones:
        with ProcessPoolExecutor(args.jobs, initializer=drop_thresholds) as pool:
            answers = list(pool.map(partial(ours, name), [clip.path for clip in labelled], chunksize=8))
        rows = rows_of(labelled, answers)
        missing = [np.nan] * len(rows)
        report = report_of(
            "bench-reliability",
            f"Reliability of the confidences of {name}: {title[:1].lower()}{title[1:]}",
            f"python benchmarks/descriptors.py --reliability {data} --backbones {' '.join(args.backbones)}",
            rows=[row.name for row in rows],
            columns=["n", "mean confidence (%)", "right (%)", "calibration error (%)"],
            values=[row.values for row in rows],
            low=np.transpose([missing, missing, [row.low for row in rows], missing]).tolist(),
            high=np.transpose([missing, missing, [row.high for row in rows], missing]).tolist(),
            n=[[row.n] * 4 for row in rows],
            model=name,
            notes=("Intervals: Wilson, 95 %, as if the clips were independent.",),
        )
        show_and_save(report, None)
        found.append(report)
    return found


def main() -> None:
    """Measure on every set that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triplets", type=Path)
    parser.add_argument("--grooves", type=Path)
    parser.add_argument("--loops", type=Path, nargs="+", default=[])
    parser.add_argument("--songs", type=Path)
    parser.add_argument("--part", choices=("test", "train"), default="test", help="which songs (default: test)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of an excerpt of a song; 0: whole songs")
    parser.add_argument("--mixes", type=Path, metavar="DIR", help="keep the mixes of songs here")
    parser.add_argument("--reliability", action="store_true", help="show how often confidences are right")
    parser.add_argument("--backbones", nargs="+", default=["compact", "dsp"])
    parser.add_argument("--no-librosa", action="store_true", help="leave out librosa, which is slow")
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    found = []

    def add(title: str, labelled: Sequence[Labelled], data: str) -> None:
        if args.reliability:
            found.extend(measure_reliability(title, labelled, args, data))
        else:
            found.append(measure(title, labelled, args, data))

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if args.triplets:
            labelled = rendered(args.triplets, args.clips)
            add(f"Tempo, key and meter of {len(labelled)} rendered clips of 10 s", labelled, "--triplets TRIPLETS")
        if args.grooves:
            labelled = performances(args.grooves, args.clips // 4, place)
            title = f"Tempo of {len(labelled)} performances of drummers whose playing is not in the training data"
            add(title, labelled, "--grooves GROOVES")
        for number, each in enumerate(args.loops, start=1):
            labelled = loops(each)
            add(f"Tempo of {len(labelled)} loops of drums and bass, set {number}", labelled, "--loops LOOPS")
        if args.songs:
            labelled = songs(args.songs, place, args.part, args.seconds, args.mixes)
            what = f"excerpts of {args.seconds:g} s of the {args.part}" if args.seconds else f"whole {args.part}"
            options = f"--songs STEMS --part {args.part} --seconds {args.seconds:g}"
            add(f"Tempo and key of {len(labelled)} {what} songs", labelled, options)
    if args.save:
        print(f"saved: {reports.save_reports(found, args.save)}")


if __name__ == "__main__":
    main()
