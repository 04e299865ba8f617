"""Hubness with and without mutual proximity: k-occurrences, precision, and cost.

    OMP_NUM_THREADS=1 python benchmarks/hubness.py [--data DATA] [--tracks 20000] [--save DIR]

Every recording is a query for its 10 nearest, by the scores of a search (`score.py`, `mutual_proximity.py`).

1. Synthetic rows of known classes with the dimensions of the default model: four spaces with the same classes and
   independent noise, calibrated on random pairs. The classes are Gaussian clusters of 50 around centres with a common
   component; the standard deviation within a cluster is 0.5 to 2 times that of the centres. Rows near the common
   direction become hubs, and rows of wide clusters become anti-hubs.
2. If DATA holds `musicdelta/`: pieces of 5 s of its stems, by the default model and its own calibration. An answer is
   right if it is a stem of the same class (drums, bass, vocals, other). Pieces of the same song are not candidates.

N_10 is the number of queries that have a recording among their 10 nearest. Intervals: 95 %, bootstrap over recordings
(over songs for the stems); the maximum has none.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common import report_of, show_and_save, synthetic_library
from search import make_rows
from soundalike.core.types import Calibration, Report, Span
from soundalike.evaluate.base import encode_clips
from soundalike.evaluate.estimates import bootstrap
from soundalike.evaluate.ranking import hubness, occurrences, relevance
from soundalike.library.folder import LibraryFolder
from soundalike.library.subject import Subject
from soundalike.models.heads import unit_rows
from soundalike.models.model import Model
from soundalike.models.mutual_proximity import Background, mutual_z
from soundalike.models.score import presence
from soundalike.search.query import Query
from soundalike.search.search import search_library

K = 10
COLUMNS = ("skewness of N10", "largest N10", "never found, %", "precision@10, %")
CORRECTIONS = ("none", "mutual proximity")
RESAMPLES = 2000


@dataclass(frozen=True)
class Collection:
    """n recordings: rows (n, d) and calibration by space, labels, and groups whose members are not compared."""

    name: str
    rows: Mapping[str, np.ndarray]
    calibration: Mapping[str, Calibration]
    labels: Sequence[str]
    groups: Sequence[str]


def synthetic(classes: int, random: np.random.Generator) -> Collection:
    """Draw clusters of unequal density around a common direction."""
    dim, names = Model.load().spaces[0].dim, [space.name for space in Model.load().spaces]
    label = np.repeat(np.arange(classes), 50)
    deviations = np.exp(random.uniform(np.log(0.5), np.log(2), size=classes))[label, None]
    rows, calibration = {}, {}
    for name in names:
        common, centres = 0.5 * random.standard_normal(dim), random.standard_normal((classes, dim))
        noise = 1.5 * deviations * random.standard_normal((len(label), dim))
        rows[name] = unit_rows((common + centres[label] + noise).astype(np.float32))
        left, right = random.integers(len(label), size=(2, 20_000))
        pairs = np.einsum("nd,nd->n", rows[name][left], rows[name][right])[left != right]
        calibration[name] = Calibration(float(pairs.mean()), float(pairs.std()), ())
    return Collection(
        f"{len(label):,} synthetic tracks", rows, calibration, [str(number) for number in label], [""] * len(label)
    )


def stems(data: Path) -> Collection:
    """Encode pieces of 5 s of the stems of real songs that are audible in at least one space."""
    with (data / "musicdelta" / "stems.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    pieces = [
        (Span(str(data / line["path"]), 5.0 * n, 5.0 * n + 5), line["stem_class"], line["song"])
        for line in lines
        for n in range(int(float(line["seconds"]) // 5))
    ]
    encoded = encode_clips([piece[0] for piece in pieces])
    positions = encoded.positions([piece[0] for piece in pieces])
    audible = np.any([encoded.audible(space)[positions] for space in encoded.spaces], axis=0)
    used = [piece for piece, on in zip(pieces, audible, strict=True) if on]
    rows = {name: part[positions[audible]] for name, part in encoded.rows.items()}
    calibration = {space.name: space.calibration["track"] for space in encoded.spaces}
    name = f"{len(used):,} pieces of {len(lines)} stems"
    return Collection(name, rows, calibration, [piece[1] for piece in used], [piece[2] for piece in used])


def weighted(collection: Collection, weights: Mapping[str, float], corrected: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of recordings (columns) for queries (rows), and which of them are candidates: (n, n) each."""
    count = len(collection.labels)
    total, audible_weight, candidates = np.zeros((count, count)), np.zeros(count), np.zeros((count, count), bool)
    all_rows = np.arange(count)
    background = Background.from_rows(all_rows, collection.rows)
    for name, weight in weights.items():
        rows, calibration = collection.rows[name].astype(np.float64), collection.calibration[name]
        present = presence(rows)
        if corrected:
            own = background.similarity_moments(name, calibration, collection.rows[name], all_rows)
            z = mutual_z(rows @ rows.T, own[:, None, :], own[None, :, :])
        else:
            z = (rows @ rows.T - calibration.mu) / calibration.sigma
        both = present[:, None] & present
        total += weight * np.where(both, z, 0.0)
        audible_weight += weight * present
        candidates |= both
    return total / np.maximum(audible_weight, 1e-9)[:, None], candidates


def skewness_interval(counts: np.ndarray, units: Sequence[str]) -> tuple[float, float]:
    """Return the interval of the skewness from a bootstrap over units."""
    random = np.random.default_rng(0)
    _, member = np.unique(np.asarray(units), return_inverse=True)
    number = int(member.max()) + 1
    found = []
    for _ in range(RESAMPLES):
        times = np.bincount(random.integers(number, size=number), minlength=number)
        found.append(hubness(np.repeat(counts, times[member])))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def measure(collection: Collection, protocol: str, command: str) -> Report:
    """Measure equal weights and every single space, without and with the correction."""
    allowed, right = relevance(collection.labels, collection.groups)
    units = [group or str(number) for number, group in enumerate(collection.groups)]
    equal = dict.fromkeys(collection.rows, 1.0)
    weightings = {"equal": equal, **{name: {name: 1.0} for name in collection.rows}}
    names, values, low, high, n, chances = [], [], [], [], [], []
    for label, weights in weightings.items():
        for corrected, correction in enumerate(CORRECTIONS):
            scores, candidates = weighted(collection, weights, bool(corrected))
            usable = allowed & candidates
            counts = occurrences(scores, usable, K)
            reachable = usable.any(axis=0)  # not silent in all of these spaces
            is_query = usable.sum(axis=1) >= K
            nearest = np.argsort(np.where(usable, -scores, np.inf)[is_query], axis=1, kind="stable")[:, :K]
            precision = 100 * np.take_along_axis(right[is_query], nearest, axis=1).mean(axis=1)
            reachable_units = [unit for unit, use in zip(units, reachable, strict=True) if use]
            never = bootstrap(100.0 * (counts[reachable] == 0)[:, None], reachable_units, 0)
            exact = bootstrap(precision[:, None], [unit for unit, use in zip(units, is_query, strict=True) if use], 0)
            skewed = skewness_interval(counts[reachable], reachable_units)
            names.append(f"{label}: {correction}")
            values.append(
                [hubness(counts[reachable]), float(counts.max()), float(never.value[0]), float(exact.value[0])]
            )
            low.append([skewed[0], np.nan, float(never.low[0]), float(exact.low[0])])
            high.append([skewed[1], np.nan, float(never.high[0]), float(exact.high[0])])
            n.append([int(reachable.sum())] * 3 + [int(is_query.sum())])
            chances.append(100 * float((right & usable)[is_query].sum() / usable[is_query].sum()))
    return report_of(
        protocol,
        f"Hubness of {collection.name}",
        command,
        rows=names,
        columns=COLUMNS,
        values=values,
        low=low,
        high=high,
        n=n,
        chance=[np.nan, np.nan, np.nan, chances[0]],
        notes=(
            "N10: the number of queries with a recording among their 10 nearest; its mean is 10. Never found: N10 = 0.",
            "Intervals: bootstrap over " + ("songs." if any(collection.groups) else "tracks."),
        ),
    )


def cost(tracks: int, queries: int = 30) -> str:
    """Measure the cost of the correction in a synthetic library. Returns a note for the report."""
    model, random = Model.load(), np.random.default_rng(0)
    names = [space.name for space in model.spaces]
    rows = make_rows(tracks + queries, names, random, dim=model.spaces[0].dim)
    took: dict[str, list[float]] = {"none": [], "mutual-proximity": []}
    with tempfile.TemporaryDirectory() as folder:
        synthetic_library(Path(folder) / "library", model, {name: part[:tracks] for name, part in rows.items()})
        with LibraryFolder(Path(folder) / "library") as library:
            span = Span("/elsewhere.mp3", 0.0, 200.0)
            with library.snapshot():
                library.arrays.table(model.name, "track")
                began = time.perf_counter()
                library.arrays.background(library.model())
                first = time.perf_counter() - began
            for number in range(queries):
                track = {name: part[tracks + number] for name, part in rows.items()}
                if not all(row.any() for row in track.values()):
                    continue
                passages = {name: row[None, :] for name, row in track.items()}
                subject = Subject(span, passages, track, "", np.zeros(0, np.uint32), None, None)
                for hubs in ("none", "mutual-proximity") if number % 2 else ("mutual-proximity", "none"):
                    began = time.perf_counter()
                    search_library(library, Query(Path(span.track), hubness=hubs), subject)  # type: ignore[arg-type]
                    took[hubs].append(1000 * (time.perf_counter() - began))
    plain, corrected = (float(np.median(part[1:])) for part in took.values())
    return (
        f"A search of {tracks:,} tracks takes {plain:.1f} ms without and {corrected:.1f} ms with the correction "
        f"(medians of {len(took['none']) - 1}, encoded queries, one thread). The background sample is computed once, "
        f"in {first:.2f} s."
    )


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds musicdelta/ (default: synthetic rows only)")
    parser.add_argument("--classes", type=int, default=40, help="synthetic clusters of 50 tracks (default: 40)")
    parser.add_argument("--tracks", type=int, default=20_000, help="tracks in the timed library (default: 20,000)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the reports for `soundalike evaluate summary`")
    args = parser.parse_args()
    command = "OMP_NUM_THREADS=1 python benchmarks/hubness.py"
    report = measure(synthetic(args.classes, np.random.default_rng(0)), "bench-hubness", command)
    show_and_save(replace(report, notes=(*report.notes, cost(args.tracks))), args.save)
    if args.data:
        report = measure(stems(args.data.resolve()), "bench-hubness-stems", f"{command} --data DATA")
        show_and_save(report, args.save)


if __name__ == "__main__":
    main()
