"""Speed and recall of a weighted search over many rows, compared with a pass over the bytes and with other engines.

    OMP_NUM_THREADS=1 python benchmarks/search.py [--rows 1000000] [--spaces 4] [--queries 40] [--peers] [--save DIR]

The rows are synthetic: clusters of Zipf sizes, variation of low rank within clusters, independent factors (the worst
case for a joint index), and 5 % silent rows per space. Recall is measured against exact scores. One pass is the sum of
the int8 bytes of the active spaces, as 64-bit words in one thread, from the same files.

With --peers (four spaces), the comparison includes faiss Flat and HNSW over the concatenated rows and the scaled query,
and the method of the papers in its best form: an exact index per space, the union of the m best rows of each, and exact
scores of the union.
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
from soundalike.library.stores.scan_kernel import BATCH, compiled, ways
from soundalike.models.heads import unit_rows
from soundalike.models.score import Term, presence, query_terms

DIM = 128
K = 10
SHARES = (0.01, 0.1, 0.3, 0.6, 0.9)
"""Shares of rows that match a filter."""


def weightings(spaces: int) -> dict[str, tuple[float, ...]]:
    """Return the weights of the spaces in several cases, by name."""
    uneven = np.random.default_rng(5).dirichlet(np.full(spaces, 0.5)).tolist()
    return {
        "equal": (1.0,) * spaces,
        "one space": (1.0,) + (0.0,) * (spaces - 1),
        "one at zero": (1.0,) * (spaces - 1) + (0.0,),
        "one negative": (1.0, 1.0, -1.0) + (1.0,) * (spaces - 3),
        "uneven": tuple(uneven),
    }


def make_rows(n: int, names: Sequence[str], random: np.random.Generator, dim: int = DIM) -> dict[str, FloatArray]:
    """Draw clustered unit rows (n, dim) per space, some of them silent."""
    rows = {}
    for name in names:
        clusters = max(10, n // 200)
        sizes = 1 / np.arange(1, clusters + 1)
        centres, basis = random.standard_normal((clusters, dim), np.float32), random.standard_normal((16, dim))
        chosen = random.choice(clusters, size=n, p=sizes / sizes.sum())
        made = np.empty((n, dim), np.float32)
        for low in range(0, n, 1 << 16):
            part = chosen[low : low + (1 << 16)]
            within = random.standard_normal((len(part), 16), np.float32) @ basis.astype(np.float32) / 4
            noise = 0.3 * random.standard_normal((len(part), dim), np.float32)
            made[low : low + len(part)] = unit_rows(centres[part] + within + noise)
        made[random.random(n) < 0.05] = 0
        rows[name] = made
    return rows


def timed(function: Callable[[], object], repeats: int = 1) -> float:
    """Return the median time of a call in milliseconds."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took))


@dataclass
class Tally:
    """Measurements of one method with one set of weights."""

    weights: str
    method: str
    passes: list[float]
    ms: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)

    def row(self) -> list[float]:
        """Return recall, p50, p95, and p50 in passes."""
        p50 = float(np.median(self.ms))
        return [
            float(np.mean(self.recall)),
            p50,
            float(np.quantile(self.ms, 0.95)),
            p50 / float(np.median(self.passes)),
        ]


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--spaces", type=int, default=4)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--peers", action="store_true", help="include faiss and the union (four spaces)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    names = [f"space{number}" for number in range(args.spaces)]
    rows = make_rows(args.rows + args.queries, names, random)
    drawn = {name: part[args.rows :].copy() for name, part in rows.items()}
    rows = {name: part[: args.rows] for name, part in rows.items()}
    spaces = []
    for name in names:
        left, right = random.integers(args.rows, size=(2, 20_000))
        pairs = np.einsum("nd,nd->n", rows[name][left], rows[name][right])
        calibration = Calibration(float(pairs.mean()), float(pairs.std()), tuple(np.linspace(-1, 1, 101).tolist()))
        spaces.append(
            Space("bench", name, "mix", "none", name, "identity", DIM, {"track": calibration, "passage": calibration})
        )
    groups = Groups.of(np.stack([np.arange(args.rows), np.ones(args.rows, np.int64)], axis=1))
    similar = {name: rows[name] @ drawn[name].T for name in names}
    audible = {name: presence(rows[name]) for name in names}
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = FlatStore(folder, writable=True)
        for space in spaces:
            store.write("track", space.full_name, 0, rows[space.name])
        store.flush()
        store.close()
        methods: dict[str, Callable[[Sequence[Term]], np.ndarray]] = {}
        for label, kernel in [("compiled kernel", True)] * compiled() + [("numpy", False)]:
            for threads in (1, 2) if kernel or not compiled() else (1,):
                store = FlatStore(folder, writable=False, threads=threads, kernel=kernel)
                name = f"{label}, {threads} threads" if threads > 1 else label
                methods[name] = lambda terms, store=store: store.search("track", terms, groups, K).row
        if args.peers:
            methods |= peers(rows, names)
        bytes_of = [np.memmap(folder / f"track.bench.{name}.i8", dtype=np.int64, mode="r") for name in names]
        for label, values in weightings(args.spaces).items():
            active = [part for part, value in zip(bytes_of, values, strict=True) if value]
            passes: list[float] = []
            found = {method: Tally(label, method, passes) for method in methods}
            for number in range(args.queries):
                query = {name: part[number] for name, part in drawn.items()}
                weights = dict(zip(names, values, strict=True))
                if not all(query[name].any() for name in names if weights[name]):
                    continue  # a silent space is not read, so the pass would not be comparable
                terms = query_terms(spaces, query, weights, "track")
                exact = np.zeros(args.rows)
                any_audible = np.zeros(args.rows, np.bool_)
                for term in terms:
                    space = term.space.name
                    exact += term.scale * similar[space][:, number].astype(np.float64) + term.offset * audible[space]
                    any_audible |= audible[space]
                exact[~any_audible] = -np.inf
                floor = np.partition(exact, args.rows - K)[args.rows - K]
                # Measured before every round, because the time of a pass depends on the load of the machine.
                passes.append(timed(lambda active=active: [part.sum() for part in active], 3))
                for method, search in methods.items():
                    began = time.perf_counter()
                    indices = search(terms)
                    found[method].ms.append(1000 * (time.perf_counter() - began))
                    found[method].recall.append(float(np.sum(exact[indices] >= floor - 1e-6)) / K)
            tallies += found.values()
        one_pass = timed(lambda: [part.sum() for part in bytes_of], 30)
        tallies += measure_equal_weights(folder, spaces, drawn, groups, [one_pass])
    size = args.rows * DIM * args.spaces / 1e6
    way = ways()[-1] if compiled() else "numpy"  # the results with AVX-512 VNNI have no suffix
    kernel = "SOUNDALIKE_KERNEL=numpy " if way == "numpy" else ""
    command = f"{kernel}OMP_NUM_THREADS=1 python benchmarks/search.py --rows {args.rows} --spaces {args.spaces}"
    show_and_save(
        report_of(
            f"bench-search-{args.spaces}{'-peers' if args.peers else ''}{'' if way == 'vnni' else f'-{way}'}",
            f"Searching {args.rows:,} rows of {args.spaces} spaces x {DIM} dimensions"
            + (", beside peers" if args.peers else "")
            + ("" if way == "vnni" else f", without AVX-512 VNNI ({way})"),
            f"{command} --queries {args.queries}{' --peers' if args.peers else ''}",
            rows=[f"{tally.weights}: {tally.method}" for tally in tallies],
            columns=[f"recall@{K}", "p50 ms", "p95 ms", "p50 in passes"],
            values=[tally.row() for tally in tallies],
            n=[[len(tally.ms)] * 4 for tally in tallies],
            notes=(
                f"One pass over the {size:,.0f} MB of int8 of all spaces: {one_pass:.1f} ms, {size / one_pass:.0f} "
                "GB/s, one thread. Passes cover only the bytes of the active spaces.",
                "Rows are synthetic: clusters of Zipf sizes, low-rank variation, independent factors, 5 % silent. The "
                "query is encoded, its active spaces are audible, and the files are in the page cache.",
                "All methods answer a query before the next one, so each finds the caches as the previous one left "
                "them.",
                "One thread unless stated. Scores are reranked in float32 from disk, so the returned scores are exact.",
                f"batch: {BATCH} queries in one pass, time per query; clients: two threads, each sending one query "
                "after the other, time per query.",
                "where: a filter, as a random mask, that this share of the rows matches; without the time of the "
                "filter itself.",
            )
            + ((UNION_NOTE,) if args.peers else ()),
            model="synthetic",
        ),
        args.save,
    )


def measure_equal_weights(
    folder: Path, spaces: Sequence[Space], drawn: dict[str, FloatArray], groups: Groups, passes: list[float]
) -> list[Tally]:
    """Measure batches, concurrent clients and filters with equal weights."""
    store = FlatStore(folder, writable=False)
    weights = {space.name: 1.0 for space in spaces}
    queries = []
    for number in range(len(drawn[spaces[0].name])):
        query = {name: part[number] for name, part in drawn.items()}
        if all(row.any() for row in query.values()):
            queries.append(query_terms(spaces, query, weights, "track"))
    single = [store.search("track", terms, groups, K) for terms in queries]

    def same(found: Sequence[object], expected: Sequence[object]) -> float:
        return float(np.mean([np.array_equal(a.row, b.row) for a, b in zip(found, expected, strict=True)]))  # type: ignore[attr-defined]

    tallies = []
    batch = Tally("equal", f"batch of {BATCH}", passes)
    for first in range(0, len(queries) - BATCH + 1, BATCH):
        part = queries[first : first + BATCH]
        began = time.perf_counter()
        found = store.search_many("track", part, groups, K)
        batch.ms.append(1000 * (time.perf_counter() - began) / BATCH)
        batch.recall.append(same(found, single[first : first + BATCH]))
    tallies.append(batch)
    clients = Tally("equal", "two clients", passes)
    with ThreadPoolExecutor(2) as pool:
        began = time.perf_counter()
        found = list(pool.map(lambda terms: store.search("track", terms, groups, K), queries))
        clients.ms.append(1000 * (time.perf_counter() - began) / len(queries))
        clients.recall.append(same(found, single))
    tallies.append(clients)
    random = np.random.default_rng(2)
    for share in SHARES:
        matching = random.random(len(groups)) < share
        tally = Tally("equal", f"where {100 * share:.0f} %", passes)
        for terms in queries:
            began = time.perf_counter()
            hits = store.search("track", terms, groups, K, matching)
            tally.ms.append(1000 * (time.perf_counter() - began))
            ranked = store.search("track", terms, groups, 60 * K)  # without the filter
            best = ranked.score[matching[ranked.group]][:K]
            tally.recall.append(float(np.allclose(hits.score[: len(best)], best, rtol=1e-9)))
        tallies.append(tally)
    return tallies


UNION_NOTE = (
    "faiss searches the concatenated float32 rows with their presence; HNSW32 with efSearch 64 and 256. Union: the m "
    "best rows of an exact index (faiss Flat) per active space, most similar for positive and least similar for "
    "negative weights, then exact scores."
)


def peers(rows: dict[str, FloatArray], names: Sequence[str]) -> dict[str, Callable[[Sequence[Term]], np.ndarray]]:
    """Return faiss over the concatenated rows with their presence, exact and HNSW, and the union of exact indexes."""
    import faiss

    faiss.omp_set_num_threads(1)
    present = {name: presence(part)[:, None].astype(np.float32) for name, part in rows.items()}
    joined = np.concatenate([*rows.values(), *present.values()], axis=1)
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
