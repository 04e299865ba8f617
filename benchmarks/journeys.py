"""Time of paths and playlists, and the smallest step of a path compared with a naive path.

    OMP_NUM_THREADS=1 python benchmarks/journeys.py [--tracks 100000] [--pairs 20] [--save DIR]

The library is synthetic: rows as in search.py with the dimensions of the default model, calibrated on random pairs,
2,000 artists, tempos normally distributed around 120 BPM, and random fingerprints of 200 s. The naive path takes the
nearest unused track to each of as many points between the two tracks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from common import report_of, show_and_save, synthetic_library
from search import make_rows
from soundalike.library.folder import LibraryFolder
from soundalike.models.model import Model
from soundalike.models.score import mutual_scores, query_terms
from soundalike.search import build_playlist, find_path
from soundalike.search.widest_path import slerp

STEPS = 8
LENGTH = 30


def calibrated(folder: Path, rows: dict[str, np.ndarray], random: np.random.Generator) -> Model:
    """Copy the default model, calibrated on random pairs of these rows."""
    source = Model.load().recipe.weights.parent
    shutil.copytree(source, folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    left, right = random.integers(len(rows["melody"]), size=(2, 20_000))
    for space in recipe["spaces"]:
        pairs = np.einsum("nd,nd->n", rows[space["name"]][left], rows[space["name"]][right])
        pairs = pairs[pairs != 0]
        quantiles = np.quantile(pairs.astype(np.float64), np.linspace(0, 1, 101)).tolist()
        calibration = {"mu": float(pairs.mean()), "sigma": float(pairs.std()), "quantiles": quantiles}
        space["calibration"] = {"track": calibration, "passage": calibration}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return Model.load(str(folder))


def naive(model: Model, library: LibraryFolder, rows: dict[str, np.ndarray], a: int, b: int) -> float:
    """Return the smallest step of the naive path between rows `a` and `b`."""
    weights = {space.name: 1.0 for space in model.spaces}
    groups = library.arrays.groups(model.name, "track")
    taken = [a, b]
    for part in np.linspace(0, 1, STEPS + 2)[1:-1].tolist():
        point = {name: slerp(all_rows[a], all_rows[b], part) for name, all_rows in rows.items()}
        terms = query_terms(model.spaces, point, weights, "track")
        hits = library.store.search("track", terms, groups, STEPS + 2)
        taken.append(next(int(row) for row in hits.row if row not in taken))
    order = [a, *taken[2:], b]
    scores = mutual_scores(model.spaces, {name: all_rows[order] for name, all_rows in rows.items()}, weights, "track")
    return float(min(scores[n, n + 1] for n in range(len(order) - 1)))


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    times: dict[str, list[float]] = {"path": [], "playlist": []}
    smallest: dict[str, list[float]] = {"path": [], "naive path": [], "direct step": []}
    with tempfile.TemporaryDirectory() as made:
        default = Model.load()
        rows = make_rows(args.tracks, [space.name for space in default.spaces], random, dim=default.spaces[0].dim)
        model = calibrated(Path(made) / "model", rows, random)
        artists = [f"artist {number}" for number in random.integers(2000, size=args.tracks)]
        tempos = np.clip(random.normal(120, 20, size=args.tracks), 50, 220).tolist()
        music = Path(made) / "music"
        synthetic_library(Path(made) / "library", model, rows, artists, tempos, music=music, fingerprints=True)
        with LibraryFolder(Path(made) / "library") as library:
            ends = random.choice(audible(rows), size=(args.pairs + 1, 2), replace=False).tolist()
            # The first pair is not counted: it reads the catalogue and draws the random pairs of the percentiles.
            for number, (a, b) in enumerate(ends):
                paths = [stand_in(music, end) for end in (a, b)]
                began = time.perf_counter()
                path = find_path(library, *paths, STEPS)
                walked = time.perf_counter()
                build_playlist(library, paths[0], LENGTH, tempo=(100, 140), tempo_step=5)
                listed = time.perf_counter()
                if number and path.smallest is not None and path.direct is not None:
                    times["path"].append(1000 * (walked - began))
                    times["playlist"].append(1000 * (listed - walked))
                    smallest["path"].append(path.smallest)
                    smallest["naive path"].append(naive(model, library, rows, a, b))
                    smallest["direct step"].append(path.direct.score)
    columns = ["median", "minimum", "maximum"]
    table = {f"{name}, ms": values for name, values in times.items()}
    table |= {f"smallest score: {name}" if name != "direct step" else name: found for name, found in smallest.items()}
    better = sum(a > b for a, b in zip(smallest["path"], smallest["naive path"], strict=True))
    report = report_of(
        "bench-journeys",
        f"Paths of {STEPS} tracks and playlists of {LENGTH} in a library of {args.tracks:,} tracks, one thread",
        f"OMP_NUM_THREADS=1 python benchmarks/journeys.py --tracks {args.tracks} --pairs {args.pairs}",
        rows=list(table),
        columns=columns,
        values=[[float(np.median(found)), min(found), max(found)] for found in table.values()],
        n=[[len(found)] * len(columns) for found in table.values()],
        notes=(
            f"The smallest step of the path is larger than that of the naive path in {better} of {args.pairs} pairs.",
            "Playlists have tracks of 100 to 140 BPM, each within 5 % of the previous tempo, with --spread 0.3.",
        ),
    )
    show_and_save(report, args.save)


def audible(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Return the tracks (m,) that are audible in every space."""
    return np.flatnonzero(np.all([part.any(axis=1) for part in rows.values()], axis=0))


def stand_in(music: Path, number: int) -> Path:
    """Create the empty file of a track."""
    path = music / str(number // 100) / f"{number}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (0, 0))
    return path


if __name__ == "__main__":
    main()
