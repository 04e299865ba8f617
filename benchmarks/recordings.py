"""Searches in a library of real recordings with known answers.

    python benchmarks/recordings.py DATA [--library PATH] [--save DIR]

DATA holds `musicdelta/` (stems of 13 songs, with stems.csv) and `recordings/`. There are two questions:

1. Are the stems nearest by timbre, without those of the same song, of the same class (drums, bass, vocals, other)?
2. Does a drum stem find, by rhythm, the sum of the other stems of its song among those of all songs?

Intervals: 95 %, bootstrap over songs. p: the share of 100,000 draws of random ranks that are at least as good.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf

from common import report_of, show_and_save
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.models.recipes import DEFAULT_MODEL
from soundalike.search.query import Query
from soundalike.search.search import search_library


@dataclass(frozen=True)
class Fact:
    """A mean over n queries with its 95 % interval over songs and its chance level."""

    name: str
    value: float
    low: float
    high: float
    chance: float
    n: int
    p: float | None = None


@dataclass(frozen=True)
class Stem:
    """A row of stems.csv."""

    song: str
    path: Path
    kind: str


def read_stems(data: Path) -> list[Stem]:
    """Read the stems of the multitrack songs."""
    with (data / "musicdelta" / "stems.csv").open(newline="") as file:
        return [Stem(row["song"], data / row["path"], row["stem_class"]) for row in csv.DictReader(file)]


def same_class(library: LibraryFolder, stems: Sequence[Stem], k: int) -> Fact:
    """Return the share of the k stems of other songs nearest by timbre that have the class of the query."""
    kinds = {str(stem.path): stem.kind for stem in stems}
    shares: dict[str, list[float]] = {}
    chances = []
    for stem in stems:
        where = parse_filter(f"path ~ /musicdelta/ and path != '*/musicdelta/{stem.song}/*'")
        found = search_library(library, Query(stem.path, weights={"timbre": 1.0}, by="track", where=where, k=k)).matches
        shares.setdefault(stem.song, []).append(np.mean([kinds[match.span.track] == stem.kind for match in found]))
        chances.append(np.mean([other.kind == stem.kind for other in stems if other.song != stem.song]))
    return summarise(f"same class among the {k} nearest by timbre", shares, float(np.mean(chances)))


def write_rests(stems: Sequence[Stem], folder: Path) -> dict[str, Path]:
    """Write the sum of the other stems of every song with drums as a WAV file in `folder`."""
    rests = {}
    for song in sorted({stem.song for stem in stems if stem.kind == "drums"}):
        parts = [sf.read(stem.path, dtype="float32") for stem in stems if stem.song == song and stem.kind != "drums"]
        length = min(len(samples) for samples, _ in parts)
        total = np.sum([samples[:length] for samples, _ in parts], axis=0)
        rests[song] = folder / f"{song}.wav"
        sf.write(rests[song], 0.9 * total / np.abs(total).max(), parts[0][1])
    return rests


def drums_find_the_rest(library: LibraryFolder, stems: Sequence[Stem], rests: dict[str, Path]) -> Fact:
    """Return the mean reciprocal rank of the other stems of the same song for drum stems as queries, by rhythm."""
    ranks: dict[str, list[float]] = {}
    folder = next(iter(rests.values())).parent
    for stem in stems:
        if stem.kind == "drums":
            query = Query(
                stem.path, weights={"rhythm": 1.0}, by="track", where=parse_filter(f"path ~ '{folder}'"), k=99
            )
            found = [match.span.track for match in search_library(library, query).matches]
            right = str(rests[stem.song])
            ranks.setdefault(stem.song, []).append(1 / (found.index(right) + 1) if right in found else 0.0)
    by_rank = 1 / np.arange(1, len(rests) + 1)
    fact = summarise("drums find the rest of their song by rhythm, reciprocal rank", ranks, float(by_rank.mean()))
    guesses = by_rank[np.random.default_rng(0).integers(len(rests), size=(100_000, fact.n))].mean(axis=1)
    return replace(fact, p=float(np.mean(guesses >= fact.value - 1e-12)))


def summarise(name: str, values: dict[str, list[float]], chance: float) -> Fact:
    """Return the mean over queries with its bootstrap interval over songs."""
    random = np.random.default_rng(0)
    sums = np.array([np.sum(part) for part in values.values()])
    counts = np.array([len(part) for part in values.values()])
    drawn = random.integers(len(sums), size=(10_000, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Fact(name, float(sums.sum() / counts.sum()), float(low), float(high), chance, int(counts.sum()))


def measure(data: Path, library_path: Path) -> list[Fact]:
    """Index all recordings and run both sets of queries."""
    stems = read_stems(data)
    with tempfile.TemporaryDirectory() as folder, LibraryFolder.create(library_path) as library:
        rests = write_rests(stems, Path(folder))
        index_files(library, [data / "musicdelta", data / "recordings", Path(folder)])
        return [
            same_class(library, stems, 1),
            same_class(library, stems, 5),
            drums_find_the_rest(library, stems, rests),
        ]


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--library", type=Path, help="folder for the library (default: a temporary folder)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        facts = measure(args.data.resolve(), args.library or Path(folder) / "library")
    report = report_of(
        "bench-recordings",
        "Retrieval of real stems from a library",
        "python benchmarks/recordings.py DATA",
        rows=[DEFAULT_MODEL],
        columns=[fact.name for fact in facts],
        values=[[fact.value for fact in facts]],
        low=[[fact.low for fact in facts]],
        high=[[fact.high for fact in facts]],
        n=[[fact.n for fact in facts]],
        chance=[fact.chance for fact in facts],
        notes=tuple(f"{fact.name}: p = {fact.p:.4f} for random ranks" for fact in facts if fact.p is not None),
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
