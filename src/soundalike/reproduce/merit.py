"""The whole of MERIT: every table and figure with numbers, measured again, and the printed numbers beside ours.

Table 2 (triplet accuracy and margins), table 3 (three probes), section 4.6 (classes), figure 3 (fusion), figure 4
(profiles of pairs), and figure 5 (layers). Table 1 holds ratings by people and is only quoted.

The probes run twice: as MERIT's code draws them (30 s clips padded with zeros, other negatives for every row), which is
the column to compare with the printed numbers, and with one draw for all rows and models, which is the fair comparison.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundalike.core import plugins
from soundalike.core.errors import SoundalikeError, UsageError, one_line
from soundalike.evaluate import attribute_model
from soundalike.evaluate.printed import PrintedTable, printed_tables
from soundalike.models import installed_models, load_recipe
from soundalike.reproduce.comparison import Comparison, ComparisonRow, Measurement, measurement_in
from soundalike.reproduce.runs import ProtocolRuns, Run

__all__ = ["MeritStudy", "find_data"]

_ROWS: Mapping[str, tuple[str, str]] = {
    "MERT": ("mert", "overall"),
    "CLAP": ("clap", "overall"),
    "H_mel": ("merit", "melody"),
    "H_rhy": ("merit", "rhythm"),
    "H_tim": ("merit", "timbre"),
}
"""What the rows of the paper are here: a model and a space."""
_HEADS = {name: space for name, (model, space) in _ROWS.items() if model == "merit"}
_FUSIONS = {
    "mean": "mean",
    "weighted mean, .4 .4 .2": "weighted mean",
    "product": "product",
    "concatenation": "concatenation",
}
"""The fusions of figure 3, and what the evaluation calls them."""
_PROBES = {"musdb": "MUSDB18-HQ (timbre)", "ballroom": "Ballroom (rhythm)", "covers80": "Covers80 (covers)"}
_DATASETS = {"musdb": ("musdb18hq", "stem_table"), "ballroom": ("ballroom",), "covers80": ("covers80",)}
_TRIPLETS = "triplet folders of MERIT: <factor>/triplets_N/triplet/{anchor,negative,positive_01..05}.wav"
_AS_CODE = ("--negatives", "published", "--clip", "30s")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table, and where its number is: the run, the report by a part of its title, and its column there.

    Without a part of a title, the first report has the number.
    """

    name: str
    kind: str
    report: str
    column: str
    options: tuple[str, ...] = ()


def find_data(folders: Sequence[Path]) -> dict[str, Path]:
    """Tell which data each folder holds, by its layout.

    Args:
        folders: Folders of datasets.

    Returns:
        The folder of "triplets", "musdb", "ballroom" and "covers80", for those that were found.

    Raises:
        UsageError: A folder does not exist or holds none of them, or two hold the same.

    Example:
        >>> find_data([Path("BallroomData")])
        {'ballroom': PosixPath('BallroomData')}
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; give folders of datasets")
        kind = _kind(folder)
        if kind is None:
            known = ". ".join([_TRIPLETS, *(_lacking(name, folder) for name in _PROBES)])
            raise UsageError(f"{folder} holds none of the data of the paper, or not all of it. Expected: {known}")
        if kind in found:
            raise UsageError(f"{found[kind]} and {folder} both hold {_named(kind)}; give one of them")
        found[kind] = folder
    return found


def _kind(folder: Path) -> str | None:
    """What a folder holds; None if it is unknown."""
    if any(folder.glob("triplets_*")) or any(folder.glob("*/triplets_*")):
        return "triplets"
    for kind, names in _DATASETS.items():
        for name in names:
            if plugins.load("datasets", name, root=folder).missing() is None:
                return kind
    return None


def _about(kind: str) -> str:
    about = plugins.load("datasets", _DATASETS[kind][0], root=Path()).about
    return f"{about.title}: {about.layout}"


def _lacking(kind: str, folder: Path) -> str:
    """What a dataset is called, and what a folder lacks for it."""
    dataset = plugins.load("datasets", _DATASETS[kind][0], root=folder)
    return f"{dataset.about.title}: {dataset.missing()}"


def _named(kind: str) -> str:
    return "triplet folders" if kind == "triplets" else _PROBES[kind].partition(" (")[0]


@dataclass(slots=True)
class MeritStudy:
    """All numbers of MERIT.

    Attributes:
        data: The folders of the data, from `find_data`.
        runs: Runs the protocols.
        others: Models to measure beside those of the paper.
        split: The file with the split of the triplet folders, if there is one.
    """

    data: Mapping[str, Path]
    runs: ProtocolRuns
    others: Sequence[str] = ()
    split: Path | None = None
    _printed: Mapping[str, PrintedTable] = field(default_factory=lambda: printed_tables("merit"))

    def tables(self) -> list[Comparison]:
        """Measure everything that the models and data at hand allow.

        Returns:
            The comparisons in the order of the paper. Rows without a model or data say what they need.

        Example:
            >>> study = MeritStudy(find_data([Path("BallroomData")]), ProtocolRuns())
            >>> page = markdown_page("MERIT", "", study.tables())
        """
        factors = ("melody", "rhythm", "timbre")
        accuracy = [_Column(name, "triplets", "Triplet accuracy, Wald", name) for name in factors]
        margins = [_Column(name, "triplets", "Triplet margin", name) for name in factors]
        distances = [
            _Column(f"{name}, {distance}", "triplets", "Triplet distances", f"{name}, {distance}")
            for name in factors for distance in ("d_AP", "d_AN")
        ]  # fmt: skip
        as_code = [_Column(name, kind, ", Wald", "all", _AS_CODE) for kind, name in _PROBES.items()]
        one_draw = [_Column(name, kind, "", "all") for kind, name in _PROBES.items()]
        return [
            self._compare("Table 2: triplet accuracy", "%", accuracy, "triplets"),
            self._compare("Section 4.4: margins, mean d_AN - d_AP", "", margins, "margins"),
            self._compare("Section 4.4: mean distances", "", distances, "distances"),
            self._compare("Table 3: probes, triplets drawn as in MERIT's code", "%", as_code, *_PROBES),
            self._compare("Table 3: probes, one draw for all rows and models", "%", one_draw, *_PROBES),
            self._classes("musdb", "Section 4.6: stem classes of MUSDB18-HQ"),
            self._classes("ballroom", "Section 4.6: dances of Ballroom"),
            self._fusion(),
            self._profiles(),
            self._layers(),
        ]

    def _run(self, kind: str, model: str, options: Sequence[str] = ()) -> Run:
        """Run the protocol of a kind of data; the heads of the paper with their fusions, to encode the clips once."""
        folder = self.data.get(kind)
        if folder is None:
            return Run(missing=f"No folder was given with {_TRIPLETS if kind == 'triplets' else _about(kind)}.")
        if kind == "triplets":
            split = ("--split", str(self.split)) if self.split else ()
            return self.runs.run("triplets", model, [*split, str(folder)], ["--all-anchors"])
        fused = ("--fusion", "--weights", "published") if model == "merit" and options == _AS_CODE else ()
        return self.runs.run(kind, model, ["--data", str(folder)], [*options, *fused])

    def _rows(self) -> list[tuple[str, str, str]]:
        """Names, models and spaces of the rows of most tables."""
        others = [(f"{model}, {space.name}", model, space.name)
                  for model in self.others for space in load_recipe(model).spaces]  # fmt: skip
        return [(name, *row) for name, row in _ROWS.items()] + others

    def _compare(self, title: str, unit: str, columns: Sequence[_Column], *printed: str) -> Comparison:
        """Compare one number per row and column; `printed` are the tables of the paper that hold them."""
        known = self._known(printed, columns)
        rows, commands = [], list[str]()
        for name, model, space in self._rows():
            runs = [self._run(column.kind, model, column.options) for column in columns]
            found = [
                measurement_in(report, space, column.column) if (report := run.report(column.report)) else None
                for run, column in zip(runs, columns, strict=True)
            ]
            commands += [run.reports[0].command for run in runs if run.reports]
            missing = next((run.missing for run in runs if run.missing), None)
            values = tuple(known.get((name, column.name), math.nan) for column in columns)
            rows.append(ComparisonRow(name, values, tuple(found), missing))
        return Comparison(title, unit, tuple(column.name for column in columns), tuple(rows), (), tuple(commands))

    def _known(self, tables: Iterable[str], columns: Sequence[_Column]) -> dict[tuple[str, str], float]:
        """The printed numbers by row and column; a table with the single column "all" belongs to its kind of data."""
        known = {}
        for name in tables:
            table = self._printed[name]
            for row, values in zip(table.rows, table.values, strict=True):
                for column, value in zip(table.columns, values, strict=True):
                    shown = next((one.name for one in columns if column == "all" and one.kind == name), column)
                    known[row, shown] = value
        return known

    def _classes(self, kind: str, title: str) -> Comparison:
        """Accuracy by class, drawn as in the code of the paper, for its rows."""
        printed = self._printed[f"{kind} classes"]
        reports = [self._run(kind, model, _AS_CODE).report("") for model in ("merit", *self.others)]
        found = [column for report in reports if report for column in report.columns if column != "all"]
        names = dict.fromkeys([*printed.columns, *found])
        columns = [_Column(name, kind, ", Wald", name, _AS_CODE) for name in names]
        return self._compare(title, "%", columns, f"{kind} classes")

    def _fusion(self) -> Comparison:
        """Figure 3: the four fusions of the heads, and the best single head, on every probe."""
        rows: list[ComparisonRow] = []
        printed = self._printed["fusion"]
        runs = {kind: self._run(kind, "merit", _AS_CODE) for kind in _PROBES}
        tuned = self._run("covers80", "merit", (*_AS_CODE, "--fusion", "--weights", "tuned"))
        missing = next((run.missing for run in runs.values() if run.missing), None)
        for name, row in _FUSIONS.items():
            found = [_number(run, f"fused vectors: {row}") for run in runs.values()]
            values = tuple(
                printed.values[printed.rows.index(row)][printed.columns.index(kind)]
                if row in printed.rows and kind in printed.columns else math.nan
                for kind in runs
            )  # fmt: skip
            rows.append(ComparisonRow(name, values, tuple(found), missing))
        weighted = _number(tuned, "fused scores: weighted mean")
        rows.insert(
            2,
            ComparisonRow(
                "weighted mean, tuned on Covers80",
                (math.nan,) * len(runs),
                (*([None] * (len(runs) - 1)), weighted),
                tuned.missing,
            ),
        )
        best = [max((one for head in ("melody", "rhythm", "timbre") if (one := _number(run, head))),
                    key=lambda one: one.value, default=None) for run in runs.values()]  # fmt: skip
        rows.append(
            ComparisonRow(
                "best single head", tuple(max(self._printed[kind].values[1:])[0] for kind in runs), tuple(best), missing
            )
        )
        notes = (
            "The fusions act on vectors, as in the code of the paper. The tuned one acts on scores, for which it is "
            "tuned. The printed best heads are from table 3.",
        )
        return Comparison("Figure 3: fusion of the heads", "%", tuple(_PROBES.values()), tuple(rows), notes)

    def _profiles(self) -> Comparison:
        """Figure 4: the similarities of three pairs of covers in the three heads."""
        printed, run = self._printed["profiles"], self._run("covers80", "merit", _AS_CODE)
        report = run.report("Profiles")
        rows = tuple(
            ComparisonRow(name, values, tuple(
                measurement_in(report, name, column) if report else None for column in printed.columns), run.missing)
            for name, values in zip(printed.rows, printed.values, strict=True)
        )  # fmt: skip
        return Comparison("Figure 4: profiles of three pairs of Covers80", "", printed.columns, rows)

    def _layers(self) -> Comparison:
        """Figure 5: which layers of MERT each head uses. The paper prints a picture only."""
        title = "Figure 5: shares of the layers of MERT in the first layer of each head"
        notes = ("The paper shows a picture without numbers. Uniform weights would give 20 % per layer.",)
        report, missing = None, "The model merit is not installed: soundalike models install merit"
        if "merit" in installed_models():
            try:
                report = attribute_model("merit")
            except SoundalikeError as error:
                missing = f"Failed: {one_line(str(error))}"
        if report is None:
            return Comparison(title, "%", (), tuple(ComparisonRow(name, (), (), missing) for name in _HEADS), notes)
        unknown = (math.nan,) * len(report.columns)
        rows = [
            ComparisonRow(name, unknown, tuple(measurement_in(report, space, column) for column in report.columns))
            for name, space in _HEADS.items()
        ]
        return Comparison(title, "%", report.columns, tuple(rows), notes, (report.command,))


def _number(run: Run, row: str) -> Measurement | None:
    """The accuracy of a row over all triplets of a probe, with its Wald interval."""
    report = run.report(", Wald")
    return measurement_in(report, row, "all") if report else None
