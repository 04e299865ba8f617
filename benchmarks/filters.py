"""Time of filters: making columns from the catalogue, opening them in a new process, and matching.

    OMP_NUM_THREADS=1 python benchmarks/filters.py [--tracks 1000000] [--save DIR]

The catalogue is synthetic, with one artist per eight tracks, a guest on every fifth, three distinct titles per four
tracks, one or two of 600 genres per track, and distinct paths; some values are unknown. The time of a filter is the
median of 15 computations of the mask over the groups of a search, and its n is the number of matching tracks. Opening
is measured in a new process, with the file in the page cache (median of 5).
"""

from __future__ import annotations

import argparse
import gc
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filter_columns import Columns
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library.catalog.filters import Filter

FILTERS = (
    "bpm 90..110",
    "genre = jazz",
    'artist = "the quiet choir 4321"',
    "path ~ 'choir 4321/'",
    "path ~ 0107",
    "path ~ .mp3",
    "path = '/music/t*'",
    "path = '*/the quiet*/03*.mp3'",
    "title ~ love",
    "key = Am and bpm 90..110 and year > 1990",
    "genre != jazz",
    "bpm ~ 140",
    "key ~ 8A",
    "meter = 3",
    "(genre = jazz or artist ~ night) and not year = 1990s",
)
_COLUMNS = (
    "id, root_id, path, shown_path, size, mtime_ns, content_hash, audio_hash, duration, rate, channels, codec, title, "
    "artists, album, genres, year, bpm_tag, tempo, key, loudness, silent, key_confidence, meter"
)
EXCLUDED = "The Quiet Choir 4321"
REPEATS = 15
_WORDS = ("love", "night", "river", "golden", "winter", "quiet", "blue", "dancing", "fire", "été", "song", "choir")
_KEYS = [f"{note} {mode}" for note in ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
         for mode in ("major", "minor")]  # fmt: skip
_OPEN = """
import sys, time
from pathlib import Path
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filter_columns import Columns
from soundalike.library.catalog.filter_parser import parse_filter
folder = Path(sys.argv[1])
catalog = Catalog(folder / "catalog.sqlite", writable=False)
began = time.perf_counter()
columns = Columns(catalog, folder)
opened = time.perf_counter()
columns.matches(parse_filter("genre = jazz"))
print(1000 * (opened - began), 1000 * (time.perf_counter() - opened))
"""


def tracks(n: int, random: np.random.Generator) -> Iterator[tuple[object, ...]]:
    """Draw the rows of the table of tracks."""

    def words(number: int, count: int) -> str:
        return " ".join(_WORDS[number // 12**place % 12] for place in range(count))

    artists = random.integers(max(1, n // 8), size=n)
    genres = ["Jazz", *(f"{_WORDS[g % 12].title()} Genre {g}" for g in range(599))]
    genre = (600 * random.random(n) ** 2).astype(int)
    titles = random.integers(max(1, 3 * n // 4), size=n)
    tempo, loudness = random.normal(115, 25, n).tolist(), random.normal(-12, 4, n).tolist()
    key, year, unknown = random.integers(24, size=n), random.integers(1950, 2026, size=n), random.random((n, 3)) < 0.1
    for i in range(n):
        artist, title = f"The {words(artists[i] + 1000, 2).title()} {artists[i]}", f"{words(titles[i], 4)} {titles[i]}"
        path = f"{artist}/{words(i % 1000, 3)}/{i % 20:02d} {title} {i:07d}.mp3"
        yield (
            i + 1, 1, path.encode(), f"/music/{path}", 0, 0, "", str(i), 200.0, 44100, 2, "mp3", title,
            None if unknown[i, 0] else json.dumps([artist, f"Guest {artists[i] % 5000}"][: 1 + (i % 5 == 0)]),
            words(i % 1000, 3),
            None if unknown[i, 1] else json.dumps([genres[genre[i]], genres[(7 * genre[i] + 1) % 600]][: 1 + i % 2]),
            None if unknown[i, 2] else int(year[i]), tempo[i] if i % 4 else None, tempo[i] + 1, _KEYS[key[i]],
            loudness[i], 0, 0.8, "4/4",
        )  # fmt: skip


def fill(path: Path, n: int) -> None:
    """Write a catalogue of n tracks."""
    Catalog(path, writable=True, create=True).close()
    database = sqlite3.connect(path)
    with database:
        database.execute("INSERT INTO roots VALUES (1, ?)", (b"/music/",))
        lines = tracks(n, np.random.default_rng(0))
        database.executemany(f"INSERT INTO tracks ({_COLUMNS}) VALUES ({', '.join('?' * 24)})", lines)
    database.close()


def median(columns: Columns, ids: np.ndarray, where: Filter, artist: str | None = None) -> tuple[float, int]:
    """Return the median time in milliseconds, and the number of matching tracks."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        found = columns.select(ids, where, exclude_artists=[artist] if artist else [])
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times)), int(found.sum())


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    measured: dict[str, tuple[float, int]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fill(folder / "catalog.sqlite", args.tracks)
        gc.collect()
        catalog = Catalog(folder / "catalog.sqlite", writable=False)
        began = time.perf_counter()
        columns = Columns(catalog, folder)
        measured["make and save the columns"] = 1000 * (time.perf_counter() - began), args.tracks
        opened = []
        for _ in range(5):
            command = [sys.executable, "-c", _OPEN, str(folder)]
            opened.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        opening, matching = np.median(np.array(opened, dtype=float), axis=0)
        measured["open the columns"] = float(opening), args.tracks
        measured["genre = jazz, first filter of a process"] = float(matching), args.tracks
        # (g, 3), as the groups of the catalogue: first row, number of rows, track.
        groups = np.stack([np.arange(args.tracks), np.ones(args.tracks, np.int64), columns.ids], axis=1)
        for text in FILTERS:
            measured[text] = median(columns, groups[:, 2], parse_filter(text))
        measured["exclude an artist"] = median(columns, groups[:, 2], Filter(), EXCLUDED)
        size = next(folder.glob("*.derived")).stat().st_size
        catalog.close()
    report = report_of(
        "filters",
        f"Filters over {args.tracks:,} tracks, milliseconds",
        f"python benchmarks/filters.py --tracks {args.tracks}",
        rows=list(measured),
        columns=["ms"],
        values=[[ms] for ms, _ in measured.values()],
        n=[[n] for _, n in measured.values()],
        notes=[f"The columns take {size / 1e6:,.0f} MB on disk."],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
