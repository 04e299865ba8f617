"""Time of searches that fold copies, by the number of matches.

    OMP_NUM_THREADS=1 python benchmarks/copies.py [--tracks 5000] [--queries 5] [--save DIR]

The library is synthetic: rows as in search.py with the dimensions of the default model, calibrated on random pairs, and
random fingerprints of 200 s. One track of ten is a copy of the track before it: its rows differ a little, 5 % of the
bits of its fingerprint are wrong, and its audio hash is another one. A search with --all-copies compares no tracks, so
the difference is the time that folding takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from common import report_of, show_and_save, synthetic_library
from journeys import calibrated, stand_in
from search import make_rows
from soundalike.audio.fingerprint import Fingerprint, Words
from soundalike.library.folder import LibraryFolder
from soundalike.models.heads import unit_rows
from soundalike.models.model import Model
from soundalike.search import Query, search_library

KS = (10, 100, 1000)
EVERY = 10
"""One track of so many is a copy of the one before."""


def with_errors(words: Words, random: np.random.Generator) -> Words:
    """Flip 5 % of the sign bits of a fingerprint."""
    one = Fingerprint.of(words)
    flips = (random.random((len(one.signs), 32)) < 0.05) @ (np.uint32(1) << np.arange(32, dtype=np.uint32))
    return Fingerprint(np.maximum(one.signs ^ flips.astype(np.uint32), 1), one.levels).words()


def plant_copies(folder: Path, count: int, random: np.random.Generator) -> None:
    """Let one track of ten have the fingerprint of the track before it, with errors."""
    with LibraryFolder(folder, writable=True) as library, library.catalog.transaction():
        ids = {int(track.path.stem): track.id for track in library.catalog.tracks()}
        for number in range(1, count, EVERY):
            words = library.catalog.fingerprints.get(ids[number - 1])
            library.catalog.fingerprints.put(ids[number], with_errors(words, random))


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=5_000)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    times: dict[str, list[list[float]]] = {"folded": [[] for _ in KS], "all copies": [[] for _ in KS]}
    copies = [0 for _ in KS]
    with tempfile.TemporaryDirectory() as made:
        default = Model.load()
        rows = make_rows(args.tracks, [space.name for space in default.spaces], random, dim=default.spaces[0].dim)
        for part in rows.values():
            before = part[0 : args.tracks - 1 : EVERY]
            noise = random.standard_normal(before.shape) / before.shape[1] ** 0.5
            part[1::EVERY] = unit_rows(before + 0.2 * noise * before.any(axis=1)[:, None])
        model = calibrated(Path(made) / "model", rows, random)
        music = Path(made) / "music"
        synthetic_library(Path(made) / "library", model, rows, music=music, fingerprints=True)
        plant_copies(Path(made) / "library", args.tracks, random)
        with LibraryFolder(Path(made) / "library") as library:
            queries = [stand_in(music, int(number)) for number in random.integers(args.tracks, size=args.queries + 1)]
            # The first query is not counted: it reads the catalogue and draws the random pairs of the percentiles.
            for number, query in enumerate(queries):
                for column, k in enumerate(KS):
                    for name, found in times.items():
                        began = time.process_time()
                        results = search_library(library, Query(query, k=k, all_copies=name == "all copies"))
                        if number:
                            found[column].append(time.process_time() - began)
                            copies[column] += sum(len(match.copies) for match in results)
    report = report_of(
        "bench-copies",
        f"Searches that fold copies, in a library of {args.tracks:,} tracks, one thread",
        f"OMP_NUM_THREADS=1 python benchmarks/copies.py --tracks {args.tracks} --queries {args.queries}",
        rows=list(times),
        columns=[f"{k:,} matches, median" for k in KS],
        values=[[float(np.median(part)) for part in found] for found in times.values()],
        n=[[len(part) for part in found] for found in times.values()],
        unit="s",
        notes=[
            "Times are those of the processor.",
            *(
                f"{k:,} matches: {n:,} copies listed below {k * args.queries:,}."
                for k, n in zip(KS, copies, strict=True)
            ),
        ],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
