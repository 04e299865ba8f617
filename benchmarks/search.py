"""How fast and how right a weighted search over many rows is, beside one pass over the same bytes and beside peers.

    OMP_NUM_THREADS=1 python benchmarks/search.py [--rows 1000000] [--spaces 4] [--queries 40] [--peers] [--save DIR]

Rows are synthetic with structure: clusters of Zipf sizes, variation of low rank within them, factors independent of
one another (the worst case for an index over all of them at once), 5 % silent in every space. Recall is against exact
scores. One pass: the sum of the int8 bytes of the active spaces, as 64-bit words in one thread, from the same files.

With --peers (four spaces): faiss Flat and HNSW over the concatenated rows and the scaled query, and the published way
of MERIT-like systems at its best: an exact index per space, the union of the m best of each, exact scores of these.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.core.types import Calibration, FloatArray, Space
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.row_groups import Groups
from soundalike.library.stores.scan_kernel import BATCH, compiled
from soundalike.models.heads import unit_rows
from soundalike.models.score import Term, presence, query_terms

DIM = 128
K = 10
SHARES = (0.01, 0.1, 0.3, 0.6, 0.9)
"""Of rows that meet a filter."""


def weightings(spaces: int) -> dict[str, tuple[float, ...]]:
    """Slider positions to ask with, by what they are called."""
    uneven = np.random.default_rng(5).dirichlet(np.full(spaces, 0.5)).tolist()
    return {
        "equal": (1.0,) * spaces,
        "one slider": (1.0,) + (0.0,) * (spaces - 1),
        "one at zero": (1.0,) * (spaces - 1) + (0.0,),
        "one negative": (1.0, 1.0, -1.0) + (1.0,) * (spaces - 3),
        "uneven": tuple(uneven),
    }


def make_rows(n: int, names: Sequence[str], random: np.random.Generator) -> dict[str, FloatArray]:
    """Unit rows (n, 128) per space in clusters, some of them silent."""
    rows = {}
    for name in names:
        clusters = max(10, n // 200)
        sizes = 1 / np.arange(1, clusters + 1)
        centres, basis = random.standard_normal((clusters, DIM), np.float32), random.standard_normal((16, DIM))
        chosen = random.choice(clusters, size=n, p=sizes / sizes.sum())
        made = np.empty((n, DIM), np.float32)
        for low in range(0, n, 1 << 16):
            part = chosen[low : low + (1 << 16)]
            within = random.standard_normal((len(part), 16), np.float32) @ basis.astype(np.float32) / 4
            noise = 0.3 * random.standard_normal((len(part), DIM), np.float32)
            made[low : low + len(part)] = unit_rows(centres[part] + within + noise)
        made[random.random(n) < 0.05] = 0
        rows[name] = made
    return rows


def timed(function: Callable[[], object], repeats: int = 1) -> float:
    """Milliseconds, the median."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took))


@dataclass
class Tally:
    """What was measured of one way to search with one kind of weights."""

    weights: str
    way: str
    passes: list[float]
    ms: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)

    def row(self) -> list[float]:
        """recall, p50, p95, p50 in passes."""
        p50 = float(np.median(self.ms))
        return [
            float(np.mean(self.recall)),
            p50,
            float(np.quantile(self.ms, 0.95)),
            p50 / float(np.median(self.passes)),
        ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--spaces", type=int, default=4)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--peers", action="store_true", help="faiss and the union too (four spaces)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    names = [f"space{number}" for number in range(args.spaces)]
    rows = make_rows(args.rows + args.queries, names, random)
    asked = {name: part[args.rows :].copy() for name, part in rows.items()}
    rows = {name: part[: args.rows] for name, part in rows.items()}
    spaces = []
    for name in names:
        left, right = random.integers(args.rows, size=(2, 20_000))
        pairs = np.einsum("nd,nd->n", rows[name][left], rows[name][right])
        chance = Calibration(float(pairs.mean()), float(pairs.std()), tuple(np.linspace(-1, 1, 101).tolist()))
        spaces.append(Space("bench", name, "mix", "none", name, "identity", DIM, {"track": chance, "passage": chance}))
    groups = Groups.of(np.stack([np.arange(args.rows), np.ones(args.rows, np.int64)], axis=1))
    similar = {name: rows[name] @ asked[name].T for name in names}
    audible = {name: presence(rows[name]) for name in names}
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = FlatStore(folder, writable=True)
        for space in spaces:
            store.write("track", space.full_name, 0, rows[space.name])
        store.flush()
        store.close()
        ways: dict[str, Callable[[Sequence[Term]], np.ndarray]] = {}
        for label, kernel in [("compiled kernel", True)] * compiled() + [("numkong", False)]:
            for threads in (1, 2) if kernel or not compiled() else (1,):
                way = FlatStore(folder, writable=False, threads=threads, kernel=kernel)
                said = f"{label}, {threads} threads" if threads > 1 else label
                ways[said] = lambda terms, way=way: way.search("track", terms, groups, K).row
        if args.peers:
            ways |= peers(rows, names)
        bytes_of = [np.memmap(folder / f"track.bench.{name}.i8", dtype=np.int64, mode="r") for name in names]
        for label, values in weightings(args.spaces).items():
            active = [part for part, value in zip(bytes_of, values, strict=True) if value]
            passes: list[float] = []
            found = {way: Tally(label, way, passes) for way in ways}
            for number in range(args.queries):
                query = {name: part[number] for name, part in asked.items()}
                weights = dict(zip(names, values, strict=True))
                if not all(query[name].any() for name in names if weights[name]):
                    continue  # a silent space is not read: the pass would be another one
                terms = query_terms(spaces, query, weights, "track")
                exact = np.zeros(args.rows)
                heard = np.zeros(args.rows, np.bool_)
                for term in terms:
                    of = term.space.name
                    exact += term.scale * similar[of][:, number].astype(np.float64) + term.offset * audible[of]
                    heard |= audible[of]
                exact[~heard] = -np.inf
                floor = np.partition(exact, args.rows - K)[args.rows - K]
                # Before every round, for what a pass takes changes with whoever else is on the machine.
                passes.append(timed(lambda active=active: [part.sum() for part in active], 3))
                for way, search in ways.items():
                    began = time.perf_counter()
                    indices = search(terms)
                    found[way].ms.append(1000 * (time.perf_counter() - began))
                    found[way].recall.append(float(np.sum(exact[indices] >= floor - 1e-6)) / K)
            tallies += found.values()
        one_pass = timed(lambda: [part.sum() for part in bytes_of], 30)
        tallies += others(folder, spaces, asked, groups, [one_pass])
    size = args.rows * DIM * args.spaces / 1e6
    kernel = "" if compiled() else "SOUNDALIKE_KERNEL=numkong "
    command = f"{kernel}OMP_NUM_THREADS=1 python benchmarks/search.py --rows {args.rows} --spaces {args.spaces}"
    show_and_save(
        report_of(
            f"bench-search-{args.spaces}{'-peers' if args.peers else '' if compiled() else '-numkong'}",
            f"Searching {args.rows:,} rows of {args.spaces} spaces x {DIM} dims"
            + (", beside peers" if args.peers else "" if compiled() else ", without the compiled kernel"),
            f"{command} --queries {args.queries}{' --peers' if args.peers else ''}",
            rows=[f"{one.weights}: {one.way}" for one in tallies],
            columns=[f"recall@{K}", "p50 ms", "p95 ms", "p50 in passes"],
            values=[one.row() for one in tallies],
            n=[[len(one.ms)] * 4 for one in tallies],
            notes=(
                f"One pass over the {size:,.0f} MB of int8 of all spaces: {one_pass:.1f} ms, {size / one_pass:.0f} "
                "GB/s, one thread; passes are over the bytes of the active spaces only.",
                "Rows are synthetic: clusters of Zipf sizes, low-rank variation, independent factors, 5 % silent; the "
                "query is encoded, all its active spaces are audible, files lie in the page cache.",
                "All ways answer a query before the next is asked: each finds the caches as the one before left them.",
                "One thread unless said. Scores are reranked in float32 from disk, and what is returned is exact.",
                f"batch: {BATCH} queries in one pass, time a query; clients: two threads, each asking one "
                "query after the other, time a query.",
                "where: a filter that so many rows meet, by chance, as a mask; the filter's own time is not in it.",
            )
            + ((UNION_NOTE,) if args.peers else ()),
            model="synthetic",
        ),
        args.save,
    )


def others(
    folder: Path, spaces: Sequence[Space], asked: dict[str, FloatArray], groups: Groups, passes: list[float]
) -> list[Tally]:
    """Batches, clients side by side, and filters, with equal weights."""
    store = FlatStore(folder, writable=False)
    weights = {space.name: 1.0 for space in spaces}
    queries = []
    for number in range(len(asked[spaces[0].name])):
        query = {name: part[number] for name, part in asked.items()}
        if all(row.any() for row in query.values()):
            queries.append(query_terms(spaces, query, weights, "track"))
    alone = [store.search("track", terms, groups, K) for terms in queries]

    def same(found: Sequence[object], expected: Sequence[object]) -> float:
        return float(np.mean([np.array_equal(a.row, b.row) for a, b in zip(found, expected, strict=True)]))  # type: ignore[attr-defined]

    tallies = []
    batch = Tally("equal", f"batch of {BATCH}", passes)
    for first in range(0, len(queries) - BATCH + 1, BATCH):
        part = queries[first : first + BATCH]
        began = time.perf_counter()
        found = store.search_many("track", part, groups, K)
        batch.ms.append(1000 * (time.perf_counter() - began) / BATCH)
        batch.recall.append(same(found, alone[first : first + BATCH]))
    tallies.append(batch)
    clients = Tally("equal", "two clients", passes)
    with ThreadPoolExecutor(2) as pool:
        began = time.perf_counter()
        found = list(pool.map(lambda terms: store.search("track", terms, groups, K), queries))
        clients.ms.append(1000 * (time.perf_counter() - began) / len(queries))
        clients.recall.append(same(found, alone))
    tallies.append(clients)
    random = np.random.default_rng(2)
    for share in SHARES:
        wanted = random.random(len(groups)) < share
        tally = Tally("equal", f"where {100 * share:.0f} %", passes)
        for terms in queries:
            began = time.perf_counter()
            hits = store.search("track", terms, groups, K, wanted)
            tally.ms.append(1000 * (time.perf_counter() - began))
            every = store.search("track", terms, groups, 60 * K)  # the best of all, of which the wanted ones are these
            best = every.score[wanted[every.group]][:K]
            tally.recall.append(float(np.allclose(hits.score[: len(best)], best, rtol=1e-9)))
        tallies.append(tally)
    return tallies


UNION_NOTE = (
    "faiss searches the concatenated float32 rows with their presence; HNSW32 with efSearch 64 and 256. Union: the m "
    "best of an exact index (faiss Flat) per space that weighs, by likeness for weights above zero and unlikeness "
    "below, then exact scores."
)


def peers(rows: dict[str, FloatArray], names: Sequence[str]) -> dict[str, Callable[[Sequence[Term]], np.ndarray]]:
    """faiss over the concatenated rows with their presence, exact and as a graph, and the union of exact indexes."""
    import faiss

    faiss.omp_set_num_threads(1)
    on = {name: presence(part)[:, None].astype(np.float32) for name, part in rows.items()}
    joined = np.concatenate([*rows.values(), *on.values()], axis=1)
    flat, graph = (
        faiss.IndexFlatIP(joined.shape[1]),
        faiss.IndexHNSWFlat(joined.shape[1], 32, faiss.METRIC_INNER_PRODUCT),
    )
    flat.add(joined)
    faiss.omp_set_num_threads(2)
    graph.add(joined)
    faiss.omp_set_num_threads(1)
    single = {name: faiss.IndexFlatIP(DIM) for name in names}
    for name, index in single.items():
        index.add(rows[name])

    def scaled(terms: Sequence[Term]) -> np.ndarray:
        query = np.zeros((1, joined.shape[1]), np.float32)
        for term in terms:
            at = names.index(term.space.name)
            query[0, at * DIM : (at + 1) * DIM] = term.scale * term.row
            query[0, len(names) * DIM + at] = term.offset
        return query

    def beam(width: int) -> Callable[[Sequence[Term]], np.ndarray]:
        def search(terms: Sequence[Term]) -> np.ndarray:
            graph.hnsw.efSearch = width
            return graph.search(scaled(terms), K)[1][0]

        return search

    def union(m: int) -> Callable[[Sequence[Term]], np.ndarray]:
        def search(terms: Sequence[Term]) -> np.ndarray:
            near = [single[term.space.name].search(np.sign(term.scale) * term.row[None, :], m)[1][0] for term in terms]
            found = np.unique(np.concatenate(near))
            scores = joined[found] @ scaled(terms)[0]
            return found[np.argsort(-scores)[:K]]

        return search

    return {
        "faiss Flat": lambda terms: flat.search(scaled(terms), K)[1][0],
        "faiss HNSW 64": beam(64),
        "faiss HNSW 256": beam(256),
        "union of 10": union(10),
        "union of 1,000": union(1000),
    }


if __name__ == "__main__":
    main()
