"""What the probes on labelled recordings share: encode once, judge all rows on triplets, and report.

A probe gives the items of a dataset and the triplets of every row of the table. The reports are the accuracy with
intervals from a bootstrap over songs, the accuracy with Wald intervals as MERIT prints them, the mean distances of
anchors to positives and negatives, and the mean average precision at 10 over the labels.

n items, m triplets, r rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Item, Report
from soundalike.evaluate.base import EncodedClips, Progress, model_report, triplet_outcome
from soundalike.evaluate.draws import label_sets, shares_label
from soundalike.evaluate.estimates import Estimate, bootstrap, paired, wald
from soundalike.evaluate.fused_rows import Fusions, check_fusion, fusion_options, requested_fusions, similarity_matrices
from soundalike.evaluate.ranking import NEIGHBOURS, average_precision_at, chance_precision_at
from soundalike.evaluate.recordings import CONVENTIONS, encode_items, item_span
from soundalike.models import load_recipe

__all__ = [
    "LabelProbe",
    "Measured",
    "clip_option",
    "measure",
    "probe_options",
    "probe_reports",
    "row_of_code",
    "triplets_of_row",
]


@dataclass(frozen=True, slots=True, eq=False)
class LabelProbe:
    """One probe of labelled recordings.

    Attributes:
        protocol: The name of the protocol.
        title: What is asked, such as "Stem classes".
        items: n items with the label "label".
        groups: n names of what the bootstrap resamples, such as songs.
        triplets: Returns the triplets (m, 3) of a row of the table: numbers of items. Every row has as many, with the
            same anchors in the same order.
        classes: The labels with a column of their own.
        candidates: Which items are candidates of which query for the average precision, (n, n) bool.
        options: The options of the command that reproduces the reports.
        notes: Remarks for all reports.
        ties: What a tie counts: 1/2, or 0 as in MERIT's code.
    """

    protocol: str
    title: str
    items: Sequence[Item]
    groups: Sequence[str]
    triplets: Callable[[str], IntArray]
    classes: Sequence[str]
    candidates: BoolArray
    options: str
    notes: Sequence[str] = ()
    ties: float = 0.5

    @property
    def labels(self) -> list[str]:
        """The labels of the items."""
        return [item.labels["label"] for item in self.items]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A model on a probe.

    Attributes:
        rows: r names of spaces and fusions.
        anchors: The anchors of the triplets, (m,).
        near: Similarities of anchors and positives, (m, r), NaN without a fused vector.
        far: Similarities of anchors and negatives, (m, r), NaN without a fused vector.
        precision: Average precision at 10, (n, r), NaN for items without another one of their label.
        fusions: The fusions among the rows.
    """

    rows: tuple[str, ...]
    anchors: IntArray
    near: FloatArray
    far: FloatArray
    precision: FloatArray
    fusions: Fusions

    def outcomes(self, ties: float = 0.5) -> FloatArray:
        """Return (m, r): 1 if the positive is nearer, 0 if not, and `ties` if both are as near or one is unknown."""
        outcomes = triplet_outcome(np.nan_to_num(self.near - self.far))
        return np.where(outcomes == 0.5, ties, outcomes)


def probe_options(negatives: Sequence[str], what: str) -> list[click.Parameter]:
    """Return the options that all probes share.

    Args:
        negatives: The names of the constructions, of which the first is the default; without any there is no option.
        what: What the folder holds, for the help.
    """
    drawn = [
        click.Option(
            ["--negatives"],
            type=click.Choice(negatives),
            default=default,
            help=f"How triplets are drawn (default: {default}).",
        )
        for default in negatives[:1]
    ]
    return [
        click.Option(
            ["--data"], type=click.Path(path_type=Path), required=True, metavar="DIR", help=f"Folder with {what}."
        ),
        click.Option(["--against"], metavar="MODEL", help="Also report the difference to another model."),
        *drawn,
        click.Option(
            ["--clip"],
            type=click.Choice(list(CONVENTIONS)),
            default="passages",
            help="Encode whole recordings in passages of 10 s, or their first 10 or 30 s (default: passages).",
        ),
        *fusion_options(),
    ]


def clip_option(args: SimpleNamespace) -> str:
    """Return the option for how recordings are encoded, as commands that reproduce a report have it.

    Example:
        >>> clip_option(SimpleNamespace(clip="30s"))
        ' --clip 30s'
    """
    return f" --clip {args.clip}" if args.clip != "passages" else ""


def row_of_code(row: str, single: bool) -> str:
    """Return the row of MERIT's tables that a row of ours stands for.

    Args:
        row: A space, or "fused scores: NAME" or "fused vectors: NAME".
        single: Whether the model has only this space, and so stands for the raw backbone.

    Example:
        >>> row_of_code("fused vectors: mean", False), row_of_code("overall", True)
        ('mean', 'raw')
    """
    return "raw" if single else row.rpartition(": ")[2]


def triplets_of_row(drawn: IntArray | Mapping[str, IntArray]) -> Callable[[str], IntArray]:
    """Return a function from a row of the table to its triplets, (m, 3).

    Args:
        drawn: The triplets of all rows, or those of each row. Rows that are not among them, such as the space of
            harmony, which the code does not have, get those of the first one.
    """
    if isinstance(drawn, Mapping):
        first = next(iter(drawn.values()))
        return lambda row: drawn.get(row, first)
    return lambda _: drawn


def measure(probe: LabelProbe, encoded: EncodedClips, args: SimpleNamespace) -> Measured:
    """Measure a model on a probe.

    Args:
        probe: The probe.
        encoded: Its items, encoded by the model with `encode_items`.
        args: `fusion`, `weights` and `seed`.
    """
    order = encoded.positions(item_span(item) for item in probe.items)
    right = shares_label(probe.labels)
    single = len(encoded.spaces) == 1
    fusions = Fusions({}, {}) if single else requested_fusions(encoded, args)
    rows, near, far, precision = [], [], [], []
    anchors = np.zeros(0, np.int64)
    for row, matrix in similarity_matrices(encoded, fusions):
        similarity = matrix[np.ix_(order, order)]
        anchors, positives, negatives = probe.triplets(row_of_code(row, single)).T
        rows.append(row)
        near.append(similarity[anchors, positives])
        far.append(similarity[anchors, negatives])
        known = np.nan_to_num(similarity, nan=-np.inf)
        precision.append(average_precision_at(known, probe.candidates, right, seed=args.seed))
    return Measured(
        tuple(rows), anchors, np.stack(near, axis=1), np.stack(far, axis=1), np.stack(precision, axis=1), fusions
    )


def probe_reports(
    probe: LabelProbe, args: SimpleNamespace, progress: Progress | None = None, encoded: EncodedClips | None = None
) -> tuple[EncodedClips, Measured, tuple[Report, ...]]:
    """Encode the items of a probe and report accuracy, distances and average precision.

    Args:
        probe: The probe.
        args: The options of `probe_options` and those of every protocol.
        progress: Called after every clip.
        encoded: The items, if they are encoded already.

    Returns:
        The clips and what was measured, for further reports, and the reports. With `--against`, the last one is the
        difference to the other model.

    Raises:
        UsageError: The labels give no triplets, or an option is invalid.
        AudioError: A recording cannot be decoded.
        ModelError: A model is unknown or invalid.
    """
    check_fusion(args, args.model)
    if args.against and len(load_recipe(args.against).spaces) > 1:
        check_fusion(args, args.against)
    if not len(probe.triplets("raw")):
        raise UsageError(
            f"the {len(probe.items):,} recordings of {args.data} give no triplets; expected two songs with a label in "
            "common, and recordings of another label"
        )
    if encoded is None:
        encoded = encode_items(probe.items, args.model, args.clip, jobs=args.jobs, progress=progress)
    found = measure(probe, encoded, args)
    groups = [probe.groups[anchor] for anchor in found.anchors]
    outcomes = found.outcomes(probe.ties)
    options = f"--data DIR{probe.options}{clip_option(args)} {found.fusions.options}"
    data = f"{len(probe.items):,} recordings of {len(set(probe.groups)):,} songs, {len(outcomes):,} triplets"
    columns = _class_columns(probe, found.anchors)
    accuracy = {name: bootstrap(outcomes[use], _chosen(groups, use), args.seed) for name, use in columns.items()}
    near, far = 1 - found.near, 1 - found.far
    distances = {"d_AP": near, "d_AN": far, "margin": np.nan_to_num(far - near)}
    report = partial(model_report, encoded, args, protocol=probe.protocol, options=options, rows=found.rows)
    intervals = f"Intervals: bootstrap over {len(set(groups)):,} songs. n: triplets. Ties count {probe.ties:g}."
    notes = [*probe.notes, *found.fusions.notes, _inaudible(encoded)]
    unfused = "; - where a recording has no fused vector" if args.fusion else ""
    reports = [
        report(accuracy, f"{probe.title}: {data}", chance=50.0, notes=[intervals, *notes]),
        report(
            {name: wald(one.value, one.n) for name, one in accuracy.items()},
            f"{probe.title}, Wald: {data}",
            chance=50.0,
            notes=["Intervals: Wald, over triplets, as published: too narrow, because triplets share clips."],
        ),
        report(
            {name: bootstrap(values, groups, args.seed) for name, values in distances.items()},
            f"{probe.title}, distances: {data}",
            chance=[np.nan, np.nan, 0.0],
            unit="",
            notes=[f"1 - cosine, means over triplets{unfused}. Margin: d_AN - d_AP. Intervals: bootstrap over songs."],
        ),
        _precision_report(probe, found, args, report),
    ]
    if args.against:
        rival = encode_items(probe.items, args.against, args.clip, jobs=args.jobs, progress=progress)
        reports.append(
            _difference(probe, found, measure(probe, rival, args), rival, args, report, columns, groups, data)
        )
    return encoded, found, tuple(reports)


def _chosen(groups: Sequence[str], use: BoolArray) -> list[str]:
    return [group for group, keep in zip(groups, use, strict=True) if keep]


def _class_columns(probe: LabelProbe, anchors: IntArray) -> dict[str, BoolArray]:
    """Which triplets belong to which column: all, and those whose anchor has a label."""
    sets = label_sets(probe.labels)
    columns = {"all": np.ones(len(anchors), np.bool_)}
    for name in probe.classes:
        use = np.array([name in sets[anchor] for anchor in anchors])
        if use.any():
            columns[name] = use
    return columns


def _inaudible(encoded: EncodedClips) -> str:
    silent = ", ".join(f"{space.name} {int((~encoded.audible(space)).sum()):,}" for space in encoded.spaces)
    return f"Recordings that are inaudible in a space, of {len(encoded.index):,}: {silent}."


def _precision_report(
    probe: LabelProbe, found: Measured, args: SimpleNamespace, report: Callable[..., Report]
) -> Report:
    """Average precision at 10: over all queries, over the labels, and of every label with a column."""
    sets = label_sets(probe.labels)
    chance = chance_precision_at(probe.candidates, shares_label(probe.labels))
    queries = ~np.isnan(chance)
    columns, levels = {}, []
    for name in ("all", *probe.classes):
        use = queries if name == "all" else queries & np.array([name in own for own in sets])
        if use.any():
            columns[name] = bootstrap(found.precision[use], _chosen(probe.groups, use), args.seed)
            levels.append(100 * float(chance[use].mean()))
    names = sorted(frozenset().union(*sets))
    labelled = [queries & np.array([name in own for own in sets]) for name in names]
    used = [use for use in labelled if use.any()]
    means = np.mean([found.precision[use].mean(axis=0) for use in used], axis=0)
    unknown = np.full(len(means), np.nan)
    columns["mean of labels"] = Estimate(means, unknown, unknown, np.full(len(means), len(used)))
    levels.append(100 * float(np.mean([chance[use].mean() for use in used])))
    return report(
        columns,
        f"{probe.title}, mAP@{NEIGHBOURS}: {len(probe.items):,} recordings, {len(used):,} labels",
        chance=levels,
        notes=[
            f"Mean average precision of the {NEIGHBOURS} most similar recordings; right ones share a label. n: queries "
            "or labels. Intervals: bootstrap over songs."
        ],
    )


def _difference(
    probe: LabelProbe,
    found: Measured,
    other: Measured,
    rival: EncodedClips,
    args: SimpleNamespace,
    report: Callable[..., Report],
    columns: Mapping[str, BoolArray],
    groups: Sequence[str],
    data: str,
) -> Report:
    """The paired difference to another model, row by row.

    The only space of a model is compared with every row of the other one.
    """
    if len(found.rows) == 1 or len(other.rows) == 1:
        pairs = [(ours, theirs) for ours in range(len(found.rows)) for theirs in range(len(other.rows))]
    else:
        pairs = [(ours, other.rows.index(row)) for ours, row in enumerate(found.rows) if row in other.rows]
    if not pairs:
        raise UsageError(f"the models share no space; {rival.model} has {', '.join(other.rows)}")
    rows = [found.rows[ours] for ours, _ in pairs]
    if len(other.rows) > 1 and len(found.rows) == 1:
        rows = [f"{found.rows[0]} minus {row}" for row in other.rows]
    ours = found.outcomes(probe.ties)[:, [ours for ours, _ in pairs]]
    theirs = other.outcomes(probe.ties)[:, [theirs for _, theirs in pairs]]
    estimates = {name: paired(ours[use], theirs[use], _chosen(groups, use), args.seed) for name, use in columns.items()}
    options = f"--data DIR --against {rival.model}{probe.options}{clip_option(args)} {found.fusions.options}"
    return report(
        estimates,
        f"{probe.title}, minus {rival.model}: {data}",
        chance=0.0,
        rows=rows,
        options=options,
        notes=[
            "Percentage points. Intervals: paired bootstrap over songs. n: triplets.",
            f"Digest of {rival.model} {rival.digest[:12]}.",
        ],
    )
