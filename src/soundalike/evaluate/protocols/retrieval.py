"""Retrieval from labelled recordings: does a query find the recordings with its own label?

    soundalike evaluate retrieval genres --model compact
    soundalike evaluate retrieval recordings --labels labels.csv

The labels are folders, `DIR/<label>/...`, or a CSV file with the columns path, label and optionally group (--labels).
Every recording is a query against all others, except those of its own group (for example, the song that it was cut
from). A result is right if it has the label of the query. Recordings without any right result are not used as queries.

- mAP: the mean average precision. The average precision of a query is the mean of the precisions at the ranks of its
  right results.
- R@k, recall at k as in metric learning: the share of queries with a right result among the k most similar.
- First right answer: the rank of the most similar right result, from 1.
- Hubness: the skewness of the k-occurrence N_10, the number of queries that have a recording among their 10 most
  similar, whatever the labels. Near 0, the counts are even. Above about 1, a few recordings are found by many queries.

With --union, a further table compares two ways to answer with all spaces at once. The union has the ten most similar
recordings of every space, as MERIT retrieves them from one index per factor. The other takes as many recordings per
query by one score, the mean of the standardised similarities, as a search does. Precision is the share of right results
and recall that of right recordings found; hits are queries with a right result.

The chance level is the expected value for a random ranking, in closed form. Equal similarities are ranked at random
(--seed), because the order of the files often follows the labels. The 95 % intervals are bootstrapped over queries, or
over groups if there are any.

References: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4; Radovanović,
Nanopoulos and Ivanović, Hubs in Space, JMLR 11, 2010.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.options import Argument
from soundalike.core.types import BoolArray, IntArray, Report
from soundalike.evaluate.base import (
    EncodedClips,
    Progress,
    Protocol,
    check_folder,
    encode_clips,
    full_span,
    model_report,
)
from soundalike.evaluate.estimates import Estimate, bootstrap
from soundalike.evaluate.ranking import (
    CUTS,
    NEIGHBOURS,
    among_best,
    chance_scores,
    hubness,
    occurrences,
    relevance,
    scores,
)
from soundalike.models import DEFAULT_MODEL, load_recipe

__all__ = [
    "Labelled",
    "Retrieval",
    "create",
    "read_csv",
    "read_folders",
]

_COLUMNS = ("mAP", *(f"R@{cut}" for cut in CUTS))


@dataclass(frozen=True, slots=True)
class Labelled:
    """A recording with its label. Recordings of the same `group` are not compared ("": no group)."""

    path: Path
    label: str
    group: str = ""


def read_folders(folder: Path) -> tuple[Labelled, ...]:
    """Find the recordings in `folder/<label>/...`, at any depth, labelled by the first folder of their path.

    Raises UsageError if there are none.

    Example:
        >>> {recording.label for recording in read_folders(Path("genres"))}
        {'jazz', 'rock'}
    """
    from soundalike.audio import AUDIO_SUFFIXES, is_system_file

    check_folder(folder, "one folder of recordings per label")
    recordings = tuple(
        Labelled(path, path.relative_to(folder).parts[0])
        for path in sorted(folder.glob("*/**/*"))
        if path.suffix.lower() in AUDIO_SUFFIXES and not is_system_file(path.name) and path.is_file()
    )
    if not recordings:
        raise UsageError(f"{folder} holds no recordings in folders; expected DIR/<label>/<file>, or give --labels CSV")
    return recordings


def read_csv(path: Path, folder: Path) -> tuple[Labelled, ...]:
    """Read a table of labels.

    Args:
        path: A UTF-8 CSV file with the columns path (relative to `folder`), label and optionally group.
        folder: The folder of the recordings.

    Returns:
        The recordings in the order of the table.

    Raises:
        UsageError: The table cannot be read, lacks a column, names a recording twice, or names one that does not exist.

    Example:
        >>> recordings = read_csv(Path("labels.csv"), Path("recordings"))
    """
    check_folder(folder, "recordings")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [column for column in ("path", "label") if column not in (table.fieldnames or ())]
            if missing:
                raise UsageError(f"{path} has no column {missing[0]}; expected path,label[,group] in its first line")
            rows = [(table.line_num, row) for row in table]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeError) as error:
        raise UsageError(f"{path} is not a UTF-8 CSV file: {error}") from error
    recordings: dict[Path, Labelled] = {}
    for line, row in rows:
        if not row["path"] or not row["label"]:
            raise UsageError(f"{path}, line {line}: path and label must not be empty")
        recording = folder / row["path"]
        if recording in recordings:
            raise UsageError(f"{path}, line {line}: {row['path']} appears twice")
        if not recording.is_file():
            raise UsageError(f"{path}, line {line}: {recording} does not exist")
        recordings[recording] = Labelled(recording, row["label"], row.get("group") or "")
    if not recordings:
        raise UsageError(f"{path} names no recordings")
    return tuple(recordings.values())


class Retrieval:
    """Retrieval measures, first right rank and hubness of every space (rows)."""

    name: ClassVar[str] = "retrieval"
    summary: ClassVar[str] = "labelled recordings: mean average precision, recall at k, hubness"

    def options(self) -> Sequence[click.Parameter]:
        """Return the folder, `--labels` and `--union`."""
        return [
            Argument(
                ["data"],
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="Folder of recordings: DIR/<label>/<file>.",
            ),
            click.Option(
                ["--labels"],
                type=click.Path(path_type=Path),
                metavar="CSV",
                help="Table with columns path (below DIR), label[, group]; members of a group are not compared.",
            ),
            click.Option(
                ["--union"], is_flag=True, help="Also compare the union of ten results per space with one score."
            ),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return retrieval measures in per cent, first right ranks, hubness, and with `--union` a fourth report.

        Raises UsageError, AudioError or ModelError.
        """
        recordings = read_csv(args.labels, args.data) if args.labels else read_folders(args.data)
        clips = [full_span(recording.path) for recording in recordings]
        allowed, right = relevance(
            [recording.label for recording in recordings], [recording.group for recording in recordings]
        )
        if len(labels := {recording.label for recording in recordings}) == 1:
            raise UsageError(
                f"all {len(recordings):,} recordings of {args.data} have the label {labels.pop()!r}, so that every "
                "answer would be right; give recordings of two labels or more"
            )
        is_query = [bool(row.any()) for row in right]
        if not any(is_query):
            raise UsageError(
                f"no two of the {len(recordings)} recordings of {args.data} share a label without sharing a group"
            )
        if args.union and len(load_recipe(args.model or DEFAULT_MODEL).spaces) < 2:
            raise UsageError(f"--union needs a model with two spaces or more; {args.model} has one")
        encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        pairs = np.ix_(encoded.positions(clips), encoded.positions(clips))
        measured = []
        skews = []
        for space in encoded.spaces:
            similarity = encoded.similarities(space)[pairs]
            measured.append(scores(similarity, allowed, right, args.seed))
            skews.append(hubness(occurrences(similarity, allowed, seed=args.seed)))
        values = np.stack(measured, axis=1)  # (queries, spaces, measures)
        units = [
            recording.group or str(recording.path) for recording, use in zip(recordings, is_query, strict=True) if use
        ]
        estimates = [bootstrap(values[:, :, measure], units, args.seed) for measure in range(values.shape[2])]
        chance = chance_scores(allowed, right)
        data = f"{len(recordings):,} recordings, {len(labels):,} labels"
        options = "DIR" + (" --labels CSV" if args.labels else "") + (" --union" if args.union else "")
        resampled = f"{len(set(units)):,} groups" if any(recording.group for recording in recordings) else "queries"

        report = partial(model_report, encoded, args, protocol=self.name, options=options)
        missing = np.full(len(skews), np.nan)
        hubs = Estimate(np.array(skews), missing, missing, np.full(len(skews), len(recordings)))
        reports = [
            report(
                dict(zip(_COLUMNS, estimates, strict=False)),
                f"Retrieval: {data}",
                chance=(100 * chance[:-1]).tolist(),
                notes=[f"n: queries. Intervals: bootstrap over {resampled}. Chance: a random ranking."],
            ),
            report(
                {"rank": estimates[-1]},
                f"First right answer: {data}",
                chance=float(chance[-1]),
                unit="",
                notes=[f"Lower is better. Intervals: bootstrap over {resampled}. Chance: a random ranking."],
            ),
            report(
                {f"skewness of N{NEIGHBOURS}": hubs},
                f"Hubness: {data}",
                chance=_binomial_skewness(len(recordings)),
                unit="",
                notes=["Nearer to 0 is better. Chance: random neighbours. n: recordings."],
            ),
        ]
        if args.union:
            columns, levels, mean = _union(encoded, pairs, allowed, right, units, args.seed)
            reports.append(
                report(
                    columns,
                    f"All spaces at once: {data}",
                    chance=levels,
                    rows=[f"union of {NEIGHBOURS} per space", "as many by one score"],
                    notes=[
                        f"{mean:.1f} results per query on average. Intervals: bootstrap over {resampled}. Chance: as "
                        "many random results."
                    ],
                )
            )
        return tuple(reports)


def _union(
    encoded: EncodedClips,
    pairs: tuple[IntArray, ...],
    allowed: BoolArray,
    right: BoolArray,
    units: Sequence[str],
    seed: int,
) -> tuple[dict[str, Estimate], list[float], float]:
    """Measures of the union and of one score, their values by chance in per cent, and the mean number of results."""
    chosen, score = np.zeros_like(allowed), np.zeros(allowed.shape)
    for space in encoded.spaces:
        similarity, level = encoded.similarities(space)[pairs], space.calibration["track"]
        chosen |= among_best(similarity, allowed, NEIGHBOURS, seed)
        score += (similarity - level.mu) / level.sigma
    counts = chosen.sum(axis=1)
    is_query = right.any(axis=1)
    answers = [chosen, among_best(score, allowed, counts, seed)]
    hits = np.stack([(answer & right).sum(axis=1) for answer in answers], axis=1)[is_query]
    size, possible = counts[is_query], right.sum(axis=1)[is_query]
    candidates = allowed.sum(axis=1)[is_query]
    missed = [
        math.prod(max(c - r - i, 0) / (c - i) for i in range(k))
        for c, r, k in zip(candidates.tolist(), possible.tolist(), size.tolist(), strict=True)
    ]
    values = {
        "precision": (hits / size[:, None], possible / candidates),
        "recall": (hits / possible[:, None], size / candidates),
        "hits": ((hits > 0).astype(np.float64), 1 - np.array(missed)),
    }
    columns = {name: bootstrap(value, units, seed) for name, (value, _) in values.items()}
    levels = [100 * float(np.mean(chance)) for _, chance in values.values()]
    return columns, levels, float(size.mean())


def _binomial_skewness(n: int) -> float:
    """The skewness of N_k if each of the n - 1 other recordings draws its k neighbours at random.

    NaN if all recordings are neighbours.
    """
    p = NEIGHBOURS / (n - 1)
    return (1 - 2 * p) / float(np.sqrt((n - 1) * p * (1 - p))) if p < 1 else float("nan")


def create() -> Protocol:
    """Create the protocol."""
    return Retrieval()
