"""Pages of results: one per benchmark, and an index that answers questions with the headline numbers.

A folder of saved reports may hold `index.toml`, which says what belongs together:

    title = "Results"
    text = "A paragraph below the title."
    footer = "Text at the end of the index."

    [[question]]
    name = "accurate"
    title = "Is it accurate?"

    [[question.line]]                     # a line of the table below the question
    what = "melody, real recordings"
    report = "probes-compact.json"        # and number = 2 for the second report in the file
    row = "melody"
    column = "melody"
    unit = "%"                            # written behind the value
    beside = {report = "probes-dsp.json", row = "melody", column = "melody", name = "dsp"}

    [[page]]
    name = "probes"                       # the page probes.md
    title = "Probes of real recordings"
    question = "accurate"
    protocols = ["probes"]                # of the reports on this page

A protocol that no page lists gets a page of its own. A page without protocols is written by hand: its file is left as
it is, and so is every other Markdown file that this module has not written. A line of a question may have `value`, `n`
and `page` instead of a report, for numbers of such a page.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder, write_atomic
from soundalike.core.types import Report
from soundalike.evaluate.reports import load_reports, markdown, merge

__all__ = ["write_pages"]

_INDEX = "index.toml"
_MARK = "Written by `soundalike evaluate summary"
_HOW = f"""\
{_MARK} --pages` from saved reports. Each table names the command that makes it again, to be run
with `--save`. Values are followed by their 95 % interval if there is one. `chance` is the chance level, and `n` is the
number of items that a value is the mean of. Models that were measured on the same data share a table.
"""


@dataclass(frozen=True, slots=True)
class _Page:
    """A page: the file is `<name>.md`."""

    name: str
    title: str
    question: str
    protocols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number in a report, and where it is: the file of the report, its number in it, a row and a column."""

    report: str
    row: str
    column: str
    number: int = 1
    name: str = ""
    """What a peer or baseline is called; the row by default."""


def write_pages(folder: Path, index: Path) -> int:
    """Write an index, and one page per benchmark into the folder beside it that has its name.

    Args:
        folder: The folder of the reports, and of `index.toml` if there is one.
        index: The file of the index; the pages of `results.md` are in `results/`.

    Returns:
        The number of pages besides the index.

    Raises:
        UsageError: A report or `index.toml` is invalid, or a page cannot be written.

    Example:
        >>> write_pages(Path("docs/results"), Path("docs/results.md"))
        24
    """
    found = {path.name: load_reports(path) for path in sorted(folder.glob("*.json"))}
    with _reading(folder / _INDEX):
        settings = tomllib.loads((folder / _INDEX).read_text(encoding="utf-8")) if (folder / _INDEX).exists() else {}
        pages = _pages(settings, [report for reports in found.values() for report in reports])
        target = index.with_suffix("")
        texts = {
            page.name: _page(page, [report for reports in found.values() for report in reports])
            for page in pages
            if page.protocols
        }
        listed = [*pages, *_by_hand(target, pages)]
        text = _index(settings, listed, found, target.name)
    make_folder(target, "-o")
    for path in target.glob("*.md"):
        if path.stem not in texts and _MARK in path.read_text(encoding="utf-8"):
            path.unlink()
    for name, content in texts.items():
        write_atomic(target / f"{name}.md", _writer(content))
    write_atomic(index, _writer(text))
    return len(listed)


def _writer(text: str) -> Callable[[Any], object]:
    return lambda file: file.write(text.encode())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what is wrong in `index.toml` into a UsageError."""
    try:
        yield
    except KeyError as error:
        raise UsageError(
            f"{path}: {error.args[0]} is missing or unknown; see: soundalike evaluate summary --help"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be used: {error}") from error


def _pages(settings: Mapping[str, Any], reports: Sequence[Report]) -> list[_Page]:
    """The pages of `index.toml`, then one per protocol that none of them has."""
    pages = [
        _Page(one["name"], one["title"], one.get("question", ""), tuple(one.get("protocols", ())))
        for one in settings.get("page", ())
    ]
    taken = {protocol for page in pages for protocol in page.protocols}
    protocols = dict.fromkeys(report.protocol for report in reports)
    if unknown := taken - set(protocols):
        raise ValueError(f"no report is of the protocol {min(unknown)}")
    for protocol in protocols:
        if protocol not in taken:
            title = next(report.title for report in reports if report.protocol == protocol)
            pages.append(_Page(re.sub(r"[^\w.-]+", "_", protocol.removeprefix("bench-")), title, "", (protocol,)))
    return pages


def _by_hand(folder: Path, pages: Sequence[_Page]) -> list[_Page]:
    """The pages in a folder that are written by hand and that `index.toml` does not list."""
    known = {page.name for page in pages}
    found = []
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if path.stem not in known and _MARK not in text:
            found.append(_Page(path.stem, text.partition("\n")[0].lstrip("# "), "", ()))
    return found


def _page(page: _Page, reports: Sequence[Report]) -> str:
    chosen = [report for protocol in page.protocols for report in reports if report.protocol == protocol]
    return "\n".join([f"# {page.title}\n", _HOW, *map(markdown, merge(chosen))])


def _index(
    settings: Mapping[str, Any], pages: Sequence[_Page], found: Mapping[str, Sequence[Report]], folder: str
) -> str:
    """The text of the index."""
    text = [f"# {settings.get('title', 'Results')}", ""]
    text += [*settings.get("text", _HOW).rstrip().splitlines(), ""]
    questions = [*settings.get("question", ()), {"name": "", "title": "More"}]
    if unknown := {page.question for page in pages} - {question["name"] for question in questions}:
        raise KeyError(f"the question {min(unknown)}")
    page_of = {protocol: page for page in pages for protocol in page.protocols}
    for question in questions:
        mine = [page for page in pages if page.question == question["name"]]
        if not mine and not question.get("line"):
            continue
        text += [f"## {question['title']}", ""]
        text += [*question["text"].rstrip().splitlines(), ""] if "text" in question else []
        if question.get("line"):
            text += ["| | measured | beside | chance | n | |", "|---|--:|--:|--:|--:|---|"]
            text += [_line(line, found, page_of, folder) for line in question["line"]]
            text.append("")
        text += [f"- [{page.title}]({folder}/{page.name}.md)" for page in mine]
        text.append("")
    if "footer" in settings:
        text += [*settings["footer"].rstrip().splitlines(), ""]
    return "\n".join(text).rstrip() + "\n"


def _line(
    line: Mapping[str, Any], found: Mapping[str, Sequence[Report]], page_of: Mapping[str, _Page], folder: str
) -> str:
    """A line of the table of a question."""
    if "value" in line:
        cells = [line["what"], line["value"], "", "", str(line.get("n", "")), f"[more]({folder}/{line['page']}.md)"]
        return f"| {' | '.join(cells)} |"
    at = _Number(line["report"], line["row"], line["column"], line.get("number", 1))
    report, row, column = _find(at, found)
    unit = line.get("unit", report.unit)
    beside = ""
    if "beside" in line:
        other = _Number(**line["beside"])
        beside = f"{other.name or other.row}: {_value(*_find(other, found))} {unit}".rstrip()
    chance = float(report.chance[column])
    cells = [
        line["what"],
        f"{_value(report, row, column)} {unit}".rstrip(),
        beside,
        f"{_number(chance, report)} {unit}".rstrip() if math.isfinite(chance) else "",
        f"{report.n[row, column]:,}",
        f"[more]({folder}/{page_of[report.protocol].name}.md)",
    ]
    return f"| {' | '.join(cells)} |"


def _value(report: Report, row: int, column: int) -> str:
    """A value with its interval."""
    value, low, high = (float(part[row, column]) for part in (report.values, report.low, report.high))
    text = _number(value, report)
    if math.isfinite(low) and math.isfinite(high):
        text += f" [{_number(low, report, value)}, {_number(high, report, value)}]"
    return text


def _number(number: float, report: Report, like: float | None = None) -> str:
    """A number with one digit in per cent, else with three significant digits, or as many places as another one."""
    size = abs(number if like is None else like)
    places = 1 if report.unit == "%" else max(0, 2 - math.floor(math.log10(size))) if size else 0
    return f"{number:,.{min(places, 3)}f}"


def _find(at: _Number, found: Mapping[str, Sequence[Report]]) -> tuple[Report, int, int]:
    """A report, and the numbers of a row and of a column."""
    reports = found[at.report]
    if not 1 <= at.number <= len(reports):
        raise ValueError(f"{at.report} holds {len(reports)} reports, not {at.number}")
    report = reports[at.number - 1]
    for kind, name, names in (("row", at.row, report.rows), ("column", at.column, report.columns)):
        if name not in names:
            raise ValueError(f"{at.report} has no {kind} {name!r}; it has {', '.join(names)}")
    return report, report.rows.index(at.row), report.columns.index(at.column)
