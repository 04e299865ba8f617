"""The whole of the paper on concepts: every table, measured again, beside the printed one.

Table 1 (networks), table 2 (combinations and single dimensions) and figure 3. Beside the paper: the accuracy per
concept under each mask on labelled segments that were not trained on, the effect of every input and of the number of
dimensions with paired intervals, all 63 combinations, and the learning curves. `concept_runs.py` trains the networks.

Reference: Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation Learning for
Multi-Dimensional Modeling of Music Similarity, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from soundalike.audio import CONCEPTS
from soundalike.core.errors import SoundalikeError, UsageError, one_line
from soundalike.core.files import make_folder
from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.base import full_span
from soundalike.evaluate.concepts import ALL, alike_triplets, all_masks, mask_outcomes, masks_of
from soundalike.evaluate.estimates import Estimate, bootstrap, paired
from soundalike.evaluate.kiviat import draw_kiviat
from soundalike.evaluate.printed import printed_remarks, printed_tables
from soundalike.evaluate.section_rows import encode_sections
from soundalike.reproduce.comparison import Comparison, ComparisonRow, Measurement
from soundalike.reproduce.concept_judgements import JudgedSongs
from soundalike.reproduce.concept_runs import ABLATION, BASELINE, BEST, ConceptRun, NetworkRow
from soundalike.reproduce.runs import ProtocolRuns
from soundalike.train.concepts.labels import Concept, alike_matrix

__all__ = ["LEAST", "ConceptStudy"]

LEAST: Final = 1000
"""Triplets per concept."""
_SEGMENTS = 3000
"""Test segments that triplets are drawn from: all pairs of them are compared."""
_FOUR_MULTI, _SINGLE, _TEMPOGRAM, _CHROMA = ABLATION[1], ABLATION[3], ABLATION[5], ABLATION[6]
_EFFECTS: Final[Mapping[str, tuple[NetworkRow, NetworkRow]]] = {
    "tempogram added to mel": (_TEMPOGRAM, _SINGLE),
    "chroma added to mel": (_CHROMA, _SINGLE),
    "tempogram added to mel and chroma": (BEST, _CHROMA),
    "chroma added to mel and tempogram": (BEST, _TEMPOGRAM),
    "multi-input minus single input, 6 dimensions": (BEST, _SINGLE),
    "multi-input minus single input, 4 dimensions": (_FOUR_MULTI, BASELINE),
    "6 minus 4 dimensions, single input": (_SINGLE, BASELINE),
    "6 minus 4 dimensions, multi-input": (BEST, _FOUR_MULTI),
}
_JUDGED = "judged songs, all dimensions"
_OPENL3 = "OpenL3, 512"
_BEST_COMBINATIONS = 6


@dataclass(slots=True)
class ConceptStudy:
    """All numbers of the paper.

    Attributes:
        run: The recordings, networks and judgements.
        models: Other models to measure on the judged songs, by their names.
        triplets: Triplets per concept.
        failed: What could not be measured, and why.
    """

    run: ConceptRun
    models: Sequence[str] = ("efficientat", "musicnn")
    triplets: int = LEAST
    failed: list[str] = field(default_factory=list)
    _outcomes: dict[str, FloatArray] = field(default_factory=dict)
    _drawn: dict[str, IntArray] = field(default_factory=dict)
    _songs: dict[str, FloatArray] = field(default_factory=dict)
    _segments: IntArray | None = None

    def tables(self) -> list[Comparison]:
        """Train what is missing and measure everything.

        Returns:
            The comparisons in the order of the paper, then those beside it.

        Raises:
            UsageError: The recordings cannot be used, or files in WORK are of another run.

        Example:
            >>> study = ConceptStudy(ConceptRun(Path("work"), SMALL, ConceptSources()))
            >>> page = markdown_page("Concepts", "", study.tables())
        """
        self.run.train()
        self._draw()
        return [
            self._networks(),
            *self._dimensions(),
            self._accuracy(),
            self._masks(),
            self._effects(),
            self._combinations(),
            self._curves(),
        ]

    def draw(self, folder: Path) -> list[Path]:
        """Draw figure 3: the printed and the measured scores of single dimensions.

        Args:
            folder: Where to write; it is made.

        Raises:
            UsageError: matplotlib is missing, or the file cannot be written.

        Example:
            >>> study.draw(Path("report"))
            [PosixPath('report/figure3.png')]
        """
        make_folder(folder, "--figures")
        printed = printed_tables("concepts")["dimensions"]
        found = self._scores(masks_of(CONCEPTS)).value[:-1]
        lines = {
            "printed, listeners of Dim-sim": [score for (score,) in printed.values],
            f"measured, {self.run.judged.source.split(',')[0]}": (100 * found).tolist(),
        }
        file = folder / "figure3.png"
        draw_kiviat(CONCEPTS, lines, file, title=f"Single dimensions, {BEST.name}", option="--figures")
        return [file]

    # Judged songs: tables 1 and 2, figure 3 ---------------------------------------------------------------------------

    def _judged_rows(self, row: NetworkRow) -> dict[str, FloatArray]:
        """The rows of the judged songs in each dimension of a network. All networks read a song at once."""
        if not self._songs:
            self.run.announce(f"embedding {len(self.run.judged.files):,} judged songs")
            files = [self.run.network(one) for one in ABLATION]
            embeddings = self.run.encoder.songs(files, self.run.judged.files)
            self._songs = {one.slug: found for one, found in zip(ABLATION, embeddings, strict=True)}
        return _slices(self._songs[row.slug], row)

    def _judged_outcomes(self, row: NetworkRow, masks: Mapping[str, Sequence[str]]) -> FloatArray:
        return mask_outcomes(self._judged_rows(row), self.run.judged.triplets, masks)

    def _scores(self, masks: Mapping[str, Sequence[str]]) -> Estimate:
        """Scores of the best network under masks."""
        return bootstrap(self._judged_outcomes(BEST, masks), self.run.judged.anchors, self.run.settings.seed)

    def _networks(self) -> Comparison:
        """Table 1, with networks and models that it lacks."""
        printed, judged = printed_tables("concepts")["models"], self.run.judged
        scores = dict(zip(printed.rows, printed.values, strict=True))
        rows = []
        for row in ABLATION:
            outcomes = self._judged_outcomes(row, {ALL: CONCEPTS[: row.concepts]})
            found = bootstrap(outcomes, judged.anchors, self.run.settings.seed)
            rows.append(ComparisonRow(row.name, scores.get(row.name, (math.nan,)), (_measurement(found, 0),)))
        for name, model in ((_OPENL3, "openl3"), *((model, model) for model in self.models)):
            rows.append(self._model(name, model, scores.get(name, (math.nan,)), judged))
        notes = (
            f"Ours: {judged.source}. Means over sections of 3 s, Euclidean distance, all dimensions on. Chance is "
            "50 %. Intervals: bootstrap over anchors.",
            "Models by other authors: unit rows of all their spaces, averaged over the same sections.",
            *printed_remarks("concepts")[:2],
        )
        return Comparison("Table 1: networks", "%", ("all dimensions",), tuple(rows), notes)

    def _model(self, name: str, model: str, printed: tuple[float, ...], judged: JudgedSongs) -> ComparisonRow:
        """The row of a model by other authors."""
        problem = ProtocolRuns.missing_model(model)
        if problem is None:
            self.run.announce(f"encoding the judged songs with {model}")
            spans = [full_span(file) for file in judged.files]
            try:
                encoded = encode_sections(spans, model, jobs=self.run.jobs, progress=self.run.progress)
                names = [space.name for space in encoded.spaces]
                outcomes = mask_outcomes(encoded.rows, encoded.positions(spans)[judged.triplets], {ALL: names})
                found = bootstrap(outcomes, judged.anchors, self.run.settings.seed)
                return ComparisonRow(name, printed, (_measurement(found, 0),))
            except SoundalikeError as error:
                problem = one_line(f"{model} failed: {error}")
                self.failed.append(problem)
        return ComparisonRow(name, printed, (None,), problem)

    def _dimensions(self) -> list[Comparison]:
        """Table 2: the best combinations by rank, and single dimensions."""
        tables, masks = printed_tables("concepts"), all_masks(CONCEPTS)
        found = self._scores(masks)
        order = np.argsort(-found.value, kind="stable")[:_BEST_COMBINATIONS]
        names = list(masks)
        best = tuple(
            ComparisonRow(f"{rank}. (ours: {names[at]})", printed, (_measurement(found, int(at)),))
            for rank, (at, printed) in enumerate(zip(order, tables["combinations"].values, strict=True), start=1)
        )
        note = f"The network {BEST.name}. Ours: {self.run.judged.source}."
        chosen = "The best of 63 combinations on the same triplets: their scores are too high for new ones."
        single = tuple(
            ComparisonRow(concept, printed, (_measurement(found, names.index(concept)),))
            for concept, printed in zip(CONCEPTS, tables["dimensions"].values, strict=True)
        )
        return [
            Comparison("Table 2, top: best combinations", "%", ("score",), best,
                       (note, chosen, *printed_remarks("concepts")[2:])),
            Comparison("Table 2, bottom, and figure 3: single dimensions", "%", ("score",), single, (note,)),
        ]  # fmt: skip

    def _combinations(self) -> Comparison:
        """All combinations of dimensions, the best first."""
        masks = all_masks(CONCEPTS)
        found, names = self._scores(masks), list(masks)
        rows = tuple(
            ComparisonRow(names[at], (math.nan,), (_measurement(found, int(at)),))
            for at in np.argsort(-found.value, kind="stable")
        )
        notes = (f"The network {BEST.name}. Ours: {self.run.judged.source}.",)
        return Comparison(f"Beside table 2: all {len(masks)} combinations", "%", ("score",), rows, notes)

    # Labelled segments ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Draw the triplets of every concept from test segments."""
        material, seed = self.run.material, self.run.settings.seed
        rows = material.rows["test"]
        if not len(rows):
            raise UsageError(
                "there are no test recordings; expected recordings of the parts train, validation and test"
            )
        if len(rows) > _SEGMENTS:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _SEGMENTS, replace=False))
        self._segments = rows
        labels = [material.labels[row] for row in rows]
        for at, concept in enumerate(CONCEPTS):
            try:
                alike = alike_matrix(concept, labels)
                self._drawn[concept] = alike_triplets(
                    alike, material.songs[rows], seed + at, count=self.triplets, what=concept
                )
            except UsageError as error:
                self.failed.append(str(error))

    def _concept_outcomes(self, row: NetworkRow, concept: Concept) -> FloatArray:
        """Whether triplets of a concept are right under each mask of a network, (m, masks)."""
        key = f"{row.slug} {concept}"
        if key not in self._outcomes:
            assert self._segments is not None
            embedding = self.run.encoder.segments(self.run.network(row), self.run.material, self._segments)
            masks = masks_of(CONCEPTS[: row.concepts])
            self._outcomes[key] = mask_outcomes(_slices(embedding, row), self._drawn[concept], masks)
        return self._outcomes[key]

    def _anchors(self, concept: Concept) -> list[str]:
        assert self._segments is not None
        return [str(song) for song in self.run.material.songs[self._segments[self._drawn[concept][:, 0]]]]

    def _measure(self, row: NetworkRow, mask: str, concept: Concept) -> Measurement | None:
        """The accuracy of a network on a concept under a mask; None where there is no such mask or no triplet."""
        names = list(masks_of(CONCEPTS[: row.concepts]))
        if concept not in self._drawn or mask not in names:
            return None
        outcomes = self._concept_outcomes(row, concept)[:, [names.index(mask)]]
        return _measurement(bootstrap(outcomes, self._anchors(concept), self.run.settings.seed), 0)

    def _accuracy(self) -> Comparison:
        rows = []
        for row in ABLATION:
            for kind in ("own dimension", "all dimensions"):
                measured = tuple(self._measure(row, ALL if kind[0] == "a" else name, name) for name in CONCEPTS)
                rows.append(ComparisonRow(f"{row.name}: {kind}", _NOTHING, measured))
        return Comparison(
            "Beside the paper: accuracy on test segments, by concept", "%", CONCEPTS, tuple(rows), self._about()
        )

    def _masks(self) -> Comparison:
        rows = tuple(
            ComparisonRow(mask, _NOTHING, tuple(self._measure(BEST, mask, name) for name in CONCEPTS))
            for mask in masks_of(CONCEPTS)
        )
        title = f"Beside the paper: accuracy under each mask, {BEST.name}"
        return Comparison(title, "%", CONCEPTS, rows, self._about())

    def _about(self) -> tuple[str, ...]:
        return (
            f"Triplets of segments of {self.run.settings.inputs.seconds:g} s of songs that were not trained on: the "
            "positive is alike in the concept, the negative is not. Chance is 50 %. Intervals: bootstrap over songs.",
            *self.run.labels_note,
            *(f"n/a: {problem}." for problem in self.failed if "gives no triplets" in problem),
        )

    def _effects(self) -> Comparison:
        """What an input or more dimensions change, on the same triplets."""
        rows = []
        for name, (more, less) in _EFFECTS.items():
            measured = [self._difference(more, less, concept) for concept in CONCEPTS]
            judged = paired(
                self._judged_outcomes(more, {ALL: CONCEPTS[: more.concepts]}),
                self._judged_outcomes(less, {ALL: CONCEPTS[: less.concepts]}),
                self.run.judged.anchors,
                self.run.settings.seed,
            )
            rows.append(ComparisonRow(name, (*_NOTHING, math.nan), (*measured, _measurement(judged, 0))))
        notes = (
            "Percentage points: the concept's own dimension on triplets of its concept, and all dimensions on judged "
            "songs. Paired bootstrap over songs. An interval without 0 is an effect; of this many, one in twenty is "
            "expected by chance.",
        )
        columns = (*CONCEPTS, _JUDGED)
        return Comparison("Beside the paper: effect of inputs and dimensions", "%", columns, tuple(rows), notes)

    def _difference(self, more: NetworkRow, less: NetworkRow, concept: Concept) -> Measurement | None:
        shared = CONCEPTS[: min(more.concepts, less.concepts)]
        if concept not in self._drawn or concept not in shared:
            return None
        own = CONCEPTS.index(concept)
        ours, theirs = (self._concept_outcomes(row, concept)[:, [own]] for row in (more, less))
        return _measurement(paired(ours, theirs, self._anchors(concept), self.run.settings.seed), 0)

    def _curves(self) -> Comparison:
        """The learning curves in short."""
        columns = ("validation loss, first epoch", "lowest", "right in that epoch, %")
        rows = []
        for row in ABLATION:
            curve = self.run.curves[row.slug]
            best = min(curve, key=lambda epoch: epoch.validation_loss)
            values = (curve[0].validation_loss, best.validation_loss, 100 * best.validation_accuracy)
            measured = tuple(Measurement(value, math.nan, math.nan, len(curve)) for value in values)
            rows.append(ComparisonRow(row.name, (math.nan,) * 3, measured))
        return Comparison("Learning curves", "", columns, tuple(rows), ("n counts epochs.",))


_NOTHING = (math.nan,) * len(CONCEPTS)
"""What the paper prints of accuracies per concept."""


def _slices(embedding: FloatArray, row: NetworkRow) -> dict[str, FloatArray]:
    """The parts of embeddings (n, D) by concept."""
    return {name: embedding[:, at * row.dim : (at + 1) * row.dim] for at, name in enumerate(CONCEPTS[: row.concepts])}


def _measurement(found: Estimate, at: int) -> Measurement:
    """One share in per cent."""
    value, low, high = (100 * float(one[at]) for one in (found.value, found.low, found.high))
    return Measurement(value, low, high, int(found.n[at]))
