"""Retrieval among labelled recordings: does a query find those of its own label, and do all get found alike?

`DIR/<label>/...` or a CSV with columns path, label and, if wanted, group. Every recording asks for all others but
those of its own group (the song that it is cut from, say); right answers share its label. One without a right answer
does not ask.

- average precision: the mean, over a query's right answers, of the precision at the rank of each; mAP is its mean
- R@k, recall at k as in metric learning: the share of queries with a right answer among the k nearest
- first: the rank of the nearest right answer, from 1
- hubness: the skewness of the k-occurrence N_10, how often a recording is among the 10 nearest of another (unlabelled;
  0 is even, above about 1 a few recordings turn up everywhere)

Chance is what a random order gives, in closed form. Equal similarities are ordered at random (seeded): the order of
the files, which labels decide, must not help.

References: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4; Radovanović,
Nanopoulos and Ivanović, Hubs in Space, JMLR 11, 2010.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Report
from soundalike.evaluate.base import Progress, Protocol, check_folder, encode_clips, full_span, model_report
from soundalike.evaluate.reports import Estimate, bootstrap

__all__ = [
    "CUTS",
    "Labelled",
    "Retrieval",
    "chance_scores",
    "create",
    "hubness",
    "occurrences",
    "read_csv",
    "read_folders",
    "relevance",
    "scores",
]

CUTS = (1, 5, 10)
_NEIGHBOURS = 10
_COLUMNS = ("mAP", *(f"R@{cut}" for cut in CUTS))


@dataclass(frozen=True, slots=True)
class Labelled:
    """A recording, what it is to be found by, and the group whose members are no answers to it ("": none)."""

    path: Path
    label: str
    group: str = ""


def read_folders(folder: Path) -> tuple[Labelled, ...]:
    """`<label>/...`: a folder's recordings, by the name of the folder below `folder` that they lie in.

    Raises UsageError if there are none.
    """
    from soundalike.audio import AUDIO_SUFFIXES

    check_folder(folder, "a folder of recordings for each label")
    found = tuple(
        Labelled(path, path.relative_to(folder).parts[0])
        for path in sorted(folder.glob("*/**/*"))
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise UsageError(f"{folder} holds no recordings in folders; expected DIR/<label>/<file>, or give --labels CSV")
    return found


def read_csv(path: Path, folder: Path) -> tuple[Labelled, ...]:
    """A table with columns path (relative to `folder`), label and optionally group.

    Raises UsageError if it cannot be read, lacks a column, repeats a recording, or names one that is not there.
    """
    check_folder(folder, "recordings")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            lacking = [column for column in ("path", "label") if column not in (table.fieldnames or ())]
            if lacking:
                raise UsageError(f"{path} has no column {lacking[0]}; expected path,label[,group] in its first line")
            rows = [(table.line_num, row) for row in table]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeError) as error:
        raise UsageError(f"{path} is not a UTF-8 CSV: {error}") from error
    found: dict[Path, Labelled] = {}
    for line, row in rows:
        if not row["path"] or not row["label"]:
            raise UsageError(f"{path}, line {line}: path and label must not be empty")
        recording = folder / row["path"]
        if recording in found:
            raise UsageError(f"{path}, line {line}: {row['path']} is there twice")
        if not recording.is_file():
            raise UsageError(f"{path}, line {line}: {recording} is not there")
        found[recording] = Labelled(recording, row["label"], row.get("group") or "")
    if not found:
        raise UsageError(f"{path} names no recordings")
    return tuple(found.values())


def relevance(labels: Sequence[str], groups: Sequence[str]) -> tuple[BoolArray, BoolArray]:
    """Who may answer whom, and which answers are right: (n, n) bool each; groups "" leave out nobody but oneself."""
    label, group = np.asarray(labels, dtype=np.str_), np.asarray(groups, dtype=np.str_)
    allowed = ~np.eye(len(label), dtype=np.bool_) & ~((group[:, None] == group) & (group != ""))
    return allowed, allowed & (label[:, None] == label)


def _ranking(similarity: FloatArray, allowed: BoolArray, seed: int) -> IntArray:
    """For each query (n) all others, nearest first, those not allowed last; equals in one random order: (n, n)."""
    shuffled = np.random.default_rng(seed).permutation(len(similarity))
    keys = np.where(allowed, -similarity, np.inf)[:, shuffled]
    return shuffled[np.argsort(keys, axis=1, kind="stable")]


def scores(similarity: FloatArray, allowed: BoolArray, right: BoolArray, seed: int = 0) -> FloatArray:
    """Average precision, R@1, R@5, R@10 and the first right rank of each query that has a right answer: (q, 5).

    `similarity`, `allowed` and `right` are (n, n), a row a query.
    """
    order = _ranking(similarity, allowed, seed)
    hits = np.take_along_axis(right, order, axis=1)[right.any(axis=1)]
    ranks = np.arange(1, hits.shape[1] + 1)
    precision = np.cumsum(hits, axis=1) / ranks
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    first = hits.argmax(axis=1) + 1.0
    return np.stack([average, *(first <= cut for cut in CUTS), first], axis=1)


def chance_scores(allowed: BoolArray, right: BoolArray) -> FloatArray:
    """What `scores` expects of a random order, (5,): means over the queries that have a right answer.

    With c candidates of which r are right and H the harmonic number: E[AP] = (H + (r - 1) (c - H) / (c - 1)) / c,
    P(none among k) = C(c - r, k) / C(c, k), E[first] = (c + 1) / (r + 1).
    """
    rows = []
    for c, r in zip(allowed.sum(axis=1).tolist(), right.sum(axis=1).tolist(), strict=True):
        if r == 0:
            continue
        harmonic = float((1 / np.arange(1, c + 1)).sum())
        average = (harmonic + (r - 1) * (c - harmonic) / max(c - 1, 1)) / c
        misses = [np.prod([max(c - r - i, 0) / (c - i) for i in range(min(cut, c))]) for cut in CUTS]
        rows.append([average, *(1 - miss for miss in misses), (c + 1) / (r + 1)])
    return np.mean(rows, axis=0)


def occurrences(similarity: FloatArray, allowed: BoolArray, k: int = _NEIGHBOURS, seed: int = 0) -> IntArray:
    """N_k: how often each recording is among the k nearest that are allowed of another: (n,)."""
    order = _ranking(similarity, allowed, seed)[:, :k]
    counted = np.take_along_axis(allowed, order, axis=1)
    return np.bincount(order[counted], minlength=len(similarity))


def hubness(counts: IntArray) -> float:
    """The skewness of k-occurrences (n,), the third standardised moment; NaN if all are equal."""
    centred = counts - counts.mean()
    spread = float(np.sqrt(np.mean(centred**2)))
    return float(np.mean(centred**3)) / spread**3 if spread > 0 else float("nan")


class Retrieval:
    """Every space (rows): how well labels are found, how soon, and how unevenly recordings turn up."""

    name: ClassVar[str] = "retrieval"
    summary: ClassVar[str] = "labelled recordings: mean average precision, recall at k, hubness"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The folder and the table of labels."""
        parser.add_argument("data", type=Path, metavar="DIR", help="recordings: DIR/<label>/<file>")
        parser.add_argument(
            "--labels",
            type=Path,
            metavar="CSV",
            help="columns path (below DIR), label[, group]; members of a group are no answers to each other",
        )

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Three reports: shares in %, first ranks, hubness. Raises UsageError, AudioError, ModelError."""
        items = read_csv(args.labels, args.data) if args.labels else read_folders(args.data)
        clips = [full_span(item.path) for item in items]
        allowed, right = relevance([item.label for item in items], [item.group for item in items])
        asks = [bool(row.any()) for row in right]
        if not any(asks):
            raise UsageError(f"no two of the {len(items)} recordings of {args.data} share a label and not a group")
        heard = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        places = np.ix_(heard.positions(clips), heard.positions(clips))
        found = []
        skews = []
        for space in heard.spaces:
            similarity = heard.similarities(space)[places]
            found.append(scores(similarity, allowed, right, args.seed))
            skews.append(hubness(occurrences(similarity, allowed, seed=args.seed)))
        values = np.stack(found, axis=1)  # (queries, spaces, measures)
        units = [item.group or str(item.path) for item, keep in zip(items, asks, strict=True) if keep]
        estimates = [bootstrap(values[:, :, measure], units, args.seed) for measure in range(values.shape[2])]
        chance = chance_scores(allowed, right)
        labels = len({item.label for item in items})
        data = f"{len(items):,} recordings, {labels:,} labels"
        options = "DIR" + (" --labels CSV" if args.labels else "")
        by = f"{len(set(units)):,} groups" if any(item.group for item in items) else "queries"

        report = partial(model_report, heard, args, protocol=self.name, options=options)
        nothing = np.full(len(skews), np.nan)
        hubs = Estimate(np.array(skews), nothing, nothing, np.full(len(skews), len(items)))
        return (
            report(
                dict(zip(_COLUMNS, estimates, strict=False)),
                f"Retrieval: {data}",
                chance=(100 * chance[:-1]).tolist(),
                notes=[f"n: queries. Intervals: bootstrap over {by}. Chance: a random order."],
            ),
            report(
                {"rank": estimates[-1]},
                f"First right answer: {data}",
                chance=float(chance[-1]),
                unit="",
                notes=[f"Lower is better. Intervals: bootstrap over {by}. Chance: a random order."],
            ),
            report(
                {f"skewness of N{_NEIGHBOURS}": hubs},
                f"Hubness: {data}",
                chance=_binomial_skewness(len(items)),
                unit="",
                notes=["Nearer to 0 is better. Chance: neighbours drawn at random. n: recordings."],
            ),
        )


def _binomial_skewness(n: int) -> float:
    """Of N_k if each of the n - 1 others picks its k neighbours at random; NaN where all are neighbours."""
    p = _NEIGHBOURS / (n - 1)
    return (1 - 2 * p) / float(np.sqrt((n - 1) * p * (1 - p))) if p < 1 else float("nan")


def create() -> Protocol:
    """The protocol."""
    return Retrieval()
