"""Reports: tables of estimates, saved as JSON and shown as text, Markdown or a picture."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder, read_json, write_atomic
from soundalike.core.types import FloatArray, IntArray, Report
from soundalike.evaluate.estimates import Estimate

__all__ = [
    "FORMAT",
    "MAGIC",
    "check_plot",
    "from_json",
    "load_reports",
    "make_report",
    "markdown",
    "merge",
    "plot",
    "save_reports",
    "table",
    "to_json",
]

MAGIC = "soundalike-report"
FORMAT = 1

_FIELDS = ("protocol", "title", "model", "unit", "command")


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
    """Build a report from columns.

    Args:
        columns: One estimate of r rows per column.
        rows: r names of rows.
        chance: The chance level of each column, in `unit`.
        protocol: The name of the protocol.
        title: The title. It should describe the data, because `merge` joins tables with equal titles.
        model: The name of the model.
        unit: "%" scales estimates of shares (0 to 1) to per cent; other units leave them as they are.
        command: The command that reproduces the report.
        notes: Remarks below the table.

    Example:
        >>> report = make_report(
        ...     {"melody": bootstrap(outcomes, songs, 0)}, rows=["melody", "rhythm"], chance=[50.0], protocol="probes",
        ...     title="Probes: 200 triplets", model="dsp", unit="%", command="soundalike evaluate probes --data DIR",
        ... )
    """
    scale = 100.0 if unit == "%" else 1.0

    def stack(field: str) -> FloatArray:
        return scale * np.stack([getattr(column, field) for column in columns.values()], axis=1)

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
    """Return a report as a dictionary with stable keys for JSON. NaN becomes None."""
    body: dict[str, Any] = {field: getattr(report, field) for field in _FIELDS}
    body["rows"], body["columns"], body["notes"] = list(report.rows), list(report.columns), list(report.notes)
    for field in ("values", "low", "high", "chance"):
        body[field] = _nulls(getattr(report, field).tolist())
    body["n"] = report.n.tolist()
    return body


def _nulls(value: Any) -> Any:
    """Replace numbers that are not finite by None in nested lists."""
    if isinstance(value, list):
        return [_nulls(element) for element in value]
    return value if math.isfinite(value) else None


def from_json(body: Mapping[str, Any]) -> Report:
    """Return the report that `to_json` wrote.

    Raises ValueError, KeyError or TypeError if a field is missing or invalid.
    """
    fields: dict[str, Any] = {field: body[field] for field in _FIELDS}
    lists = {field: tuple(body[field]) for field in ("rows", "columns", "notes")}
    for name, value in [*fields.items(), *((key, text) for key, texts in lists.items() for text in texts)]:
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
    """Write the reports of one run to `<protocol>-<model>.json` in a folder, replacing an earlier file.

    Args:
        reports: The reports; the first one names the file.
        folder: The folder, which is created if needed.

    Returns:
        The path of the file.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> save_reports(Probes().run(args), Path("results"))
        PosixPath('results/probes-dsp.json')
    """
    first = reports[0]
    path = folder / f"{first.protocol}-{re.sub(r'[^A-Za-z0-9._-]+', '_', first.model)}.json"
    body = {"magic": MAGIC, "format": FORMAT, "reports": [to_json(report) for report in reports]}
    make_folder(folder, "--save")
    text = json.dumps(body, indent=1, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))
    return path


def load_reports(path: Path) -> tuple[Report, ...]:
    """Read the reports in a file of `save_reports`.

    Raises UsageError if the file is missing, is not a valid report, or has another format version.

    Example:
        >>> for report in load_reports(Path("results/probes-dsp.json")):
        ...     print(markdown(report))
    """
    body = read_json(path)
    if not isinstance(body, dict) or body.get("magic") != MAGIC:
        raise UsageError(f"{path} is not a report; reports are written by: soundalike evaluate PROTOCOL --save DIR")
    if body.get("format") != FORMAT:
        raise UsageError(
            f"{path} has format {body.get('format')!r}, this version reads format {FORMAT}; upgrade soundalike"
        )
    try:
        return tuple(from_json(report) for report in body["reports"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path} is not a valid report: {reason}; make it again") from error


# Text and pictures --------------------------------------------------------------------------------------------------


def table(report: Report) -> list[list[str]]:
    """Return a report as lines of cells: a header, one line per row, the chance levels, and n.

    A cell is a value with its interval, or "-" for a missing value.

    Example:
        >>> for line in table(report):
        ...     print("\t".join(line))
    """
    digits = {"%": 1, "count": 0}.get(report.unit, 3)
    unit = f" ({report.unit})" if report.unit else ""
    lines = [["", *(column + unit for column in report.columns)]]
    for name, values, lows, highs in zip(report.rows, report.values, report.low, report.high, strict=True):
        cells = [_cell(*numbers, digits) for numbers in zip(values, lows, highs, strict=True)]
        lines.append([name, *cells])
    if np.isfinite(report.chance).any():  # speeds, for example, have no chance level
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
    """Merge reports of several models on the same data, so that a table shows a model and its baselines.

    Reports are merged if their protocol, title, columns in any order, unit and chance levels are equal. Rows of several
    models are named "model/row", and notes that not all models share are prefixed with the model.

    Args:
        reports: Reports of any protocols and models.

    Returns:
        One report per table, in the order of their first appearance.

    Example:
        >>> page = "\n".join(map(markdown, merge([*load_reports(Path("a.json")), *load_reports(Path("b.json"))])))
    """
    groups: dict[tuple[Any, ...], list[Report]] = {}
    for report in reports:
        chances = sorted(zip(report.columns, report.chance.tolist(), strict=True))
        key = (report.protocol, report.title, report.unit, str(chances))
        first = groups.setdefault(key, [report])[0]
        if report is not first:
            groups[key].append(_reorder(report, first.columns))
    merged = []
    for same in groups.values():
        several = len({report.model for report in same}) > 1
        merged.append(
            Report(
                protocol=same[0].protocol,
                title=same[0].title,
                model=", ".join(dict.fromkeys(report.model for report in same)),
                rows=tuple(f"{report.model}/{row}" if several else row for report in same for row in report.rows),
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
                        f"{report.model}: {note}" if several and _differs(note, same) else note
                        for report in same
                        for note in report.notes
                    )
                ),
            )
        )
    return tuple(merged)


def _reorder(report: Report, columns: tuple[str, ...]) -> Report:
    """Return a report with its columns in another order."""
    order = [report.columns.index(column) for column in columns]
    return replace(
        report,
        columns=columns,
        values=report.values[:, order],
        low=report.low[:, order],
        high=report.high[:, order],
        n=report.n[:, order],
        chance=report.chance[order],
    )


def _differs(note: str, reports: Sequence[Report]) -> bool:
    """Whether some of the reports lack a note."""
    return any(note not in report.notes for report in reports)


def markdown(report: Report) -> str:
    """Return a report as a Markdown section: heading, table, notes, and the command that reproduces it."""
    header, *lines = table(report)
    text = [f"## {_escape(report.title)}", "", f"Model: {_escape(report.model)}. Value [95 % interval].", ""]
    text.append("| " + " | ".join(map(_escape, header)) + " |")
    text.append("|---|" + "--:|" * (len(header) - 1))
    text += ["| " + " | ".join(map(_escape, line)) + " |" for line in lines]
    text += ["", *(f"- {_escape(note)}" for note in report.notes), *([""] if report.notes else [])]
    text += [*(f"    {line}" for line in report.command.splitlines()), ""]
    return "\n".join(text)


def _escape(text: str) -> str:
    """Escape Markdown characters and join the text into one line."""
    return re.sub(r"([\\`*_|<>])", r"\\\1", " ".join(text.split()))


def check_plot(path: Path, option: str = "--plot") -> None:
    """Check that the picture of an option can be drawn, before any work is done. Raises UsageError."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"cannot draw {path}: the name must end in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: its folder does not exist")
    try:
        import_module("matplotlib.figure")
    except ImportError as error:
        raise UsageError(f"{option} needs matplotlib; install it with: pip install 'soundalike[plot]'") from error


def plot(reports: Sequence[Report], path: Path) -> None:
    """Draw reports with one panel per column: values with their intervals, and dashed lines for the chance levels.

    Panels have labelled axes, titles are whole, and a legend says what points and lines are. SVG and PDF suit papers.

    Args:
        reports: The reports, drawn below each other.
        path: The picture; its suffix, .png, .svg or .pdf, selects the format.

    Raises:
        UsageError: matplotlib is missing, the suffix is unknown, or the file cannot be written.

    Example:
        >>> plot(load_reports(Path("results/probes-dsp.json")), Path("probes.svg"))
    """
    check_plot(path)
    # Without pyplot, which would keep the figure in memory and select a display.
    figure_class = import_module("matplotlib.figure").Figure
    across = [min(len(report.columns), _PANELS) for report in reports]
    down = [math.ceil(len(report.columns) / _PANELS) for report in reports]
    heights = [0.6 + n * (0.7 + 0.24 * len(report.rows)) for n, report in zip(down, reports, strict=True)]
    labels = 0.08 * max(len(row) for report in reports for row in report.rows)
    width = max(4.5, labels + 1.9 * max(across))
    figure = figure_class(figsize=(width, 0.4 + sum(heights)), layout="constrained")
    parts = figure.subfigures(len(reports), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, report, columns, lines in zip(parts, reports, across, down, strict=True):
        title = textwrap.fill(f"{report.title} ({report.model})", int(width * _LETTERS))
        part.suptitle(title, x=0.01, horizontalalignment="left", fontsize="small")
        panels = part.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        _draw_panels(panels, report)
    handles = {label: handle for part in parts for panel in part.axes for handle, label in _legend_of(panel)}
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower left", ncols=3, fontsize="x-small", frameon=False
    )
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


_PANELS = 4
"""Panels beside each other, so that a picture fits a page."""
_LETTERS = 13
"""Letters of a title per inch."""


def _draw_panels(panels: Any, report: Report) -> None:
    positions = np.arange(len(report.rows))[::-1]
    for row in panels:
        row[0].set_yticks(positions, report.rows, fontsize="small")
        row[0].set_ylabel("space", fontsize="small")
    for n, panel in enumerate(panels.flat):
        if n >= len(report.columns):
            panel.set_axis_off()
            continue
        if math.isfinite(report.chance[n]):
            panel.axvline(report.chance[n], color="0.6", linestyle="--", linewidth=1, label="chance level")
        known = np.isfinite(report.low[:, n])
        if known.any():
            bounds = report.low[known, n], report.high[known, n]
            panel.hlines(positions[known], *bounds, color="0.4", label="95 % interval")
        panel.plot(report.values[:, n], positions, "o", color="black", markersize=4, label="value")
        panel.set_xlabel(f"{report.columns[n]} ({report.unit})" if report.unit else report.columns[n], fontsize="small")
        panel.tick_params(labelbottom=True)


def _legend_of(panel: Any) -> list[tuple[Any, str]]:
    return list(zip(*panel.get_legend_handles_labels(), strict=True))
