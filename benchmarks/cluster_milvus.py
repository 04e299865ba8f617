"""Speed, recall and memory of searches in Milvus, beside the flat store over the same rows in the same run.

    OMP_NUM_THREADS=1 python benchmarks/cluster_milvus.py [--rows 100000] [--index FLAT] [--most-gb 20] [--queries 20]
        [--standalone | --address milvus://HOST:PORT/NAME] [--save DIR]

Without --address, the run starts a Milvus Lite server of its own, or with --standalone a server of Milvus itself (the
package milvus), all parts of which run in one process. The rows are those of benchmarks/search.py. The
memory of that server is measured after every tenth of the rows; writing stops early where it exceeds --most-gb, and the
rows written so far are searched. Recall is measured against the flat store, which is exact.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from search import DIM, K, make_rows, weightings
from soundalike.core.errors import LibraryError
from soundalike.core.files import size_of
from soundalike.core.types import Calibration, FloatArray, Space
from soundalike.library.stores import milvus
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.milvus_layout import Layout, Manifest, StoredModel, create_collections, write_rows
from soundalike.library.stores.milvus_server import INDEXES, SETTLED, MilvusAddress, MilvusServer
from soundalike.library.stores.row_groups import Groups
from soundalike.models.score import Term, query_terms

_PATIENCE = 120.0


def resident_mb(process: int) -> float:
    """Return the memory of a process in MB, from /proc."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def own_server(folder: Path, standalone: bool) -> Iterator[tuple[str, int]]:
    """Run a server of Milvus Lite or of Milvus itself: the address of a library on it, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--host", "127.0.0.1"]
    command += ["--port", str(port)]
    if standalone:
        command = [sys.executable, "-c", "import milvus, sys; sys.exit(milvus.main())", "--data", str(folder)]
        command += ["--proxy-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            address, deadline = f"milvus://127.0.0.1:{port}/bench", time.monotonic() + _PATIENCE
            while True:
                try:
                    with MilvusServer(MilvusAddress.parse(address)) as server:
                        server.has("nothing")  # it may listen before it answers
                    break
                except LibraryError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise
                    time.sleep(0.2)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield address, int(children[0]) if standalone else process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    """Measure and print two reports: searches, and the memory curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--spaces", type=int, default=4)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--index", choices=list(INDEXES), default="FLAT")
    parser.add_argument("--most-gb", type=float, default=20.0, help="stop writing at this much memory of the server")
    parser.add_argument("--standalone", action="store_true", help="start Milvus itself, not Milvus Lite")
    parser.add_argument("--address", help="a library on a running server, which must not exist yet")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the reports for `soundalike evaluate summary`")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.address:
            measure(args, folder, args.address, None)
        else:
            with own_server(folder / "milvus", args.standalone) as (address, process):
                measure(args, folder, address, process)


def measure(args: argparse.Namespace, folder: Path, address: str, process: int | None) -> None:
    """Write the rows into both stores, and search both."""
    random = np.random.default_rng(0)
    names = [f"space{number}" for number in range(args.spaces)]
    rows = make_rows(args.rows + args.queries, names, random)
    drawn = {name: part[args.rows :].copy() for name, part in rows.items()}
    rows = {name: part[: args.rows] for name, part in rows.items()}
    curve = write(args, {f"bench/{name}": part for name, part in rows.items()}, folder, address, process)
    count = int(curve[-1][0])
    rows = {name: part[:count] for name, part in rows.items()}
    flat = FlatStore(folder, writable=True)
    for name, part in rows.items():
        flat.write("track", f"bench/{name}", 0, part)
    flat.flush()
    spaces = spaces_of(rows, random)
    groups = Groups.of(np.stack([np.arange(count), np.ones(count, np.int64)], axis=1))
    command = f"OMP_NUM_THREADS=1 python benchmarks/cluster_milvus.py --rows {args.rows} --index {args.index}"
    command += " --standalone" if args.standalone else ""
    engine = "milvus-standalone" if args.standalone else "milvus"
    stored = milvus.create(address)
    time.sleep(1.1 * SETTLED)  # as a server that has run for a while
    lines, values, n = [], [], []
    for label, weights in weightings(args.spaces).items():
        found: dict[str, list[float]] = {"milvus": [], "flat": [], "recall": []}
        for number in range(args.queries):
            query = {name: part[number] for name, part in drawn.items()}
            if not any(query[name].any() for name, weight in zip(names, weights, strict=True) if weight):
                continue
            terms = query_terms(spaces, query, dict(zip(names, weights, strict=True)), "track")
            expected, ms = timed(flat, terms, groups)
            found["flat"].append(ms)
            got, ms = timed(stored, terms, groups)
            found["milvus"].append(ms)
            found["recall"].append(len(np.intersect1d(got, expected)) / K)
        lines.append(label)
        quantiles = [float(np.quantile(found[one], q)) for one in ("milvus", "flat") for q in (0.5, 0.95)]
        values.append([float(np.mean(found["recall"])), *quantiles])
        n.append([len(found["recall"])] * 5)
    stored.close()
    flat.close()
    engines = ["Milvus Lite", "Milvus 2.3, all parts in one process"]
    server = "a Milvus server" if args.address else f"{engines[args.standalone]}, on the same machine"
    show_and_save(
        report_of(
            f"bench-{engine}-{args.index.lower()}-{count}",
            f"Searching {count:,} rows of {args.spaces} spaces x {DIM} dimensions in Milvus ({args.index})",
            command, rows=lines, n=n, values=values, model="synthetic",
            columns=[f"recall@{K}", "Milvus p50 ms", "Milvus p95 ms", "flat p50 ms", "flat p95 ms"],
            notes=(f"Server: {server}, over gRPC, with the exact rerank. The flat store uses one thread.",),
        ),
        args.save,
    )  # fmt: skip
    show_and_save(
        report_of(
            f"bench-{engine}-memory-{args.index.lower()}-{args.rows}",
            f"Memory and disk of {server} ({args.index}) by the number of rows", command,
            rows=[f"{int(at):,} rows" for at, *_ in curve], columns=["memory MB", "disk MB", "rows per s"],
            values=[rest for _, *rest in curve], n=[[int(at)] * 3 for at, *_ in curve], model="synthetic",
            notes=("rows per s: written in this tenth, including the preparation of requests.",),
        ),
        args.save,
    )  # fmt: skip


def write(
    args: argparse.Namespace, rows: dict[str, FloatArray], folder: Path, address: str, process: int | None
) -> list[list[float]]:
    """Write rows by full name to Milvus in tenths: rows so far, memory and disk in MB, and rows per second of each."""
    model = StoredModel("bench", "bench", "bench", {full.split("/")[1]: DIM for full in rows})
    layout, curve = Layout.of([model]), []
    with MilvusServer(MilvusAddress.parse(address)) as server:
        manifest = create_collections(server, [model], args.index)
        for low in range(0, args.rows, step := max(1, args.rows // 10)):
            high, began = min(low + step, args.rows), time.perf_counter()
            part = {full: one[low:high] for full, one in rows.items()}
            write_rows(server, "track", low, *layout.join(high - low, part))
            Manifest(manifest.models, args.index, 1, {"track": high, "passage": 0}, generation=high).write(server)
            rate = (high - low) / (time.perf_counter() - began)
            used = (resident_mb(process), size_of(folder / "milvus") / 1e6) if process else (np.nan, np.nan)
            curve.append([high, *used, rate])
            print(f"{high:,} rows written, {used[0]:,.0f} MB of memory", file=sys.stderr)
            if used[0] > 1000 * args.most_gb:
                break
        server.seal("track")
        if args.index != "FLAT":
            wait_for_index(address, server.collection("track"))
    return curve


def wait_for_index(address: str, collection: str) -> None:
    """Wait until Milvus has built its index. Until then it searches a provisional one, which finds less."""
    import pymilvus

    parsed = MilvusAddress.parse(address)
    client = pymilvus.MilvusClient(uri=f"http://{parsed.server}")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        (name,) = client.list_indexes(collection)
        about = client.describe_index(collection, name)
        print(f"index: {about}", file=sys.stderr)
        if int(about.get("pending_index_rows", 0)) == 0 and about.get("state", "Finished") == "Finished":
            break
        time.sleep(5)
    client.close()
    time.sleep(20)  # until it is loaded


def spaces_of(rows: dict[str, FloatArray], random: np.random.Generator) -> list[Space]:
    """Return the spaces, calibrated by random pairs."""
    spaces = []
    for name, part in rows.items():
        left, right = random.integers(len(part), size=(2, 20_000))
        pairs = np.einsum("nd,nd->n", part[left], part[right])
        one = Calibration(float(pairs.mean()), float(pairs.std()), tuple(np.linspace(-1, 1, 101).tolist()))
        spaces.append(Space("bench", name, "mix", "none", name, "identity", DIM, {"track": one, "passage": one}))
    return spaces


def timed(store: FlatStore | milvus.MilvusStore, terms: Sequence[Term], groups: Groups) -> tuple[np.ndarray, float]:
    """Return the rows of the best matches, and the time of the search in milliseconds."""
    began = time.perf_counter()
    hits = store.search("track", terms, groups, K)
    return hits.row, 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
