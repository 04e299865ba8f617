"""Measure which recordings fingerprints call copies: rates of missed and of false copies, by kind of change.

    python benchmarks/fingerprints.py --songs STEMS [--only SONG ...] [--seconds 60] [--pieces 3] [--jobs 2]

STEMS has the stems of songs and a file `stems.csv` with the columns song, path and stem_class; the stems of a song are
aligned. Each song gives up to `--pieces` pieces of `--seconds`, and each piece is compared with copies of it, with
excerpts, with other mixes, and with pieces of other songs. A part that is 40 dB below its mix, or softer, is not left
out, because that would make a copy.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from typing import NamedTuple, Self

import av
import numpy as np
import soxr
from scipy import signal

from soundalike.audio import Fingerprint, Fingerprinter, fingerprint_of, load, relate

RATE, PRODUCT_RATE = 44_100, 22_050
AUDIBLE = -40.0
"""Level of a part relative to its mix, in dB, from which a mix without it is another mix."""
OUTCOMES = ("copy", "contains", "part of", "other mix", None)
Samples = np.ndarray
"""Samples (t,) or (2, t) float32 at `RATE`."""


class Item(NamedTuple):
    """A recording to compare with its piece: the kind of change, the right relation, and the fingerprint.

    `level` is the level of what was left out or changed relative to the mix, in dB.
    """

    kind: str
    expected: str | None
    fingerprint: Fingerprint
    level: float = 0.0


@dataclass(frozen=True)
class Piece:
    """A piece of a song: its mix in stereo (2, t), and its audible stems in mono (t,) with their classes."""

    mix: Samples
    stems: tuple[tuple[str, Samples], ...]

    @property
    def mono(self) -> Samples:
        """The mix (t,) in mono."""
        return self.mix.mean(axis=0)

    def lead(self) -> tuple[str, Samples]:
        """The class of the leading part, and this part (t,)."""
        name = "vocals" if any(name == "vocals" for name, _ in self.stems) else "other"
        return name, self.part(name)

    def part(self, name: str) -> Samples:
        """The sum (t,) of the stems of a class."""
        return np.sum([part for own, part in self.stems if own == name], axis=0) + np.zeros_like(self.mono)

    def save(self, path: Path) -> None:
        """Write the piece to a file."""
        np.savez(path, np.array([name for name, _ in self.stems]), self.mix, *(part for _, part in self.stems))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a piece from a file."""
        with np.load(path) as file:
            names, mix, *parts = (file[key] for key in file.files)
        return cls(mix, tuple(zip(names.tolist(), parts, strict=True)))


# Songs ---------------------------------------------------------------------------------------------------------------


def read_songs(folder: Path, only: list[str]) -> dict[str, list[tuple[str, Path]]]:
    """Return the class and the file of the stems of each song."""
    songs: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    with (folder / "stems.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["stem_class"] != "mix" and (not only or row["song"] in only):
                path = folder / row["path"]
                songs[row["song"]].append((row["stem_class"], path if path.exists() else folder.parent / row["path"]))
    return songs


def cut_song(folder: Path, seconds: float, most: int, song: str, stems: list[tuple[str, Path]]) -> list[Path]:
    """Cut a song into pieces, evenly spaced, and write them; a shorter song is one piece. Mixes peak at -1 dBFS."""
    size, total, count = round(seconds * RATE), 0, 0
    mixes: list[Samples] = []
    parts: list[list[tuple[str, Samples]]] = []
    for stem_class, path in stems:
        audio = load(path)
        samples = soxr.resample(audio.samples.T, audio.rate, RATE).T.astype(np.float32)
        if not total:
            total = samples.shape[1]
            count = max(1, min(most, total // size))
            mixes = [np.zeros((2, min(size, total)), np.float32) for _ in range(count)]
            parts = [[] for _ in range(count)]
        samples = np.pad(samples, ((0, 0), (0, max(0, total - samples.shape[1]))))
        for number in range(count):
            start = max(0, int((number + 0.5) * total / count - size / 2))
            piece = samples[:, start : min(total, start + size)]
            mixes[number] += piece  # a mono stem is on both channels
            if abs(mono := piece.mean(axis=0)).max() > 1e-4:
                parts[number].append((stem_class, mono))
    paths = []
    for number, (mix, own) in enumerate(zip(mixes, parts, strict=True)):
        if (peak := abs(mix).max()) > 0.01:
            scale = np.float32(0.89 / peak)
            paths.append(folder / f"{song}-{number}.npz")
            Piece(mix * scale, tuple((name, part * scale) for name, part in own)).save(paths[-1])
    return paths


# Changes -------------------------------------------------------------------------------------------------------------


def encoded(codec: str, bit_rate: int, suffix: str, x: Samples, layout: str = "stereo") -> Fingerprint:
    """Return the fingerprint of a file in another format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        with av.open(path, "w") as out:
            rate = 48_000 if codec == "libopus" else RATE
            stream = out.add_stream(codec, rate=rate, layout=layout)
            stream.bit_rate = bit_rate
            samples = soxr.resample(x.T, RATE, rate).T if rate != RATE else x
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), "fltp", layout)
            frame.sample_rate = rate
            resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.frame_size or None)
            for piece in (*resampler.resample(frame), *resampler.resample(None)):
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
        return Fingerprint.of(fingerprint_of(path))


def vorbis(x: Samples) -> Fingerprint:
    """Return the fingerprint of an Ogg Vorbis file, encoded by libsndfile at a middle quality."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.ogg"
        with soundfile.SoundFile(path, "w", RATE, 2, format="OGG", subtype="VORBIS") as file:
            for start in range(0, x.shape[1], RATE):  # libsndfile overflows its stack on long blocks
                file.write(x.T[start : start + RATE])
        return Fingerprint.of(fingerprint_of(path))


def plain(x: Samples) -> Fingerprint:
    """Return the fingerprint of samples (t,) or (2, t) as of a lossless file."""
    mono = x.mean(axis=0) if x.ndim == 2 else x
    fingerprinter = Fingerprinter(PRODUCT_RATE)
    for _ in fingerprinter.tap([soxr.resample(mono, RATE, PRODUCT_RATE).astype(np.float32)]):
        pass
    return Fingerprint.of(fingerprinter.words())


def resampled(rate: int, x: Samples) -> Fingerprint:
    """Return the fingerprint of a file at another sample rate."""
    return plain(soxr.resample(soxr.resample(x.T, RATE, rate), rate, RATE).T.astype(np.float32))


def faster(ratio: float, x: Samples) -> Samples:
    """Return samples that play faster and higher."""
    return soxr.resample(x.T, ratio * RATE, RATE).T.astype(np.float32)


def noisy(decibels: float, x: Samples) -> Samples:
    """Return samples with white noise, whose level is that of the samples less `decibels`."""
    noise = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    return x + noise * np.float32(np.sqrt(np.mean(x**2)) * 10 ** (-decibels / 20))


def equalised(x: Samples) -> Samples:
    """Return samples with a shelf: 4 dB less above about 2 kHz."""
    low = signal.lfilter(*signal.butter(1, 2000, fs=RATE), x)
    return (low + 10 ** (-4 / 20) * (x - low)).astype(np.float32)


def padded(before: float, after: float, x: Samples) -> Samples:
    """Return samples with silence before and after them."""
    return np.pad(x, ((0, 0), (round(before * RATE), round(after * RATE))))


COPIES: Mapping[str, Callable[[Samples], Fingerprint]] = {
    "MP3, 128 kbit/s": partial(encoded, "libmp3lame", 128_000, ".mp3"),
    "MP3, 64 kbit/s": partial(encoded, "libmp3lame", 64_000, ".mp3"),
    "MP3, 64 kbit/s, mono": lambda x: encoded("libmp3lame", 64_000, ".mp3", x.mean(axis=0, keepdims=True), "mono"),
    "AAC, 128 kbit/s": partial(encoded, "aac", 128_000, ".m4a"),
    "Opus, 64 kbit/s": partial(encoded, "libopus", 64_000, ".opus"),
    "Vorbis": vorbis,
    "22.05 kHz": partial(resampled, 22_050),
    "11.025 kHz": partial(resampled, 11_025),
    "8 bits": lambda x: plain(np.round(x * 127).astype(np.float32) / 127),
    "12 dB softer": lambda x: plain(x / 4),
    "6 dB louder, clipped": lambda x: plain(np.clip(2 * x, -1, 1)),
    "equaliser, 4 dB": lambda x: plain(equalised(x)),
    "2 s of silence before": lambda x: plain(padded(2.0, 0.0, x)),
    "5 s of silence after": lambda x: plain(padded(0.0, 5.0, x)),
    "0.3 s cut at the start": lambda x: plain(x[:, round(0.3 * RATE) :]),
    "1 % faster": lambda x: plain(faster(1.01, x)),
    "1 % slower": lambda x: plain(faster(0.99, x)),
    "noise 30 dB below": lambda x: plain(noisy(30, x)),
    "noise 20 dB below": lambda x: plain(noisy(20, x)),
}


def other_mixes(piece: Piece, other: Piece) -> Iterator[tuple[str, Samples, float]]:
    """Mixes of the same recording in which a part is missing, changed, louder or softer, with the level of the part."""
    mix = piece.mono
    for name in sorted({name for name, _ in piece.stems}):
        part = piece.part(name)
        if (level := audible_level(part, mix)) is not None:
            yield f"without {name}", mix - part, level
            if name == "drums":
                yield "without drums, 1 % faster", faster(1.01, mix - part), level
            if name in ("drums", "vocals"):
                yield f"{name} 6 dB softer", mix - np.float32(0.5) * part, level
    for _, part in piece.stems:
        if (level := audible_level(part, mix)) is not None:
            yield "without one stem", mix - part, level
    name, lead = piece.lead()
    if (level := audible_level(lead, mix)) is not None:
        yield "lead 2 s late", mix - lead + np.roll(lead, 2 * RATE), level
        strange = np.resize(other.part(name), mix.shape)
        if strange.any():
            gain = np.sqrt(np.mean(lead**2) / np.mean(strange**2))
            yield "another lead", mix - lead + gain * strange, level


def audible_level(part: Samples, mix: Samples) -> float | None:
    """Return the level of a part relative to its mix in dB; None if the part, or the rest, is as good as silent."""
    level, rest = relative_level(part, mix), relative_level(mix - part, mix)
    return level if min(level, rest) > AUDIBLE else None


def relative_level(part: Samples, mix: Samples) -> float:
    """Return the level of a part relative to its mix, in dB."""
    return 10 * float(np.log10(max(np.mean(part**2), 1e-20) / max(np.mean(mix**2), 1e-20)))


def items_of(piece: Piece, other: Piece) -> Iterator[Item]:
    """Everything to compare a piece with. `other` is a piece of another song."""
    mix = piece.mix
    for kind, change in COPIES.items():
        yield Item(kind, "copy", change(mix))
    half = mix[:, : mix.shape[1] // 2]
    yield Item("the first half", "part of", plain(half))
    yield Item("the second half, MP3", "part of", encoded("libmp3lame", 128_000, ".mp3", mix[:, half.shape[1] :]))
    yield Item("two songs in a row", "contains", plain(np.concatenate([other.mix, mix], axis=1)))
    yield Item("another song", None, plain(other.mix))
    for kind, samples, level in other_mixes(piece, other):
        yield Item(kind, "other mix", plain(samples), level)


# Comparing -----------------------------------------------------------------------------------------------------------


def compare(paths: list[Path], others: list[Path]) -> list[tuple[str, str | None, str | None, float]]:
    """Return the kind, the right relation, the relation that was found, and the level of what was changed."""
    found = []
    for number, path in enumerate(paths):
        piece, other = Piece.load(path), Piece.load(others[number % len(others)])
        original = plain(piece.mix)
        for item in items_of(piece, other):
            found.append((item.kind, item.expected, relate(original, item.fingerprint), item.level))
    return found


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share after Wilson."""
    z = 1.959964
    middle, spread = hits + z * z / 2, z * sqrt(hits * (n - hits) / n + z * z / 4)
    return (middle - spread) / (n + z * z), (middle + spread) / (n + z * z)


def print_results(found: list[tuple[str, str | None, str | None, float]]) -> None:
    """Print the table and the rates, as Markdown."""
    kinds: dict[str, Counter[str | None]] = defaultdict(Counter)
    right = {kind: expected for kind, expected, _, _ in found}
    for kind, _, relation, _ in found:
        kinds[kind][relation] += 1
    print("| change | right | n | copy | contains | part of | other mix | none |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for expected in ("copy", "contains", "part of", "other mix", None):
        for kind, counts in kinds.items():
            if right[kind] == expected:
                cells = " | ".join(str(counts[one]) for one in OUTCOMES)
                print(f"| {kind} | {expected or 'none'} | {counts.total()} | {cells} |")
    copies = [relation for _, expected, relation, _ in found if expected == "copy"]
    others = [relation for _, expected, relation, _ in found if expected != "copy"]
    for name, hits, n in (
        ("missed copies", sum(one != "copy" for one in copies), len(copies)),
        ("false copies", sum(one == "copy" for one in others), len(others)),
    ):
        low, high = wilson(hits, n)
        print(f"- {name}: {hits} of {n}, {100 * hits / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    false = sorted((level, kind) for kind, expected, one, level in found if one == "copy" and expected != "copy")
    if false:
        print("- false copies, with the level of the changed part relative to the mix:")
        for level, kind in false:
            print(f"  - {kind}, {level:.0f} dB")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[], metavar="SONG")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pieces", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    songs = read_songs(options.songs, options.only)
    if len(songs) < 2:
        raise SystemExit(f"found {len(songs)} songs in {options.songs / 'stems.csv'}, expected at least two")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.jobs) as pool:
        cut = partial(cut_song, Path(folder), options.seconds, options.pieces)
        pieces = list(pool.map(cut, songs, songs.values()))
        results = pool.map(compare, pieces, pieces[1:] + pieces[:1])
        print_results([one for result in results for one in result])


if __name__ == "__main__":
    main()
