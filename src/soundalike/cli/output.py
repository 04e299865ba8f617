"""What the commands print: lines and tables on standard output, messages and progress on standard error, JSON.

Only a terminal gets colours and cut lines. Anything else gets plain text of any width.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

import click

from soundalike.cli.cells import clock, count, near
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as LiveProgress
    from rich.progress import TaskID

    from soundalike.search import Results

__all__ = [
    "SCHEMA_VERSION",
    "Progress",
    "print_interrupted",
    "print_json",
    "print_message",
    "print_styled",
    "report_corrupt",
    "report_missing",
    "schema_name",
]

_EVERY_LIVE, _EVERY_LINE = 0.1, 10.0
"""Seconds between updates of progress on a terminal, and elsewhere."""


# Lines --------------------------------------------------------------------------------------------------------------


def print_styled(*parts: str | tuple[str, str], stream: TextIO | None = None) -> None:
    """Print one line whose parts may have a style.

    Args:
        parts: Texts, and pairs of a text and a rich style such as "bold". Markup in texts is not interpreted.
        stream: Where to print; None is standard output. Styles are only for terminals (https://no-color.org).
    """
    stream = stream or sys.stdout
    pairs = [part if isinstance(part, tuple) else (part, "") for part in parts]
    if not _has_styles(stream):
        print("".join(text for text, _ in pairs), file=stream)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(Text.assemble(*pairs), no_wrap=True, overflow="ignore", crop=False)


def print_message(text: str, label: str = "", style: str = "red") -> None:
    """Print one line on standard error, after a label."""
    before: list[str | tuple[str, str]] = [(label, style), " "] if label else []
    print_styled(*before, one_line(text), stream=sys.stderr)


_SHOWN_WARNINGS = 5


def print_warnings(warnings: Sequence[tuple[str, str]]) -> None:
    """Name the recordings that could be decoded in part on standard error, the first few of many."""
    for path, text in warnings[:_SHOWN_WARNINGS]:
        print_message(f"{path}: {text}", "warning", "yellow")
    if len(warnings) > _SHOWN_WARNINGS:
        print_message(f"and {len(warnings) - _SHOWN_WARNINGS:,} more (--json lists all)", "warning", "yellow")


def print_interrupted() -> None:
    """Say on standard error that a run was interrupted and can be continued."""
    print_message("interrupted: what is done is kept; run the command again to continue")


def report_corrupt(paths: Sequence[str]) -> int:
    """Name the tracks that were left out because stored data fails its checksum; return the exit code."""
    for path in paths:
        print_message(f"{path}: its data in the library fails the checksum; see: soundalike library check", "corrupt")
    return 1 if paths else 0


def report_not_encoded(not_encoded: Mapping[str, int]) -> None:
    """Say how many tracks were left out because a model has not encoded them."""
    for model, number in not_encoded.items():
        tracks = "1 track" if number == 1 else f"{number:,} tracks"
        print_message(
            f"{tracks}, not encoded by {model}; add with: soundalike index --model {model} DIR", "left out", "yellow"
        )


def report_missing(results: Results) -> None:
    """Say which tracks were left out because their files are not there, or because a model has not encoded them."""
    report_not_encoded(results.not_encoded)
    if results.absent_folders:
        names = ", ".join(map(near, results.absent_folders[:3])) + (", ..." if len(results.absent_folders) > 3 else "")
        print_message(f"tracks below {names}, which is gone or empty; is its disk mounted?", "left out", "yellow")
    if results.missing:
        one = near(results.missing[0])
        others = f" and {len(results.missing) - 1:,} more" if len(results.missing) > 1 else ""
        print_message(f"{one}{others}: not there any more; index its folder again", "left out", "yellow")


def _has_styles(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and not _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM") == "dumb"


# JSON ---------------------------------------------------------------------------------------------------------------


SCHEMA_VERSION = 1
"""Raised when keys of any command are renamed, removed, or change their meaning; new keys do not raise it."""


def schema_name() -> str:
    """Return what JSON of the running command has under "schema", such as "library-info/1"."""
    context = click.get_current_context(silent=True)
    names = context.command_path.split()[1:] if context else []
    return f"{'-'.join(names) or 'error'}/{SCHEMA_VERSION}"


def print_json(record: Any, indent: int | None = 2) -> None:
    """Print a record as JSON on standard output, with its schema.

    Raises:
        ValueError: A number has no form in JSON.
    """
    import json

    from soundalike.core.serialise import to_plain

    plain = {"schema": schema_name(), **cast("dict[str, Any]", to_plain(record))}
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # a path that is not UTF-8 (escaped, it reads back as the same bytes) or a narrow stream
        text = json.dumps(plain, ensure_ascii=True, allow_nan=False, indent=indent)
    print(text)


# Progress -----------------------------------------------------------------------------------------------------------


class Progress:
    """The progress of long work with its rate and the time left, on standard error.

    A terminal shows a bar that disappears at the end; elsewhere a line is printed every 10 s. Use it with `with`, which
    removes the bar whatever happens.
    """

    def __init__(self, noun: str, enabled: bool = True) -> None:
        self._noun, self._enabled = noun, enabled
        self._live = sys.stderr.isatty() and not _is_dumb()
        self._began = self._shown = time.monotonic()
        self._bar: tuple[LiveProgress, TaskID] | None = None
        self._done = self._total = 0
        self._created, self._phase = self._began, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def __call__(self, done: int, total: int, audio_seconds: float | None = None) -> None:
        """Show that `done` of `total` items are done, and how many seconds of audio they hold, if they hold any."""
        self._done, self._total = done, total
        if not self._is_due(done == total):
            return
        elapsed = max(time.monotonic() - self._began, 1e-3)
        left = clock((total - done) * elapsed / done) if done else "?"
        so_far = f", {clock(time.monotonic() - self._created)} so far" if self._phase else ""
        speed = "" if audio_seconds is None else f"{audio_seconds / elapsed:,.0f} x real time, "
        self._show(
            f"{done:,} of {count(total, self._noun)}, {done / elapsed * 60:,.0f} per minute, {speed}{left} left{so_far}"
        )

    def phase(self, text: str) -> None:
        """Show what is being done before items are counted; from the next item on, show also the time since the start.

        Text after a colon may change often. Every other change is shown at once, and the rate is measured from it on.
        """
        name = text.partition(":")[0]
        if name != self._phase:
            self._phase, self._began = name, time.monotonic()
            self._shown = -math.inf
        if self._is_due():
            self._show(f"{text} ({clock(time.monotonic() - self._created)} so far)")

    def wait(self, path: Path, seconds: float) -> None:
        """Show that a file has been in work for some seconds, while nothing is done."""
        if self._is_due():
            done = f"{self._done:,} of {count(self._total, self._noun)}, " if self._total else ""
            self._show(one_line(f"{done}{path.name} for {clock(seconds)}"))

    def _is_due(self, at_end: bool = False) -> bool:
        """Whether to show something now."""
        now = time.monotonic()
        due = now - self._shown >= (_EVERY_LIVE if self._live else _EVERY_LINE)
        if not self._enabled or not (due or (self._live and at_end)):
            return False
        self._shown = now
        return True

    def _show(self, text: str) -> None:
        if not self._live:
            print(text, file=sys.stderr, flush=True)
            return
        bar, task = self._bar = self._bar or _start_bar()
        bar.update(task, completed=self._done, total=self._total or None, description=text)
        bar.refresh()

    def restart(self) -> None:
        """Remove the bar, and measure the rate from now on."""
        self.end()
        self._began = self._shown = time.monotonic()

    def end(self) -> None:
        """Remove the bar. A call after this shows a new one."""
        if self._bar is not None:
            bar, self._bar = self._bar[0], None
            with suppress(OSError):  # the terminal is gone
                bar.stop()


def _start_bar() -> tuple[LiveProgress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as LiveProgress

    live = LiveProgress(
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False),
        console=Console(file=sys.stderr, no_color=bool(os.environ.get("NO_COLOR")), highlight=False),
        transient=True,
        auto_refresh=False,  # no thread besides the work
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start()
    return live, live.add_task("", total=None)
