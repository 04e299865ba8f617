"""What is printed: aligned columns for every script, plain text for programs, colours for terminals only."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.cli import output, table
from soundalike.cli.cells import clock, count, rarity, share, share_bar, track_names
from soundalike.cli.output import Progress, print_json, print_message, print_styled
from soundalike.cli.reports import print_report
from soundalike.cli.table import cell_width, cut_apart, cut_middle, print_facts, print_table
from soundalike.core.types import Report, SpaceScore


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output and standard error as one terminal with 40 columns."""
    stream = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    # Of the module alone: pytest replaces the streams of `sys` between this fixture and the test.
    streams = SimpleNamespace(stdout=stream, stderr=stream)
    monkeypatch.setattr(output, "sys", streams)
    monkeypatch.setattr(table, "sys", streams)
    return stream


# Widths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("plain", 5),
        ("音楽", 4),
        ("한국어", 6),
        ("ｆｕｌｌ", 8),
        ("🎸", 2),
        ("e\u0301tude", 5),
        ("é", 1),
        ("Ω×σ", 3),
        ("ก็", 1),
        ("", 0),
    ],
)
def test_widths_of_scripts(text: str, width: int) -> None:
    assert cell_width(text) == width


def expected_width(text: str) -> int:
    """An independent count from the Unicode tables that Python has."""
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(char) else wide.get(unicodedata.east_asian_width(char), 1) for char in text)


letters = st.sampled_from("abcéΩ音楽のテスト한국어🎸🎻ー\u0301\u0308")


def columns(line: str, left: int) -> tuple[str, str]:
    """Split a line at a cell."""
    for place in range(len(line) + 1):
        if expected_width(line[:place]) == left and not (line[place : place + 1] and cell_width(line[place]) == 0):
            return line[:place], line[place:]
    raise AssertionError(f"no character of {line!r} begins at cell {left}")


@given(st.lists(st.tuples(st.text(letters, max_size=8), st.text("0123456789", max_size=4)), min_size=1, max_size=5))
def test_columns_are_aligned(rows: list[tuple[str, str]]) -> None:
    rows = [("x" + name, number) for name, number in rows]  # a mark that combines with nothing has no place
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        print_table(["name", "n", "last"], [(name, number, "end") for name, number in rows], left=[0, 2])
    lines = stream.getvalue().split("\n")[:-1]
    widest = max(4, *(expected_width(name) for name, _ in rows))
    digits = max(1, *(len(number) for _, number in rows))
    assert len(lines) == 1 + len(rows)
    for line, (name, number) in zip(lines, [("name", "n"), *rows], strict=True):
        first, rest = columns(line, widest)
        assert first.rstrip(" ") == name.rstrip(" ")
        assert rest[2 : 2 + digits] == number.rjust(digits)
        assert rest[2 + digits :] in ("  end", "  last")


def test_names_are_cut_where_they_differ() -> None:
    names = [
        f"flute trio - Tune in {key}, {style}, flute trio" for key in "CDE" for style in ("rock", "swing", "waltz")
    ]
    cut = cut_apart(names, 26)
    assert len(set(cut)) == len(names)
    assert all(cell_width(one) == 26 for one in cut)
    assert cut_apart(["short", names[0]], 26) == ["short", cut_middle(names[0], 26)], "the middle where that will do"


@given(st.text(letters, max_size=60), st.integers(2, 40))
def test_both_ends_of_a_text_are_kept(text: str, width: int) -> None:
    cut = cut_middle(text, width)
    assert expected_width(cut) <= width
    if cut != text:
        head, _, tail = cut.partition("…")
        assert text.startswith(head) and text.endswith(tail)
        assert not tail or cell_width(tail[0]) > 0, "a mark has lost its letter"
        assert expected_width(cut) >= width - 2, "more was cut than had to be"
        assert abs(expected_width(head) - expected_width(tail)) <= 3


# Terminals and others -----------------------------------------------------------------------------------------------

LONG = "[bold]" + "/very/long" * 30 + "/音楽.flac"


def test_a_terminal_gets_bold_headers_and_cut_lines(terminal: Terminal) -> None:
    print_table(["#", "track"], [["1", LONG], ["2", "[red]short[/red]"]], left=[1])
    lines = terminal.getvalue().splitlines()
    assert lines[0].replace("\x1b[1m", "").replace("\x1b[0m", "") == "#  track"
    assert cell_width(lines[1]) == 40 and lines[1].startswith("1  [bold]/very") and lines[1].endswith("/音楽.flac")
    assert lines[2] == "2  [red]short[/red]", "markup in texts is text"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_terminals_without_colours(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    print_table(["#", "track"], [["1", LONG]], left=[1])
    print_styled(("title", "bold"))
    print_message("no such file", "failed")
    assert "\x1b" not in terminal.getvalue()
    assert cell_width(terminal.getvalue().splitlines()[1]) == 40


def test_a_pipe_gets_whole_lines_of_plain_text(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table(["#", "track"], [["1", LONG]], left=[1], ranks={0: 1})
    print_styled("a ", ("b", "red"), ("[link=x]c[/link]", "bold"))
    assert capsys.readouterr().out == f"#  track\n1  {LONG}\na b[link=x]c[/link]\n"


def test_a_wide_report_is_divided_into_tables_that_fit(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    values = np.arange(8.0).reshape(2, 4)
    rows = ("weighted mean, .4 .4 .2", "weighted mean, tuned")
    columns, chance = ("melody", "rhythm", "timbre", "chords"), np.full(4, 50.0)
    n = np.full((2, 4), 100)
    print_report(
        Report("probes", "Probes", "merit", rows, columns, values, values - 1, values + 1, n, chance, "%", "command")
    )
    lines = terminal.getvalue().splitlines()
    assert max(map(cell_width, lines)) <= 60
    for row, numbers in zip(rows, values, strict=True):
        shown = [line.removeprefix(row).split("]") for line in lines if line.startswith(f"{row} ")]
        assert len(shown) == 2, "each table names the rows in full"
        found = [cell.split("[")[0].strip() for line in shown for cell in line if cell.strip()]
        assert found == [f"{number:.1f}" for number in numbers]


def test_messages_have_coloured_labels_and_one_line(terminal: Terminal) -> None:
    print_message("a\nb\x1b[2J[bold]", "failed")
    assert terminal.getvalue() == "\x1b[31mfailed\x1b[0m a\\nb\\x1b[2J[bold]\n"


def test_long_lines_are_not_wrapped(terminal: Terminal) -> None:
    print_styled((LONG, "dim"))
    assert terminal.getvalue() == f"\x1b[2m{LONG}\x1b[0m\n"


# JSON ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    path: Path
    value: float | None


def test_json_escapes_only_what_is_no_unicode(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(Record(Path("音楽.wav"), None))
    assert capsys.readouterr().out == '{\n  "schema": "error/1",\n  "path": "音楽.wav",\n  "value": null\n}\n'
    print_json(Record(Path("音\udcff.wav"), 1.5))
    printed = capsys.readouterr().out
    assert printed.isascii() and json.loads(printed) == {"schema": "error/1", "path": "音\udcff.wav", "value": 1.5}
    with pytest.raises(ValueError, match="nan has no form in JSON"):
        print_json(Record(Path("a"), float("nan")))


# Progress -----------------------------------------------------------------------------------------------------------


def test_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(output.time, "monotonic", lambda: now)
    with Progress("file") as progress:
        for done in range(1, 31):
            now += 1.0
            progress(done, 100, 60.0 * done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"{done} of 100 files, 60 per minute, 60 x real time, {clock(100 - done)} left" for done in (10, 20, 30)
    ]
    with Progress("file", enabled=False) as silent:
        now += 100.0
        silent(1, 2)
    assert capsys.readouterr().err == ""


def test_phases_before_the_first_item(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(output.time, "monotonic", lambda: now)
    with Progress("folder") as progress:
        for text in ("reading soundfonts", "reading tunes: 10 %", "reading tunes: 20 %", "reading tunes: 90 %"):
            progress.phase(text)
            now += 60.0 if text.endswith("20 %") else 5.0
        progress.phase("rendering 4 folders")
        for done in (1, 2):
            now += 30.0
            progress(done, 4)
    assert capsys.readouterr().err.splitlines() == [
        "reading soundfonts (0:00.0 so far)",
        "reading tunes: 10 % (0:05.0 so far)",
        "reading tunes: 90 % (1:10 so far)",
        "rendering 4 folders (1:15 so far)",
        "1 of 4 folders, 2 per minute, 1:30 left, 1:45 so far",
        "2 of 4 folders, 2 per minute, 1:00 left, 2:15 so far",
    ]
    with Progress("folder", enabled=False) as silent:
        silent.phase("reading tunes")
    assert capsys.readouterr().err == ""


def test_progress_is_a_bar_that_goes_away(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with Progress("folder") as progress:
        progress(1, 1, 30.0)
        assert "1 of 1 folder, " in terminal.getvalue() and "x real time" in terminal.getvalue()
        assert "\x1b[?25l" in terminal.getvalue(), "the cursor is hidden"
    assert terminal.getvalue().endswith("\x1b[2K"), "the line of the bar is erased"
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l"), "the cursor is back"


def test_the_bar_goes_away_after_an_error(terminal: Terminal) -> None:
    with pytest.raises(KeyboardInterrupt), Progress("folder") as progress:
        progress(1, 1)
        raise KeyboardInterrupt
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


# Numbers ------------------------------------------------------------------------------------------------------------


def test_numbers() -> None:
    assert [clock(value) for value in (0, 3.46, 59.94, 59.96, 123, 3723)] == [
        "0:00.0", "0:03.5", "0:59.9", "1:00", "2:03", "1:02:03"
    ]  # fmt: skip
    assert [count(1, "file"), count(1234, "file"), count(2, "family")] == ["1 file", "1,234 files", "2 families"]


# The whole command --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_odd_names_in_tables(music: Path, tmp_path: Path) -> None:
    """Names with markup, control characters, bytes that are not UTF-8, and wide characters, on a narrow encoding."""
    names = [b"[bold]x[red].wav", b"a\nb\x1b[2J.wav", b"odd\xff.wav", "音楽.wav".encode()]
    (tmp_path / "in").mkdir()
    for number, name in enumerate(names):
        source = sorted(music.rglob("*.wav"))[3 * number]
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "soundalike"]
    library = ["--library", str(tmp_path / "library")]
    subprocess.run([*command, "index", str(tmp_path / "in"), "--model=dsp", *library], check=True, capture_output=True)
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(
            [*command, "search", str(music / "up" / "0.wav"), "--include-self", *library],
            capture_output=True, check=True, env=environment,
        )  # fmt: skip
        assert b"[bold]x[red].wav" in done.stdout
        assert rb"a\nb\x1b[2J.wav" in done.stdout
        assert rb"odd\xff.wav" in done.stdout
        assert ("音楽.wav".encode() if encoding == "utf-8" else rb"\u97f3\u697d.wav") in done.stdout
        assert b"\x1b" not in done.stdout and done.stderr == b""


@pytest.mark.parametrize(
    ("percentile", "expected"),
    [
        (None, "n/a"),
        (0.0, "0%"),
        (72.3, "72%"),
        (90.0, "90.0%"),
        (98.96, "99.0%"),
        (99.0, "1 in 100"),
        (99.3, "1 in 140"),
        (99.95, "1 in 2,000"),
        (99.99, "1 in 10k"),
        (99.997, "1 in 33k"),
        (99.99999, "1 in 1M+"),
        (100.0, "100%"),
    ],
)
def test_the_top_is_told_by_rank(percentile: float | None, expected: str) -> None:
    assert rarity(percentile) == expected
    if percentile is not None:
        score = SpaceScore(0.9, 2.0, 1.0, 0.5, percentile, "model", True)
        assert share(score) == f"+0.50 {expected:>10}"


@given(st.floats(0, 100))
def test_rarer_never_reads_as_more_common(percentile: float) -> None:
    text = rarity(percentile)
    assert len(text) <= 10
    assert (text == "100%") == (percentile == 100)
    if text.startswith("1 in ") and "+" not in text:
        number = float(text[5:].replace(",", "").replace("k", "000").replace("M", "000000")) if "." not in text else 0
        assert number == 0 or number == pytest.approx(100 / (100 - percentile), rel=0.06)


def test_bars_are_as_long_as_their_share() -> None:
    assert [share_bar(value, 2.0, 4) for value in (2.0, 1.0, 0.25, 0.0, -1.0, -0.01)] == [
        "████", "██  ", "▌   ", "    ", "░░  ", "░   "
    ]  # fmt: skip
    assert [share_bar(value, 2.0, 1) for value in (2.0, 0.0, -1.0)] == ["█", "▁", "-"]
    assert [share_bar(value, 2.0, 4, ascii_only=True) for value in (2.0, -1.0)] == ["####", "--  "]
    assert share_bar(0.0, 0.0, 4) == "    "


def test_names_drop_the_folder_that_all_share() -> None:
    paths = ["/music/a/x.wav", "/music/a/y.wav", "/music/b/x.wav"]
    assert track_names([(path, None) for path in paths]) == (["a/x.wav", "a/y.wav", "b/x.wav"], "/music/")
    known = SimpleNamespace(artist="A", title="B", artists=("A",))
    twice = [("/m/1.wav", known), ("/m/2.wav", known), ("/n/3.wav", SimpleNamespace(artist="A", title="C"))]
    assert track_names(twice) == (["1.wav", "2.wav", "A - C"], "/m/"), "equal titles do not tell tracks apart"
    assert track_names([]) == ([], "")


def test_columns_leave_by_rank_before_names_are_cut(terminal: Terminal) -> None:
    row = ["1", "a name of 24 characters ", "120", "Am", "0:10-0:20"]
    print_table(["#", "track", "bpm", "key", "time"], [row], left=[1, 3], stretch=1, ranks={2: 2, 3: 1, 4: 3},
                notes={0: ["a copy"]})  # fmt: skip
    text = terminal.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "")
    assert text.splitlines() == [
        "#  track                     bpm  key",
        "1  a name of 24 characters   120  Am",
        "   a copy",
    ]


def test_lines_break_between_facts(terminal: Terminal) -> None:
    print_facts("a fact of 20 letters", "another of 19 chars", "", "x" * 50)
    assert terminal.getvalue().splitlines() == ["a fact of 20 letters;", "another of 19 chars;", "x" * 40, "x" * 10]


def test_a_pipe_gets_facts_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts("a" * 100, "b")
    assert capsys.readouterr().out == "a" * 100 + "; b\n"
