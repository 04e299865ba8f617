"""Requests per second and latency of `soundalike serve`, beside calls of the library.

    python benchmarks/serve.py [--tracks 100000] [--seconds 20] [--save DIR]
    python benchmarks/serve.py --mixed 30 [--save DIR]

The library is synthetic: clustered rows of four spaces, 256 dimensions each, random fingerprints, and empty files. The
server is a process of its own, and clients are threads of this one that keep their connection. With one client, every
request is followed by the same search through `soundalike.Library` in this process, so that both see the same machine.

With --mixed, clients search, upload, compare, list and play for some minutes while jobs index the bundled clips again
and again. It counts errors and watches the memory of the server.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import soundalike
from common import report_of, show_and_save, synthetic_library
from search import make_rows
from soundalike.demo import load_clips
from soundalike.models import Model

_CLIENTS = (1, 8, 32)
_WEIGHTS = ({"melody": 1.0}, {"melody": 1.0, "rhythm": 0.5, "timbre": -0.3, "harmony": 0.8}, {"rhythm": 1, "timbre": 1})


def fill(folder: Path, music: Path, tracks: int) -> None:
    """Make a library with files of no bytes."""
    model = Model.load("compact")
    names = [space.name for space in model.spaces]
    rows = make_rows(tracks, names, np.random.default_rng(0), model.spaces[0].dim)
    synthetic_library(folder, model, rows, music=music, fingerprints=True)
    for number in range(tracks):
        path = music / str(number // 100) / f"{number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))


@contextmanager
def server(library: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server process and its port."""
    command = [sys.executable, "-m", "soundalike", "serve", "--library", str(library), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found
        yield process, int(found[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """One request on a connection that stays open."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    connection.request(method, f"/api/v1{path}", data, {"Content-Type": "application/json"} if data else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def searches(tracks: int, seed: int) -> Iterator[dict[str, object]]:
    """Search requests of tracks that are drawn at random."""
    random = np.random.default_rng(seed)
    for number in itertools.count():
        yield {
            "query": {"track": int(random.integers(1, tracks + 1))}, "weights": _WEIGHTS[number % len(_WEIGHTS)],
            "k": 10, "by": "track",
        }  # fmt: skip


def paired(port: int, library: soundalike.Library, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds of searches over HTTP, and of the same ones in this process."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    paths = {track.id: track.path for track in library.tracks()}
    over_http, direct = [], []
    end = time.monotonic() + seconds
    for number, body in enumerate(searches(len(library), 1)):
        began = time.perf_counter()
        status, _ = ask(connection, "POST", "/search", body)
        middle = time.perf_counter()
        if status == 400:  # the query is silent in every space with a weight
            continue
        assert status == 200
        track = body["query"]["track"]  # type: ignore[index]
        library.search(paths[track], weights=body["weights"], k=10, by="track")  # type: ignore[arg-type]
        after = time.perf_counter()
        if number >= 5:  # the first ones load the model and the rows
            over_http.append(1000 * (middle - began))
            direct.append(1000 * (after - middle))
        if time.monotonic() > end:
            return over_http, direct
    raise AssertionError


def slider(port: int, tracks: int, seconds: float) -> list[float]:
    """Milliseconds of searches with one query, while one weight changes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times, end = [], time.monotonic() + seconds
    for number in itertools.count():
        weights = {"melody": 1.0, "rhythm": (number % 41 - 20) / 20, "timbre": 0.5, "harmony": 0.5}
        body = {"query": {"track": tracks // 2}, "weights": weights, "k": 20, "by": "track"}
        began = time.perf_counter()
        status, _ = ask(connection, "POST", "/search", body)
        assert status == 200
        times.append(1000 * (time.perf_counter() - began))
        if time.monotonic() > end:
            return times[5:]
    raise AssertionError


def many(port: int, tracks: int, clients: int, seconds: float) -> list[float]:
    """Milliseconds of searches of several clients at a time."""
    times: list[float] = []
    end = time.monotonic() + seconds

    def client(seed: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for body in searches(tracks, seed):
            began = time.perf_counter()
            status, _ = ask(connection, "POST", "/search", body)
            assert status in (200, 400)  # 400: the query is silent in every space with a weight
            times.append(1000 * (time.perf_counter() - began))
            if time.monotonic() > end:
                return

    threads = [threading.Thread(target=client, args=(100 + number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def measure(args: argparse.Namespace) -> None:
    """Measure searches and print the report."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "library"
        fill(folder, Path(temporary) / "music", args.tracks)
        rows, values, counts = [], [], []

        def add(name: str, times: list[float], seconds: float) -> None:
            rows.append(name)
            values.append([len(times) / seconds, *np.quantile(times, (0.5, 0.95)).tolist()])
            counts.append([len(times)] * 3)

        with server(folder) as (_, port), soundalike.open(folder) as library:
            over_http, direct = paired(port, library, 2 * args.seconds)
            add("the library, in one process", direct, sum(direct) / 1000)
            add("HTTP, 1 client", over_http, sum(over_http) / 1000)
            moved = slider(port, args.tracks, args.seconds)
            add("HTTP, 1 client, a slider of one query, k = 20", moved, sum(moved) / 1000)
            for clients in _CLIENTS[1:]:
                add(f"HTTP, {clients} clients", many(port, args.tracks, clients, args.seconds), args.seconds)
        overhead = np.array(over_http) - np.array(direct)
        random = np.random.default_rng(0)
        drawn = np.median(random.choice(overhead, (2000, len(overhead))), axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
    report = report_of(
        "serve",
        f"Searches over HTTP in {args.tracks:,} tracks, four spaces, k = 10",
        f"python benchmarks/serve.py --tracks {args.tracks} --seconds {args.seconds:g}",
        rows=rows,
        columns=["per second", "p50, ms", "p95, ms"],
        values=values,
        n=counts,
        notes=[
            f"Overhead of a request with one client, paired: median {np.median(overhead):.2f} ms "
            f"[{low:.2f}, {high:.2f}], n = {len(overhead)}.",
            "Clients, the server and the direct calls share two cores.",
        ],
    )
    show_and_save(report, args.save)


def mixed(args: argparse.Namespace) -> None:
    """Load a server in many ways at once while jobs index, and print errors and memory."""
    clips = [clip.path for clip in load_clips()]
    with tempfile.TemporaryDirectory() as temporary:
        folder, music = Path(temporary) / "library", Path(temporary) / "music"
        shutil.copytree(clips[0].parent, music)
        with soundalike.open(folder, create=True) as library:
            library.index(music)
            ids = [track.id for track in library.tracks()]
        with server(folder) as (process, port):
            statuses: Counter[str] = Counter()
            memory: list[float] = []
            end = time.monotonic() + 60 * args.mixed
            threads = [
                threading.Thread(target=_load, args=(port, ids, clips, number, end, statuses)) for number in range(6)
            ]
            threads.append(threading.Thread(target=_index_again, args=(port, music, end, statuses)))
            for thread in threads:
                thread.start()
            while time.monotonic() < end:
                memory.append(_megabytes(process.pid))
                done = 1 - (end - time.monotonic()) / (60 * args.mixed)
                print(f"\r{100 * done:3.0f} %  {memory[-1]:.0f} MB", end="", file=sys.stderr, flush=True)
                time.sleep(5)
            for thread in threads:
                thread.join()
    print(file=sys.stderr)
    third = len(memory) // 3
    good = (" 200", " 201", " 202", " 206")
    errors = sum(number for status, number in statuses.items() if not status.endswith(good))
    report = report_of(
        "serve-mixed",
        f"{args.mixed:g} minutes of mixed load while jobs index",
        f"python benchmarks/serve.py --mixed {args.mixed:g}",
        rows=["the server"],
        columns=["requests", "errors", "MB, second third", "MB, last third"],
        values=[[
            float(sum(statuses.values())), float(errors), float(np.median(memory[third : 2 * third])),
            float(np.median(memory[2 * third :])),
        ]],
        n=[[len(memory)] * 4],
        notes=[", ".join(f"{name}: {number:,}" for name, number in sorted(statuses.items()))],
    )  # fmt: skip
    show_and_save(report, args.save)


def _load(port: int, ids: list[int], clips: list[Path], seed: int, end: float, statuses: Counter[str]) -> None:
    random = np.random.default_rng(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    names = ("search", "region", "compare", "upload", "excerpt", "peaks", "tracks")
    while time.monotonic() < end:
        a, b = (int(one) for one in random.choice(ids, 2))
        name = random.choice(names, p=(0.4, 0.05, 0.05, 0.02, 0.08, 0.2, 0.2))
        clip = clips[int(random.integers(len(clips)))]
        requests: dict[str, tuple[str, str, object]] = {
            "search": ("POST", "/search", {"query": {"track": a}, "k": 10}),
            "region": ("POST", "/search", {"query": {"track": a, "start": 1, "end": 5}, "k": 10}),
            "compare": ("POST", "/compare", {"a": {"track": a}, "b": {"track": b}, "align": True}),
            "upload": ("POST", "/uploads?name=clip.ogg", clip.read_bytes()),
            "excerpt": ("GET", f"/tracks/{a}/audio?start=1&end=4&semitones={seed}", None),
            "peaks": ("GET", f"/tracks/{a}/peaks?count=500", None),
            "tracks": ("GET", "/tracks?limit=20", None),
        }
        try:
            status, _ = ask(connection, *requests[name])
            statuses[f"{name} {status}"] += 1
        except OSError as error:
            statuses[f"{name} {type(error).__name__}"] += 1
            connection.close()


def _index_again(port: int, music: Path, end: float, statuses: Counter[str]) -> None:
    """Add a copy of the clips, index, remove it, and index again, as jobs."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for turn in itertools.count():
        extra = music.parent / f"more{turn}"
        shutil.copytree(music, extra)
        for job in ({"kind": "index", "sources": [str(extra)]}, {"kind": "remove", "paths": [str(extra)]}):
            status, said = ask(connection, "POST", "/jobs", job)
            statuses[f"job {status}"] += 1
            number = json.loads(said)["id"]
            while json.loads(ask(connection, "GET", f"/jobs/{number}")[1])["state"] in ("waiting", "running"):
                time.sleep(0.5)
                if time.monotonic() > end:
                    return
        shutil.rmtree(extra)


def _megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of every number of clients")
    parser.add_argument("--mixed", type=float, metavar="MINUTES", help="mixed load instead")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    if args.mixed is None:
        measure(args)
    else:
        mixed(args)


if __name__ == "__main__":
    main()
