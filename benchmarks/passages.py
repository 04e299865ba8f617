"""Twenty million passages, asked with a region: how fast and how right the coarse stage is.

    OMP_NUM_THREADS=1 python benchmarks/passages.py [--rows 20000000] [--queries 24] [--folder DIR] [--save DIR]

Needs soundalike[faiss], and 2.6 KB of disk a row. Rows are synthetic with structure, four spaces of 128 dims: tracks of
47 passages, each track near a centre of its own in clusters of Zipf sizes, factors independent of one another, passages
around their track, 5 % silent. Queries are passages of tracks that are not there. Every track answers with its best
passage; recall of the ten best tracks is against exact scores of all rows, computed while they are made.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.core.types import Calibration, FloatArray, Space
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.row_groups import Groups
from soundalike.models.score import Term, presence, query_terms

NAMES = ("melody", "rhythm", "timbre", "harmony")
DIM, PASSAGES, K = 128, 47, 10
CLUSTERS = 20_000
TRACKS_AT_ONCE = 1000
WEIGHTS = {
    "equal": (1.0, 1.0, 1.0, 1.0),
    "one slider": (1.0, 0.0, 0.0, 0.0),
    "one at zero": (1.0, 1.0, 1.0, 0.0),
    "one negative": (1.0, 1.0, -1.0, 1.0),
    "uneven": (0.7, 0.1, 0.15, 0.05),
}
CHANCE = Calibration(0.0, 0.15, tuple(np.linspace(-1, 1, 101).tolist()))
SPACES = [
    Space("bench", name, "mix", "none", name, "identity", DIM, {"track": CHANCE, "passage": CHANCE}) for name in NAMES
]


def unit(rows: FloatArray) -> FloatArray:
    """Rows (n, d) of length 1, float32."""
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows


class Maker:
    """Makes tracks; what all of them share is drawn once, with a seed of its own."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.centres = {name: random.standard_normal((CLUSTERS, DIM), np.float32) for name in NAMES}
        self.noise = random.standard_normal((1 << 18, DIM), np.float32)
        sizes = 1 / np.arange(1, CLUSTERS + 1)
        self.chances = sizes / sizes.sum()

    def tracks(self, count: int, random: np.random.Generator) -> dict[str, FloatArray]:
        """Rows (count * 47, 128) per space."""
        rows = {}
        for name in NAMES:
            centre = self.centres[name][random.choice(CLUSTERS, count, p=self.chances)]
            track = centre + 0.6 * random.standard_normal((count, DIM), np.float32)
            drift = self.noise[random.integers(len(self.noise), size=count * PASSAGES)]
            rows[name] = unit(np.repeat(track, PASSAGES, axis=0) + 0.5 * drift)
            rows[name][random.random(len(rows[name])) < 0.05] = 0
        return rows


def make_queries(count: int) -> dict[str, FloatArray]:
    """Passages (count, 128) per space that are audible in all."""
    rows = Maker().tracks(4 * count, np.random.default_rng(99))
    heard = np.flatnonzero(np.all([presence(rows[name]) for name in NAMES], axis=0))
    chosen = heard[:: max(1, len(heard) // count)][:count]
    return {name: rows[name][chosen] for name in NAMES}


def terms_of(queries: dict[str, FloatArray], number: int, values: Sequence[float]) -> tuple[Term, ...]:
    """One query with one kind of weights."""
    query = {name: rows[number] for name, rows in queries.items()}
    return query_terms(SPACES, query, dict(zip(NAMES, values, strict=True)), "passage")


@dataclass(frozen=True)
class Share:
    """Tracks `first`... to be made by one process."""

    folder: str
    first: int
    count: int
    queries: int


def make(share: Share) -> FloatArray:
    """Write a share of the rows; returns the best scores (weights, queries, 10) among its tracks."""
    maker, queries = Maker(), make_queries(share.queries)
    store = FlatStore(Path(share.folder), writable=True)
    best = np.full((len(WEIGHTS), share.queries, K), -np.inf)
    asked = {name: queries[name].T.copy() for name in NAMES}
    plans = [[terms_of(queries, number, values) for number in range(share.queries)] for values in WEIGHTS.values()]
    began = time.monotonic()
    for first in range(share.first, share.first + share.count, TRACKS_AT_ONCE):
        count = min(TRACKS_AT_ONCE, share.first + share.count - first)
        rows = maker.tracks(count, np.random.default_rng([1, first]))
        for space in SPACES:
            store.write("passage", space.full_name, first * PASSAGES, rows[space.name])
        similar = {name: rows[name] @ asked[name] for name in NAMES}
        on = {name: presence(rows[name])[:, None] for name in NAMES}
        for place, plan in enumerate(plans):
            total = np.zeros((count * PASSAGES, share.queries), np.float32)
            heard = np.zeros((count * PASSAGES, 1), np.bool_)
            for name in {term.space.name for term in plan[0]}:
                scale = np.array([next(t.scale for t in terms if t.space.name == name) for terms in plan])
                offset = np.array([next(t.offset for t in terms if t.space.name == name) for terms in plan])
                total += similar[name] * scale.astype(np.float32) + on[name] * offset.astype(np.float32)
                heard |= on[name]
            total[~heard[:, 0]] = -np.inf
            tracks = total.reshape(count, PASSAGES, -1).max(axis=1)
            joined = np.concatenate([best[place], tracks.T], axis=1)
            best[place] = -np.sort(-joined, axis=1)[:, :K]
        done = first + count - share.first
        if done % 20_000 < TRACKS_AT_ONCE:
            took = time.monotonic() - began
            print(f"{done:,} of {share.count:,} tracks made, {took:.0f} s", file=sys.stderr, flush=True)
    store.flush()
    store.close()
    return best


def main() -> None:
    """Make, build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--folder", type=Path, help="where there is room for it (default: a temporary folder)")
    parser.add_argument("--made", type=Path, help="a folder that was made and built before: only ask")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    tracks = args.rows // PASSAGES
    rows = tracks * PASSAGES
    with ExitStack() as stack:
        folder = args.made or Path(stack.enter_context(tempfile.TemporaryDirectory(dir=args.folder)))
        if not args.made:
            make_all(folder, tracks, args.queries)
            step("build", folder, rows, args.queries)
        told = json.loads(step("ask", folder, rows, args.queries))
        built = json.loads((folder / "built.json").read_text())
    size = rows * DIM * len(NAMES) / 1e9
    show_and_save(
        report_of(
            "bench-passages",
            f"Searching {rows:,} passages of {tracks:,} tracks by a region, one thread",
            f"OMP_NUM_THREADS=1 python benchmarks/passages.py --rows {args.rows} --queries {args.queries}",
            rows=[one["row"] for one in told["rows"]],
            columns=[f"recall@{K} of tracks", "p50 ms", "p95 ms"],
            values=[[one["recall"], one["p50"], one["p95"]] for one in told["rows"]],
            n=[[one["n"]] * 3 for one in told["rows"]],
            notes=(
                f"Four spaces x {DIM} dims: {size:.1f} GB of int8, {4 * size:.1f} GB of float32 on disk. The coarse "
                f"stage takes {built['bytes'] / 1e9:.2f} GB and was built in {built['seconds']:.0f} s by "
                f"{os.cpu_count()} cores; loading it takes {told['load']:.1f} s, once a process. Memory of the process "
                f"that asks, mapped files included: {told['memory'] / 1e3:.1f} GB at most.",
                "Rows are synthetic with structure: tracks around centres in 20,000 clusters of Zipf sizes, passages "
                "around their track, independent factors, 5 % silent. Each track answers with its best passage.",
                "int8: the scan of all rows without the coarse stage. The first search of a process goes "
                "without it, for loading it costs more.",
                "float32 rows are read from disk, for they are put out of memory before; int8 rows are put into it.",
            ),
            model="synthetic",
        ),
        args.save,
    )


def make_all(folder: Path, tracks: int, queries: int) -> None:
    """Write all rows, and what exact scores of the tenth best tracks are: `floor.npy` (weights, queries)."""
    jobs = os.cpu_count() or 1
    edges = [tracks * job // jobs for job in range(jobs + 1)]
    for space in SPACES:  # so that no two processes make the same file
        FlatStore(folder, writable=True).write("passage", space.full_name, 0, np.zeros((1, DIM), np.float32))
    with ProcessPoolExecutor(jobs) as pool:
        shares = [Share(str(folder), first, last - first, queries) for first, last in pairwise(edges)]
        best = np.concatenate(list(pool.map(make, shares)), axis=2)
    np.save(folder / "floor.npy", -np.sort(-best, axis=2)[:, :, K - 1])


def step(name: str, folder: Path, rows: int, queries: int) -> str:
    """Build or ask in a process of its own, so that of memory only the files' stays; what it printed."""
    command = [sys.executable, __file__, "--step", name, folder, str(rows), str(queries)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def settle(folder: Path) -> None:
    """As after a while of use: rows to scan in the page cache, float32 rows on disk."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for file in folder.glob("*.i8"):
        with file.open("rb") as opened:
            while opened.read(1 << 24):
                pass


def build(folder: Path, rows: int) -> None:
    """The coarse stage, with all cores."""
    import faiss

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    store = FlatStore(folder, writable=True, prefilter_from=1)
    for space in SPACES:
        store.check("passage", space.full_name, DIM, rows)
    began = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % (1 << 20) < 1 << 16:
            print(f"{done:,} of {total:,} rows coded", file=sys.stderr, flush=True)

    if not store.build_prefilter("passage", "bench", rows, progress):
        raise SystemExit("the coarse stage could not be built")
    size = sum(file.stat().st_size for file in folder.glob("*.derived"))
    (folder / "built.json").write_text(json.dumps({"seconds": time.monotonic() - began, "bytes": size}))


def ask(folder: Path, rows: int, queries: int) -> None:
    """Time and recall, as JSON."""
    import faiss

    faiss.omp_set_num_threads(1)
    floor, asked = np.load(folder / "floor.npy"), make_queries(queries)
    settle(folder)
    tracks = rows // PASSAGES
    groups = Groups.of(np.stack([np.arange(tracks) * PASSAGES, np.full(tracks, PASSAGES)], axis=1))
    everything = 1 << 62  # rows: the coarse stage is never asked
    stores = {
        "coarse": FlatStore(folder, writable=False, prefilter_from=1),
        "int8": FlatStore(folder, writable=False, prefilter_from=everything),
        "int8, 2 threads": FlatStore(folder, writable=False, threads=2, prefilter_from=everything),
    }
    for store in stores.values():
        for space in SPACES:
            store.check("passage", space.full_name, DIM, rows)
    began = time.perf_counter()
    stores["coarse"]._coarse_stage("passage", "bench")
    load = time.perf_counter() - began
    told = []
    for way, store in stores.items():
        for place, (label, values) in enumerate(WEIGHTS.items()):
            if way != "coarse" and label not in ("equal", "one slider"):
                continue
            took, right = [], []
            for number in range(queries if way == "coarse" else min(queries, 4)):
                began = time.perf_counter()
                hits = store.search("passage", terms_of(asked, number, values), groups, K)
                took.append(1000 * (time.perf_counter() - began))
                right.append(float(np.mean(hits.score >= floor[place, number] - 1e-4)))
            if way == "coarse" and label == "equal":  # a process's first search goes without
                told.append({"row": "equal: first of a process", "recall": right[0], "p50": took[0], "p95": took[0],
                             "n": 1})  # fmt: skip
                took, right = took[1:], right[1:]
            told.append({"row": f"{label}: {way}", "recall": float(np.mean(right)), "p50": float(np.median(took)),
                         "p95": float(np.quantile(took, 0.95)), "n": len(took)})  # fmt: skip
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": told, "load": load, "memory": memory}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        what, where, count, asked = sys.argv[2:]
        build(Path(where), int(count)) if what == "build" else ask(Path(where), int(count), int(asked))
    else:
        main()
