"""`soundalike evaluate`: run a protocol, or put saved reports together on one page."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    argument,
    jobs_option,
    json_option,
    model_option,
    option,
    ray_option,
    seed_option,
    shared_parameters,
)
from soundalike.cli.cells import count
from soundalike.cli.commands import Entry, Group, command
from soundalike.cli.output import Progress, print_json
from soundalike.cli.reports import print_report
from soundalike.core.errors import UsageError, one_line

if TYPE_CHECKING:
    from soundalike.evaluate import Protocol

__all__ = ["evaluate", "protocol_command"]

_INTRODUCTION = """\
# Results

Written by `{command}` from saved reports. Each table names the command that makes it again, to be run with `--save`.
Values are followed by their 95 % interval if there is one. `chance` is the chance level, and `n` is the number of items
that a value is the mean of. Models that were measured on the same data share a table.
"""


@dataclass(frozen=True, slots=True)
class ReportsRecord:
    """Reports, in the form in which --save writes them."""

    reports: Sequence[Mapping[str, Any]]


def protocol_command(name: str) -> click.Command:
    """Make the command of a protocol. The docstring of its module is the help page."""
    from soundalike.core import plugins

    protocol: Protocol = plugins.load("protocols", name)
    page = inspect.getdoc(inspect.getmodule(type(protocol))) or protocol.summary

    @command(name.replace("_", "-"), help="\n\n".join(map(_wrapped, page.split("\n\n"))))
    @model_option()
    @seed_option()
    @jobs_option()
    @ray_option()
    @option("--save", type=GIVEN_PATH, metavar="DIR", help="Write the reports to DIR/<protocol>-<model>.json.")
    @option("--note", "notes", multiple=True, metavar="TEXT", help="A remark to save with the reports.")
    @option("--plot", type=GIVEN_PATH, metavar="FILE", help="Draw them: .png, .svg or .pdf (needs soundalike[plot]).")
    @option("--csv", "as_csv", is_flag=True, help="Print the numbers as CSV, one per line, instead of tables.")
    @option("--latex", "as_latex", is_flag=True, help="Print the tables for LaTeX, with the package booktabs.")
    @json_option()
    def run(**values: Any) -> int:
        return _run(protocol, SimpleNamespace(**values))

    run.params = [*protocol.options(), *run.params]
    return run


_LIST_WIDTH = 74
"""So that lists, which are indented by two, fit 80 columns with room to spare."""


def _wrapped(paragraph: str) -> str:
    """Let a paragraph be wrapped to the width of the terminal, but keep the lines of examples and lists."""
    if paragraph.startswith("- "):
        items = re.split(r"^- ", paragraph, flags=re.MULTILINE)[1:]
        wrapped = [textwrap.fill(" ".join(item.split()), _LIST_WIDTH, initial_indent="- ", subsequent_indent="  ")
                   for item in items]  # fmt: skip
        paragraph = "\n".join(wrapped)
    return f"\b\n{paragraph}" if re.search(r"^(\s+|- )", paragraph, re.MULTILINE) else paragraph


def _run(protocol: Protocol, args: SimpleNamespace) -> int:
    """Measure; print tables or JSON; save and draw the reports. Raises SoundalikeError."""
    from soundalike.core.files import make_folder
    from soundalike.evaluate import reports
    from soundalike.evaluate.tables import to_csv, to_latex

    if args.as_csv + args.as_latex + args.as_json > 1:
        raise UsageError("--csv, --latex and --json exclude each other; give one")
    if args.plot:
        reports.check_plot(args.plot)
    if args.save:
        make_folder(args.save, "--save")  # before any work, which would be lost if it cannot be made
    with Progress("clip", enabled=not args.as_json) as progress:

        def show(done: int, total: int, seconds: float) -> None:
            if done <= 1:  # what comes before the first clip is no measure of the rate
                progress.restart()
            progress(done, total, seconds)

        found = protocol.run(args, show)
    found = tuple(replace(report, notes=(*report.notes, *args.notes)) for report in found)
    saved = reports.save_reports(found, args.save) if args.save else None
    if args.plot:
        reports.plot(found, args.plot)
    if args.as_json:
        print_json(ReportsRecord([reports.to_json(report) for report in found]))
        return 0
    if args.as_csv or args.as_latex:
        print(to_csv(found) if args.as_csv else "\n".join(map(to_latex, found)), end="")
        return 0
    for report in found:
        print_report(report)
    for written in (saved, args.plot):
        if written:
            print(f"written: {one_line(written)}")
    return 0


@command("summary")
@argument("folder", type=GIVEN_PATH, metavar="DIR", help="Folder with the files of --save.")
@option("-o", "--output", type=GIVEN_PATH, metavar="FILE", help="The page (default: standard output).")
@option("--pages", is_flag=True, help="Write one page per benchmark beside FILE, and FILE as an index of them.")
@json_option("Print the reports as JSON on standard output.")
def summary(folder: Path, output: Path | None, pages: bool, as_json: bool) -> int:
    """Put saved reports together on one Markdown page. Models that were measured on the same data share a table.

    \b
      soundalike evaluate probes --data PROBES --model compact --save reports
      soundalike evaluate probes --data PROBES --model dsp --save reports
      soundalike evaluate summary reports -o results.md

    With --pages, the tables are on one page per benchmark, in the folder beside FILE that has its name, and FILE is
    their index. DIR/index.toml may say what belongs together, and which numbers the index shows. Pages in that folder
    that are written by hand stay as they are, and the index lists them too.
    """
    from soundalike.core.files import write_atomic
    from soundalike.evaluate import reports
    from soundalike.evaluate.pages import write_pages

    files = sorted(folder.glob("*.json"))
    if not files:
        raise UsageError(f"{folder} holds no reports; make some with: soundalike evaluate PROTOCOL ... --save DIR")
    if pages and output is None:
        raise UsageError("--pages needs the name of the index; give it with -o FILE")
    found = [report for file in files for report in reports.load_reports(file)]
    if as_json:
        print_json(ReportsRecord([reports.to_json(report) for report in found]))
    if pages and output:
        written = write_pages(folder, output)
        if not as_json:
            print(f"{count(len(found), 'report')} written: {one_line(output)} and {count(written, 'page')}")
        return 0
    line = "soundalike evaluate summary DIR" + (" -o FILE" if output else "")
    page = "\n".join([_INTRODUCTION.format(command=line), *map(reports.markdown, reports.merge(found))])
    if output:
        write_atomic(output, lambda file: file.write(page.encode()))
        if not as_json:
            print(f"{count(len(found), 'report')} written: {one_line(output)}")
    elif not as_json:
        print(page, end="")
    return 0


def _summary(protocol: str) -> str:
    """Return the summary of a protocol, or why it has none: a broken plug-in must not hide the others."""
    from soundalike.core import plugins

    try:
        return str(plugins.load("protocols", protocol).summary)
    except UsageError as error:
        return str(error)


class _Protocols(Group):
    """One command per protocol of the plug-in folder, with dashes for underscores, and the fixed ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the protocols, then the others."""
        return [*self._protocols(), *self.entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of a protocol; None if the name is unknown."""
        protocol = self._protocols().get(cmd_name)
        if cmd_name in self.entries or protocol is None:
            return super().get_command(ctx, cmd_name)
        return protocol_command(protocol)

    def summaries(self) -> Iterable[tuple[str, str]]:
        """Return the names with their summaries. Protocols are imported for it, which loads nothing heavy."""
        return [*((name, _summary(own)) for name, own in self._protocols().items()), *super().summaries()]

    @staticmethod
    def _protocols() -> Mapping[str, str]:
        """The names of the plug-ins, which are those of Python modules, by the names of their commands."""
        from soundalike.core import plugins

        return {name.replace("_", "-"): name for name in plugins.names("protocols")}


evaluate: click.Command = _Protocols(
    "evaluate",
    {"summary": Entry("evaluate:summary", "put saved reports together on one Markdown page")},
    title="protocols",
    help="Measure how good a model is, and write reports with confidence intervals.",
    params=shared_parameters("json"),
)
