"""Listening tests in the Inst-Sim-ABX format: does a space choose the same sample as the listeners?

    soundalike evaluate abx --labels labels.csv --audio recordings
    soundalike evaluate abx --labels Inst-Sim-ABX-Dataset --slakh slakh

Give the labels (CSV files with one response per line) and the audio that they name. The labels belong to their authors
and are not part of this package. The columns are reference, sample_a, sample_b, answer_timbre, answer_rhythm,
answer_melody and answer_total; others are ignored. An answer is A+ or B+ (certain), A- or B- (less certain), or NA (no
opinion). Paths have the form `set<N>/<M>/<instrument>/<role>_<id>-<segment>.wav`. The roles of the samples tell which
test it is. In XAB, A and B come from other songs than the reference X. In XYC, Y comes from the same song as X, and C
from another song.

- Responses about `samples/dummy...` are attention checks and are dropped.
- The published experiments repeat triplets, sometimes with A and B swapped. Responses are pooled by instrument, test,
  reference and the set {A, B}. NA does not count as a vote.
- A triplet is used if strictly more than 75 % of its votes agree (`--majority`). With "at least 75 %" the counts would
  differ from the published ones.
- Agreement is the share of these triplets in which the chosen sample is more similar to the reference, by cosine, than
  the other one. A tie counts half. Intervals are exact binomial (Clopper-Pearson) at 95 %, as published.
- Agreement per response counts every vote on these triplets, those of the minority included. Further tables have it,
  and the numbers of triplets and responses with and without a majority.

On the published responses this gives 115, 112, 106 and 105 XAB triplets and 214, 194, 215 and 213 XYC triplets for
drums, bass, piano and guitar, the counts of the authors' table.

References: Hashizume and Toda, Inst-Sim-ABX, https://github.com/zume06/Inst-Sim-ABX-Dataset; Imamura et al., Music
Similarity Representation Learning Focusing on Individual Instruments, 2025, which prints agreement per response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.audio.datasets import QUESTIONS, TESTS, Ballot, count_votes, has_majority, read_answers
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.options import ManyOption
from soundalike.core.types import BoolArray, FloatArray, Report, Triplet
from soundalike.evaluate.agreement import (
    JudgementCounts,
    count_judgements,
    majority_votes,
    response_agreement,
    triplet_agreement,
)
from soundalike.evaluate.base import (
    EncodedClips,
    Progress,
    Protocol,
    check_folder,
    encode_clips,
    full_span,
    margins,
    model_report,
    triplet_outcome,
)
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.judgement_options import SHARE, label_files, majority_option
from soundalike.evaluate.judgements import STEM_NAMES, Clip, segments_of_slakh
from soundalike.evaluate.terms import Source, encode_sums

__all__ = ["ListeningTest", "create", "majority_triplets"]


def majority_triplets(
    ballots: Iterable[Ballot], question: str, audio: Path, majority: Fraction = SHARE
) -> list[Triplet]:
    """Return the triplets in which strictly more than `majority` of the votes agree.

    Args:
        ballots: The pooled votes.
        question: One of `QUESTIONS`.
        audio: The folder that the paths of the ballots are relative to.
        majority: The threshold, at least 1/2 and below 1.

    Returns:
        Triplets with the chosen sample as the positive; `space` is the instrument and `group` the test.
    """
    triplets = []
    for ballot in ballots:
        first, second = ballot.votes[question]
        if not has_majority((first, second), majority):
            continue
        chosen, other = ballot.samples if first > second else ballot.samples[::-1]
        triplets.append(
            Triplet(
                full_span(audio / ballot.reference),
                full_span(audio / chosen),
                full_span(audio / other),
                space=ballot.instrument,
                group=ballot.test,
                agreement=max(first, second) / (first + second),
            )
        )
    return triplets


class ListeningTest:
    """Agreement of every space (rows) with the listeners on every instrument (columns), in per cent."""

    name: ClassVar[str] = "abx"
    summary: ClassVar[str] = "listening tests in the Inst-Sim-ABX format: is A or B more like X?"

    def options(self) -> Sequence[click.Parameter]:
        """Return `--labels`, `--audio`, `--slakh` and `--majority`."""
        return [
            ManyOption(
                ["--labels"],
                required=True,
                callback=label_files,
                metavar="FILE...",
                help="CSV files of responses, or the folder of Inst-Sim-ABX.",
            ),
            click.Option(
                ["--audio"],
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="Folder that the paths in the labels start from.",
            ),
            click.Option(
                ["--slakh"],
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="Slakh2100, instead of --audio; then --labels is the folder of Inst-Sim-ABX.",
            ),
            majority_option(),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return the agreement per triplet and per response, and the counts, per question and test.

        Raises UsageError, AudioError or ModelError.
        """
        if (args.audio is None) == (args.slakh is None):
            raise UsageError("give the folder of the clips with --audio, or of Slakh2100 with --slakh")
        root = args.labels[0] if args.labels[0].is_dir() else None
        if args.slakh and root is None:
            raise UsageError(
                "with --slakh, give the folder of Inst-Sim-ABX with --labels: it says where clips are from"
            )
        if args.audio:
            check_folder(args.audio, "the clips that the labels name")
        if root:
            ballots = plugins.load("datasets", "inst_sim_abx", root=root).ballots()
        else:
            ballots = count_votes(read_answers(args.labels))
        audio = args.audio or Path()
        triplets = {question: majority_triplets(ballots, question, audio, args.majority) for question in QUESTIONS}
        clips = {
            clip
            for of_question in triplets.values()
            for triplet in of_question
            for clip in (triplet.anchor, triplet.positive, triplet.negative)
        }
        if not clips:
            raise UsageError(f"the votes agree on none of {len(ballots)} triplets; give a lower --majority")
        if args.slakh and root:
            find = segments_of_slakh(root, args.slakh)
            sources = {clip: _source(find(Path(clip.track).as_posix()), clip.track) for clip in clips}
            encoded = encode_sums(sources, args.model, jobs=args.jobs, progress=progress)
        else:
            missing = sorted(clip.track for clip in clips if not Path(clip.track).is_file())
            if missing:
                raise UsageError(f"{len(missing)} of {len(clips)} clips do not exist, such as {missing[0]}")
            encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        per_triplet, responses, counts = [], [], []
        for question in QUESTIONS:
            for test in TESTS:
                of_table = [triplet for triplet in triplets[question] if triplet.group == test]
                if of_table:
                    of_test = [ballot for ballot in ballots if ballot.test == test]
                    table = _Table(self.name, args, encoded, question, test, of_table, of_test)
                    per_triplet.append(table.per_triplet())
                    responses.append(table.per_response())
                    counts.append(table.counts())
        return (*per_triplet, *responses, *counts)


@dataclass(frozen=True, slots=True)
class _Table:
    """The reports on one question of one test: its triplets with a majority, and all its ballots."""

    protocol: str
    args: SimpleNamespace
    encoded: EncodedClips
    question: str
    test: str
    triplets: Sequence[Triplet]
    ballots: Sequence[Ballot]

    def per_triplet(self) -> Report:
        outcomes = self._outcomes()
        columns = self._columns(lambda chosen: triplet_agreement(outcomes[chosen]))
        note = f"n: triplets in which more than {self._share} of the votes agree."
        return self._report(columns, f"{len(self.triplets):,} triplets", note)

    def per_response(self) -> Report:
        outcomes = self._outcomes()
        votes = majority_votes(self.ballots, self.question, self.args.majority)
        columns = self._columns(lambda chosen: response_agreement(outcomes[chosen], votes[chosen]))
        note = f"n: responses to triplets in which more than {self._share} of the votes agree."
        return self._report(columns, f"{int(votes.sum()):,} responses", note)

    def counts(self) -> Report:
        instruments = sorted({ballot.instrument for ballot in self.ballots})
        columns = {}
        for name in instruments:
            own = [ballot for ballot in self.ballots if ballot.instrument == name]
            found = count_judgements(own, self.question, self.args.majority)
            values = np.array([getattr(found, one.name) for one in fields(JudgementCounts)])
            unknown = np.full(len(values), np.nan)
            columns[name] = Estimate(values.astype(np.float64), unknown, unknown, values)
        above = f"more than {self._share} of the votes agree"
        return model_report(
            self.encoded,
            self.args,
            columns,
            f"Listening test {self.test}, question {self.question}: numbers of judgements",
            protocol=self.protocol,
            options=self._options,
            chance=[np.nan] * len(columns),
            unit="count",
            rows=["triplets", f"triplets, {above}", "responses", f"responses, {above}"],
            notes=["The same for every model. Responses without an opinion (NA) do not count."],
        )

    def _outcomes(self) -> FloatArray:
        return triplet_outcome(margins(self.encoded, self.triplets))

    @property
    def _share(self) -> str:
        return f"{float(self.args.majority):g}"

    @property
    def _options(self) -> str:
        return f"--labels FILE {'--slakh' if self.args.slakh else '--audio'} DIR --majority {self._share}"

    def _columns(self, agreement: Callable[[BoolArray], Estimate]) -> dict[str, Estimate]:
        """The agreement of the triplets of each instrument, and of all."""
        instruments = np.array([triplet.space for triplet in self.triplets])
        columns = {str(name): agreement(instruments == name) for name in np.unique(instruments)}
        if len(columns) > 1:
            columns["pooled"] = agreement(np.ones(len(self.triplets), dtype=np.bool_))
        return columns

    def _report(self, columns: Mapping[str, Estimate], counted: str, note: str) -> Report:
        return model_report(
            self.encoded,
            self.args,
            columns,
            f"Listening test {self.test}, question {self.question}: {counted}",
            protocol=self.protocol,
            options=self._options,
            chance=50.0,
            notes=[f"{note} Intervals: Clopper-Pearson. Ties count half."],
        )


def _source(clip: Clip, name: str) -> Source:
    """The files of a clip: the sum of the stems of its instrument, or the mix."""
    instrument = Path(name).parts[-2]
    return Source(clip.files.get(STEM_NAMES.get(instrument, instrument), ()), clip.start, clip.end)


def create() -> Protocol:
    """Create the protocol."""
    return ListeningTest()
