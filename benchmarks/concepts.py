"""Measure tempo and key on real music: passages of few songs, each transposed and stretched at random.

    python benchmarks/concepts.py DATA/stems --work /tmp/passages --model compact --save docs/results

DIR holds stems.csv with the columns song, path, stem_class, bpm and key. A passage of 10 s is the sum of the stems of a
song, transposed by -6 to 6 semitones and 25 % slower to 25 % faster, so that tempo and key vary within a song. Triplets
are those of `soundalike evaluate concepts`: the positive is another passage that is alike, of the same song or another
one. The last row compares the tempo and the key that the model estimates, by the rules that define what is alike.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from common import show_and_save
from soundalike.audio import CONCEPTS, MonoStream, TrackLabels, alike_matrix, parse_key
from soundalike.core import plugins
from soundalike.core.types import FloatArray, Report
from soundalike.evaluate.concepts import alike_triplets
from soundalike.evaluate.estimates import bootstrap
from soundalike.evaluate.labelled_songs import read_labelled_songs
from soundalike.evaluate.reports import make_report
from soundalike.models import Model
from soundalike.serve.sound.stretch import stretch

RATE = 22050
SECONDS = 10.0
SONGS = ("caesium", "hydrogen", "sodium")
"""The songs for tests."""
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def mix_of(folder: Path, stems: list[dict[str, str]]) -> FloatArray:
    """The sum of the stems of a song, mono (t,)."""
    total = np.zeros(0, np.float32)
    for stem in stems:
        samples = MonoStream(folder / stem["path"], RATE).read(lambda blocks: np.concatenate(list(blocks)))
        length = max(len(total), len(samples))
        total = np.pad(total, (0, length - len(total))) + np.pad(samples, (0, length - len(samples)))
    return total


def write_passages(data: Path, work: Path, count: int) -> Path:
    """Write `count` passages of every song and a table of their labels, unless they are there; returns the table."""
    table = work / "labels.csv"
    if table.exists():
        return table
    work.mkdir(parents=True, exist_ok=True)
    lines = passages_of(data, work, count, SONGS)
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "tempo", "key"], *(line[:3] for line in lines)])
    return table


def passages_of(data: Path, work: Path, count: int, songs: Sequence[str]) -> list[list[str]]:
    """Write `count` passages of every song; returns the name, the tempo, the key and the song of each."""
    import soundfile

    with (data / "stems.csv").open(newline="") as file:
        stems = list(csv.DictReader(file))
    lines = []
    for number, song in enumerate(songs):
        own = [stem for stem in stems if stem["song"] == song and stem["stem_class"] != "mix"]
        mix, bpm, key = mix_of(data, own), float(own[0]["bpm"]), parse_key(own[0]["key"])
        assert key is not None
        note, mode = key.split(" ")
        random = np.random.default_rng([number, count])
        made = 0
        while made < count:
            semitones, ratio = int(random.integers(-6, 7)), float(random.uniform(0.75, 1.25))
            length = round(SECONDS * ratio * RATE)
            start = int(random.integers(len(mix) - length))
            part = mix[start : start + length]
            if np.sqrt(np.mean(part**2)) < 0.02:
                continue
            blocks = stretch([part[None]], 1, RATE, semitones=semitones, tempo_ratio=ratio)
            samples = np.concatenate(list(blocks), axis=1)[0]
            name = f"{song}-{made:03d}.wav"
            soundfile.write(work / name, 0.9 * samples / max(0.9, float(np.abs(samples).max())), RATE)
            tonic = NOTES[(NOTES.index(note) + semitones) % 12]
            lines.append([name, f"{bpm * ratio:.3f}", f"{tonic} {mode}", song])
            made += 1
    return lines


def compare_estimates(work: Path, table: Path, model: str, triplets: int) -> Report:
    """The report of estimates that are compared directly."""
    songs = read_labelled_songs(work, table=table)
    loaded = Model.load(model)
    found = [loaded.encode(one.item.path).descriptors for one in songs]
    estimated = [TrackLabels(tempo=one.tempo, key=one.key) for one in found]
    columns = {}
    for concept in ("tempo", "key"):
        truth = alike_matrix(concept, [one.labels for one in songs])
        seed = CONCEPTS.index(concept)
        drawn = alike_triplets(truth, [one.song for one in songs], seed, count=triplets, what=concept)
        alike = np.maximum(alike_matrix(concept, estimated), 0)  # what is not estimated is like nothing
        near, far = alike[drawn[:, 0], drawn[:, 1]], alike[drawn[:, 0], drawn[:, 2]]
        outcomes = 0.5 + 0.5 * (near.astype(np.float64) - far)
        columns[concept] = bootstrap(outcomes[:, None], [songs[anchor].song for anchor in drawn[:, 0]], 0)
    known = ", ".join(f"{concept} {sum(one.known(concept) for one in estimated)}" for concept in ("tempo", "key"))
    return make_report(
        columns,
        rows=["estimates compared"],
        chance=[50.0, 50.0],
        protocol="concepts-real",
        title=f"Tempo and key of {len(songs)} passages, estimated by {model}",
        model=model,
        unit="%",
        command=f"python benchmarks/concepts.py DIR --model {model}",
        notes=[f"Ties count half. Passages with an estimate: {known}."],
    )


def main() -> None:
    """Write the passages, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for the passages")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--passages", type=int, default=80, help="passages per song")
    parser.add_argument("--triplets", type=int, default=1000)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    table = write_passages(args.data, args.work, args.passages)
    options = SimpleNamespace(
        data=args.work, dataset="folder", part="all", labels=table, triplets=args.triplets, clip="passages",
        model=args.model, seed=0, jobs=args.jobs,
    )  # fmt: skip
    for report in plugins.load("protocols", "concepts").run(options):
        show_and_save(report, args.save)
    show_and_save(compare_estimates(args.work, table, args.model, args.triplets), args.save)


if __name__ == "__main__":
    main()
