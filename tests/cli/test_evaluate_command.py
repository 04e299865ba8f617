"""`soundalike evaluate` as it is typed: tables, JSON, saved reports, pictures, and the page of all results."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from soundalike.cli.evaluate import add_protocols
from soundalike.core.errors import UsageError
from soundalike.evaluate import reports


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run an `evaluate` command; returns its exit code and what it printed."""

    def go(*arguments: object) -> tuple[int, str]:
        parser = argparse.ArgumentParser(prog="soundalike evaluate")

        def common(command: argparse.ArgumentParser) -> None:
            command.add_argument("--json", action="store_true")
            command.add_argument("--model")

        add_protocols(parser.add_subparsers(required=True), common)
        args = parser.parse_args([str(argument) for argument in arguments])
        code: int = args.run(args)
        return code, capsys.readouterr().out

    return go


def test_help_is_the_page_of_conventions(run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("abx", "--help")
    page = capsys.readouterr().out
    assert "strictly more than 75 %" in page
    for option in ("--labels", "--audio", "--model", "--json", "--save", "--plot", "--seed", "--jobs"):
        assert option in page


def test_tables_and_a_saved_report(run, music: Path, tmp_path: Path) -> None:
    code, out = run("retrieval", music, "--save", tmp_path / "reports")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Retrieval: 12 recordings, 4 labels (compact)"
    assert lines[1].split() == ["mAP", "(%)", "R@1", "(%)", "R@5", "(%)", "R@10", "(%)"]
    assert [line.split()[0] for line in lines[2:8]] == ["melody", "rhythm", "timbre", "harmony", "chance", "n"]
    assert lines[-1] == f"written: {tmp_path / 'reports' / 'retrieval-compact.json'}"
    saved = reports.load_reports(tmp_path / "reports" / "retrieval-compact.json")
    assert [report.title.partition(":")[0] for report in saved] == ["Retrieval", "First right answer", "Hubness"]


def test_json_alone_on_standard_output(run, music: Path) -> None:
    code, out = run("retrieval", music, "--json", "--jobs", 1)
    body = json.loads(out)
    assert code == 0 and list(body) == ["reports"] and len(body["reports"]) == 3
    assert body["reports"][0]["rows"] == ["melody", "rhythm", "timbre", "harmony"]
    assert body["reports"][2]["low"] == [[None]] * 4
    assert reports.from_json(body["reports"][0]).unit == "%"


def test_a_picture(run, music: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run("retrieval", music, "--plot", tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_what_cannot_be_written_is_said_before_any_work(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    # The folder of recordings is not there either: that would be found next.
    with pytest.raises(UsageError, match="cannot write to .*file.*; give another folder to --save"):
        run("retrieval", tmp_path / "none", "--save", tmp_path / "file")
    with pytest.raises(UsageError, match="ends in .png"):
        run("retrieval", tmp_path / "none", "--plot", tmp_path / "a.txt")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="--plot needs matplotlib; install it with"):
        run("retrieval", tmp_path / "none", "--plot", tmp_path / "a.png")
    for option, value in (("--seed", "-1"), ("--jobs", "0"), ("--seed", "x"), ("--jobs", "²")):
        with pytest.raises(SystemExit):
            run("retrieval", tmp_path, option, value)
        assert "expected a whole number from" in capsys.readouterr().err


def saved(folder: Path, model: str, value: float, protocol: str = "probes") -> None:
    import numpy as np

    column = reports.Estimate(np.array([value]), np.array([value - 0.1]), np.array([value + 0.1]), np.array([9]))
    report = reports.make_report(
        {"melody": column},
        rows=["melody"],
        chance=[50],
        protocol=protocol,
        title=f"{protocol}: 9 triplets",
        model=model,
        unit="%",
        command=f"soundalike evaluate {protocol} --data DIR --model {model}",
        notes=["n: triplets."],
    )
    reports.save_reports([report], folder)


def test_the_page_of_results(run, tmp_path: Path) -> None:
    saved(tmp_path / "reports", "dsp", 0.6)
    saved(tmp_path / "reports", "compact", 0.8)
    saved(tmp_path / "reports", "dsp", 0.7, "triplets")
    code, out = run("summary", tmp_path / "reports", "-o", tmp_path / "results.md")
    page = (tmp_path / "results.md").read_text()
    assert (code, out) == (0, f"3 reports written: {tmp_path / 'results.md'}\n")
    assert page.startswith("# Results\n\nWritten by `soundalike evaluate summary DIR -o FILE`")
    assert page.count("\n## ") == 2
    assert (
        "| compact/melody | 80.0 [70.0, 90.0] |\n| dsp/melody | 60.0 [50.0, 70.0] |\n| chance | 50.0 |\n| n | 9 |"
        in page
    )
    assert "    soundalike evaluate probes --data DIR --model compact\n    soundalike evaluate probes" in page
    assert str(tmp_path) not in page
    _, printed = run("summary", tmp_path / "reports")
    assert printed.split("\n", 3)[3] == page.split("\n", 3)[3]
    _, out = run("summary", tmp_path / "reports", "--json")
    assert len(json.loads(out)["reports"]) == 3


def test_no_page_without_reports(run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no reports; make some with: soundalike evaluate PROTOCOL"):
        run("summary", tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match="a.json is not a report"):
        run("summary", tmp_path)
    saved(tmp_path / "reports", "dsp", 0.6)
    with pytest.raises(UsageError, match="cannot write .*No such file or directory"):
        run("summary", tmp_path / "reports", "-o", tmp_path / "none" / "page.md")
