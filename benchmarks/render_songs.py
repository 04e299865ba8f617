"""Measure the speed of rendering songs, and compare rendered songs with real multitrack recordings.

    python benchmarks/render_songs.py [--songs 6] [--save DIR]

The benchmark renders songs of 60 to 180 s with one process into a temporary folder. It reports the speed as a multiple
of real time per core, for synthesis and for the whole chain (drawing, synthesis, mixing, files). Then it measures
loudness statistics of the songs and, if the development recordings are there, of the songs of MusicDelta, mixed by
adding their stems. Levels of the latter are not those of a release, so only measures that do not depend on the level
are compared.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from scipy import stats

from common import report_of, show_and_save
from soundalike.audio.loudness import LoudnessMeter
from soundalike.core.types import FloatArray, Report
from soundalike.render.songs.factory import render_songs
from soundalike.render.songs.settings import SongSettings

RATE = 44100
BANDS = ((20, 150), (150, 500), (500, 2000), (2000, 6000), (6000, 16000))  # Hz
ACTIVE = -45.0  # dB relative to the loudest second of the mix, above which a stem is active


def statistics(stems: list[FloatArray]) -> dict[str, float]:
    """Measure a song: (t,) stems at RATE."""
    mix = np.sum(stems, axis=0)
    meter = LoudnessMeter(RATE, 1)
    meter.add(mix.astype(np.float32)[None])
    frames = mix[: len(mix) // RATE * RATE].reshape(-1, RATE)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    sounding = level > level.max() - 40
    power = np.square(np.abs(np.fft.rfft(frames[sounding] * np.hanning(RATE)))).mean(axis=0)  # bins of 1 Hz
    bands = np.array([power[low:high].sum() for low, high in BANDS])
    found = {
        "crest factor, dB": 20 * np.log10(np.abs(mix).max()) - 10 * np.log10(np.square(mix).mean()),
        "level of seconds, 90th minus 10th percentile, dB": float(
            np.subtract(*np.percentile(level[sounding], (90, 10)))
        ),
    }
    for (low, high), share in zip(BANDS, 10 * np.log10(bands / bands.sum()), strict=True):
        found[f"{low} to {high} Hz, dB of the whole"] = float(share)
    seconds = [np.square(stem[: frames.size].reshape(-1, RATE)).mean(axis=1) for stem in stems]
    active = 10 * np.log10(np.array(seconds) + 1e-12) > level.max() + ACTIVE
    found["active stems per second"] = float(active.sum(axis=0)[sounding].mean())
    found["stems"] = float(len(stems))
    found["loudness, LUFS"] = meter.loudness() or np.nan
    return found


def rendered_songs(folder: Path) -> Iterator[list[FloatArray]]:
    """Yield the stems of every rendered song."""
    for track in sorted(folder.glob("*/Track*")):
        yield [soundfile.read(path, dtype="float32")[0] for path in sorted((track / "stems").glob("*.flac"))]


def real_songs(folder: Path) -> Iterator[list[FloatArray]]:
    """Yield the stems of every song of MusicDelta."""
    songs = defaultdict(list)
    with (folder / "stems.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            songs[row["song"]].append(soundfile.read(folder.parent / row["path"], dtype="float32")[0])
    for stems in songs.values():
        longest = max(map(len, stems))
        yield [np.pad(stem, (0, longest - len(stem))) for stem in stems]


def comparison(rendered: list[dict[str, float]], real: list[dict[str, float]], command: str) -> Report:
    """Compare the means of rendered and real songs, with Student's intervals."""
    groups = [("rendered", rendered), ("MusicDelta", real)] if real else [("rendered", rendered)]
    names = [name for name in rendered[0] if name != "loudness, LUFS"]
    tables = [np.array([[song[name] for name in names] for song in songs]) for _, songs in groups]
    means = np.stack([table.mean(axis=0) for table in tables], axis=1)
    errors = np.stack([table.std(axis=0, ddof=1) / np.sqrt(len(table)) for table in tables], axis=1)
    errors *= [stats.t.ppf(0.975, len(table) - 1) for table in tables]
    loudness = [song["loudness, LUFS"] for song in rendered]
    return report_of(
        "bench-songs-real",
        "Rendered songs beside real ones: means over songs",
        command,
        rows=names,
        columns=[name for name, _ in groups],
        values=means.tolist(),
        low=(means - errors).tolist(),
        high=(means + errors).tolist(),
        n=[[len(songs) for _, songs in groups]] * len(names),
        notes=[
            f"A stem is active in a second if its level is above {ACTIVE:g} dB relative to the loudest second of the "
            "mix.",
            f"Rendered songs have {np.mean(loudness):.1f} LUFS (from {min(loudness):.1f} to {max(loudness):.1f}). The "
            "songs of MusicDelta are sums of their stems, without mastering.",
        ],
        model="render",
    )


def main() -> None:
    """Measure, print the reports, and save them if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=6, metavar="N", help="number of songs (default: 6)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with musicdelta/ (default: $SOUNDALIKE_DATA)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="folder to save the reports to")
    args = parser.parse_args()
    command = f"python benchmarks/render_songs.py --songs {args.songs}"
    with tempfile.TemporaryDirectory(prefix="soundalike-songs-") as folder:
        report = render_songs(Path(folder), args.songs, SongSettings(seed=7), jobs=1)
        rendered = [statistics(stems) for stems in rendered_songs(Path(folder))]
    audio = report.audio_seconds
    values = [[audio / report.synthesis_seconds], [audio / report.core_seconds]]
    speed = report_of(
        "bench-songs",
        "Rendering songs: × real time per core",
        command,
        rows=["synthesis of the parts", "whole chain"],
        columns=["× real time"],
        values=values,
        n=[[report.made]] * len(values),
        notes=[
            f"Songs of 60 to 180 s with {report.stems / report.made:.1f} stems on average, one process, CPU time. Real "
            "time is that of the song, not of its stems.",
        ],
        model="render",
    )
    show_and_save(speed, args.save)
    data = (args.data or Path(os.environ.get("SOUNDALIKE_DATA") or "../shared/data")) / "musicdelta"
    real = [statistics(stems) for stems in real_songs(data)] if data.is_dir() else []
    show_and_save(comparison(rendered, real, command), args.save)


if __name__ == "__main__":
    main()
