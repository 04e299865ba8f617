"""The list of faults for `tools/mutate.py` fits the code. Whether tests notice them is what `make mutate` shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mutate
from mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]


def test_every_fault_can_be_applied() -> None:
    rotten = []
    for mutant in MUTANTS:
        try:
            changed = mutate.faulty(mutant)
        except (OSError, ValueError) as error:
            rotten.append(str(error))
            continue
        if mutant.file.endswith(".py"):
            ast.parse(changed, mutant.breaks)
    assert not rotten


def test_the_list_covers_the_core() -> None:
    assert len(MUTANTS) >= 60
    assert len({(one.file, one.old, one.new) for one in MUTANTS}) == len(MUTANTS)
    packages = {"/".join(Path(one.file).parts[2:-1]) for one in MUTANTS}
    assert packages >= {
        "core", "core/executors", "audio", "backbones/analysis", "models", "library", "library/catalog",
        "library/indexing", "library/exchange", "library/stores", "search", "api",
    }  # fmt: skip
    assert any(one.file.endswith("scan.c") for one in MUTANTS)


def test_the_tests_of_every_fault_exist() -> None:
    def exists(test: str) -> bool:
        path, _, name = test.partition("::")
        return (ROOT / path).exists() and (not name or f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"))

    assert not {test for one in MUTANTS for test in one.tests if not exists(test)}
    assert all(one.breaks and one.tests for one in MUTANTS)


@pytest.mark.parametrize("old", ["no such text", "def "])
def test_a_fault_whose_text_occurs_not_exactly_once_is_an_error(old: str) -> None:
    with pytest.raises(ValueError, match="expected once, found"):
        mutate.faulty(Mutant("tools/mutate.py", old, "", "nothing", ()))
