"""The whole of the paper on weights per instrument: every table, measured again, and the printed numbers beside ours.

Table 1 (cosines per stem), tables 2 and 3 (weighted stems of CLAP and MuQ-MuLan), and table 4 (the weights). Beyond the
paper: how many triplets each threshold leaves, and the same models with songs left out, which random splits share.

What the paper does not say, and what is used here:

- The penalty of ridge regression: 1, the default of scikit-learn.
- Which runs table 4 averages: here OLS and ridge, of true and separated stems, as far as they were measured, fitted to
  all triplets.
- Whether a majority is more than 75 % or at least 75 %: here more, which gives the published 332 triplets of mixes.
- D-CSN and Cascade-PAFT are not public; their numbers are only printed.

Reference: Vohra and Akama, Interpretable and Perceptually-Aligned Music Similarity with Pretrained Embeddings, 2026.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

from soundalike.audio.datasets import TESTS, Ballot, has_majority
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.evaluate.printed import PrintedTable, printed_tables
from soundalike.reproduce.comparison import Comparison, ComparisonRow, Measurement, measurement_in
from soundalike.reproduce.runs import ProtocolRuns, Run

__all__ = ["InstrumentWeightStudy", "find_listening_data"]

_MODELS: Final[Mapping[str, str]] = {"CLAP": "clap", "MuQ-MuLan": "muq"}
"""The encoders of the paper, and the models that they are here."""
_SEPARATORS: Final[Mapping[int, str]] = {4: "demucs", 6: "demucs6s"}
_ONLY_PRINTED = "Not public: the number is only printed."
_THRESHOLDS = {
    "more than 75 %": (Fraction(3, 4), True),
    "at least 75 %": (Fraction(3, 4), False),
    "more than 80 %": (Fraction(4, 5), True),
    "at least 80 %": (Fraction(4, 5), False),
}
_COLUMNS = {"OLS": ("OLS", "mean"), "OLS, sd": ("OLS", "their sd"), "ridge": ("ridge", "mean"),
            "ridge, sd": ("ridge", "their sd")}  # fmt: skip
_RESIDUALS = {"residuals": "other"}


def find_listening_data(folders: Sequence[Path]) -> dict[str, Path]:
    """Tell which folder holds the labels and which the songs, by their layout.

    Args:
        folders: The folder of Inst-Sim-ABX, and that of Slakh2100, or one of them.

    Returns:
        The folders of "labels" and "slakh", for those that were found.

    Raises:
        UsageError: A folder does not exist or holds neither, or two hold the same.

    Example:
        >>> find_listening_data([Path("Inst-Sim-ABX-Dataset")])
        {'labels': PosixPath('Inst-Sim-ABX-Dataset')}
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; give the folders of Inst-Sim-ABX and of Slakh2100")
        if (folder / "csvs").is_dir():
            kind = "labels"
        elif (problem := plugins.load("datasets", "slakh2100", root=folder).missing()) is None:
            kind = "slakh"
        else:
            raise UsageError(f"{folder} is neither Inst-Sim-ABX (csvs/, sample_configs/) nor Slakh2100: {problem}")
        if kind in found:
            raise UsageError(f"{found[kind]} and {folder} hold the same data; give one of them")
        found[kind] = folder
    return found


@dataclass(slots=True)
class InstrumentWeightStudy:
    """All numbers of the paper.

    Attributes:
        data: The folders, from `find_listening_data`.
        runs: Runs the protocols.
        others: Models to measure beside those of the paper, with true stems.
        stem_models: Stem models of `others`, such as compact-spleeter, to measure beside them.
    """

    data: Mapping[str, Path]
    runs: ProtocolRuns
    others: Sequence[str] = ()
    stem_models: Sequence[str] = ()
    _printed: Mapping[str, PrintedTable] = field(default_factory=lambda: printed_tables("instrument_weights"))

    def tables(self) -> list[Comparison]:
        """Measure everything that the models and data at hand allow.

        Returns:
            The comparisons in the order of the paper. Rows without a model or data say what they need.

        Example:
            >>> study = InstrumentWeightStudy(find_listening_data([labels, slakh]), ProtocolRuns())
            >>> page = markdown_page("Weights per instrument", "", study.tables())
        """
        return [
            *(self._cosines(test) for test in TESTS),
            *(self._weighted(name, number) for number, name in enumerate(_MODELS, start=2)),
            *(self._others(name) for name in self.others),
            self._weights(),
            self._counts(),
        ]

    def _run(self, protocol: str, model: str, options: Sequence[str] = ()) -> Run:
        for kind, title in (("labels", "inst_sim_abx"), ("slakh", "slakh2100")):
            if kind not in self.data:
                about = plugins.load("datasets", title, root=Path()).about
                return Run(missing=f"No folder was given with {about.title}: {about.layout}.")
        data = ["--labels", str(self.data["labels"]), "--slakh", str(self.data["slakh"])]
        return self.runs.run(protocol, model, data, options)

    def _cosines(self, test: str) -> Comparison:
        """Table 1: agreement of the cosine, per stem."""
        printed, rows, commands = self._printed[test], [], list[str]()
        names = {**_MODELS, **{name: name for name in self.others}}
        for name, model in names.items():
            run = self._run("abx", model)
            report = run.report(f"{test}, question total")
            for space in report.rows if report else ("",):
                shown = f"{name}, {space}" if name in self.others and space else name
                rows.append(_row(shown, printed, name, [
                    measurement_in(report, space, column) if report else None for column in printed.columns
                ], run.missing))  # fmt: skip
            commands += [report.command] if report else []
        rows += [_row(name, printed, name, [None] * len(printed.columns), _ONLY_PRINTED) for name in printed.rows[2:]]
        kind = "X, A and B of three songs" if test == "XAB" else "X and Y of one song"
        notes = ("Majorities of more than 75 %. Intervals: Clopper-Pearson.",)
        return Comparison(
            f"Table 1, {test}: cosine per stem, {kind}", "%", printed.columns, tuple(rows), notes, tuple(commands)
        )

    def _configurations(self, model: str) -> dict[str, Run]:
        """The four runs of a table: separated and true stems, 4 and 6 of them."""
        found: dict[str, Run] = {}
        for stems in (4, 6):
            separated = f"{model}-{_SEPARATORS[stems]}"
            found[f"{stems} stems and mix, Demucs"] = self._with_stem_model(model, separated)
            found[f"{stems} stems and mix, Slakh"] = self._run("weights", model, ["--true-stems", str(stems)])
        return found

    def _with_stem_model(self, model: str, stem_model: str) -> Run:
        if missing := self.runs.missing_model(stem_model):
            return Run(missing=missing)
        return self._run("weights", model, ["--with", stem_model])

    def _weighted(self, name: str, number: int) -> Comparison:
        """Tables 2 and 3: agreement of weighted stems on random splits, and what songs left out give."""
        model = _MODELS[name]
        return self._agreement(f"Table {number}: weighted stems of {name}", self._configurations(model), model)

    def _others(self, model: str) -> Comparison:
        """The same for a model that is not in the paper."""
        runs = {
            f"{stems} stems and mix, Slakh": self._run("weights", model, ["--true-stems", str(stems)])
            for stems in (4, 6)
        }
        for stem_model in self.stem_models:
            runs[f"mix and {stem_model}"] = self._with_stem_model(model, stem_model)
        return self._agreement(f"Beside the paper: weighted stems of {model}", runs, None, model)

    def _agreement(
        self, title: str, runs: Mapping[str, Run], table: str | None, model: str | None = None
    ) -> Comparison:
        printed = self._printed[table] if table else None
        rows: list[ComparisonRow] = []
        commands: list[str] = []
        baseline: Report | None = None
        for name, run in runs.items():
            report = run.report("Agreement with listeners, question total")
            baseline = baseline or report
            commands += [report.command] if report else []
            found = [_split_number(report, *where) for where in _COLUMNS.values()]
            left_out = [measurement_in(report, method, "songs left out") if report else None
                        for method in ("OLS", "ridge")]  # fmt: skip
            rows.append(ComparisonRow(
                name, (*_values(printed, name, len(_COLUMNS)), math.nan, math.nan), (*found, *left_out), run.missing
            ))  # fmt: skip
        cosines = (
            [row for row in baseline.rows if row.startswith("cosine") or row.startswith("all")] if baseline else []
        )
        for row in cosines or ["cosine of the mix"]:
            mean, spread = _split_number(baseline, row, "mean"), _split_number(baseline, row, "their sd")
            shown = "cosine of the mix" if len(cosines) < 2 else row
            missing = None if baseline else next(run.missing for run in runs.values())
            left = measurement_in(baseline, row, "songs left out") if baseline else None
            rows.append(ComparisonRow(
                shown, (*_values(printed, shown, len(_COLUMNS)), math.nan, math.nan),
                (mean, spread, None, None, left, None), missing,
            ))  # fmt: skip
        notes = (
            "Mean and standard deviation (sd) of 100 random splits, which share songs between fit and test.",
            "Songs left out, which the paper has not: weights are fitted without any song of the tested triplets; "
            "intervals from a bootstrap over the songs of X. The baseline is in the column of OLS.",
            "The penalty of ridge is not printed; here it is 1.",
        )
        columns = (*_COLUMNS, "OLS, songs left out", "ridge, songs left out")
        return Comparison(title, "%", columns, tuple(rows), notes, tuple(commands))

    def _weights(self) -> Comparison:
        """Table 4: the mean of the weights of OLS and ridge, of separated and true stems."""
        printed = self._printed["weights"]
        rows = []
        for name, model in _MODELS.items():
            runs = self._configurations(model)
            for stems in (4, 6):
                own = [run for label, run in runs.items() if label.startswith(str(stems))]
                reports = [report for run in own if (report := run.report("Weights, question total"))]
                label = f"{name}, {stems} stems"
                missing = None if reports else next(run.missing for run in own)
                rows.append(_row(label, printed, label, [
                    _mean_weight(reports, "overall" if column == "mix" else _RESIDUALS.get(column, column))
                    for column in printed.columns
                ], missing))  # fmt: skip
        notes = (
            "The paper does not say which runs it averages. Here: OLS and ridge, of true and separated stems as far as "
            "they were measured, fitted to all triplets.",
        )
        return Comparison("Table 4: learned weights", "", printed.columns, tuple(rows), notes)

    def _counts(self) -> Comparison:
        """How many triplets the thresholds leave."""
        printed = self._printed["counts"]
        columns = (*printed.columns, "residuals", "mix")
        rows = []
        missing = None
        ballots: tuple[Ballot, ...] = ()
        if "labels" in self.data:
            ballots = plugins.load("datasets", "inst_sim_abx", root=self.data["labels"]).ballots()
        else:
            missing = "No folder was given with Inst-Sim-ABX."
        for threshold, (share, strict) in _THRESHOLDS.items():
            for test in TESTS:
                first = threshold == next(iter(_THRESHOLDS))
                values = [_count(ballots, test, column, share, strict) if ballots else None for column in columns]
                known = printed.values[printed.rows.index(test)] if first else (math.nan,) * len(printed.columns)
                rows.append(ComparisonRow(f"{test}, {threshold}", (*known, math.nan, math.nan), tuple(values), missing))
        notes = (
            f"Printed in {printed.where}. The paper has about 330 mixes, XAB and XYC together, and does not say by "
            "which of the thresholds.",
        )
        return Comparison("Triplets on which votes agree", "", columns, tuple(rows), notes)


def _row(
    shown: str, printed: PrintedTable, name: str, measured: Sequence[Measurement | None], missing: str | None
) -> ComparisonRow:
    return ComparisonRow(shown, _values(printed, name, len(printed.columns)), tuple(measured), missing)


def _values(printed: PrintedTable | None, row: str, count: int) -> tuple[float, ...]:
    if printed is None or row not in printed.rows:
        return (math.nan,) * count
    return printed.values[printed.rows.index(row)]


def _split_number(report: Report | None, row: str, what: str) -> Measurement | None:
    """The mean or standard deviation of random splits."""
    if report is None:
        return None
    return measurement_in(report, row, report.columns[0] if what == "mean" else what)


def _mean_weight(reports: Sequence[Report], row: str) -> Measurement | None:
    """The mean of a weight over reports and methods; no interval, because the runs are of the same triplets."""
    found = [one for report in reports for method in ("OLS", "ridge") if (one := measurement_in(report, row, method))]
    if not found:
        return None
    return Measurement(float(np.mean([one.value for one in found])), math.nan, math.nan, found[0].n)


def _count(ballots: Sequence[Ballot], test: str, instrument: str, share: Fraction, strict: bool) -> Measurement:
    own = [ballot for ballot in ballots if (ballot.test, ballot.instrument) == (test, instrument)]
    right = sum(has_majority(ballot.votes["total"], share, strict=strict) for ballot in own)
    return Measurement(float(right), math.nan, math.nan, len(own))
