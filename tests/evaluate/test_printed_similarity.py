"""The printed numbers of the paper on similarity of instruments: their form, spot checks, and what does not agree."""

from __future__ import annotations

import math

import pytest

from soundalike.evaluate.printed import PrintedTable, printed_remarks, printed_tables

TABLES = printed_tables("instrument_similarity")


def at(table: str, row: str, column: str, what: str = "values") -> float:
    found = TABLES[table]
    values: tuple[tuple[float, ...], ...] = getattr(found, what)
    return values[found.rows.index(row)][found.columns.index(column)]


def ends(row: str, column: str) -> tuple[float, float]:
    return at("all-diff", row, column, "low"), at("all-diff", row, column, "high")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_is_rectangular(table: PrintedTable) -> None:
    for numbers in (table.values, table.low, table.high, table.deviations):
        assert not numbers or len(numbers) == len(table.rows)
        assert all(len(row) == len(table.columns) for row in numbers)
    if table.unit == "%":
        assert all(0 <= value <= 100 for row in table.values for value in row if not math.isnan(value))


def test_numbers_are_those_of_the_paper() -> None:
    assert at("counts", "responses, above 75 % (One-Shared)", "guitar") == 2134
    assert at("normal", "Direct", "guitar") == 86.27 and at("normal", "Cascade-FT", "bass") == 74.96
    assert math.isnan(at("normal", "Cascade w/ Spleeter", "guitar"))
    assert at("pseudo", "Cascade-FT, w/o pseudo-musical-pieces", "piano") == 69.59
    assert at("sdr", "Cascade w/ Spleeter", "bass") == -15.5 and at("sdr", "Direct-Reconst", "residuals") == 8.51
    assert at("all-diff, PAFT", "Cascade, pseudo", "guitar") == 76.55
    assert at("all-diff, PAFT", "Clean, clean", "bass", "deviations") == 17.20
    assert at("one-shared, PAFT", "Direct-Reconst, pseudo", "mean") == 88.46
    assert at("target", "Direct", "guitar") == 5.70 and at("non-target", "Direct", "guitar") == 95.00


def test_what_does_not_agree_is_as_remarked() -> None:
    columns = TABLES["all-diff"].columns[:5]
    assert [ends("Direct", column) for column in columns] == [ends("Direct-Reconst", column) for column in columns]
    outside = set()
    for row in TABLES["all-diff"].rows:
        for column in columns:
            low, high = ends(row, column)
            if not math.isnan(low) and not low <= at("all-diff", row, column) <= high:
                outside.add((row, column))
    assert outside == {("Direct", "piano"), ("Direct", "residuals")} and at("all-diff", "Direct", "piano") == 69.64
    assert any("69.64 %" in remark for remark in printed_remarks("instrument_similarity"))


@pytest.mark.parametrize("name", ["all-diff", "one-shared", "all-diff, PAFT", "one-shared, PAFT"])
def test_printed_means_are_of_four_instruments(name: str) -> None:
    table = TABLES[name]
    differing = {
        row
        for row, values in zip(table.rows, table.values, strict=True)
        if abs(sum(values[:4]) / 4 - values[-1]) > 0.0101
    }
    assert differing == {
        "all-diff": {"Direct", "Direct-Reconst"}, "one-shared": {"Direct-Reconst"},
    }.get(name, set())  # fmt: skip
