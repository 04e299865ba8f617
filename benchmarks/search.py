"""How fast and how right a weighted search is, beside one pass over the same bytes and beside faiss.

    OMP_NUM_THREADS=1 python benchmarks/search.py [--rows 100000] [--queries 50] [--save DIR]

Rows are synthetic with structure: clusters of Zipf sizes, variation of low rank within them, factors independent of one
another (the worst case for an index over all of them at once), 5 % silent. Recall is against the exact scores in
float64. One pass: the sum of the int8 bytes of all spaces, read as 64-bit words, in one thread. faiss (where installed)
searches the concatenated rows with the scaled query: Flat is exact, HNSW is given two beams.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import report_of, show_and_save, synthetic_library
from soundalike.groups import Groups
from soundalike.heads import unit_rows
from soundalike.library import Library, Query, Subject
from soundalike.model import Model
from soundalike.score import presence, query_terms, score_rows
from soundalike.stores.flat import FlatStore
from soundalike.types import Calibration, Space, Span

NAMES = ("melody", "rhythm", "timbre", "harmony")
DIM = 128
K = 10
WEIGHTS = {
    "equal": (1, 1, 1, 1),
    "one slider": (1, 0, 0, 0),
    "one at zero": (1, 1, 1, 0),
    "one negative": (1, 1, -1, 1),
    "uneven": (0.7, 0.1, 0.15, 0.05),
}


def make_rows(n: int, random: np.random.Generator, dim: int = DIM) -> dict[str, np.ndarray]:
    """Unit rows (n, dim) per space in clusters, some of them silent."""
    rows = {}
    for name in NAMES:
        clusters = max(10, n // 200)
        sizes = 1 / np.arange(1, clusters + 1)
        centres, basis = random.standard_normal((clusters, dim)), random.standard_normal((16, dim))
        chosen = random.choice(clusters, size=n, p=sizes / sizes.sum())
        within = random.standard_normal((n, 16)).astype(np.float32) @ basis.astype(np.float32) / 4
        noise = 0.3 * random.standard_normal((n, dim), dtype=np.float32)
        rows[name] = unit_rows(centres[chosen].astype(np.float32) + within + noise)
        rows[name][random.random(n) < 0.05] = 0
    return rows


def timed(function: Callable[[], object], repeats: int = 1) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    return 1000 * (time.perf_counter() - began) / repeats


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    rows = make_rows(args.rows + args.queries, random)
    queries = {name: part[args.rows :] for name, part in rows.items()}
    rows = {name: np.ascontiguousarray(part[: args.rows]) for name, part in rows.items()}
    spaces = []
    for name in NAMES:
        left, right = random.integers(args.rows, size=(2, 20_000))
        pairs = np.einsum("nd,nd->n", rows[name][left], rows[name][right])
        chance = Calibration(float(pairs.mean()), float(pairs.std()), tuple(np.linspace(-1, 1, 101).tolist()))
        spaces.append(Space("bench", name, "mix", "none", name, "identity", DIM, {"track": chance, "passage": chance}))
    with tempfile.TemporaryDirectory() as folder:
        store = FlatStore(Path(folder), writable=True)
        for space in spaces:
            store.write("track", space.full_name, 0, rows[space.name])
        store.flush()
        coarse = [np.fromfile(Path(folder) / f"track.bench.{name}.i8", dtype=np.int64) for name in NAMES]
        one_pass = float(np.median([timed(lambda: [part.sum() for part in coarse]) for _ in range(30)]))
        groups = np.stack([np.arange(args.rows), np.ones(args.rows, np.int64)], axis=1)
        contenders = faiss_indexes(rows) if importlib.util.find_spec("faiss") else {}
        results = []
        for label, values in WEIGHTS.items():
            weights = dict(zip(NAMES, map(float, values), strict=True))
            found: dict[str, list[tuple[float, float]]] = {}
            for number in range(args.queries):
                query = {name: part[number] for name, part in queries.items()}
                if not any(weights[name] and query[name].any() for name in NAMES):
                    continue
                terms = query_terms(spaces, query, weights, "track")
                exact = score_rows(terms, rows)
                heard = np.any([presence(rows[term.space.name]) for term in terms], axis=0)
                exact[~heard] = -np.inf
                best = np.partition(exact, len(exact) - K)[len(exact) - K]

                def right(indices: np.ndarray, exact: np.ndarray = exact, best: float = best) -> float:
                    return float(np.mean(exact[indices] >= best - 1e-9))

                began = time.perf_counter()
                hits = store.search("track", terms, Groups.of(groups), K)
                took = 1000 * (time.perf_counter() - began)
                found.setdefault("soundalike", []).append((took, right(hits.row)))
                scaled = np.zeros((1, 4 * DIM + 4), np.float32)
                for term in terms:
                    at = NAMES.index(term.space.name)
                    scaled[0, at * DIM : (at + 1) * DIM] = term.scale * term.row
                    scaled[0, 4 * DIM + at] = term.offset
                for name, search in contenders.items():
                    began = time.perf_counter()
                    indices = search(scaled)
                    found.setdefault(name, []).append((1000 * (time.perf_counter() - began), right(indices)))
            for name, pairs in found.items():
                times, recalls = np.array(pairs).T
                results.append({"weights": label, "engine": name, "recall": float(recalls.mean()), "n": len(pairs),
                                "p50_ms": float(np.median(times)), "p95_ms": float(np.quantile(times, 0.95)),
                                "passes": float(np.median(times)) / one_pass})  # fmt: skip
        store.close()
        results += end_to_end(Path(folder) / "library", rows, queries, one_pass)
    size = args.rows * DIM * len(NAMES) / 1e6
    columns = {f"recall@{K}": "recall", "p50 ms": "p50_ms", "p95 ms": "p95_ms", "p50 in passes": "passes"}
    report = report_of(
        "bench-search",
        f"Searching {args.rows:,} rows of 4 spaces x {DIM} dims, one thread",
        f"OMP_NUM_THREADS=1 python benchmarks/search.py --rows {args.rows} --queries {args.queries}",
        rows=[f"{row['weights']}: {row['engine']}" for row in results],
        columns=list(columns),
        values=[[float(row[key]) for key in columns.values()] for row in results],
        n=[[int(row["n"])] * len(columns) for row in results],
        notes=(
            f"One pass over the {size:.0f} MB of int8 of all four spaces (sums of 64-bit words): {one_pass:.2f} ms.",
            "Rows are synthetic: clusters of Zipf sizes, low-rank variation, independent factors, 5 % silent.",
            "soundalike: the scan and rerank, the query encoded. Library.search: all of a search after the first, "
            "matches with their explanations; the query encoded.",
            "faiss searches the concatenated float32 rows with their presence; HNSW32 with efSearch 64 and 256.",
        ),
    )
    show_and_save(report, args.save)


def end_to_end(
    folder: Path, rows: dict[str, np.ndarray], queries: dict[str, np.ndarray], one_pass: float
) -> list[dict[str, float | str]]:
    """`Library.search` in a library of as many tracks: weights, matches with their tracks and explanations, copies."""
    model = Model.load("dsp")
    synthetic_library(folder, model, rows)
    found = []
    with Library(folder) as library:
        for number in range(-1, len(queries["melody"])):
            track = {name: part[max(number, 0)] for name, part in queries.items()}
            passages = {name: row[None, :] for name, row in track.items()}
            span = Span("/elsewhere.mp3", 0.0, 200.0)
            subject = Subject(span, passages, track, "", np.zeros(0, np.uint32), None, None)
            began = time.perf_counter()
            result = library.search(Query(Path(span.track), k=K), subject)
            took = 1000 * (time.perf_counter() - began)
            exact = score_rows(query_terms(model.spaces, track, dict.fromkeys(NAMES, 1.0), "track"), rows)
            best = np.partition(exact, len(exact) - K)[len(exact) - K]
            # The first search reads the catalogue and draws the random pairs of the percentiles: it is not counted.
            if number >= 0:
                found.append((took, float(np.mean([match.score >= best - 1e-6 for match in result.matches]))))
    times, recalls = np.array(found).T
    return [
        {
            "weights": "equal",
            "engine": "Library.search",
            "recall": float(recalls.mean()),
            "n": len(found),
            "p50_ms": float(np.median(times)),
            "p95_ms": float(np.quantile(times, 0.95)),
            "passes": float(np.median(times)) / one_pass,
        }
    ]


def faiss_indexes(rows: dict[str, np.ndarray]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """faiss over the concatenated rows with their presence: an exact index, and a graph with two beams."""
    import faiss

    faiss.omp_set_num_threads(1)
    joined = np.concatenate(
        [*rows.values(), *(presence(part)[:, None].astype(np.float32) for part in rows.values())], axis=1
    )
    flat, graph = (
        faiss.IndexFlatIP(joined.shape[1]),
        faiss.IndexHNSWFlat(joined.shape[1], 32, faiss.METRIC_INNER_PRODUCT),
    )
    flat.add(joined)
    graph.add(joined)

    def beam(width: int) -> Callable[[np.ndarray], np.ndarray]:
        def search(query: np.ndarray) -> np.ndarray:
            graph.hnsw.efSearch = width
            found: np.ndarray = graph.search(query, K)[1][0]
            return found

        return search

    return {
        "faiss Flat": lambda query: flat.search(query, K)[1][0],
        "faiss HNSW 64": beam(64),
        "faiss HNSW 256": beam(256),
    }


if __name__ == "__main__":
    main()
