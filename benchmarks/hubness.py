"""Hubs with and without mutual proximity: who is found by whom, whether it is right, and what it costs.

    OMP_NUM_THREADS=1 python benchmarks/hubness.py [--data DATA] [--tracks 20000] [--save DIR]

Every recording asks for its 10 nearest, by the scores of a search (`score.py`, `hubness.py`), with the weights named.

1. Synthetic rows of known classes, at the dims of the default model: Gaussian clusters of 50, their spreads from 0.5 to
   2 times that of the centres, and a direction that all have in common; four spaces of the same classes and independent
   noise, calibrated on random pairs. Those near the common direction are hubs, and wide clusters full of anti-hubs.
2. Where DATA holds `musicdelta/`: its stems in pieces of 5 s, by the default model and its own calibration. A right
   answer is a stem of the same class (drums, bass, vocals, other); pieces of the query's own song are no answers.

N_10 is how often a recording is among the 10 nearest of others. Intervals: 95 %, bootstrap over recordings (over songs
for the stems), of the counts as they are; the largest of counts has none.
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
from soundalike.evaluate.protocols.retrieval import hubness, occurrences, relevance
from soundalike.evaluate.reports import bootstrap
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
    """Recordings: `rows` (n, d) and `chance` by space; `labels`, and `groups` (n) whose members are no answers."""

    name: str
    rows: Mapping[str, np.ndarray]
    chance: Mapping[str, Calibration]
    labels: Sequence[str]
    groups: Sequence[str]


def synthetic(classes: int, random: np.random.Generator) -> Collection:
    """Clusters of unequal density around a common direction."""
    dim, names = Model.load().spaces[0].dim, [space.name for space in Model.load().spaces]
    label = np.repeat(np.arange(classes), 50)
    spreads = np.exp(random.uniform(np.log(0.5), np.log(2), size=classes))[label, None]
    rows, chance = {}, {}
    for name in names:
        common, centres = 0.5 * random.standard_normal(dim), random.standard_normal((classes, dim))
        noise = 1.5 * spreads * random.standard_normal((len(label), dim))
        rows[name] = unit_rows((common + centres[label] + noise).astype(np.float32))
        left, right = random.integers(len(label), size=(2, 20_000))
        pairs = np.einsum("nd,nd->n", rows[name][left], rows[name][right])[left != right]
        chance[name] = Calibration(float(pairs.mean()), float(pairs.std()), ())
    return Collection(f"{len(label):,} synthetic tracks", rows, chance, [str(one) for one in label], [""] * len(label))


def stems(data: Path) -> Collection:
    """Pieces of 5 s of the stems of real songs that are audible in some space."""
    with (data / "musicdelta" / "stems.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    pieces = [
        (Span(str(data / line["path"]), 5.0 * n, 5.0 * n + 5), line["stem_class"], line["song"])
        for line in lines
        for n in range(int(float(line["seconds"]) // 5))
    ]
    heard = encode_clips([piece[0] for piece in pieces])
    places = heard.positions([piece[0] for piece in pieces])
    audible = np.any([heard.audible(space)[places] for space in heard.spaces], axis=0)
    kept = [piece for piece, on in zip(pieces, audible, strict=True) if on]
    rows = {name: part[places[audible]] for name, part in heard.rows.items()}
    chance = {space.name: space.calibration["track"] for space in heard.spaces}
    name = f"{len(kept):,} pieces of {len(lines)} stems"
    return Collection(name, rows, chance, [piece[1] for piece in kept], [piece[2] for piece in kept])


def weighted(collection: Collection, weights: Mapping[str, float], corrected: bool) -> tuple[np.ndarray, np.ndarray]:
    """The score of everybody (columns) for every query (rows), (n, n), and whether it may be an answer."""
    count = len(collection.labels)
    total, heard, answers = np.zeros((count, count)), np.zeros(count), np.zeros((count, count), bool)
    everybody = np.arange(count)
    background = Background.of(everybody, collection.rows)
    for name, weight in weights.items():
        rows, law = collection.rows[name].astype(np.float64), collection.chance[name]
        on = presence(rows)
        if corrected:
            own = background.chance(name, law, collection.rows[name], everybody)
            z = mutual_z(rows @ rows.T, own[:, None, :], own[None, :, :])
        else:
            z = (rows @ rows.T - law.mu) / law.sigma
        both = on[:, None] & on
        total += weight * np.where(both, z, 0.0)
        heard += weight * on
        answers |= both
    return total / np.maximum(heard, 1e-9)[:, None], answers


def skewness_interval(counts: np.ndarray, units: Sequence[str]) -> tuple[float, float]:
    """Percentiles of the skewness when whole units are drawn with replacement."""
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
    """All weights, without and with the correction."""
    allowed, right = relevance(collection.labels, collection.groups)
    units = [group or str(number) for number, group in enumerate(collection.groups)]
    equal = dict.fromkeys(collection.rows, 1.0)
    asked = {"equal": equal, **{name: {name: 1.0} for name in collection.rows}}
    names, values, low, high, n, chances = [], [], [], [], [], []
    for label, weights in asked.items():
        for corrected, correction in enumerate(CORRECTIONS):
            scores, answers = weighted(collection, weights, bool(corrected))
            may = allowed & answers
            counts = occurrences(scores, may, K)
            there = may.any(axis=0)  # who is silent in all of these spaces cannot be found
            asks = may.sum(axis=1) >= K
            nearest = np.argsort(np.where(may, -scores, np.inf)[asks], axis=1, kind="stable")[:, :K]
            precision = 100 * np.take_along_axis(right[asks], nearest, axis=1).mean(axis=1)
            of = [unit for unit, on in zip(units, there, strict=True) if on]
            never = bootstrap(100.0 * (counts[there] == 0)[:, None], of, 0)
            exact = bootstrap(precision[:, None], [unit for unit, on in zip(units, asks, strict=True) if on], 0)
            skewed = skewness_interval(counts[there], of)
            names.append(f"{label}: {correction}")
            values.append([hubness(counts[there]), float(counts.max()), float(never.value[0]), float(exact.value[0])])
            low.append([skewed[0], np.nan, float(never.low[0]), float(exact.low[0])])
            high.append([skewed[1], np.nan, float(never.high[0]), float(exact.high[0])])
            n.append([int(there.sum())] * 3 + [int(asks.sum())])
            chances.append(100 * float((right & may)[asks].sum() / may[asks].sum()))
    return report_of(
        protocol,
        f"Hubs among {collection.name}",
        command,
        rows=names,
        columns=COLUMNS,
        values=values,
        low=low,
        high=high,
        n=n,
        chance=[np.nan, np.nan, np.nan, chances[0]],
        notes=(
            "N10: how often a recording is among the 10 nearest of others; its mean is 10. Never found: N10 = 0.",
            "Intervals: bootstrap over " + ("songs." if any(collection.groups) else "tracks."),
        ),
    )


def cost(tracks: int, queries: int = 30) -> str:
    """What the correction takes in a library of so many synthetic tracks."""
    model, random = Model.load(), np.random.default_rng(0)
    rows = make_rows(tracks + queries, random, dim=model.spaces[0].dim)
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
        f"(medians of {len(took['none']) - 1}, queries encoded, one thread); what is measured against is made once, in "
        f"{first:.2f} s."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder that holds musicdelta/ (default: synthetic rows only)")
    parser.add_argument("--classes", type=int, default=40, help="synthetic clusters of 50 tracks (default: 40)")
    parser.add_argument("--tracks", type=int, default=20_000, help="of the library whose searches are timed")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the reports for `soundalike evaluate summary`")
    args = parser.parse_args()
    command = "OMP_NUM_THREADS=1 python benchmarks/hubness.py"
    report = measure(synthetic(args.classes, np.random.default_rng(0)), "bench-hubness", command)
    show_and_save(replace(report, notes=(*report.notes, cost(args.tracks))), args.save)
    if args.data:
        report = measure(stems(args.data.resolve()), "bench-hubness-stems", f"{command} --data DATA")
        show_and_save(report, args.save)


if __name__ == "__main__":
    main()
