"""Measure what the networks of `soundalike train instruments` cost without torch: size, core-seconds and memory.

    python benchmarks/instruments.py --save docs/results

The weights are random, because time and memory do not depend on them. The networks are exported in every precision, and
those in int8 are run: `clean`, `cascade` and `direct` by the backbone `unet` in windows of 10 s every 5 s, `separators`
by the separator `unet`. Each length runs in a process of its own with one thread. What is measured includes decoding
but not loading the weights. Needs soundalike[train].
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
from pathlib import Path
from typing import get_args

import numpy as np

SONG, HOUR = 240, 3600
METHODS = ("clean", "cascade", "direct", "separators")
_SPECTRA = 20
"""Random spectra of 10 s for the comparison of both precisions."""


def measure(method: str, network: Path, path: Path) -> dict[str, float]:
    """Run a network on a recording in this process: core-seconds, and the peak memory in MB."""
    from soundalike.audio import MonoStream, windows
    from soundalike.core import plugins

    folder = "separators" if method == "separators" else "backbones"
    member = plugins.load(folder, "unet", weights=network)
    started = time.process_time()
    if folder == "separators":
        seconds = sum(next(iter(block.values())).shape[1] for block in member.separate(path)) / member.rate
    else:
        seconds = member.features(MonoStream(path, member.rate), windows).duration
    spent = time.process_time() - started
    return {"core": spent, "audio": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_child(*task: str | Path, published: bool = False) -> dict[str, float]:
    """Run `measure` or `export` in a new process with one thread. Its peak memory is not below that of this process."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, __file__, *(["--published"] if published else []), "--child", *map(str, task)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def export(method: str, folder: Path, published: bool) -> dict[str, float]:
    """Write random networks of a method in every precision; returns the sizes in MB."""
    import torch

    from soundalike.train.metric import PUBLISHED, SMALL, Precision
    from soundalike.train.metric.export import export_rows, export_separators
    from soundalike.train.metric.unet import Direct, ExtractorBank, SeparatorBank

    torch.manual_seed(0)
    settings = PUBLISHED if published else SMALL
    spectrum, network = settings.spectrum, settings.network
    separate = SeparatorBank(network) if method in ("cascade", "separators") else None
    describe = Direct(spectrum, network) if method == "direct" else ExtractorBank(spectrum, network)
    gates = [-20.0] * len(network.instruments) if separate else None
    sizes: dict[str, float] = {}
    for precision in get_args(Precision):
        out = folder / f"{method}.{precision}"
        stored = {"licence": "CC0-1.0", "precision": precision}
        if method == "separators":
            export_separators(separate, settings, out, **stored)
        else:
            export_rows(method, describe, settings, out, separate=separate, gates=gates, **stored)
        sizes[precision] = out.stat().st_size / 1e6
    return sizes


def agreement(method: str, first: Path, second: Path) -> float:
    """Return the least cosine between the outputs of two files, per instrument and segment."""
    from soundalike.audio.separators import UnetNetwork

    random, least = np.random.default_rng(0), 1.0
    output = "masks" if method == "separators" else "rows"
    networks = [UnetNetwork(path, output, code=0) for path in (first, second)]
    settings = networks[0].settings
    for _ in range(_SPECTRA):
        shape = (1, settings.size // 2, 1 + 10 * settings.rate // settings.hop)
        spectrum = random.uniform(0, 20, shape).astype(np.float32)
        a, b = (network(spectrum)[0].reshape(len(settings.instruments), -1).astype(np.float64) for network in networks)
        least = min(least, float((np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()))
    return least


def main() -> None:
    """Measure and print."""
    from separate import write_music

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--published", action="store_true", help="the sizes of the paper")
    parser.add_argument("--seconds", type=int, default=HOUR, help="length of the long recording")
    parser.add_argument("--save", type=Path, help="folder of reports")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        task, method, *paths = args.child
        places = [Path(path) for path in paths]
        found = export(method, *places, args.published) if task == "export" else measure(method, *places)
        print(json.dumps(found))
        return
    from common import report_of, show_and_save

    values = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_music(place / "song.wav", SONG)
        write_music(place / "long.wav", args.seconds)
        for method in METHODS:
            sizes = in_child("export", method, place, published=args.published)
            first, *_, last = (place / f"{method}.{precision}" for precision in sizes)
            song, long = (in_child("measure", method, last, place / f"{name}.wav") for name in ("song", "long"))
            speeds = [song["core"], song["audio"] / song["core"], long["peak"]]
            values.append([*sizes.values(), 100 * agreement(method, first, last), *speeds])
    kind = "published" if args.published else "small"
    report = report_of(
        f"bench-instruments-{kind}",
        f"Networks for instruments, {kind} sizes: cost on one core",
        f"python benchmarks/instruments.py --seconds {args.seconds}{' --published' if args.published else ''}",
        rows=METHODS,
        columns=[
            *(f"{precision} (MB)" for precision in sizes),
            "least cosine of int8 to float32 (%)",
            "core-seconds for 4 minutes",
            "x real time",
            f"peak memory, {args.seconds / 60:g} minutes (MB)",
        ],
        values=values,
        n=[[1, 1, 1, _SPECTRA, 1, 1, 1] for _ in values],
        model="unet",
        notes=["Two cores that other work shared; time and memory are those of int8, Python included."],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
