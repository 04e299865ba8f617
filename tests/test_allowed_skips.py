"""Skips that nobody allowed fail a run: the option in runs of pytest on small tests, and the list that CI uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from allowed_skips import read_reasons

LISTED = Path(__file__).parents[1] / ".ci" / "allowed-skips.txt"
PLUGIN = Path(__file__).with_name("allowed_skips.py")

SKIPPING = """
    import pytest

    def test_passes():
        pass

    def test_skips():
        pytest.skip("root may read everything")

    @pytest.mark.skipif(True, reason="extra[faiss] is missing")
    def test_skips_too():
        pass

    @pytest.mark.xfail(reason="known")
    def test_known_to_fail():
        raise AssertionError
"""
ALLOWED = "# a comment\n\nroot may *  # the run may be as root\nextra[faiss] is missing  # optional\n"


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run pytest on a test file, with or without a list of allowed skips."""

    def run(test: str, allowed: str | None = None) -> pytest.RunResult:
        pytester.makeconftest(PLUGIN.read_text(encoding="utf-8"))
        pytester.makepyfile(test)
        if allowed is None:
            return pytester.runpytest()
        pytester.path.joinpath("allowed.txt").write_text(allowed, encoding="utf-8")
        return pytester.runpytest("--allowed-skips", "allowed.txt")

    return run


def test_without_a_list_any_skip_is_allowed(run) -> None:
    found = run(SKIPPING)
    found.assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert found.ret == pytest.ExitCode.OK


def test_listed_skips_are_allowed(run) -> None:
    found = run(SKIPPING, ALLOWED)
    found.assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert found.ret == pytest.ExitCode.OK
    found.stdout.no_fnmatch_line("*not allowed*")


@pytest.mark.parametrize("missing", ["root may *", "extra"])
def test_any_other_skip_fails_the_run_and_is_listed(run, missing: str) -> None:
    found = run(SKIPPING, "\n".join(line for line in ALLOWED.splitlines() if not line.startswith(missing)))
    found.assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    test, reason = {
        "root may *": ("test_skips", "root may read everything"),
        "extra": ("test_skips_too", "extra[[]faiss[]] is missing"),
    }[missing]
    found.stdout.fnmatch_lines(["*skips that are not allowed*", f"*::{test}: {reason}"])


def test_brackets_are_letters_and_reasons_match_as_a_whole(run) -> None:
    found = run(SKIPPING, ALLOWED.replace("extra[faiss]", "extraf").replace("root may *", "root may"))
    found.stdout.fnmatch_lines(["*::test_skips: *", "*::test_skips_too: *"])
    assert found.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("others", ["", "def test_passes():\n    pass"], ids=["alone", "among others"])
def test_a_module_that_skips_fails_the_run(run, pytester: pytest.Pytester, others: str) -> None:
    """`importorskip` at the top of a module skips all its tests while they are collected."""
    if others:
        pytester.makepyfile(test_others=others)
    found = run("import pytest\npytest.importorskip('no_such_module', reason='no torch')\n", ALLOWED)
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    found.stdout.fnmatch_lines(["*skips that are not allowed*", "*: no torch"])


def test_failures_stay_failures(run) -> None:
    found = run("def test_fails():\n    assert False", ALLOWED)
    assert found.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("line", ["no reason why", "no reason why  #", "# comment\nreason # why\n*"])
def test_a_line_without_a_why_is_refused(run, line: str) -> None:
    found = run(SKIPPING, line)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines([f"*line {line.count(chr(10)) + 1}: expected 'REASON  # WHY', found: *"])


def test_a_list_that_is_missing_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGIN.read_text(encoding="utf-8"))
    found = pytester.runpytest("--allowed-skips", "none.txt")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*none.txt: No such file or directory"])


@pytest.mark.parametrize(
    "reason",
    [
        "training needs torch",
        "torch writes networks with onnx",
        "could not import 'pyarrow.parquet': No module named 'pyarrow'",
        "MIDI files are read with mido: pip install 'soundalike[render]'",
        "FluidSynth is missing: apt install fluidsynth",
        "needs FluidSynth and one soundfont: FluidSynth is missing: apt install fluidsynth",
    ],
)
def test_ci_fails_where_what_it_installs_is_missing(reason: str) -> None:
    assert not any(pattern.fullmatch(reason) for pattern in read_reasons(LISTED))
