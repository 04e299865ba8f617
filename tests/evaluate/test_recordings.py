"""Results of `index` and `search` on real recordings with known answers; skipped if the recordings are absent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def facts(data: Path, tmp_path_factory: pytest.TempPathFactory):
    script = Path(__file__).parents[2] / "benchmarks" / "recordings.py"
    spec = importlib.util.spec_from_file_location("recordings_benchmark", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(script.parent)  # for common.py
        spec.loader.exec_module(module)
    return module.measure(data.resolve(), tmp_path_factory.mktemp("recordings") / "library")


def test_the_nearest_stems_by_timbre_are_of_the_same_class(facts) -> None:
    for fact in facts[:2]:
        assert fact.n == 64
        assert fact.low > 1.5 * fact.chance, fact


def test_drum_stems_find_their_own_song_by_rhythm(facts) -> None:
    assert facts[2].n == 13
    assert facts[2].value > facts[2].chance, facts[2]
    assert facts[2].p < 0.05, "random ranks would do as well"
