"""Estimates against plain loops and known values; reports on disk, as text, as Markdown and as a picture."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.evaluate import estimates, reports, tables

NAN = float("nan")

units = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=30)


def naive_bootstrap(values: np.ndarray, groups: list[str], seed: int, resamples: int) -> tuple[list, list, list]:
    """The same draws, with every resample written out as a list."""
    names = sorted(set(groups))
    draws = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=resamples)
    value, low, high = [], [], []
    for column in values.T:
        means = []
        for drawn in draws:
            sample = []
            for name, times in zip(names, drawn, strict=True):
                sample += [v for v, g in zip(column, groups, strict=True) if g == name] * int(times)
            means.append(sum(sample) / len(sample))
        value.append(sum(column) / len(column))
        low.append(np.quantile(means, 0.025))
        high.append(np.quantile(means, 0.975))
    return value, low, high


def test_bootstrap_equals_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    values, groups = random.random((40, 3)), [f"song {n}" for n in random.integers(7, size=40)]
    found = estimates.bootstrap(values, groups, seed=5, resamples=300)
    value, low, high = naive_bootstrap(values, groups, 5, 300)
    assert found.value == pytest.approx(value)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.n.tolist() == [40, 40, 40]


def test_bootstrap_in_blocks_equals_bootstrap_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = np.random.default_rng(0).random((50, 2)), [str(n // 2) for n in range(50)]
    at_once = estimates.bootstrap(values, groups, 1)
    monkeypatch.setattr(estimates, "_BLOCK", 100)
    assert estimates.bootstrap(values, groups, 1).low == pytest.approx(at_once.low)


def test_bootstrap_of_independent_units_is_close_to_the_normal_interval() -> None:
    values = np.random.default_rng(1).standard_normal((500, 1))
    found = estimates.bootstrap(values, [str(n) for n in range(500)], 0)
    half = 1.96 * values.std() / math.sqrt(500)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_correlation_within_groups_widens_the_interval() -> None:
    values = np.repeat(np.random.default_rng(2).integers(0, 2, 30), 10)[:, None].astype(float)
    by_group = estimates.bootstrap(values, [str(n // 10) for n in range(300)], 0)
    by_unit = estimates.bootstrap(values, [str(n) for n in range(300)], 0)
    assert by_group.high - by_group.low > 2 * (by_unit.high - by_unit.low)


@given(units, st.integers(0, 5), st.randoms())
def test_bootstrap_contains_its_value_and_does_not_depend_on_order(found: list, seed: int, random) -> None:
    estimate = estimates.bootstrap(np.array([[v] for _, v in found]), [g for g, _ in found], seed, resamples=500)
    shuffled = random.sample(found, len(found))
    reordered = estimates.bootstrap(np.array([[v] for _, v in shuffled]), [g for g, _ in shuffled], seed, resamples=500)
    for field in ("value", "low", "high"):
        assert getattr(estimate, field) == pytest.approx(getattr(reordered, field), nan_ok=True)
    assert 0 <= estimate.value[0] <= 1
    if len({g for g, _ in found}) > 1:
        assert estimate.low[0] - 1e-9 <= estimate.value[0] <= estimate.high[0] + 1e-9
    else:
        assert math.isnan(estimate.low[0]) and math.isnan(estimate.high[0])


@pytest.mark.parametrize(("shape", "groups"), [((0, 1), 0), ((3, 1), 2), ((3,), 3)])
def test_bootstrap_rejects_shapes_that_do_not_match(shape: tuple[int, ...], groups: int) -> None:
    with pytest.raises(ValueError, match="expected \\(m, r\\)"):
        estimates.bootstrap(np.zeros(shape), ["a"] * groups, 0)


def test_paired_differences_cancel_the_difficulty_of_units() -> None:
    random = np.random.default_rng(0)
    difficulty = random.random((200, 1))
    groups = [str(n // 4) for n in range(200)]
    ours, theirs = difficulty + 0.1 + 0.01 * random.random((200, 1)), difficulty
    found = estimates.paired(ours, theirs, groups, 0)
    assert found.value == pytest.approx(np.mean(ours - theirs))
    assert 0.09 < found.low[0] < found.value[0] < found.high[0] < 0.12
    assert estimates.paired(ours, ours, groups, 0).high == pytest.approx(0)
    with pytest.raises(ValueError, match="same units"):
        estimates.paired(ours, theirs[:3], groups, 0)


def test_wald() -> None:
    found = estimates.wald(np.array([0.5, 0.99, 0.5]), np.array([100, 20, 0]))
    assert found.low[:2] == pytest.approx([0.402, 0.9464], abs=1e-4)
    assert found.high[:2] == pytest.approx([0.598, 1.0], abs=1e-4)
    assert np.isnan([found.value[2], found.low[2], found.high[2]]).all()
    # The paper gives at most 0.9 points for 12,500 triplets.
    assert estimates.wald(np.array([0.5]), np.array([12500])).high[0] == pytest.approx(0.509, abs=3e-4)


def test_clopper_pearson_known_values() -> None:
    found = estimates.clopper_pearson(np.array([0, 8, 10, 0]), np.array([10, 10, 10, 0]))
    assert found.value[:3] == pytest.approx([0, 0.8, 1])
    assert found.low[:3] == pytest.approx([0, 0.44390, 0.69150], abs=1e-5)
    assert found.high[:3] == pytest.approx([0.30850, 0.97479, 1], abs=1e-5)
    assert np.isnan([found.value[3], found.low[3], found.high[3]]).all()


def test_fractional_wins_are_between_whole_wins() -> None:
    found = estimates.clopper_pearson(np.array([0, 0.2, 0.5, 1, 9, 9.8, 10]), np.full(7, 10))
    assert (np.diff(found.low) >= 0).all() and (np.diff(found.high) >= 0).all()
    assert (found.low <= found.value).all() and (found.value <= found.high).all()


def tail(k: int, n: int, p: float) -> float:
    """The probability of k or more wins out of n."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@given(st.integers(1, 40), st.data())
def test_clopper_pearson_leaves_a_fortieth_in_each_tail(n: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(0, n))
    found = estimates.clopper_pearson(np.array([wins]), np.array([n]))
    assert found.low[0] <= found.value[0] <= found.high[0]
    if wins > 0:
        assert tail(wins, n, found.low[0]) == pytest.approx(0.025, abs=1e-6)
    if wins < n:
        assert 1 - tail(wins + 1, n, found.high[0]) == pytest.approx(0.025, abs=1e-6)


def example(model: str = "dsp", **changes: object) -> Report:
    missing, low, high = np.array([NAN, NAN]), np.array([0.25, NAN]), np.array([1, NAN])
    report = reports.make_report(
        {
            "melody": estimates.Estimate(np.array([0.5, 0.75]), low, high, np.array([4, 8])),
            "timbre": estimates.Estimate(np.array([1, NAN]), missing, missing, np.array([7, 7])),
        },
        rows=["melody", "tim|bre"],
        chance=[50, NAN],
        protocol="probes",
        title="Probes: 4 triplets",
        model=model,
        unit="%",
        command=f"soundalike evaluate probes --data DIR --model {model}",
        notes=["n: triplets_1 and triplets_2"],
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def same(one: Report, two: Report) -> bool:
    return reports.to_json(one) == reports.to_json(two)


def test_shares_become_per_cent_and_other_units_are_unchanged() -> None:
    assert example().values[0].tolist() == [50, 100]
    assert example().low[0, 0] == 25
    column = estimates.Estimate(np.array([1.5]), np.array([1.0]), np.array([2.0]), np.array([3]))
    plain = reports.make_report({"rank": column}, rows=["a"], chance=[2], protocol="p", title="t", model="m", unit="",
                                command="c")  # fmt: skip
    assert plain.values.tolist() == [[1.5]]
    assert reports.table(plain)[1] == ["a", "1.500 [1.000, 2.000]"]


def test_reports_survive_a_round_trip_to_disk(tmp_path: Path) -> None:
    path = reports.save_reports([example(), example(title="another")], tmp_path / "new" / "folder")
    assert path.name == "probes-dsp.json"
    first, second = reports.load_reports(path)
    assert same(first, example())
    assert second.title == "another"
    assert np.isnan(first.values[1, 1])
    assert first.n.dtype == np.int64
    assert [file.name for file in path.parent.iterdir()] == ["probes-dsp.json"]
    assert reports.save_reports([example(model="../my model")], tmp_path).name == "probes-.._my_model.json"


@given(st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=2, max_size=2), min_size=1))
def test_any_numbers_survive_a_round_trip_to_json(values: list[list[float]]) -> None:
    array = np.array(values)
    rows = tuple(f"row {n}" for n in range(len(values)))
    report = example(rows=rows, values=array, low=array, high=array, n=np.ones(array.shape, np.int64))
    assert same(reports.from_json(json.loads(json.dumps(reports.to_json(report), allow_nan=False))), report)


def invalid(**changes: object) -> str:
    body = reports.to_json(example()) | changes
    body = {key: value for key, value in body.items() if value != "gone"}
    return json.dumps({"magic": reports.MAGIC, "format": reports.FORMAT, "reports": [body]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a report"),
        ('{"magic": "other"}', "is not a report"),
        (json.dumps({"magic": reports.MAGIC, "format": 9}), "format 9, this version reads format 1; upgrade"),
        (json.dumps({"magic": reports.MAGIC, "format": 1}), "'reports' is missing"),
        (invalid(values="gone"), "'values' is missing; make it again"),
        (invalid(values=[[1.0]]), r"values has shape \(1, 1\), expected \(2, 2\)"),
        (invalid(chance=[1.0, 2.0, 3.0]), r"chance has shape \(3,\), expected \(2,\)"),
        (invalid(low=[["x", 1], [2, 3]]), "is not a valid report: could not convert"),
        (invalid(n=[[None, 1], [2, 3]]), "is not a valid report"),
        (invalid(title=4), "title holds 4, expected text"),
        (invalid(rows=[1, 2]), "rows holds 1, expected text"),
    ],
)
def test_an_invalid_file_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        reports.load_reports(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        reports.load_reports(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="give another folder to --save"):
        reports.save_reports([example()], tmp_path / "file" / "below")


def test_the_table_shows_intervals_chance_and_n() -> None:
    assert reports.table(example()) == [
        ["", "melody (%)", "timbre (%)"],
        ["melody", "50.0 [25.0, 100.0]", "100.0"],
        ["tim|bre", "75.0", "-"],
        ["chance", "50.0", "-"],
        ["n", "4 to 8", "7"],
    ]


def test_markdown_names_the_command_and_is_escaped() -> None:
    page = reports.markdown(example()).splitlines()
    assert page[0] == "## Probes: 4 triplets"
    assert "| melody | 50.0 [25.0, 100.0] | 100.0 |" in page
    assert "| tim\\|bre | 75.0 | - |" in page
    assert "- n: triplets\\_1 and triplets\\_2" in page
    assert "    soundalike evaluate probes --data DIR --model dsp" in page
    widths = {line.replace("\\|", "").count("|") for line in page if line.startswith("|")}
    assert widths == {4}


def test_models_on_the_same_data_are_merged_and_other_tables_are_not() -> None:
    merged, other = reports.merge([example("compact"), example("dsp"), example("dsp", title="Other data")])
    assert merged.rows == ("compact/melody", "compact/tim|bre", "dsp/melody", "dsp/tim|bre")
    assert merged.values.shape == merged.low.shape == merged.n.shape == (4, 2)
    assert merged.command.count("\n") == 1
    assert merged.notes == ("n: triplets_1 and triplets_2",)
    assert same(other, example("dsp", title="Other data"))
    (merged,) = reports.merge([example("a", notes=("x",)), example("b", notes=("y",))])
    assert merged.notes == ("a: x", "b: y")


def test_columns_in_another_order_are_merged_too() -> None:
    first = example("a")
    second = replace(
        example("b"),
        columns=first.columns[::-1],
        **{name: getattr(first, name)[:, ::-1] for name in ("values", "low", "high", "n")},
        chance=first.chance[::-1],
    )
    (merged,) = reports.merge([first, second])
    assert merged.columns == first.columns
    for name in ("values", "low", "high", "n"):
        assert np.array_equal(getattr(merged, name)[2:], getattr(first, name), equal_nan=True)
    other = replace(second, chance=first.chance)  # another chance level per column
    assert len(reports.merge([first, other])) == 2


def test_a_picture_needs_matplotlib_and_an_existing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="must end in .png, .svg or .pdf"):
        reports.check_plot(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="its folder does not exist"):
        reports.check_plot(tmp_path / "none" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'soundalike\[plot\]'"):
        reports.plot([example()], tmp_path / "a.png")


def test_numbers_as_csv() -> None:
    lines = list(csv.DictReader(io.StringIO(tables.to_csv([example()]))))
    assert [(line["row"], line["column"], line["value"], line["n"]) for line in lines] == [
        ("melody", "melody", "50", "4"), ("melody", "timbre", "100", "7"),
        ("tim|bre", "melody", "75", "8"), ("tim|bre", "timbre", "", "7"),
    ]  # fmt: skip
    assert (lines[0]["low"], lines[0]["high"], lines[0]["chance"], lines[1]["chance"]) == ("25", "100", "50", "")


def test_tables_for_latex() -> None:
    text = tables.to_latex(example(rows=("melody", "a_b & 50 %"), title="C\\D^2"))
    assert text.count("{") == text.count("}")
    assert "\\begin{tabular}{lrr}" in text and "\\caption{C\\textbackslash{}D\\textasciicircum{}2, model dsp." in text
    body = [line.strip() for line in text.splitlines() if line.endswith("\\\\")]
    assert body[0] == "& melody (\\%) & timbre (\\%) \\\\"
    assert body[1] == "melody & 50.0 [25.0, 100.0] & 100.0 \\\\"
    assert body[2].startswith("a\\_b \\& 50 \\% & 75.0 & - ")
    assert [line.split(" ")[0] for line in body[3:]] == ["chance", "n"]


def test_a_picture_says_what_it_shows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    many = {
        f"probe {k}": estimates.Estimate(np.array([0.5]), np.array([0.4]), np.array([0.6]), np.array([9]))
        for k in range(6)
    }
    wide = reports.make_report(
        many, rows=["melody"], chance=[50.0] * 6, protocol="probes", title="A long title " * 12, model="dsp", unit="%",
        command="x",
    )  # fmt: skip
    reports.plot([wide, example()], tmp_path / "a.svg")
    # Text of an SVG is drawn as paths, with the words in comments.
    words = " ".join(re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text()))
    for expected in ("chance level", "95 % interval", "value", "probe 5 (%)", "timbre (%)", "space"):
        assert expected in words, expected
    assert words.count("A long title") >= 12 - 4, "the title is whole, though broken into lines"
    width = float(re.search(r'width="([\d.]+)pt"', (tmp_path / "a.svg").read_text())[1])
    assert width < 11 * 72, "six panels fit a page"


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    reports.plot([example(), example(columns=("one",), values=np.ones((2, 1)), low=np.ones((2, 1)), n=np.ones((2, 1)),
                                     high=np.ones((2, 1)), chance=np.ones(1))], tmp_path / "a.png")  # fmt: skip
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
