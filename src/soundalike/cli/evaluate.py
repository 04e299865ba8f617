"""`soundalike evaluate`: run a protocol, or put saved reports together into one page."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli import show
from soundalike.cli.parser import whole_number
from soundalike.core import plugins
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import make_folder, write_whole
from soundalike.core.types import Report
from soundalike.evaluate import reports

if TYPE_CHECKING:
    # A name that argparse keeps to itself, though add_subparsers returns one.
    from argparse import _SubParsersAction

    from soundalike.evaluate import Protocol

__all__ = ["add_protocols", "print_report", "run_evaluate", "run_summary"]

_INTRODUCTION = """\
# Results

Written by `{command}` from saved reports; every table names the command that makes it again with `--save`.
Values are followed by their 95 % interval where there is one; `chance` is what guessing gives and `n` what a value is
a mean of. Where several models were measured on the same data, they stand in one table.
"""


def add_protocols(
    subparsers: _SubParsersAction[argparse.ArgumentParser], common: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add a command a protocol, and `summary`. `common` adds what the host's commands share: `--json`, `--model`."""
    for name in plugins.names("protocols"):
        protocol: Protocol = plugins.load("protocols", name)
        # A protocol's own page of conventions is its help.
        conventions = inspect.getdoc(inspect.getmodule(type(protocol))) or protocol.summary
        parser = subparsers.add_parser(
            name,
            help=protocol.summary,
            description=conventions,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        protocol.add_arguments(parser)
        common(parser)
        parser.add_argument(
            "--seed",
            type=partial(whole_number, lowest=0),
            default=0,
            metavar="N",
            help="of whatever is drawn (default: 0)",
        )
        parser.add_argument("--jobs", type=whole_number, metavar="N", help="processes to use (default: one a core)")
        parser.add_argument("--save", type=Path, metavar="DIR", help="keep the reports as DIR/<protocol>-<model>.json")
        parser.add_argument(
            "--note", action="append", default=[], metavar="TEXT", help="a remark to keep with the reports"
        )
        parser.add_argument(
            "--plot", type=Path, metavar="FILE", help="draw them: .png, .svg or .pdf (needs matplotlib)"
        )
        parser.set_defaults(run=run_evaluate, protocol=name)
    summary = "put saved reports together into one Markdown page"
    parser = subparsers.add_parser("summary", help=summary, description=summary)
    parser.add_argument("reports", type=Path, metavar="DIR", help="folder with the files of --save")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the page (default: standard output)")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON on standard output")
    parser.set_defaults(run=run_summary)


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure, print tables or JSON, and keep or draw them where asked. Raises SoundalikeError."""
    if args.plot:
        reports.check_plot(args.plot)
    if args.save:
        make_folder(args.save, "--save")  # before any work, which a folder that cannot be made would waste
    protocol: Protocol = plugins.load("protocols", args.protocol)
    found = protocol.run(args, _progress(enabled=not args.json))
    found = tuple(replace(report, notes=(*report.notes, *args.note)) for report in found)
    saved = reports.save_reports(found, args.save) if args.save else None
    if args.plot:
        reports.plot(found, args.plot)
    if args.json:
        show.print_json({"reports": [reports.to_json(report) for report in found]})
        return 0
    for report in found:
        print_report(report)
    for written in (saved, args.plot):
        if written:
            print(f"written: {one_line(written)}")
    return 0


def _progress(enabled: bool) -> Callable[[int, int, float], None]:
    """A progress line whose clock starts with the first clip, not with what comes before it."""
    lines: list[show.Progress] = []

    def tell(done: int, total: int, seconds: float) -> None:
        if not lines:
            lines.append(show.Progress("clip", enabled))
        lines[0](done, total, seconds)

    return tell


def run_summary(args: argparse.Namespace) -> int:
    """One page of all reports in a folder; the same table of several models becomes one. Raises UsageError."""
    files = sorted(args.reports.glob("*.json"))
    if not files:
        raise UsageError(
            f"{args.reports} holds no reports; make some with: soundalike evaluate PROTOCOL ... --save DIR"
        )
    found = [report for file in files for report in reports.load_reports(file)]
    if args.json:
        show.print_json({"reports": [reports.to_json(report) for report in found]})
    command = "soundalike evaluate summary DIR" + (" -o FILE" if args.output else "")
    page = "\n".join([_INTRODUCTION.format(command=command), *map(reports.markdown, reports.merge(found))])
    if args.output:
        write_whole(args.output, lambda file: file.write(page.encode()))
        if not args.json:
            print(f"{show.count(len(found), 'report')} written: {one_line(args.output)}")
    elif not args.json:
        print(page, end="")
    return 0


def print_report(report: Report) -> None:
    """Print a report's table and notes."""
    print(show.paint(f"{report.title} ({report.model})", "bold"))
    header, *lines = reports.table(report)
    show.print_table(header, lines, left=[0])
    for note in report.notes:
        print(show.paint(note, "dim"))
    print()
