"""Give recorded songs a piano, so that `evaluate stems --by-instrument` can ask for it.

    python benchmarks/piano_songs.py --songs musicdelta --notes instruments -o songs-with-piano
    soundalike evaluate stems --data songs-with-piano --by-instrument --model compact

Few multitrack recordings under free licences have a piano. This adds one to every song that a table stems.csv lists
(columns song, path, stem_class): recorded notes of a folder with index.csv (columns instrument, path, midi, dynamic),
played in a pattern of the song's own, with a register, a dynamic, a rate and chords of its own. It does not fit the key
of the song. Its level is the mean level of the other stems. The folder that is written names the files of the songs
where they are.
"""

from __future__ import annotations

import argparse
import csv
import zlib
from pathlib import Path

import numpy as np
import soundfile
import soxr

_RATE = 44_100
_RATES = (1.5, 2.0, 3.0, 4.0)
"""Strokes per second."""
_REGISTER = 20
"""Semitones between the lowest and the highest note of a song."""


def read_notes(root: Path) -> list[tuple[int, str, np.ndarray]]:
    """The piano's notes: MIDI number, dynamic, and samples at `_RATE`."""
    notes = []
    with (root / "index.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["instrument"] == "piano":
                samples, rate = soundfile.read(root / row["path"], dtype="float32", always_2d=True)
                notes.append((int(row["midi"]), row["dynamic"], soxr.resample(samples.mean(axis=1), rate, _RATE)))
    if not notes:
        raise SystemExit(f"{root / 'index.csv'} lists no notes of the instrument piano")
    return notes


def play(notes: list[tuple[int, str, np.ndarray]], length: int, song: str) -> np.ndarray:
    """A piano part (length,) whose register, dynamic, rate and chords follow from the name of the song."""
    random = np.random.default_rng(zlib.crc32(song.encode()))
    dynamic = random.choice(sorted({one[1] for one in notes}))
    of_dynamic = [one for one in notes if one[1] == dynamic]
    lowest = random.integers(40, 76 - _REGISTER)
    chosen = [one[2] for one in of_dynamic if lowest <= one[0] <= lowest + _REGISTER]
    voices, step = int(random.integers(1, 4)), round(_RATE / random.choice(_RATES))
    part = np.zeros(length, np.float32)
    for start in range(0, length, step):
        for number in random.choice(len(chosen), min(voices, len(chosen)), replace=False):
            sound = chosen[number][: length - start]
            part[start : start + len(sound)] += sound
    return part


def main() -> None:
    """Write the piano of every song, and the table of all stems."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, required=True, help="folder with stems.csv")
    parser.add_argument("--notes", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    given = parser.parse_args()
    with (given.songs / "stems.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    notes = read_notes(given.notes)
    given.output.mkdir(parents=True, exist_ok=True)
    lines = []
    for song in dict.fromkeys(row["song"] for row in rows):
        levels, length = [], 0
        for row in rows:
            if row["song"] != song:
                continue
            path = next(p for p in (given.songs / row["path"], given.songs.parent / row["path"]) if p.is_file())
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            levels.append(np.sqrt(np.mean(np.square(samples))))
            length = max(length, round(len(samples) * _RATE / rate))
            lines.append([song, path.resolve(), row.get("instrument", ""), row["stem_class"]])
        part = play(notes, length, song)
        part *= np.float32(np.mean(levels) / np.sqrt(np.mean(np.square(part))))
        piano = given.output / f"{song}-piano.wav"
        soundfile.write(piano, part, _RATE, subtype="FLOAT")
        lines.append([song, piano.name, "piano", "other"])
    with (given.output / "stems.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["song", "path", "instrument", "stem_class"], *lines])
    print(f"written: {given.output}, {len({line[0] for line in lines})} songs with a piano")


if __name__ == "__main__":
    main()
