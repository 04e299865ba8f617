"""Measure what separation costs: core-seconds per song of 4 minutes, and the peak memory for one hour of audio.

    python benchmarks/separate.py --with spleeter --save docs/results

The music is noise with a beat, because the time does not depend on the content. Each length runs in a process of its
own with one thread, and what is measured includes decoding but not loading the weights.
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

import numpy as np

SONG, HOUR = 240, 3600
_RATE = 44_100


def measure(name: str, path: Path) -> dict[str, float]:
    """Separate a recording in this process: core-seconds, and the peak memory in MB."""
    from soundalike.core import plugins

    separator = plugins.load("separators", name)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.process_time()
    samples = sum(next(iter(block.values())).shape[1] for block in separator.separate(path))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"core_seconds": seconds, "audio": samples / separator.rate, "loaded_mb": loaded, "peak_mb": peak}


def in_child(name: str, path: Path) -> dict[str, float]:
    """Run `measure` in a new process with one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--with", name, "--child", str(path)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def write_music(path: Path, seconds: int) -> None:
    """Write stereo noise with a beat."""
    import soundfile

    random = np.random.default_rng(0)
    envelope = (0.2 * np.exp(-6 * (np.arange(_RATE) / _RATE % 0.5))).astype(np.float32)[:, None]
    with soundfile.SoundFile(path, "w", samplerate=_RATE, channels=2) as file:
        for _ in range(seconds):
            file.write(envelope * random.standard_normal((_RATE, 2), dtype=np.float32))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--with", dest="separator", default="spleeter")
    parser.add_argument("--seconds", type=int, default=HOUR, help="length of the long recording")
    parser.add_argument("--save", type=Path, help="folder of reports")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.separator, args.child)))
        return
    from common import report_of, show_and_save

    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (SONG, args.seconds):
            path = Path(folder) / "music.wav"
            write_music(path, seconds)
            rows[f"{seconds / 60:g} minutes"] = in_child(args.separator, path)
    values = [[one["core_seconds"], one["audio"] / one["core_seconds"], one["peak_mb"]] for one in rows.values()]
    report = report_of(
        "bench-separate",
        "Separation: cost on one core",
        f"python benchmarks/separate.py --with {args.separator} --seconds {args.seconds}",
        rows=list(rows),
        columns=["core-seconds", "x real time", "peak memory (MB)"],
        values=values,
        n=[[1] * 3 for _ in rows],
        model=args.separator,
        notes=["Two cores that other work shared; the memory includes Python and the weights."],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
