"""What a run that separates recordings is said to cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soundalike.api import open as open_library
from soundalike.library.indexing import estimate_stem_cost


def test_the_cost_is_that_of_what_lacks_stems(
    dsp_halves: str, made: Callable[..., Path], tmp_path: Path, halves: Path
) -> None:
    clip, first, second = made("clip.wav", seconds=2), made("a/1.wav", seconds=1.5), made("a/2.wav", seconds=2.5)
    (tmp_path / "a" / "3.wav").write_bytes(b"not audio")
    with open_library(tmp_path / "library", create=True) as library:

        def estimate(jobs: int = 2, **options: object) -> tuple[int, float, bool]:
            cost = estimate_stem_cost(library.folder, [tmp_path / "a"], [dsp_halves], clip, jobs=jobs, **options)  # type: ignore[arg-type]
            assert cost.seconds == pytest.approx(cost.audio_seconds * (cost.work or 0) / max(1, min(jobs, cost.files)))
            return cost.files, cost.audio_seconds, bool(cost.work and cost.disk > 1000)

        assert estimate() == (3, 4.0, True)
        library.index(first, model="dsp")
        assert estimate() == (3, 4.0, True)
        library.index(first, model=dsp_halves)
        assert estimate(jobs=1) == (2, 2.5, True)
        assert estimate(exclude=["3.wav"]) == (1, 2.5, True)
        library.index(second)
        assert estimate(exclude=["3.wav"]) == (0, 0.0, False)


def test_a_separator_that_needs_stem_files_has_no_speed(
    dsp_halves: str, made: Callable[..., Path], tmp_path: Path
) -> None:
    made("a/1.wav", seconds=1)
    with open_library(tmp_path / "library", create=True) as library:
        clip = made("inseparable.wav", seconds=1)
        cost = estimate_stem_cost(library.folder, [tmp_path / "a"], [dsp_halves], clip)
    assert (cost.files, cost.audio_seconds, cost.work, cost.seconds) == (1, 1.0, None, None)
