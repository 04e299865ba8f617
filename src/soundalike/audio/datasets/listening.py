"""Read the responses of listening tests in the Inst-Sim-ABX format, and pool their votes by triplet.

The format is described in `inst_sim_abx`, which loads the published data. Nothing of it is part of this package.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError

__all__ = ["QUESTIONS", "TESTS", "Ballot", "count_votes", "has_majority", "read_answers", "read_lines"]

QUESTIONS = ("total", "timbre", "rhythm", "melody")
TESTS: Mapping[str, tuple[str, str]] = {"XAB": ("A", "B"), "XYC": ("C", "Y")}
"""The roles of the two samples in each test, in the order of `Ballot.samples`."""

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
        for location, full in read_lines(path, needed):
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


def read_lines(path: Path, needed: Sequence[str]) -> list[tuple[str, dict[str, str | Any]]]:
    """Return the lines of a CSV file with the location of each, which names the file and line for error messages.

    Args:
        path: A UTF-8 CSV file.
        needed: The columns that it must have.

    Raises:
        UsageError: The file cannot be read, or lacks a column.

    Example:
        >>> read_lines(Path("labels.csv"), ("x", "a", "b", "answer"))[0]
        ('labels.csv, line 2', {'x': 'a.wav', 'a': 'b.wav', 'b': 'c.wav', 'answer': 'A'})
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [column for column in needed if column not in (table.fieldnames or ())]
            if missing:
                raise UsageError(f"{path} has no column {missing[0]}; expected {', '.join(needed)}")
            return [(f"{path}, line {table.line_num}", row) for row in table]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeError) as error:
        raise UsageError(f"{path} is not a UTF-8 CSV file: {error}") from error


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


def has_majority(votes: tuple[int, int], majority: Fraction, *, strict: bool = True) -> bool:
    """Return whether more than a share of the votes agree; or at least this share, unless `strict`.

    Integer arithmetic: with 0.75 as a float the comparison would depend on rounding. Equal votes never agree.

    Example:
        >>> has_majority((6, 2), Fraction(3, 4)), has_majority((6, 2), Fraction(3, 4), strict=False)
        (False, True)
    """
    most, total = max(votes) * majority.denominator, sum(votes) * majority.numerator
    return votes[0] != votes[1] and (most > total if strict else most >= total)
