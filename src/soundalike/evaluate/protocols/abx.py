"""Listening tests in the format of Inst-Sim-ABX: does a space choose as the listeners did?

The labels belong to their authors and are not part of this package. One line a response, columns reference,
sample_a, sample_b, answer_timbre, answer_rhythm, answer_melody, answer_total (others are ignored); an answer is A+,
A-, B+ or B- (surely or rather), or NA (no opinion). Paths are `set<N>/<M>/<instrument>/<role>_<id>-<segment>.wav`.
The role says which test it is: A and B are of other songs than the reference (XAB); Y is of the same song and C
of another one (XYC).

- Lines about `samples/dummy...` are attention checks: dropped.
- The published experiments ask about the same triplets, with A and B swapped now and then: responses are pooled by
  instrument, test, reference and the set {A, B}. NA is no vote.
- A triplet counts if strictly more than 75 % of its votes agree ("at least" does not give the published counts).
- Agreement is the share of such triplets on which a space is nearer to what the listeners chose; ties count half.
  Intervals are exact binomial ones (Clopper-Pearson), as published.

The pooled counts of the published responses with this reading: 115, 112, 106, 105 triplets XAB and 214, 194, 215,
213 XYC for drums, bass, piano and guitar, as in the authors' table.

Reference: Hashizume and Toda, Inst-Sim-ABX, https://github.com/zume06/Inst-Sim-ABX-Dataset.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.core.errors import UsageError
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
from soundalike.evaluate.reports import Estimate, clopper_pearson

__all__ = ["QUESTIONS", "TESTS", "Ballot", "ListeningTest", "agreed", "count_votes", "create", "read_answers"]

QUESTIONS = ("total", "timbre", "rhythm", "melody")
TESTS: Mapping[str, tuple[str, str]] = {"XAB": ("A", "B"), "XYC": ("C", "Y")}
"""The roles of the two samples in each test, in the order of a ballot's sides."""

_MAJORITY = Fraction(3, 4)
_ANSWERS = ("A+", "A-", "B+", "B-", "NA")
_ROLE = re.compile(r"([A-Z])_[^/]+")


@dataclass(frozen=True, slots=True)
class Ballot:
    """A triplet and its votes: `votes` maps a question to (for `samples[0]`, for `samples[1]`)."""

    instrument: str
    test: str
    reference: str
    samples: tuple[str, str]
    votes: Mapping[str, tuple[int, int]]


def read_answers(paths: Sequence[Path]) -> list[tuple[str, dict[str, str]]]:
    """The responses of all files, attention checks dropped, each with its place for messages.

    Raises UsageError if a file cannot be read, lacks a column, shares responses with another one (the published parts
    repeat the whole), or if an answer has another form.
    """
    responses = []
    seen: dict[tuple[tuple[str, str], ...], Path] = {}
    needed = ("reference", "sample_a", "sample_b", *(f"answer_{question}" for question in QUESTIONS))
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.DictReader(file)
                lacking = [column for column in needed if column not in (table.fieldnames or ())]
                if lacking:
                    raise UsageError(f"{path} has no column {lacking[0]}; expected {', '.join(needed)}")
                rows = [(f"{path}, line {table.line_num}", row) for row in table]
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except (csv.Error, UnicodeError) as error:
            raise UsageError(f"{path} is not a UTF-8 CSV: {error}") from error
        for place, full in rows:
            row = {key: full[key] or "" for key in needed}
            if any(row[key].startswith("samples/dummy") for key in needed[:3]):
                continue
            # All but the unnamed numbering, which the parts have anew.
            response = tuple((str(k), str(v)) for k, v in full.items() if k not in ("", "Unnamed: 0"))
            if seen.setdefault(response, path) != path:
                raise UsageError(f"{place}: also in {seen[response]}; give the whole table or its parts, not both")
            for key in needed[3:]:
                if row[key] not in _ANSWERS:
                    raise UsageError(f"{place}: {key} is {row[key]!r}, expected {', '.join(_ANSWERS)}")
            responses.append((place, row))
    if not responses:
        raise UsageError(f"{', '.join(map(str, paths))}: no responses")
    return responses


def count_votes(responses: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[Ballot, ...]:
    """Pool responses by instrument, test, reference and the set of samples. Raises UsageError for an unknown path."""
    pooled: dict[tuple[str, str, str, tuple[str, str]], dict[str, list[int]]] = {}
    for place, row in responses:
        paths = {key: row[key] for key in ("reference", "sample_a", "sample_b")}
        roles = {}
        for key, path in paths.items():
            match = _ROLE.fullmatch(path.rpartition("/")[2])
            if match is None or path.count("/") < 1 or ".." in path.split("/"):
                raise UsageError(f"{place}: {key} is {path!r}, expected setN/M/instrument/ROLE_id-segment.wav")
            roles[key] = match[1]
        given = (roles["sample_a"], roles["sample_b"])
        test = next((name for name, sides in TESTS.items() if tuple(sorted(given)) == sides), None)
        if test is None or roles["reference"] != "X":
            raise UsageError(f"{place}: compares {roles['reference']} with {given[0]} and {given[1]}; expected X with "
                             "A and B, or with Y and C")  # fmt: skip
        swapped = given != TESTS[test]
        samples = (paths["sample_b"], paths["sample_a"]) if swapped else (paths["sample_a"], paths["sample_b"])
        key_ = (paths["reference"].split("/")[-2], test, paths["reference"], samples)
        votes = pooled.setdefault(key_, {question: [0, 0] for question in QUESTIONS})
        for question in QUESTIONS:
            answer = row[f"answer_{question}"]
            if answer != "NA":
                votes[question][(answer[0] == "B") != swapped] += 1
    return tuple(
        Ballot(*key, votes={question: (first, second) for question, (first, second) in votes.items()})
        for key, votes in sorted(pooled.items())
    )


def agreed(ballots: Iterable[Ballot], question: str, audio: Path, majority: Fraction = _MAJORITY) -> list[Triplet]:
    """The triplets on which strictly more than `majority` of the votes agree, the chosen sample as the positive.

    `space` is the instrument, `group` the test.
    """
    triplets = []
    for ballot in ballots:
        first, second = ballot.votes[question]
        most = max(first, second)
        # Whole numbers: 0.75 as a floating-point share would depend on rounding.
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
    """Every space (rows) on every instrument (columns): how often it chooses as the listeners did."""

    name: ClassVar[str] = "abx"
    summary: ClassVar[str] = "listening tests (A or B: which is more like X?) in the Inst-Sim-ABX format"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The labels, the audio, the threshold."""
        parser.add_argument("--labels", type=Path, nargs="+", required=True, metavar="FILE", help="CSVs of responses")
        parser.add_argument(
            "--audio", type=Path, required=True, metavar="DIR", help="what the paths in the labels start from"
        )
        parser.add_argument(
            "--majority",
            type=_share,
            default=_MAJORITY,
            metavar="SHARE",
            help="keep triplets on which strictly more of the votes agree (default: 0.75)",
        )

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """A report a question and test. Raises UsageError, AudioError, ModelError."""
        check_folder(args.audio, "the clips that the labels name")
        ballots = count_votes(read_answers(args.labels))
        asked = {question: agreed(ballots, question, args.audio, args.majority) for question in QUESTIONS}
        clips = {c for triplets in asked.values() for one in triplets for c in (one.anchor, one.positive, one.negative)}
        if not clips:
            raise UsageError(f"the votes agree on none of {len(ballots)} triplets; give a lower --majority")
        missing = sorted(clip.track for clip in clips if not Path(clip.track).is_file())
        if missing:
            raise UsageError(f"{len(missing)} of {len(clips)} clips are not there, such as {missing[0]}")
        heard = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        return tuple(
            self._report(heard, [one for one in asked[question] if one.group == test], question, test, args)
            for question in QUESTIONS
            for test in TESTS
            if any(one.group == test for one in asked[question])
        )

    def _report(
        self, heard: EncodedClips, triplets: Sequence[Triplet], question: str, test: str, args: argparse.Namespace
    ) -> Report:
        right = triplet_outcome(margins(heard, triplets))

        def agreement(chosen: BoolArray) -> Estimate:
            part = right[chosen]
            return clopper_pearson(part.sum(axis=0), np.full(part.shape[1], len(part)))

        instruments = np.array([one.space for one in triplets])
        columns = {str(name): agreement(instruments == name) for name in np.unique(instruments)}
        if len(columns) > 1:
            columns["pooled"] = agreement(np.ones(len(triplets), dtype=np.bool_))
        share = f"{float(args.majority):g}"
        return model_report(
            heard,
            args,
            columns,
            f"Listening test {test}, asked for {question}: {len(triplets):,} triplets",
            protocol=self.name,
            options=f"--labels FILE --audio DIR --majority {share}",
            chance=50.0,
            notes=[f"n: triplets on which over {share} of the votes agree. Intervals: Clopper-Pearson. Ties: half."],
        )


def _share(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(-1)
    if not Fraction(1, 2) <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0.5 to under 1, found {text!r}")
    return value


def create() -> Protocol:
    """The protocol."""
    return ListeningTest()
