"""The distribution's metadata and the documents about it agree with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import soundalike
from soundalike.core import plugins
from test_house import house

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def table_rows(text: str, header: str) -> list[list[str]]:
    """The cells of the Markdown table with this first column, without header and rule."""
    lines = text[text.index(f"| {header} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_citation_has_this_version_and_four_papers() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == soundalike.__version__  # type: ignore[index]
    assert re.search(r"^license: (.+)$", citation, re.MULTILINE)[1] == PROJECT["license"]  # type: ignore[index]
    papers = re.findall(r"arXiv:(\d{4}\.\d{5})", citation)
    assert papers == ["2605.27346", "2503.18486", "2601.19109", "2111.01710"]
    assert citation.count("  - type: article\n    title:") == len(papers)


def test_contributors_find_the_rules_that_the_house_enforces() -> None:
    found = {
        package.strip("`"): {name.strip() for name in names.split(",")}
        for package, names in table_rows(CONTRIBUTING, "package")
    }
    every = house.EVERYTHING
    found["core"], found["cli"] = set(), every | {"serve"}
    found["demo"] = found["serve"] = every - {"demo"}
    assert found == {name: set(allowed) for name, allowed in house.ALLOWED.items() if name != "__main__"}


def test_contributors_find_every_kind_of_plug_in() -> None:
    rows = table_rows(CONTRIBUTING, "kind")
    groups = {row[2].strip("`"): row[1].strip("`/") for row in rows}
    assert groups == {f"soundalike.{kind}": folder for kind, folder in plugins.FOLDERS.items()}
    for contract in (row[4].strip("`") for row in rows):
        assert (ROOT / "src" / "soundalike" / contract).is_file()


def test_the_page_on_installing_covers_every_dependency_and_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    needed = {re.match(r"[\w.-]+", line)[0] for line in PROJECT["dependencies"]}  # type: ignore[index]
    rows = table_rows(page, "dependency")
    assert {row[0].split()[0] for row in rows} == needed
    extras = {name for name in PROJECT["optional-dependencies"] if name not in ("dev", "docs")}
    assert {row[0] for row in table_rows(page, "extra")} == {f"`soundalike[{name}]`" for name in extras}
    total = re.search(r"^\*\*(\d+) MB\*\*", page, re.MULTILINE)
    assert total is not None
    assert sum(float(row[1]) for row in rows) < int(total[1]) <= 465
