"""Speed and recall of a search over twenty million passages by a region, with and without the prefilter.

    OMP_NUM_THREADS=1 python benchmarks/passages.py [--rows 20000000] [--queries 24] [--folder DIR] [--save DIR]
    OMP_NUM_THREADS=1 python benchmarks/passages.py --order --rows 940000 --queries 40

Needs soundalike[faiss] and 2.6 KB of disk space per row. The rows are synthetic, in four independent spaces of 128
dimensions: tracks of 47 passages lie around centres of clusters with Zipf sizes, passages lie around their track, and
5 % are silent. Queries are passages of tracks that are not in the library. Every track is ranked by its best passage.
Recall of the ten best tracks is measured against exact scores of all rows, which are computed as the rows are made.

With --order, a scan that orders tracks by how unlikely their best passages are, as searches do, is compared with one
that orders them by their scores. Both run in turn for each query, without the prefilter. The tracks have 47 passages,
or, from the same rows, 5 to 200.
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
from soundalike.core.executors.cores import usable_cores
from soundalike.core.types import Calibration, FloatArray, Report, Space
from soundalike.evaluate.estimates import bootstrap
from soundalike.library.stores.base import BestOf
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.row_groups import Groups
from soundalike.models.reference import PairSample, Reference
from soundalike.models.score import Term, presence, query_terms

NAMES = ("melody", "rhythm", "timbre", "harmony")
DIM, PASSAGES, K = 128, 47, 10
CLUSTERS = 20_000
TRACKS_AT_ONCE = 1000
WEIGHTS = {
    "equal": (1.0, 1.0, 1.0, 1.0),
    "one space": (1.0, 0.0, 0.0, 0.0),
    "one at zero": (1.0, 1.0, 1.0, 0.0),
    "one negative": (1.0, 1.0, -1.0, 1.0),
    "uneven": (0.7, 0.1, 0.15, 0.05),
}
RANDOM_PAIRS = Calibration(0.0, 0.15, tuple(np.linspace(-1, 1, 101).tolist()))
CALIBRATION = {"track": RANDOM_PAIRS, "passage": RANDOM_PAIRS}
SPACES = [Space("bench", name, "mix", "none", name, "identity", DIM, CALIBRATION) for name in NAMES]


def unit(rows: FloatArray) -> FloatArray:
    """Normalise rows (n, d) in place."""
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows


class Maker:
    """Makes tracks around cluster centres and noise that are drawn once, with a separate seed."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.centres = {name: random.standard_normal((CLUSTERS, DIM), np.float32) for name in NAMES}
        self.noise = random.standard_normal((1 << 18, DIM), np.float32)
        sizes = 1 / np.arange(1, CLUSTERS + 1)
        self.probabilities = sizes / sizes.sum()

    def tracks(self, count: int, random: np.random.Generator) -> dict[str, FloatArray]:
        """Draw the rows of the passages of `count` tracks: (count * 47, 128) per space."""
        rows = {}
        for name in NAMES:
            centre = self.centres[name][random.choice(CLUSTERS, count, p=self.probabilities)]
            track = centre + 0.6 * random.standard_normal((count, DIM), np.float32)
            drift = self.noise[random.integers(len(self.noise), size=count * PASSAGES)]
            rows[name] = unit(np.repeat(track, PASSAGES, axis=0) + 0.5 * drift)
            rows[name][random.random(len(rows[name])) < 0.05] = 0
        return rows


def make_queries(count: int) -> dict[str, FloatArray]:
    """Draw passages that are audible in all spaces: (count, 128) per space."""
    rows = Maker().tracks(4 * count, np.random.default_rng(99))
    audible = np.flatnonzero(np.all([presence(rows[name]) for name in NAMES], axis=0))
    chosen = audible[:: max(1, len(audible) // count)][:count]
    return {name: rows[name][chosen] for name in NAMES}


def terms_of(queries: dict[str, FloatArray], number: int, values: Sequence[float]) -> tuple[Term, ...]:
    """The terms of query `number` with the given weights."""
    query = {name: rows[number] for name, rows in queries.items()}
    return query_terms(SPACES, query, dict(zip(NAMES, values, strict=True)), "passage")


@dataclass(frozen=True)
class Share:
    """The tracks that one process makes: `count` from `first`."""

    folder: str
    first: int
    count: int
    queries: int


def make(share: Share) -> FloatArray:
    """Write a share of the rows. Returns the best scores of its tracks, (weights, queries, 10)."""
    maker, queries = Maker(), make_queries(share.queries)
    store = FlatStore(Path(share.folder), writable=True)
    best = np.full((len(WEIGHTS), share.queries, K), -np.inf)
    query_columns = {name: queries[name].T.copy() for name in NAMES}
    plans = [[terms_of(queries, number, values) for number in range(share.queries)] for values in WEIGHTS.values()]
    began = time.monotonic()
    for first in range(share.first, share.first + share.count, TRACKS_AT_ONCE):
        count = min(TRACKS_AT_ONCE, share.first + share.count - first)
        rows = maker.tracks(count, np.random.default_rng([1, first]))
        for space in SPACES:
            store.write("passage", space.full_name, first * PASSAGES, rows[space.name])
        similar = {name: rows[name] @ query_columns[name] for name in NAMES}
        present = {name: presence(rows[name])[:, None] for name in NAMES}
        for place, plan in enumerate(plans):
            total = np.zeros((count * PASSAGES, share.queries), np.float32)
            audible = np.zeros((count * PASSAGES, 1), np.bool_)
            for name in {term.space.name for term in plan[0]}:
                scale = np.array([next(t.scale for t in terms if t.space.name == name) for terms in plan])
                offset = np.array([next(t.offset for t in terms if t.space.name == name) for terms in plan])
                total += similar[name] * scale.astype(np.float32) + present[name] * offset.astype(np.float32)
                audible |= present[name]
            total[~audible[:, 0]] = -np.inf
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
    """Make the rows, build the prefilter, search, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--folder", type=Path, help="folder with enough disk space (default: a temporary folder)")
    parser.add_argument("--made", type=Path, help="folder of an earlier run; only search")
    parser.add_argument("--order", action="store_true", help="time the order of tracks instead")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    tracks = args.rows // PASSAGES
    rows = tracks * PASSAGES
    with ExitStack() as stack:
        folder = args.made or Path(stack.enter_context(tempfile.TemporaryDirectory(dir=args.folder)))
        if not args.made:
            make_all(folder, tracks, args.queries)
        if args.order:
            show_and_save(measure_order(folder, tracks, args.queries), args.save)
            return
        if not args.made:
            step("build", folder, rows, args.queries)
        measured = json.loads(step("search", folder, rows, args.queries))
        built = json.loads((folder / "built.json").read_text())
    size = rows * DIM * len(NAMES) / 1e9
    show_and_save(
        report_of(
            "bench-passages",
            f"Searching {rows:,} passages of {tracks:,} tracks by a region, one thread",
            f"OMP_NUM_THREADS=1 python benchmarks/passages.py --rows {args.rows} --queries {args.queries}",
            rows=[row["row"] for row in measured["rows"]],
            columns=[f"recall@{K} of tracks", "p50 ms", "p95 ms"],
            values=[[row["recall"], row["p50"], row["p95"]] for row in measured["rows"]],
            n=[[row["n"]] * 3 for row in measured["rows"]],
            notes=(
                f"Four spaces x {DIM} dimensions: {size:.1f} GB of int8, {4 * size:.1f} GB of float32 on disk. The "
                f"prefilter takes {built['bytes'] / 1e9:.2f} GB and was built in {built['seconds']:.0f} s on "
                f"{usable_cores()} cores. Loading it takes {measured['load']:.1f} s, once per process. Peak memory of "
                f"the searching process, including mapped files: {measured['memory'] / 1e3:.1f} GB.",
                "Rows are synthetic: tracks around centres in 20,000 clusters of Zipf sizes, passages around their "
                "track, independent factors, 5 % silent. Every track is ranked by its best passage.",
                "int8: a scan of all rows without the prefilter. The first search of a process does not use the "
                "prefilter, because loading it takes longer.",
                "float32 rows are read from disk, because they are evicted from memory first; int8 rows are in memory.",
            ),
            model="synthetic",
        ),
        args.save,
    )


def measure_order(folder: Path, tracks: int, queries: int) -> Report:
    """Compare the CPU time of scans whose tracks are ordered by their best passages, and by score."""
    rows, drawn = tracks * PASSAGES, make_queries(queries)
    settle(folder)
    store = FlatStore(folder, writable=False, prefilter_from=1 << 62)
    for space in SPACES:
        store.check("passage", space.full_name, DIM, rows)
    random = np.random.default_rng(3)
    lengths = np.exp(random.uniform(np.log(5), np.log(200), rows // 5)).astype(np.int64)
    lengths = lengths[: np.searchsorted(np.cumsum(lengths), rows, side="right")]
    positions = np.sort(random.choice(rows, 2000, replace=False))
    sample = {space.name: store.read("passage", space.full_name, DIM, positions) for space in SPACES}
    reference = Reference.of_library(SPACES, "passage", PairSample.of(sample, len(positions)), tracks)
    audible = np.any([store.audible("passage", space.full_name, DIM, rows) for space in SPACES], axis=0)
    measured = {}
    for name, sizes in (("47 passages", np.full(tracks, PASSAGES)), ("5 to 200 passages", lengths)):
        first = np.cumsum(sizes) - sizes
        groups = Groups.of(np.stack([first, sizes], axis=1))
        counts = np.add.reduceat(audible[: sizes.sum()].astype(np.int64), first)
        times = np.zeros((queries, 2))
        for number in range(-2, queries):  # two to warm up
            query = {space: part[number] for space, part in drawn.items()}
            terms = query_terms(reference.spaces, query, dict.fromkeys(NAMES, 1.0), "passage")
            order = BestOf(reference.null([(1.0, terms)]), counts)
            for way in ((0, 1), (1, 0))[number % 2]:
                began = time.process_time()
                store.search("passage", terms, groups, K, None, order if way else None)
                times[number, way] = 1000 * (time.process_time() - began)
        measured[f"{len(sizes):,} tracks of {name}"] = times
    store.close()
    ratios = [
        bootstrap(np.log(times[:, 1:] / times[:, :1]), [str(query) for query in range(queries)], 0)
        for times in measured.values()
    ]
    missing = np.full((len(measured), 2), np.nan)
    return report_of(
        "bench-passage-order",
        f"Ordering tracks by their best passages, {rows:,} passages, one thread",
        f"OMP_NUM_THREADS=1 python benchmarks/passages.py --order --rows {rows} --queries {queries}",
        rows=list(measured),
        columns=["by score, p50 CPU ms", "by best passage, p50 CPU ms", "ratio"],
        values=[
            [*np.median(times, axis=0), float(np.exp(ratio.value[0]))]
            for times, ratio in zip(measured.values(), ratios, strict=True)
        ],
        low=np.column_stack([missing, [np.exp(ratio.low[0]) for ratio in ratios]]).tolist(),
        high=np.column_stack([missing, [np.exp(ratio.high[0]) for ratio in ratios]]).tolist(),
        n=[[queries] * 3] * len(measured),
        notes=(
            f"Four spaces x {DIM} dimensions, equal weights, synthetic rows as above. Ratio: geometric mean of paired "
            "CPU times, which other processes disturb less than the clock, with a bootstrap interval over queries.",
        ),
        model="synthetic",
    )


def make_all(folder: Path, tracks: int, queries: int) -> None:
    """Write all rows, and the exact scores of the tenth best tracks as `floor.npy` (weights, queries)."""
    jobs = usable_cores()
    edges = [tracks * job // jobs for job in range(jobs + 1)]
    for space in SPACES:  # creates the files, so that no two processes create the same one
        FlatStore(folder, writable=True).write("passage", space.full_name, 0, np.zeros((1, DIM), np.float32))
    with ProcessPoolExecutor(jobs) as pool:
        shares = [Share(str(folder), first, last - first, queries) for first, last in pairwise(edges)]
        best = np.concatenate(list(pool.map(make, shares)), axis=2)
    np.save(folder / "floor.npy", -np.sort(-best, axis=2)[:, :, K - 1])


def step(name: str, folder: Path, rows: int, queries: int) -> str:
    """Build or search in a separate process, which frees its memory at the end. Returns its standard output."""
    command = [sys.executable, __file__, "--step", name, folder, str(rows), str(queries)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def settle(folder: Path) -> None:
    """Read int8 rows into the page cache and evict float32 rows, as after some use."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for file in folder.glob("*.i8"):
        with file.open("rb") as opened:
            while opened.read(1 << 24):
                pass


def build(folder: Path, rows: int) -> None:
    """Build the prefilter on all cores."""
    import faiss

    faiss.omp_set_num_threads(usable_cores())
    store = FlatStore(folder, writable=True, prefilter_from=1)
    for space in SPACES:
        store.check("passage", space.full_name, DIM, rows)
    began = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % (1 << 20) < 1 << 16:
            print(f"{done:,} of {total:,} rows coded", file=sys.stderr, flush=True)

    if not store.build_prefilter("passage", "bench", rows, progress):
        raise SystemExit("the prefilter could not be built")
    size = sum(file.stat().st_size for file in folder.glob("*.derived"))
    (folder / "built.json").write_text(json.dumps({"seconds": time.monotonic() - began, "bytes": size}))


def search(folder: Path, rows: int, queries: int) -> None:
    """Print times and recall as JSON."""
    import faiss

    faiss.omp_set_num_threads(1)
    floor, drawn = np.load(folder / "floor.npy"), make_queries(queries)
    settle(folder)
    tracks = rows // PASSAGES
    groups = Groups.of(np.stack([np.arange(tracks) * PASSAGES, np.full(tracks, PASSAGES)], axis=1))
    never = 1 << 62  # rows, above which the prefilter is used
    stores = {
        "prefilter": FlatStore(folder, writable=False, prefilter_from=1),
        "int8": FlatStore(folder, writable=False, prefilter_from=never),
        "int8, 2 threads": FlatStore(folder, writable=False, threads=2, prefilter_from=never),
    }
    for store in stores.values():
        for space in SPACES:
            store.check("passage", space.full_name, DIM, rows)
    began = time.perf_counter()
    stores["prefilter"]._prefilter_of("passage", "bench")
    load = time.perf_counter() - began
    measured = []
    for way, store in stores.items():
        for place, (label, values) in enumerate(WEIGHTS.items()):
            if way != "prefilter" and label not in ("equal", "one space"):
                continue
            took, right = [], []
            for number in range(queries if way == "prefilter" else min(queries, 4)):
                began = time.perf_counter()
                hits = store.search("passage", terms_of(drawn, number, values), groups, K)
                took.append(1000 * (time.perf_counter() - began))
                right.append(float(np.mean(hits.score >= floor[place, number] - 1e-4)))
            if way == "prefilter" and label == "equal":  # the first search of a process does not use it
                measured.append({"row": "equal: first of a process", "recall": right[0], "p50": took[0], "p95": took[0],
                             "n": 1})  # fmt: skip
                took, right = took[1:], right[1:]
            measured.append({"row": f"{label}: {way}", "recall": float(np.mean(right)), "p50": float(np.median(took)),
                         "p95": float(np.quantile(took, 0.95)), "n": len(took)})  # fmt: skip
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": measured, "load": load, "memory": memory}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        name, folder, rows, queries = sys.argv[2:]
        build(Path(folder), int(rows)) if name == "build" else search(Path(folder), int(rows), int(queries))
    else:
        main()
