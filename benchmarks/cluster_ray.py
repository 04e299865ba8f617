"""Throughput of `soundalike index --ray` on one and on several nodes, beside worker processes of one machine.

    python benchmarks/cluster_ray.py [--tracks 64] [--seconds 240] [--nodes 1 2] [--model compact] [--save DIR]
    python benchmarks/cluster_ray.py --address 10.0.0.1:6379 --music /mnt/bench

Without `--address` the nodes are Ray nodes of this machine with one core each, which share its memory and disk: they
measure what Ray itself costs. With it, the run uses a cluster that is there, with all of its nodes, and `--music` is a
folder that all of them see.

Ray Data is a peer. It encodes the same files with one actor per core (`map_batches`), reads no tags, computes no
content hashes and writes no library. `--deadly` gives both a task that kills its process, and prints what becomes of
the others within a minute.

Efficiency is the throughput per core, beside that of as many worker processes without Ray. Time includes the start of
the workers and the connection to Ray, but not the start of the cluster.
"""

from __future__ import annotations

import argparse
import contextvars
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import report_of, show_and_save
from index import make_songs
from soundalike.core.executors.base import run_tasks
from soundalike.core.executors.ray import ray_cluster
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.find_files import find_files
from soundalike.library.indexing.index import index_files
from soundalike.models import load_once

STORE = 256 * 2**20
"""Bytes of shared memory per node."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A run: its name, the number of cores, and the tracks per minute."""

    name: str
    cores: int
    rate: float


def counted(number: int, one: str, more: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def run(name: str, music: Path, model: str, cores: int, address: str | None) -> Measured:
    """Index a folder into a new library, and check that every file is in it once."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with (
            ray_cluster(address) if address else nullcontext(),
            LibraryFolder.create(Path(folder) / "library") as library,
        ):
            report = index_files(library, [music], model=model, jobs=None if address else cores)
            files = len(library.catalog.tracks())
        seconds = time.perf_counter() - began
    if report.failed or report.added != files:
        raise SystemExit(f"{name}: {report.added} of {files} files added, failed: {report.failed[:3]}")
    return Measured(name, cores, 60 * report.added / seconds)


class Encode:
    """What an actor of Ray Data does: load the model once, and encode one recording per batch."""

    def __init__(self, model: str) -> None:
        self._model = load_once(model)

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Encode the recordings of a batch."""
        return {"encoding": [pickle.dumps(self._model.encode(str(path))) for path in batch["path"]]}


def run_ray_data(music: Path, model: str, cores: int, address: str) -> Measured:
    """Encode a folder with Ray Data, and check that every file is in its result."""
    import ray.data

    paths = sorted(map(str, find_files([music]).files))
    began = time.perf_counter()
    with ray_cluster(address):
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=len(paths)).map_batches(
            Encode, fn_constructor_args=(model,), batch_size=1, num_cpus=1, concurrency=cores
        )
        done = [pickle.loads(row["encoding"]) for row in rows.iter_rows()]
        seconds = time.perf_counter() - began
    if len(done) != len(paths):
        raise SystemExit(f"Ray Data: {len(done)} of {len(paths)} files")
    return Measured(f"{counted(cores, 'core')} of Ray Data, encoding alone", cores, 60 * len(done) / seconds)


TASKS = ["0", "1", "2", "__import__('os')._exit(1)", "4", "5", "6", "7"]
"""Tasks for `eval`, which workers know. The fourth kills its process."""


def show_deadly_task(address: str) -> None:
    """Print what becomes of tasks of which one kills its process."""
    import ray.data

    def with_tasks() -> None:
        done.extend(result for _, result in run_tasks(eval, TASKS))

    def with_ray_data() -> None:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"task": task} for task in TASKS], override_num_blocks=len(TASKS))
        done.extend(row["done"] for row in rows.map(lambda row: {"done": eval(row["task"])}).iter_rows())

    for name, work in (("tasks of soundalike", with_tasks), ("Ray Data", with_ray_data)):
        done: list[Any] = []
        with ray_cluster(address):
            began = time.perf_counter()
            context = contextvars.copy_context()  # the executor that was chosen
            thread = threading.Thread(target=context.run, args=(work,), daemon=True)  # it may never end
            thread.start()
            thread.join(60)
            results = sum(isinstance(one, int) for one in done)
            how = f"goes on after {results} results" if thread.is_alive() else f"ended with {results} results"
            errors = f" and {len(done) - results} error" if len(done) > results else ""
            print(f"{name}: {how}{errors}, {time.perf_counter() - began:.0f} s", flush=True)


@contextmanager
def local_nodes(count: int) -> Iterator[str]:
    """Start Ray nodes of one core on this machine; yields the address."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def cores_of(address: str) -> int:
    """Return the number of cores of a cluster."""
    import ray

    with ray_cluster(address):
        return int(ray.cluster_resources().get("CPU", 0))


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2], help="numbers of local nodes")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--address", help="a cluster that is there")
    parser.add_argument("--music", type=Path, help="a folder of recordings that all nodes see (default: made)")
    parser.add_argument("--deadly", action="store_true", help="only: a task that kills its process")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    if args.deadly:
        with local_nodes(2) as address:
            show_deadly_task(address)
        return
    with tempfile.TemporaryDirectory() as made:
        music = args.music or Path(made)
        if args.music is None:
            make_songs(music, args.tracks, args.seconds)
        measured: list[Measured] = []
        for nodes in [None] if args.address else args.nodes:
            with nullcontext(args.address) if args.address else local_nodes(nodes) as address:
                cores = cores_of(address) if nodes is None else nodes
                plain = run(f"{counted(cores, 'process', 'processes')}, without Ray", music, args.model, cores, None)
                measured += [
                    plain,
                    run(f"{counted(cores, 'core')} of Ray", music, args.model, cores, address),
                    run_ray_data(music, args.model, cores, address),
                ]
    values = []
    for number, one in enumerate(measured):
        plain = measured[number - number % 3]
        values.append([one.rate, one.rate / one.cores, one.rate / plain.rate])
    show_and_save(
        report_of(
            "bench-cluster-ray",
            f"Indexing {args.tracks} MP3s of {args.seconds:g} s on Ray" if args.music is None else "Indexing on Ray",
            " ".join(["python", "benchmarks/cluster_ray.py", *sys.argv[1:]]),
            rows=[one.name for one in measured],
            columns=["tracks a minute", "per core", "beside processes"],
            values=values,
            n=[[args.tracks] * 3] * len(measured),
            notes=["Nodes are Ray nodes of one machine with one core each." if not args.address else "A real cluster."],
            model=args.model,
        ),
        args.save,
    )


if __name__ == "__main__":
    main()
