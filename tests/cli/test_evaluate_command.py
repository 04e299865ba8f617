"""`soundalike evaluate` as it is typed: tables, JSON, saved reports, pictures, and the page of all results."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.evaluate import reports


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __iter__(self):
        return iter((self.code, self.out))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run an `evaluate` command; the outcome unpacks into its exit code and what it printed."""

    def go(*arguments: object) -> Outcome:
        code = main(["evaluate", *map(str, arguments)])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return go


def error(outcome: Outcome) -> str:
    """The one line of an error."""
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("soundalike: ") and outcome.err.count("\n") == 1
    return outcome.err


def test_help_is_the_page_of_conventions(run) -> None:
    code, page = run("abx", "--help")
    assert code == 0
    assert "strictly more than 75 %" in page
    for option in ("--labels", "--audio", "--model", "--json", "--save", "--plot", "--seed", "--jobs"):
        assert option in page


def test_help_lists_every_protocol_with_its_summary(run) -> None:
    code, page = run("--help")
    assert code == 0
    for name in plugins.names("protocols"):
        assert f"  {name.replace('_', '-')} " in page
        assert plugins.load("protocols", name).summary[:30] in page
    assert "summary" in page


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
    assert code == 0 and list(body) == ["schema", "reports"] and len(body["reports"]) == 3
    assert body["reports"][0]["rows"] == ["melody", "rhythm", "timbre", "harmony"]
    assert body["reports"][2]["low"] == [[None]] * 4
    assert reports.from_json(body["reports"][0]).unit == "%"


def test_a_picture(run, music: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run("retrieval", music, "--plot", tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_what_cannot_be_written_is_said_before_any_work(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    # The folder of recordings does not exist either: that would be found next.
    found = error(run("retrieval", tmp_path / "none", "--save", tmp_path / "file"))
    assert re.search("cannot write to .*file.*; give another folder to --save", found)
    assert "end in .png" in error(run("retrieval", tmp_path / "none", "--plot", tmp_path / "a.txt"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = error(run("retrieval", tmp_path / "none", "--plot", tmp_path / "a.png"))
    assert "--plot needs matplotlib; install it with" in found
    for option, value in (("--seed", "-1"), ("--jobs", "0"), ("--seed", "x"), ("--jobs", "²")):
        assert "expected a whole number from" in error(run("retrieval", tmp_path, option, value))


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


def test_pages_of_results(run, tmp_path: Path) -> None:
    saved(tmp_path / "reports", "dsp", 0.6)
    saved(tmp_path / "reports", "dsp", 0.7, "triplets")
    code, out = run("summary", tmp_path / "reports", "-o", tmp_path / "results.md", "--pages")
    assert (code, out) == (0, f"2 reports written: {tmp_path / 'results.md'} and 2 pages\n")
    assert "(results/probes.md)" in (tmp_path / "results.md").read_text()
    assert "60.0" in (tmp_path / "results" / "probes.md").read_text()
    assert "--pages needs the name of the index" in error(run("summary", tmp_path / "reports", "--pages"))


def test_no_page_without_reports(run, tmp_path: Path) -> None:
    assert "holds no reports; make some with: soundalike evaluate PROTOCOL" in error(run("summary", tmp_path))
    (tmp_path / "a.json").write_text("{}")
    assert "a.json is not a report" in error(run("summary", tmp_path))
    saved(tmp_path / "reports", "dsp", 0.6)
    found = error(run("summary", tmp_path / "reports", "-o", tmp_path / "none" / "page.md"))
    assert re.search("cannot write .*No such file or directory", found)


def test_tables_for_papers_and_spreadsheets(run, music: Path) -> None:
    code, out = run("retrieval", music, "--csv", "--jobs", 1)
    assert code == 0
    assert out.splitlines()[0] == "protocol,title,model,row,column,value,low,high,n,chance,unit"
    code, latex = run("retrieval", music, "--latex", "--jobs", 1)
    assert code == 0 and latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 3
    assert "--csv, --latex and --json exclude each other" in run("retrieval", music, "--csv", "--latex").err
