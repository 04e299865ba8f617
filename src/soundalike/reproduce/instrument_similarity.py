"""The whole of the paper on similarity of individual instruments: every table, measured again, beside the printed one.

Tables 1 (judgements), 2 (MES-Normal), 3 (MES-Pseudo), 4 (SDR), 5 (agreement with listeners, with and without PAFT), 6
(target and non-target), and figure 7 (t-SNE). Beside the paper: the gain by PAFT on the same judgements, and the
learning curves. `similarity_runs.py` trains the networks, `similarity_sets.py` says which segments are judged.

What the paper does not say, and what is used here, is in docs/instrument-similarity.md.

Reference: Imamura, Hashizume, Huang and Toda, Music Similarity Representation Learning Focusing on Individual
Instruments with Source Separation and Human Preference, 2025.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import make_folder
from soundalike.evaluate.printed import printed_remarks
from soundalike.evaluate.sdr import median_over_songs
from soundalike.evaluate.tsne import Panel, draw_tsne
from soundalike.reproduce.comparison import Comparison, ComparisonRow, Measurement
from soundalike.reproduce.similarity_agreement import agreement_tables, count_table
from soundalike.reproduce.similarity_layout import Layout, Measure
from soundalike.reproduce.similarity_runs import SimilarityRun
from soundalike.reproduce.similarity_sets import (
    LEAST,
    SegmentSet,
    normal_segments,
    picture_segments,
    pseudo_segments,
)
from soundalike.train.metric.segments import Segments

__all__ = ["SimilarityStudy"]

_STAGES: Final[Mapping[str, str]] = {
    "Clean": "clean",
    "Cascade w/o pre-trained MSS": "cascade",
    "Cascade, w/o pseudo-musical-pieces": "cascade_normal",
    "Cascade-FT": "cascade_ft",
    "Cascade-FT, w/o pseudo-musical-pieces": "cascade_ft_normal",
    "Direct": "direct",
    "Direct w/ DA": "direct_da",
    "Direct-Reconst": "direct_reconst",
}
"""The rows of tables 2, 3, 4 and 6, and the stages that train their networks."""
_QUOTED = "Only the printed number: its separator was trained on other data."


@dataclass(slots=True)
class SimilarityStudy:
    """All numbers of the paper.

    Attributes:
        run: The songs, networks and judgements.
        least: Segments per cell of tables 2 and 3 at least.
        layout: Builds rows, and knows which could not be measured.
    """

    run: SimilarityRun
    least: int = LEAST
    layout: Layout = field(init=False)
    _sets: dict[tuple[str, int], SegmentSet] = field(default_factory=dict)
    _segments: Segments | None = None

    def __post_init__(self) -> None:
        self.layout = Layout(self.run.instruments)

    def tables(self) -> list[Comparison]:
        """Train what is missing and measure everything.

        Returns:
            The comparisons in the order of the paper. Rows without data say what they need.

        Raises:
            UsageError: The songs cannot be used, or files in WORK are of another run.

        Example:
            >>> study = SimilarityStudy(SimilarityRun(Path("work"), SMALL, SimilaritySources(RenderedSongs())))
            >>> page = markdown_page("Similarity of instruments", "", study.tables())
        """
        self.run.train()
        missing = self._tune()
        return [
            count_table(self.run, self.layout, missing),
            self._scores("Table 2: MES-Normal", "normal", "normal", list(self.layout.printed["normal"].rows)),
            self._scores("Table 3: MES-Pseudo", "pseudo", "pseudo", ["Clean", *self.layout.printed["pseudo"].rows]),
            self._separation(),
            *agreement_tables(self.run, self.layout, missing),
            self._scores("Table 6: target, higher is better", "target", "pictures", self._shown()),
            self._scores("Table 6: non-target, lower is better", "non-target", "pictures", self._shown(), rest=True),
            self._curves(),
        ]

    def draw(self, folder: Path) -> list[Path]:
        """Draw figure 7: one picture per method, with a panel per instrument.

        Args:
            folder: Where to write; it is made.

        Returns:
            The files. Instruments that are audible in too few segments have no panel.

        Raises:
            UsageError: matplotlib or scikit-learn is missing, or a file cannot be written.

        Example:
            >>> study.draw(Path("report"))
            [PosixPath('report/figure7-direct.png'), ...]
        """
        make_folder(folder, "--figures")
        files = []
        for name in self._shown():
            panels = []
            for instrument, column in enumerate(self.layout.columns):
                try:
                    chosen = self._set("pictures", instrument)
                except UsageError:  # table 6 says why
                    continue
                (drawn,) = chosen.draws
                panels.append(Panel(column, self._rows(_STAGES[name], chosen), drawn.targets, drawn.rests))
            if panels:
                files.append(folder / f"figure7-{_STAGES[name].replace('_', '-')}.png")
                draw_tsne(panels, files[-1], name, self.run.settings.seed)
        return files

    def _shown(self) -> list[str]:
        """The rows of table 6 and figure 7, and those that the paper leaves out."""
        return [*self.layout.printed["target"].rows, "Cascade w/o pre-trained MSS", "Clean"]

    def _tune(self) -> str | None:
        """Fine-tune on judgements; return why there are none, if there are none."""
        try:
            judged = self.run.judged
        except UsageError as error:
            return f"No judgements: {one_line(str(error))}. Give those of people with --labels."
        self.run.announce(
            f"{len(judged.preferences):,} of {len(judged.judgements):,} judgements have a majority and are about songs "
            f"at hand: {len(judged.trained):,} to train on, {len(judged.tested):,} to test with"
        )
        self.run.tune()
        return None

    # Tables 2, 3 and 6 -----------------------------------------------------------------------------------------------

    def _scores(self, title: str, table: str, kind: str, names: Sequence[str], *, rest: bool = False) -> Comparison:
        """Music estimation scores of methods on one kind of segments."""
        seed = self.run.settings.seed

        def measure(stage: str) -> Measure:
            def of_instrument(instrument: int) -> Measurement:
                chosen = self._set(kind, instrument)
                return chosen.score(self._rows(stage, chosen), seed, rest=rest)

            return of_instrument

        rows = []
        for name in names:
            if name in _STAGES:
                rows.append(self.layout.row(name, table, measure(_STAGES[name])))
            else:
                rows.append(self.layout.row(name, table, None, _QUOTED))
        rows.append(
            self.layout.row("chance", table, lambda instrument: self._set(kind, instrument).chance(seed, rest=rest))
        )
        notes = [
            "Votes of five neighbours by L2 on raw rows. Intervals: bootstrap over songs. Chance: random neighbours."
        ]
        if kind == "pictures":
            notes.append("Ten segments of each pair of ten songs; those of one song may overlap.")
        else:
            draws = ", ".join(
                f"{column} {len(self._set(kind, instrument).draws)}"
                for instrument, column in enumerate(self.layout.columns)
                if (kind, instrument) in self._sets
            )
            notes.append(
                f"At least {self.least:,} segments per cell, in several draws that are judged by themselves: {draws}."
            )
        if table == "normal":
            notes += printed_remarks("instrument_similarity")[:1]
        return Comparison(title, "%", self.layout.columns, tuple(rows), tuple(notes))

    def _set(self, kind: str, instrument: int) -> SegmentSet:
        """Return the segments of one kind, drawn once."""
        if (kind, instrument) not in self._sets:
            segments, seed = self._test_segments(), self.run.settings.seed
            if kind == "pictures":
                found = picture_segments(segments, instrument, seed)
            else:
                draw = normal_segments if kind == "normal" else pseudo_segments
                found = draw(segments, instrument, seed, self.least)
            self._sets[kind, instrument] = found
        return self._sets[kind, instrument]

    def _test_segments(self) -> Segments:
        if self._segments is None:
            pieces, seconds = self.run.space.material.songs["test"], self.run.settings.test_segment
            self._segments = Segments(pieces, self.run.instruments, seconds)
        return self._segments

    def _rows(self, stage: str, chosen: SegmentSet) -> np.ndarray:
        weights, load = self.run.network(stage, chosen.instrument)
        return self.run.encoder.rows(weights, load, chosen.mixtures, self._test_segments(), chosen.instrument)

    # Table 4 ---------------------------------------------------------------------------------------------------------

    def _separation(self) -> Comparison:
        """SDR of the separated stems, and of the mix in their place."""
        pieces = self.run.space.material.songs["test"]

        def measure(stage: str | None) -> Measure:
            def of_instrument(instrument: int) -> Measurement:
                weights, load = self.run.network(stage or "cascade", instrument)
                songs = self.run.encoder.sdr(weights if stage else None, load, pieces, instrument)
                if np.isnan(songs).all():
                    raise UsageError(f"{self.run.instruments[instrument]} is silent in all test songs")
                found = median_over_songs(songs[:, None], self.run.settings.seed)
                return Measurement(float(found.value[0]), float(found.low[0]), float(found.high[0]), int(found.n[0]))

            return of_instrument

        rows = [
            self.layout.row(name, "sdr", measure(_STAGES[name]) if name in _STAGES else None, _QUOTED)
            for name in self.layout.printed["sdr"].rows
        ]
        rows.append(self.layout.row("the mix itself", "sdr", measure(None)))
        notes = (
            "Museval's SDR without filters: the median over frames of one second in which the instrument sounds, then "
            f"over songs, at {self.run.settings.spectrum.rate:,} Hz. Intervals: bootstrap over songs. n counts songs.",
        )
        return Comparison("Table 4: SDR of separated stems", "dB", self.layout.columns, tuple(rows), notes)

    def _curves(self) -> Comparison:
        """The learning curves in short."""
        columns = ("validation loss, first epoch", "lowest", "right in that epoch, %")
        rows = []
        for name, curve in self.run.curves.items():
            if name.startswith("PAFT"):  # a hundred of them; each is printed when it is trained
                continue
            best = min(curve, key=lambda epoch: epoch.validation_loss)
            values = (curve[0].validation_loss, best.validation_loss, 100 * best.validation_accuracy)
            measured = tuple(Measurement(value, math.nan, math.nan, len(curve)) for value in values)
            rows.append(ComparisonRow(name, (math.nan,) * 3, measured))
        notes = (
            "n counts epochs. What is right: triplets whose positive is nearer; for separators, the share of the other "
            "instruments that is removed; for direct_pretrain, the share of the variance of Clean's rows.",
        )
        return Comparison("Learning curves", "", columns, tuple(rows), notes)
