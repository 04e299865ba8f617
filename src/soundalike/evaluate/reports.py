"""Tables of what was measured: intervals, reports on disk, as text, as Markdown, as a picture.

Written once for all protocols. m units (triplets, queries) of r rows (spaces); intervals cover 95 %.

References: Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval, chapter 13; resampling
whole groups because the units of one song are not independent); Clopper and Pearson, Biometrika 26, 1934.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder, read_json, write_whole
from soundalike.core.types import FloatArray, IntArray, Report

__all__ = [
    "FORMAT",
    "MAGIC",
    "Estimate",
    "bootstrap",
    "check_plot",
    "clopper_pearson",
    "from_json",
    "load_reports",
    "make_report",
    "markdown",
    "merge",
    "paired",
    "plot",
    "save_reports",
    "table",
    "to_json",
    "wald",
]

MAGIC = "soundalike-report"
FORMAT = 1

_COVERAGE = 0.95
_NORMAL = 1.959963984540054
"""The standard normal's 97.5 % quantile."""
_RESAMPLES = 2000
_BLOCK = 1 << 20
"""Numbers of a block of resamples held at a time: memory does not grow with the number of groups."""
_FIELDS = ("protocol", "title", "model", "unit", "command")


# Estimates ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """One column of a report: `value`, `low` and `high` (r,) float64, and `n` (r,), what each value is a mean of."""

    value: FloatArray
    low: FloatArray
    high: FloatArray
    n: IntArray


def bootstrap(values: FloatArray, groups: Sequence[str], seed: int, *, resamples: int = _RESAMPLES) -> Estimate:
    """The mean of `values` (m, r) and its percentile interval when whole groups (m names) are drawn with replacement.

    The rows share their draws, so they can be compared. With fewer than two groups there is no interval: NaN. Where all
    values are equal it has no width, which is not certainty: few groups say less than it seems.
    Raises ValueError for no values, or not as many groups as values.
    """
    if values.ndim != 2 or not len(values) or len(values) != len(groups):
        raise ValueError(f"{values.shape} values and {len(groups)} groups; expected (m, r) with m >= 1 and m groups")
    wide = values.astype(np.float64)
    value, count = wide.mean(axis=0), np.full(wide.shape[1], len(wide))
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        nothing = np.full(wide.shape[1], np.nan)
        return Estimate(value, nothing, nothing, count)
    # A resample is how often each group was drawn; its mean is a ratio of sums over the groups, hence two products.
    sums = np.zeros((len(names), wide.shape[1]))
    np.add.at(sums, member, wide)
    sizes = np.bincount(member, minlength=len(names)).astype(np.float64)
    random = np.random.default_rng(seed)
    means = []
    block = max(1, _BLOCK // len(names))
    for first in range(0, resamples, block):
        drawn = random.multinomial(
            len(names), np.full(len(names), 1 / len(names)), size=min(block, resamples - first)
        ).astype(np.float64)
        means.append((drawn @ sums) / (drawn @ sizes)[:, None])
    low, high = np.quantile(np.concatenate(means), [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2], axis=0)
    return Estimate(value, low, high, count)


def paired(ours: FloatArray, theirs: FloatArray, groups: Sequence[str], seed: int) -> Estimate:
    """The mean of ours - theirs, (m, r) each on the same m units, with the bootstrap interval over groups.

    Narrower than comparing two intervals, because what is hard for both cancels. Raises ValueError for other shapes.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} and {theirs.shape} values; expected the same units and rows")
    return bootstrap(ours.astype(np.float64) - theirs.astype(np.float64), groups, seed)


def wald(share: FloatArray, n: IntArray) -> Estimate:
    """Shares (r,) in 0..1 of n (r,) trials with Wald's interval, p ± 1.96 sqrt(p (1 - p) / n), cut at 0 and 1.

    It takes the trials for independent: too narrow where many share an anchor. NaN where n is 0.
    """
    p, trials = np.asarray(share, dtype=np.float64), np.asarray(n)
    p = np.where(trials > 0, p, np.nan)
    half = _NORMAL * np.sqrt(p * (1 - p) / np.maximum(trials, 1))
    return Estimate(p, np.clip(p - half, 0, 1), np.clip(p + half, 0, 1), trials)


def clopper_pearson(wins: FloatArray, n: IntArray) -> Estimate:
    """Shares wins / n with the exact binomial interval, (r,) each; `wins` may hold parts (ties). NaN where n is 0."""
    from scipy.stats import beta

    won, trials = np.asarray(wins, dtype=np.float64), np.asarray(n)
    tail = (1 - _COVERAGE) / 2
    some = trials > 0
    safe = np.where(some, trials, 1)
    # The quantiles are not defined at no and at all wins, where the interval ends at 0 and 1.
    lost = safe - won
    low = np.where(won > 0, beta.ppf(tail, np.where(won > 0, won, 1), lost + 1), 0.0)
    high = np.where(lost > 0, beta.ppf(1 - tail, won + 1, np.where(lost > 0, lost, 1)), 1.0)
    value, low, high = (np.where(some, column, np.nan) for column in (won / safe, low, high))
    return Estimate(value, low, high, trials)


def make_report(
    columns: Mapping[str, Estimate],
    *,
    rows: Sequence[str],
    chance: Sequence[float],
    protocol: str,
    title: str,
    model: str,
    unit: str,
    command: str,
    notes: Sequence[str] = (),
) -> Report:
    """Put columns side by side; `unit` "%" scales estimates of shares (0..1) to per cent, `chance` is given in it."""
    scale = 100.0 if unit == "%" else 1.0

    def stack(part: str) -> FloatArray:
        return scale * np.stack([getattr(column, part) for column in columns.values()], axis=1)

    return Report(
        protocol=protocol,
        title=title,
        model=model,
        rows=tuple(rows),
        columns=tuple(columns),
        values=stack("value"),
        low=stack("low"),
        high=stack("high"),
        n=np.stack([column.n for column in columns.values()], axis=1),
        chance=np.asarray(chance, dtype=np.float64),
        unit=unit,
        command=command,
        notes=tuple(notes),
    )


# On disk ------------------------------------------------------------------------------------------------------------


def to_json(report: Report) -> dict[str, Any]:
    """A report with stable keys; NaN becomes null."""
    body: dict[str, Any] = {field: getattr(report, field) for field in _FIELDS}
    body["rows"], body["columns"], body["notes"] = list(report.rows), list(report.columns), list(report.notes)
    for field in ("values", "low", "high", "chance"):
        body[field] = _nulls(getattr(report, field).tolist())
    body["n"] = report.n.tolist()
    return body


def _nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_nulls(one) for one in value]
    return value if math.isfinite(value) else None


def from_json(body: Mapping[str, Any]) -> Report:
    """The report that `to_json` wrote. Raises ValueError, KeyError or TypeError if a part is missing or misfits."""
    fields: dict[str, Any] = {field: body[field] for field in _FIELDS}
    lists = {field: tuple(body[field]) for field in ("rows", "columns", "notes")}
    for name, value in [*fields.items(), *((key, one) for key, many in lists.items() for one in many)]:
        if not isinstance(value, str):
            raise TypeError(f"{name} holds {value!r}, expected text")
    fields.update(lists)
    shape = (len(lists["rows"]), len(lists["columns"]))
    for name in ("values", "low", "high", "chance", "n"):
        array = np.array(body[name], dtype=np.int64 if name == "n" else np.float64)
        expected = shape[1:] if name == "chance" else shape
        if array.shape != expected:
            raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
        fields[name] = array
    return Report(**fields)


def save_reports(reports: Sequence[Report], folder: Path) -> Path:
    """Write the reports of one run to `<protocol>-<model>.json` in `folder`, all or nothing. Returns the file.

    Raises UsageError if it cannot be written.
    """
    first = reports[0]
    path = folder / f"{first.protocol}-{re.sub(r'[^A-Za-z0-9._-]+', '_', first.model)}.json"
    body = {"magic": MAGIC, "format": FORMAT, "reports": [to_json(report) for report in reports]}
    make_folder(folder, "--save")
    text = json.dumps(body, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
    return path


def load_reports(path: Path) -> tuple[Report, ...]:
    """The reports in a file of `save_reports`. Raises UsageError if it is missing, damaged or of a newer version."""
    body = read_json(path)
    if not isinstance(body, dict) or body.get("magic") != MAGIC:
        raise UsageError(f"{path} is not a report (no magic {MAGIC!r}); reports are written by: evaluate --save")
    if body.get("format") != FORMAT:
        raise UsageError(f"{path} has format {body.get('format')!r}, this version reads {FORMAT}; upgrade soundalike")
    try:
        return tuple(from_json(report) for report in body["reports"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path} is damaged: {reason}; make it again") from error


# To read ------------------------------------------------------------------------------------------------------------


def table(report: Report) -> list[list[str]]:
    """Header, a line a row with value and 95 % interval, then chance and n, as cells; "-" where there is nothing."""
    digits = 1 if report.unit == "%" else 3
    unit = f" ({report.unit})" if report.unit else ""
    lines = [["", *(column + unit for column in report.columns)]]
    for name, values, lows, highs in zip(report.rows, report.values, report.low, report.high, strict=True):
        cells = [_cell(*numbers, digits) for numbers in zip(values, lows, highs, strict=True)]
        lines.append([name, *cells])
    if np.isfinite(report.chance).any():  # a speed has none
        lines.append(["chance", *(_number(value, digits) for value in report.chance)])
    lines.append(["n", *(_range(column) for column in report.n.T)])
    return lines


def _cell(value: float, low: float, high: float, digits: int) -> str:
    if math.isnan(low) or math.isnan(high):
        return _number(value, digits)
    return f"{_number(value, digits)} [{_number(low, digits)}, {_number(high, digits)}]"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _range(counts: IntArray) -> str:
    return f"{counts.min():,}" if counts.min() == counts.max() else f"{counts.min():,} to {counts.max():,}"


def merge(reports: Sequence[Report]) -> tuple[Report, ...]:
    """Put the same table of several models into one, a row a model and row, so that each has its baseline beside it.

    Reports are the same table if protocol, title, columns, unit and chance are; the title names the data.
    """
    groups: dict[tuple[Any, ...], list[Report]] = {}
    for report in reports:
        key = (report.protocol, report.title, report.columns, report.unit, report.chance.tobytes())
        groups.setdefault(key, []).append(report)
    merged = []
    for same in groups.values():
        several = len({report.model for report in same}) > 1
        merged.append(
            Report(
                protocol=same[0].protocol,
                title=same[0].title,
                model=", ".join(dict.fromkeys(report.model for report in same)),
                rows=tuple(f"{one.model}/{row}" if several else row for one in same for row in one.rows),
                columns=same[0].columns,
                values=np.concatenate([report.values for report in same]),
                low=np.concatenate([report.low for report in same]),
                high=np.concatenate([report.high for report in same]),
                n=np.concatenate([report.n for report in same]),
                chance=same[0].chance,
                unit=same[0].unit,
                command="\n".join(dict.fromkeys(report.command for report in same)),
                notes=tuple(
                    dict.fromkeys(
                        f"{one.model}: {note}" if several and _differs(note, same) else note
                        for one in same
                        for note in one.notes
                    )
                ),
            )
        )
    return tuple(merged)


def _differs(note: str, reports: Sequence[Report]) -> bool:
    return any(note not in report.notes for report in reports)


def markdown(report: Report) -> str:
    """A section: heading, table, notes, and the command that makes it again."""
    header, *lines = table(report)
    text = [f"## {_escape(report.title)}", "", f"Model: {_escape(report.model)}. Value [95 % interval].", ""]
    text.append("| " + " | ".join(map(_escape, header)) + " |")
    text.append("|---|" + "--:|" * (len(header) - 1))
    text += ["| " + " | ".join(map(_escape, line)) + " |" for line in lines]
    text += ["", *(f"- {_escape(note)}" for note in report.notes), *([""] if report.notes else [])]
    text += [*(f"    {line}" for line in report.command.splitlines()), ""]
    return "\n".join(text)


def _escape(text: str) -> str:
    """Text in which Markdown sees nothing but text, on one line."""
    return re.sub(r"([\\`*_|<>])", r"\\\1", " ".join(text.split()))


def check_plot(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before any work is done. Raises UsageError."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"cannot draw {path}: give a name that ends in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: its folder does not exist")
    try:
        import_module("matplotlib.figure")
    except ImportError as error:
        raise UsageError("--plot needs matplotlib; install it with: pip install 'soundalike[plot]'") from error


def plot(reports: Sequence[Report], path: Path) -> None:
    """Draw every table: a panel a column, a dot and its interval a row, a dashed line for chance.

    Raises UsageError if matplotlib is missing or the file cannot be written.
    """
    check_plot(path)
    # Not through pyplot, which would keep the figure and choose a display.
    figure_class = import_module("matplotlib.figure").Figure
    across = max(len(report.columns) for report in reports)
    heights = [0.9 + 0.28 * len(report.rows) for report in reports]
    figure = figure_class(figsize=(1.6 + 2.2 * across, 0.4 + sum(heights)), layout="constrained")
    grid = figure.subplots(
        len(reports), across, squeeze=False, sharex="row", sharey="row", gridspec_kw={"height_ratios": heights}
    )
    for axes, report in zip(grid, reports, strict=True):
        places = np.arange(len(report.rows))[::-1]
        axes[0].set_yticks(places, report.rows)
        axes[0].set_title(f"{report.title} ({report.model})", loc="left", fontsize="small")
        for panel in axes[len(report.columns) :]:
            panel.set_axis_off()
        for n, (panel, column) in enumerate(zip(axes, report.columns, strict=False)):
            if math.isfinite(report.chance[n]):
                panel.axvline(report.chance[n], color="0.6", linestyle="--", linewidth=1)
            panel.hlines(places, report.low[:, n], report.high[:, n], color="0.4")
            panel.plot(report.values[:, n], places, "o", color="black", markersize=4)
            panel.set_xlabel(f"{column} ({report.unit})" if report.unit else column, fontsize="small")
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
