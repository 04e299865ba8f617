"""A fixed corpus of mutated inputs. `tools/fuzz.py` makes as many more as there is time for."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

import fuzz
from fuzzing import pool
from fuzzing.checks import Case
from fuzzing.mutations import mutate, mutate_text
from soundalike.core.errors import AudioError


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> fuzz.Seeds:
    return fuzz.Seeds(tmp_path_factory.mktemp("fuzz"))


def test_mutated_inputs_are_read_or_refused_in_one_line(seeds: fuzz.Seeds) -> None:
    cases = [fuzz.make_case(seeds, seed=1, number=number) for number in range(120)]
    assert {case.reader for case in cases} == {"recording", "file", "text", "library"}
    outcomes = list(pool.run_cases(cases, jobs=1, seconds=20, memory=256 << 20))
    faults = [(case.number, case.seed, outcome) for case, outcome in outcomes if outcome.kind in fuzz.FAULTS]
    assert not faults, "repeat one with: python tools/fuzz.py --seed 1 --only NUMBER"
    assert len(outcomes) == len(cases)
    kinds = {outcome.kind for _, outcome in outcomes}
    assert kinds >= {"read", "failed"}  # the mutations neither destroy everything nor leave everything intact


def test_inputs_without_mutations_are_read(seeds: fuzz.Seeds) -> None:
    names = [name for name in seeds.recordings if name != "wav-short"]
    cases = [Case(number, "recording", name, seeds.recordings[name]) for number, name in enumerate(names)]
    for case, outcome in pool.run_cases(cases, jobs=1, seconds=20, memory=256 << 20):
        assert outcome.kind == "read", (case.seed, outcome)


def test_the_same_seed_makes_the_same_inputs(seeds: fuzz.Seeds) -> None:
    assert [fuzz.make_case(seeds, 5, number) for number in range(20)] == [
        fuzz.make_case(seeds, 5, number) for number in range(20)
    ]
    assert fuzz.make_case(seeds, 5, 0) != fuzz.make_case(seeds, 6, 0)


def test_mutations_change_what_they_get() -> None:
    content, text = bytes(range(256)) * 20, "bpm 90..110"
    changed = [mutate(content, [content[::-1]], random.Random(number)) for number in range(50)]
    assert sum(one != content for one in changed) >= 48
    assert len({mutate_text(text, random.Random(number)) for number in range(50)}) >= 45


FAULTS = {
    "traceback": ("raise ValueError('a defect')", "ValueError: a defect"),
    "hang": ("import time; time.sleep(60)", "no answer"),
    "crash": ("import os; os.abort()", "exit code -6"),
    "memory": ("b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096])", "MB"),
    "printed": ("import os; os.write(2, b'libfoo: warning')", "libfoo"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory and printed text are measured on Linux")
def test_the_harness_notices_every_kind_of_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that run Python code instead of reading a file."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name != 'fuzzing.pool': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        import fuzzing.checks as checks\n"
        "        def run(case, folder): exec(case.content)\n"
        "        checks._READERS['code'] = run\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(pool, "_START", 1)
    codes = [*(code for code, _ in FAULTS.values()), "pass"]
    cases = [Case(number, "code", "x", code) for number, code in enumerate(codes)]
    found = {case.number: outcome for case, outcome in pool.run_cases(cases, jobs=1, seconds=9, memory=100 << 20)}
    for number, (kind, (_, message)) in enumerate(FAULTS.items()):
        assert found[number].kind == kind
        assert message in found[number].message
    assert found[len(FAULTS)].kind == "read"


def test_the_text_of_an_error_is_one_line() -> None:
    assert str(AudioError("a\nb\udcff.wav is empty")) == "a\\nb\\xff.wav is empty"
    assert str(AudioError("söng.wav")) == "söng.wav"
