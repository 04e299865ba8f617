"""Pages of results: what the index shows, what is kept, and that those in the repository are up to date."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.pages import write_pages
from soundalike.evaluate.reports import make_report, save_reports

DOCS = Path(__file__).parents[2] / "docs"


def save(folder: Path, protocol: str, model: str, value: float, unit: str = "%", chance: float = 50) -> None:
    column = Estimate(np.array([value]), np.array([value * 0.9]), np.array([value * 1.1]), np.array([1234]))
    report = make_report(
        {"melody": column}, rows=["all"], chance=[chance], protocol=protocol, title=f"{protocol} of clips", model=model,
        unit=unit, command=f"soundalike evaluate {protocol} --model {model}",
    )  # fmt: skip
    save_reports([report], folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Reports of two models and of a benchmark, and settings."""
    folder = tmp_path / "results"
    save(folder, "probes", "a", 0.8)
    save(folder, "probes", "b", 0.7)
    save(folder, "bench-speed", "a", 23.349, unit="", chance=np.nan)
    (folder / "index.toml").write_text("""
        text = "Numbers."
        footer = "The end."
        [[question]]
        name = "good"
        title = "Is it good?"
        text = "Yes."
        [[question.line]]
        what = "model a"
        report = "probes-a.json"
        row = "all"
        column = "melody"
        beside = {report = "probes-b.json", row = "all", column = "melody", name = "model b"}
        [[question.line]]
        what = "speed"
        report = "bench-speed-a.json"
        row = "all"
        column = "melody"
        unit = "ms"
        [[question.line]]
        what = "by hand"
        value = "3"
        n = 7
        page = "mine"
        [[page]]
        name = "clips"
        title = "Clips"
        question = "good"
        protocols = ["probes"]
    """)
    return folder


def test_the_index_answers_with_numbers_of_reports(folder: Path) -> None:
    (folder / "mine.md").write_text("# My page\n\nText.\n")
    index = folder.parent / "results.md"
    assert write_pages(folder, index) == 3
    text = index.read_text()
    assert text.startswith("# Results\n\nNumbers.\n\n## Is it good?\n\nYes.\n\n|")
    first = (
        "| model a | 80.0 [72.0, 88.0] % | model b: 70.0 [63.0, 77.0] % | 50.0 % | 1,234 | [more](results/clips.md) |"
    )
    assert f"\n{first}\n" in text
    assert "\n| speed | 23.3 [21.0, 25.7] ms |  |  | 1,234 | [more](results/speed.md) |\n" in text
    assert "\n| by hand | 3 |  |  | 7 | [more](results/mine.md) |\n" in text
    more = "- [bench-speed of clips](results/speed.md)\n- [My page](results/mine.md)"
    assert f"\n- [Clips](results/clips.md)\n\n## More\n\n{more}\n" in text
    assert text.endswith("\n\nThe end.\n")
    page = (folder / "clips.md").read_text()
    assert page.startswith("# Clips\n") and page.count("\n## ") == 1
    assert "| a/all | 80.0 [72.0, 88.0] |\n| b/all | 70.0 [63.0, 77.0] |" in page


def test_pages_by_hand_stay_and_old_generated_ones_go(folder: Path) -> None:
    index = folder.parent / "results.md"
    (folder / "mine.md").write_text("# My page\n")
    write_pages(folder, index)
    (folder / "bench-speed-a.json").unlink()
    settings = (folder / "index.toml").read_text()
    (folder / "index.toml").write_text(
        settings.replace(
            'what = "speed"\n        report = "bench-speed-a.json"', 'what = "again"\n        report = "probes-a.json"'
        )
    )
    write_pages(folder, index)
    assert {path.name for path in folder.glob("*.md")} == {"mine.md", "clips.md"}
    assert (folder / "mine.md").read_text() == "# My page\n"
    assert "speed" not in index.read_text()


def test_without_settings_every_protocol_has_a_page(folder: Path) -> None:
    (folder / "index.toml").unlink()
    assert write_pages(folder, folder.parent / "results.md") == 2
    assert (folder / "probes.md").exists() and (folder / "speed.md").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('row = "all"', 'row = "none"', "has no row 'none'; it has all"),
        ('report = "probes-a.json"', 'report = "gone.json"', "gone.json is missing or unknown"),
        ('protocols = ["probes"]', 'protocols = ["nothing"]', "no report is of the protocol nothing"),
        ('question = "good"', 'question = "bad"', "the question bad is missing or unknown"),
        ("[[page]]", "[page", "index.toml cannot be used"),
        ('title = "Clips"', "", "title is missing"),
        ('unit = "ms"', "number = 2", "holds 1 reports, not 2"),
    ],
)
def test_what_is_wrong_in_the_settings_is_said(folder: Path, old: str, new: str, message: str) -> None:
    settings = (folder / "index.toml").read_text()
    assert old in settings
    (folder / "index.toml").write_text(settings.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        write_pages(folder, folder.parent / "results.md")
    assert not list(folder.glob("*.md"))


def test_the_results_in_the_repository_are_up_to_date(tmp_path: Path) -> None:
    shutil.copytree(DOCS / "results", tmp_path / "results")
    write_pages(tmp_path / "results", tmp_path / "results.md")
    again = "write them again: soundalike evaluate summary docs/results -o docs/results.md --pages"
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text(), again
    assert {path.name for path in (tmp_path / "results").glob("*.md")} == {
        path.name for path in (DOCS / "results").glob("*.md")
    }, again
    for path in (tmp_path / "results").glob("*.md"):
        assert path.read_text() == (DOCS / "results" / path.name).read_text(), f"{path.name}: {again}"
