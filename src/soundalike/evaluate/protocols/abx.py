"""Listening tests in the Inst-Sim-ABX format: does a space choose the same sample as the listeners?

    soundalike evaluate abx --labels labels.csv --audio recordings

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

On the published responses this gives 115, 112, 106 and 105 XAB triplets and 214, 194, 215 and 213 XYC triplets for
drums, bass, piano and guitar, the counts of the authors' table.

Reference: Hashizume and Toda, Inst-Sim-ABX, https://github.com/zume06/Inst-Sim-ABX-Dataset.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.options import ManyOption, TextType
from soundalike.core.types import BoolArray, Report, Triplet
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
from soundalike.evaluate.estimates import Estimate, clopper_pearson

__all__ = [
    "QUESTIONS",
    "TESTS",
    "Ballot",
    "ListeningTest",
    "count_votes",
    "create",
    "majority_triplets",
    "read_answers",
]

QUESTIONS = ("total", "timbre", "rhythm", "melody")
TESTS: Mapping[str, tuple[str, str]] = {"XAB": ("A", "B"), "XYC": ("C", "Y")}
"""The roles of the two samples in each test, in the order of `Ballot.samples`."""

_MAJORITY = Fraction(3, 4)
_ANSWERS = ("A+", "A-", "B+", "B-", "NA")
_ROLE = re.compile(r"([A-Z])_[^/]+")


@dataclass(frozen=True, slots=True)
class Ballot:
    """A triplet and its votes: `votes` maps a question to (votes for `samples[0]`, votes for `samples[1]`)."""

    instrument: str
    test: str
    reference: str
    samples: tuple[str, str]
    votes: Mapping[str, tuple[int, int]]


def read_answers(paths: Sequence[Path]) -> list[tuple[str, dict[str, str]]]:
    """Read the responses of all files, without attention checks.

    Args:
        paths: UTF-8 CSV files.

    Returns:
        (location, response) pairs. The location names the file and line for error messages.

    Raises:
        UsageError: A file cannot be read, lacks a column, or repeats responses of another file, as the published
            parts repeat the complete table; or an answer has an unknown value.

    Example:
        >>> ballots = count_votes(read_answers([Path("labels.csv")]))
        >>> triplets = majority_triplets(ballots, "total", Path("audio"))
    """
    responses = []
    seen: dict[tuple[tuple[str, str], ...], Path] = {}
    needed = ("reference", "sample_a", "sample_b", *(f"answer_{question}" for question in QUESTIONS))
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.DictReader(file)
                missing = [column for column in needed if column not in (table.fieldnames or ())]
                if missing:
                    raise UsageError(f"{path} has no column {missing[0]}; expected {', '.join(needed)}")
                rows = [(f"{path}, line {table.line_num}", row) for row in table]
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except (csv.Error, UnicodeError) as error:
            raise UsageError(f"{path} is not a UTF-8 CSV file: {error}") from error
        for location, full in rows:
            row = {key: full[key] or "" for key in needed}
            if any(row[key].startswith("samples/dummy") for key in needed[:3]):
                continue
            # Without the unnamed column of line numbers, which differ between the parts and the complete table.
            response = tuple((str(k), str(v)) for k, v in full.items() if k not in ("", "Unnamed: 0"))
            if seen.setdefault(response, path) != path:
                raise UsageError(
                    f"{location}: also in {seen[response]}; give the complete table or its parts, not both"
                )
            for key in needed[3:]:
                if row[key] not in _ANSWERS:
                    raise UsageError(f"{location}: {key} is {row[key]!r}, expected {', '.join(_ANSWERS)}")
            responses.append((location, row))
    if not responses:
        raise UsageError(f"{', '.join(map(str, paths))}: no responses")
    return responses


def count_votes(responses: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[Ballot, ...]:
    """Pool responses by instrument, test, reference and the set of samples.

    Args:
        responses: (location, response) pairs, as `read_answers` returns them.

    Returns:
        One ballot per triplet, sorted.

    Raises:
        UsageError: A path does not have the expected form, or its roles belong to no test.
    """
    pooled: dict[tuple[str, str, str, tuple[str, str]], dict[str, list[int]]] = {}
    for location, row in responses:
        paths = {key: row[key] for key in ("reference", "sample_a", "sample_b")}
        roles = {}
        for key, path in paths.items():
            match = _ROLE.fullmatch(path.rpartition("/")[2])
            if match is None or path.count("/") < 1 or ".." in path.split("/"):
                raise UsageError(f"{location}: {key} is {path!r}, expected setN/M/instrument/ROLE_id-segment.wav")
            roles[key] = match[1]
        given = (roles["sample_a"], roles["sample_b"])
        test = next((name for name, sides in TESTS.items() if tuple(sorted(given)) == sides), None)
        if test is None or roles["reference"] != "X":
            raise UsageError(f"{location}: compares {roles['reference']} with {given[0]} and {given[1]}; expected X "
                             "with A and B, or X with Y and C")  # fmt: skip
        swapped = given != TESTS[test]
        samples = (paths["sample_b"], paths["sample_a"]) if swapped else (paths["sample_a"], paths["sample_b"])
        triplet = (paths["reference"].split("/")[-2], test, paths["reference"], samples)
        votes = pooled.setdefault(triplet, {question: [0, 0] for question in QUESTIONS})
        for question in QUESTIONS:
            answer = row[f"answer_{question}"]
            if answer != "NA":
                votes[question][(answer[0] == "B") != swapped] += 1
    return tuple(
        Ballot(*triplet, votes={question: (first, second) for question, (first, second) in votes.items()})
        for triplet, votes in sorted(pooled.items())
    )


def majority_triplets(
    ballots: Iterable[Ballot], question: str, audio: Path, majority: Fraction = _MAJORITY
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
        most = max(first, second)
        # Integer arithmetic: with 0.75 as a float the comparison would depend on rounding.
        if most * majority.denominator <= (first + second) * majority.numerator:
            continue
        chosen, other = ballot.samples if first > second else ballot.samples[::-1]
        triplets.append(
            Triplet(
                full_span(audio / ballot.reference),
                full_span(audio / chosen),
                full_span(audio / other),
                space=ballot.instrument,
                group=ballot.test,
                agreement=most / (first + second),
            )
        )
    return triplets


class ListeningTest:
    """Agreement of every space (rows) with the listeners on every instrument (columns), in per cent."""

    name: ClassVar[str] = "abx"
    summary: ClassVar[str] = "listening tests in the Inst-Sim-ABX format: is A or B more like X?"

    def options(self) -> Sequence[click.Parameter]:
        """Return `--labels`, `--audio` and `--majority`."""
        return [
            ManyOption(
                ["--labels"], required=True, callback=_label_files, metavar="FILE...", help="CSV files of responses."
            ),
            click.Option(
                ["--audio"],
                type=click.Path(path_type=Path),
                required=True,
                metavar="DIR",
                help="Folder that the paths in the labels start from.",
            ),
            click.Option(
                ["--majority"],
                type=TextType("SHARE", _read_share),
                default=_MAJORITY,
                metavar="SHARE",
                help="Use triplets in which strictly more than this share of the votes agree (default: 0.75).",
            ),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return one report per question and test. Raises UsageError, AudioError or ModelError."""
        check_folder(args.audio, "the clips that the labels name")
        ballots = count_votes(read_answers(args.labels))
        triplets = {question: majority_triplets(ballots, question, args.audio, args.majority) for question in QUESTIONS}
        clips = {
            clip
            for of_question in triplets.values()
            for triplet in of_question
            for clip in (triplet.anchor, triplet.positive, triplet.negative)
        }
        if not clips:
            raise UsageError(f"the votes agree on none of {len(ballots)} triplets; give a lower --majority")
        missing = sorted(clip.track for clip in clips if not Path(clip.track).is_file())
        if missing:
            raise UsageError(f"{len(missing)} of {len(clips)} clips do not exist, such as {missing[0]}")
        encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        tables = {
            (question, test): [triplet for triplet in triplets[question] if triplet.group == test]
            for question in QUESTIONS
            for test in TESTS
        }
        return tuple(
            self._report(encoded, of_table, question, test, args)
            for (question, test), of_table in tables.items()
            if of_table
        )

    def _report(
        self, encoded: EncodedClips, triplets: Sequence[Triplet], question: str, test: str, args: SimpleNamespace
    ) -> Report:
        outcomes = triplet_outcome(margins(encoded, triplets))

        def agreement(chosen: BoolArray) -> Estimate:
            part = outcomes[chosen]
            return clopper_pearson(part.sum(axis=0), np.full(part.shape[1], len(part)))

        instruments = np.array([triplet.space for triplet in triplets])
        columns = {str(name): agreement(instruments == name) for name in np.unique(instruments)}
        if len(columns) > 1:
            columns["pooled"] = agreement(np.ones(len(triplets), dtype=np.bool_))
        share = f"{float(args.majority):g}"
        return model_report(
            encoded,
            args,
            columns,
            f"Listening test {test}, question {question}: {len(triplets):,} triplets",
            protocol=self.name,
            options=f"--labels FILE --audio DIR --majority {share}",
            chance=50.0,
            notes=[
                f"n: triplets in which more than {share} of the votes agree. Intervals: Clopper-Pearson. Ties count "
                "half."
            ],
        )


def _label_files(_: click.Context, __: click.Parameter, given: Sequence[Sequence[str]]) -> list[Path]:
    """The files of every use of `--labels`."""
    return [Path(name) for names in given for name in names]


def _read_share(text: str) -> Fraction:
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if not Fraction(1, 2) <= share < 1:
        raise ValueError(f"expected a number of at least 0.5 and below 1, found {text!r}")
    return share


def create() -> Protocol:
    """Create the protocol."""
    return ListeningTest()
