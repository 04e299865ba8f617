"""A pytest plug-in: with `--allowed-skips FILE`, the run fails when a test skips for a reason that FILE does not list.

Each line of FILE is `REASON  # WHY`: the reason that pytest reports, where `*` stands for any text, and why the skip is
acceptable. Empty lines and lines that start with `#` are ignored.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_LINE = re.compile(r"(?P<reason>\S.*?)\s+#\s+(?P<why>\S.*)")


def read_reasons(path: Path) -> list[re.Pattern[str]]:
    """Return one pattern per allowed reason.

    Raises:
        pytest.UsageError: the file cannot be read, or a line does not say why the skip is acceptable.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise pytest.UsageError(f"--allowed-skips {path}: {error.strerror}") from None
    reasons = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise pytest.UsageError(f"--allowed-skips {path}, line {number}: expected 'REASON  # WHY', found: {line}")
        reasons.append(re.compile(re.escape(found["reason"]).replace(r"\*", ".*"), re.DOTALL))
    return reasons


class _Watch:
    """Collects the skips of a run that no line of the file allows."""

    def __init__(self, reasons: list[re.Pattern[str]]) -> None:
        self.reasons = reasons
        self.unlisted: list[str] = []

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        *_, text = report.longrepr if isinstance(report.longrepr, tuple) else (str(report.longrepr),)
        reason = str(text).removeprefix("Skipped: ")
        if not any(pattern.fullmatch(reason) for pattern in self.reasons):
            self.unlisted.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unlisted:
            terminalreporter.section("skips that are not allowed", red=True)
            for line in self.unlisted:
                terminalreporter.write_line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--allowed-skips", type=Path, metavar="FILE", help="fail on skips for reasons that FILE lacks")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run where a file is given."""
    if path := config.getoption("--allowed-skips"):
        config.pluginmanager.register(_Watch(read_reasons(path)), "allowed_skips_watch")
