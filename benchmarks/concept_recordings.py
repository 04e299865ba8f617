"""Write real recordings with exact labels of concepts, for `soundalike train concepts --data DIR --dataset labelled`.

    python benchmarks/concept_recordings.py --songs DATA/stems --notes DATA/instruments -o recordings

The folder has passages of songs, each transposed and stretched at random as in `concepts.py`, with tempo and key, and
phrases of recorded notes, with the family of their instrument. The songs are those of stems.csv that no test uses. A
phrase has notes of one instrument, in random order and with random lengths, at the tuning of the recording.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile
import soxr

from concepts import RATE, passages_of

SONGS = ("francium", "lithium", "potassium", "rubidium")
"""The songs for training."""
FAMILIES = {
    "piano": "Piano",
    "electric-guitar": "Guitar",
    "alto-sax": "Reed",
    "double-bass-plucked": "Bass",
    "double-bass-bowed": "Strings",
    "organ-clarinet": "Organ",
    "organ-violin": "Organ",
}
"""The families of the notes, as rendered clips name them."""
_SECONDS = 6.0


def phrases_of(root: Path, out: Path, count: int) -> list[list[str]]:
    """Write `count` phrases of every instrument; returns the name, the family and the song of each."""
    notes: dict[str, list[np.ndarray]] = {}
    with (root / "index.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            samples, rate = soundfile.read(root / row["path"], dtype="float32", always_2d=True)
            notes.setdefault(row["instrument"], []).append(soxr.resample(samples.mean(axis=1), rate, RATE))
    lines = []
    for instrument, family in FAMILIES.items():
        for number in range(count):
            random = np.random.default_rng([sorted(FAMILIES).index(instrument), number])
            phrase, at = np.zeros(round(_SECONDS * RATE), np.float32), 0
            while at < len(phrase):
                sound = notes[instrument][random.integers(len(notes[instrument]))]
                length = min(round(random.uniform(0.2, 1.5) * RATE), len(sound), len(phrase) - at)
                fade = np.minimum(1, np.arange(length, 0, -1) / (0.02 * RATE))
                phrase[at : at + length] += (sound[:length] * fade).astype(np.float32)
                at += length
            name = f"{instrument}-{number:03d}.wav"
            soundfile.write(out / name, phrase * 10 ** (random.uniform(-20, 0) / 20), RATE)
            lines.append([name, family, f"{instrument}-{number}"])
    return lines


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="folder with stems.csv, whose songs have bpm and key")
    parser.add_argument("--notes", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--passages", type=int, default=60, help="passages per song")
    parser.add_argument("--phrases", type=int, default=25, help="phrases per instrument")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    passages = passages_of(args.songs, args.out, args.passages, SONGS)
    phrases = phrases_of(args.notes, args.out, args.phrases)
    lines = [[name, tempo, key, "", song] for name, tempo, key, song in passages]
    lines += [[name, "", "", family, song] for name, family, song in phrases]
    with (args.out / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "tempo", "key", "instrument", "song"], *lines])
    print(f"{len(passages)} passages of {len(SONGS)} songs and {len(phrases)} phrases of notes written to {args.out}")


if __name__ == "__main__":
    main()
