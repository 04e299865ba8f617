"""Listening tests: votes are pooled as published, on synthetic responses in that format."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_trees import inst_sim_abx, slakh2100
from test_protocols import SPACES, evaluate

from conftest import TUNES, tune, write
from soundalike.audio.datasets.listening import QUESTIONS, count_votes, read_answers
from soundalike.core.errors import UsageError
from soundalike.evaluate.protocols.abx import majority_triplets
from soundalike.evaluate.reports import table as table_of

HEADER = [
    "", "ex_name", "subject_id", "reference", "sample_a", "sample_b",
    "answer_timbre", "answer_rhythm", "answer_melody", "answer_total", "choice_time",
]  # fmt: skip
X, A, B = "set0/1/piano/X_1-2.wav", "set0/1/piano/A_2-3.wav", "set0/1/piano/B_3-4.wav"
Y, C = "set0/1/piano/Y_1-9.wav", "set0/1/piano/C_4-4.wav"


def response(a: str, b: str, total: str, *, timbre: str = "NA", reference: str = X, subject: int = 0) -> list[str]:
    return ["0", "ex1", f"subject{subject}", reference, a, b, timbre, "NA", "NA", total, "1000"]


def table(path: Path, responses: Sequence[list[str]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([[str(n), *row[1:]] for n, row in enumerate(responses)])
    return path


def test_votes_are_pooled_over_both_orders_of_the_samples(tmp_path: Path) -> None:
    first = table(tmp_path / "one.csv", [
        response(A, B, "A+", timbre="B-"), response(B, A, "B-", timbre="A+", subject=1),
        response(A, "samples/dummy/A.wav", "A+"), response(C, Y, "B+"),
    ])  # fmt: skip
    second = table(tmp_path / "two.csv", [response(B, A, "A+", subject=7), response(Y, C, "A-", subject=7)])
    xab, xyc = count_votes(read_answers([first, second]))
    assert (xab.instrument, xab.test, xab.reference, xab.samples) == ("piano", "XAB", X, (A, B))
    assert xab.votes == {"total": (2, 1), "timbre": (0, 2), "rhythm": (0, 0), "melody": (0, 0)}
    assert (xyc.test, xyc.samples, xyc.votes["total"]) == ("XYC", (C, Y), (0, 2))


@pytest.mark.parametrize(("votes", "count"), [("AAAB", 0), ("AAAAB", 1), ("BBBBBBBA", 1), ("AB", 0), ("A", 1), ("", 0)])
def test_a_majority_is_strictly_more_than_three_quarters(tmp_path: Path, votes: str, count: int) -> None:
    rows = [response(A, B, f"{vote}+", subject=n) for n, vote in enumerate(votes)]
    rows.append(response(A, B, "NA", subject=99))
    triplets = majority_triplets(count_votes(read_answers([table(tmp_path / "a.csv", rows)])), "total", tmp_path)
    assert len(triplets) == count
    if count:
        chosen, other = (A, B) if votes.count("A") > votes.count("B") else (B, A)
        assert (triplets[0].positive.track, triplets[0].negative.track) == (
            str(tmp_path / chosen),
            str(tmp_path / other),
        )
        assert triplets[0].anchor.track == str(tmp_path / X)
        assert (triplets[0].space, triplets[0].group) == ("piano", "XAB")
        assert triplets[0].agreement == max(votes.count("A"), votes.count("B")) / len(votes)


ballots = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from(["A+", "A-", "B+", "B-", "NA"])),
    min_size=1,
    max_size=40,
)


@given(ballots, st.sampled_from([Fraction(3, 4), Fraction(1, 2), Fraction(4, 5)]))
def test_majorities_equal_a_plain_loop(drawn: list[tuple[int, bool, str]], majority: Fraction) -> None:
    rows, winners = [], {}
    for triplet, swapped, answer in drawn:
        paths = [f"set0/{triplet}/drums/{role}_{triplet}-1.wav" for role in "XAB"]
        first, second = paths[1:][::-1] if swapped else paths[1:]
        rows.append(("", {"reference": paths[0], "sample_a": first, "sample_b": second}
                     | {f"answer_{question}": answer for question in QUESTIONS}))  # fmt: skip
        if answer != "NA":
            winners.setdefault(triplet, []).append(first if answer[0] == "A" else second)
    expected = {}
    for votes in winners.values():
        chosen, most = Counter(votes).most_common(1)[0]
        if Fraction(most, len(votes)) > majority:
            expected[chosen] = most / len(votes)
    triplets = majority_triplets(count_votes(rows), "melody", Path(), majority)
    assert {triplet.positive.track: triplet.agreement for triplet in triplets} == expected


BAD = "set0/1/piano/A.wav"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no responses"),
        ([response(A, "samples/dummy_1.wav", "A+")], "no responses"),
        ([response(A, B, "C+")], r"a.csv, line 2: answer_total is 'C\+', expected A\+"),
        ([response(A, B, "")], "answer_total is ''"),
        ([response(BAD, B, "A+")], "line 2: sample_a is 'set0/1/piano/A.wav', expected setN/M/instrument"),
        ([response("../piano/A_1.wav", B, "A+")], "sample_a is '../piano/A_1.wav'"),
        ([response(A, Y, "A+")], "compares X with A and Y; expected X with A and B, or X with Y and C"),
        ([response(A, B, "A+", reference=C)], "compares C with A and B"),
    ],
)
def test_invalid_labels_are_rejected(tmp_path: Path, rows: list[list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        count_votes(read_answers([table(tmp_path / "a.csv", rows)]))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none.csv cannot be read"):
        read_answers([tmp_path / "none.csv"])
    with pytest.raises(UsageError, match="has no column answer_rhythm; expected reference"):
        read_answers([table(tmp_path / "a.csv", [], [name for name in HEADER if name != "answer_rhythm"])])
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="b.csv is not a UTF-8 CSV file"):
        read_answers([tmp_path / "b.csv"])


def test_a_table_and_its_part_are_rejected_together(tmp_path: Path) -> None:
    rows = [response(A, B, "A+", subject=n) for n in range(3)]
    complete = table(tmp_path / "complete.csv", rows)
    part = table(tmp_path / "part.csv", rows[1:], ["Unnamed: 0", *HEADER[1:]])
    with pytest.raises(
        UsageError, match="part.csv, line 2: also in .*complete.csv; give the complete table or its parts"
    ):
        read_answers([complete, part])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Pianos on which listeners chose the same tune (XAB and XYC), and silent drums."""
    for name, notes in ((X, "up"), (A, "up"), (B, "leaps"), (Y, "up"), (C, "pedal")):
        write(tmp_path / name, tune([n + 5 * (name == A) for n in TUNES[notes]], seconds=5))
    drums = [name.replace("piano", "drums") for name in (X, A, B)]
    for name in drums:
        write(tmp_path / name, np.zeros(22050, np.float32))
    rows = [response(A, B, "A+", timbre="B+", subject=n) for n in range(5)]
    rows += [response(B, A, "A-", subject=6), response(A, B, "NA", subject=7)]
    rows += [response(Y, C, "A+", timbre="NA", subject=n) for n in range(5)]
    rows += [response(drums[1], drums[2], "B-", reference=drums[0], subject=n) for n in range(4)]
    table(tmp_path / "labels.csv", rows)
    return tmp_path


def test_a_listening_test_from_labels_to_reports(study: Path) -> None:
    total, same_song, timbre, *further = evaluate("abx", "--labels", study / "labels.csv", "--audio", study)
    assert "XAB, question total" in total.title and "XYC, question total" in same_song.title
    assert "XAB, question timbre" in timbre.title
    assert total.columns == ("drums", "piano", "pooled")
    assert total.rows == tuple(SPACES)
    assert total.n[0].tolist() == [1, 1, 2]
    # Silent drums tie in every space and count half.
    assert total.values[0].tolist() == [50, 100, 75]
    assert total.low[0, 1] == pytest.approx(2.5)
    assert same_song.columns == ("piano",)
    assert timbre.values[0].tolist() == [0]
    assert total.command.endswith("abx --labels FILE --audio DIR --majority 0.75 --model compact")
    # Per response, the one vote of six for B counts against the model, and silent drums tie.
    assert [report.title.partition(": ")[2] for report in further[:3]] == ["10 responses", "5 responses", "5 responses"]
    assert further[0].values[0] == pytest.approx([50, 100 * 5 / 6, 70]) and further[0].n[0].tolist() == [4, 6, 10]
    counts = further[3]
    assert counts.columns == ("drums", "piano") and counts.values.T.tolist() == [[1, 1, 4, 4], [1, 1, 6, 6]]
    assert [line[1:] for line in table_of(counts)[1:3]] == [["1", "1"], ["1", "1"]]


def test_missing_agreement_and_missing_audio(study: Path) -> None:
    command = ("abx", "--labels", study / "labels.csv", "--audio")
    (study / "empty").mkdir()
    with pytest.raises(UsageError, match="8 of 8 clips do not exist, such as"):
        evaluate(*command, study / "empty")
    table(study / "split.csv", [response(A, B, "A+"), response(A, B, "B+", subject=1)])
    with pytest.raises(UsageError, match="the votes agree on none of 1 triplets; give a lower --majority"):
        evaluate("abx", "--labels", study / "split.csv", "--audio", study)
    for share in ("1", "0.4", "most", "1/0"):
        with pytest.raises(click.BadParameter, match="expected a number of at least 0.5 and below 1"):
            evaluate(*command, study, "--majority", share)


def test_clips_are_read_from_slakh(tmp_path: Path) -> None:
    slakh = slakh2100(tmp_path / "slakh", seconds=1.2)
    abx = inst_sim_abx(tmp_path / "abx", clips=False)
    total, melody, *_ = evaluate("abx", "--labels", abx, "--slakh", slakh)
    assert total.columns == ("mix",) and total.n[0].tolist() == [6] and "question melody" in melody.title
    for options, message in (
        (("--labels", abx), "give the folder of the clips with --audio, or of Slakh2100 with --slakh"),
        (("--labels", abx / "csvs/inst_sim_abx_answers.csv", "--slakh", slakh), "give the folder of Inst-Sim-ABX with"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate("abx", *options)
