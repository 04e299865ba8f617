"""Speed of adding a model to a library with cached features, and the disk space that the features take.

    python benchmarks/projecting.py [--tracks 200] [--seconds 240] [--models compact dsp] [--save DIR]

The library is synthetic: tracks of the given length without rows of any model, and random features of each model's
backbone. The command `soundalike index --model M` then runs with one process per core. Compare the numbers with those
of benchmarks/index.py: no audio is decoded here. Core-seconds are user and system time of all processes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import plain_track, report_of, show_and_save
from index import measure
from soundalike.audio.stream import windows
from soundalike.backbones.base import Backbone, Features
from soundalike.core import plugins
from soundalike.core.executors.cores import usable_cores
from soundalike.core.types import Descriptors
from soundalike.library.folder import LibraryFolder
from soundalike.library.kept_features import KeptFeatures, feature_costs
from soundalike.models.recipes import load_recipe


def fill(folder: Path, music: Path, backbone: Backbone, tracks: int, seconds: float) -> int:
    """Make a library of empty files with random cached features. Returns the size of the features in bytes."""
    random, grid = np.random.default_rng(0), windows(seconds)
    count = len(grid)
    with LibraryFolder.create(folder) as library:
        catalog = library.catalog
        kept = KeptFeatures(catalog, library.store, [backbone])
        with catalog.transaction():
            kept.prepare(keep=True)
        for number in range(tracks):
            rows = {
                name: random.standard_normal((count, dim)).astype(np.float32) for name, dim in backbone.dims.items()
            }
            audible = {name: np.ones(count, np.bool_) for name in backbone.dims}
            kept.write(backbone.name, number * count, Features(grid, rows, audible, Descriptors(), seconds))
        library.store.flush()
        with catalog.transaction():
            for number in range(tracks):
                path = music / f"{number}.mp3"
                path.touch()
                track = plain_track(path, mtime_ns=path.stat().st_mtime_ns, seconds=seconds)
                track_id = catalog.put_track(music, track)
                catalog.assign_rows(track_id, "passage", number * count, count)
                catalog.assign_rows(track_id, "track", number, 1)
                catalog.features.mark(track_id, backbone.name)
        return feature_costs(catalog)[0].bytes


def main() -> None:
    """Run the benchmark and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--models", nargs="+", default=["compact", "dsp"])
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    values = []
    for model in args.models:
        with tempfile.TemporaryDirectory() as name:
            music, library = Path(name) / "music", Path(name) / "library"
            music.mkdir()
            backbone = plugins.load("backbones", load_recipe(model).spaces[0].backbone)
            feature_bytes = fill(library, music, backbone, args.tracks, args.seconds)
            command = [sys.executable, "-m", "soundalike", "index", str(music), "--model", model]
            measured = measure(model, [*command, "--library", str(library)], args.tracks)
            with LibraryFolder(library) as opened:
                assert len(opened.catalog.groups(model, "track")) == args.tracks
            speed = [float(measured[key]) for key in ("tracks_per_minute", "core_seconds_per_track", "peak_mb")]
            values.append([*speed, feature_bytes / args.tracks / 1e3])
    columns = ["tracks per minute", "core-seconds per track", "peak MB", "features: kB per track"]
    report = report_of(
        "bench-projecting",
        f"Projecting cached features of {args.tracks} tracks of {args.seconds:.0f} s on {usable_cores()} cores",
        f"python benchmarks/projecting.py --tracks {args.tracks} --seconds {args.seconds:.0f}",
        rows=args.models,
        columns=columns,
        values=values,
        n=[[args.tracks] * len(columns)] * len(values),
        notes=(
            "Core-seconds: user and system time of all processes, start-up included; peak MB: the largest process.",
        ),
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
