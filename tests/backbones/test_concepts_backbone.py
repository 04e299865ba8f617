"""The backbone `concepts`: which segments a window has, what a row is, and files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound

from soundalike.backbones.analysis import InputSettings, concept_inputs, fit_segment
from soundalike.backbones.concepts import ConceptsBackbone
from soundalike.core.errors import ModelError
from tiny_concepts import TINY, embed_tiny, write_tiny_concepts

pytest.importorskip("onnx", reason="the test writes a network: pip install 'soundalike[train]'")
RATE = TINY.inputs.rate
LENGTH = TINY.inputs.samples


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_concepts(tmp_path_factory.mktemp("weights") / "concepts")


@pytest.fixture(scope="module")
def backbone(path: Path) -> ConceptsBackbone:
    return ConceptsBackbone(path)


def sound(seconds: float) -> np.ndarray:
    """Ten different tones, one after the other: a new one every 1.5 s."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (formula_sound(seconds, RATE) * 0.3 + 0.1 * np.sin(time * 700 * (1 + time // 1.5))).astype(np.float32)


def expected(samples: np.ndarray, *starts: int) -> np.ndarray:
    segments = [fit_segment(samples[start : start + LENGTH], TINY.inputs) for start in starts]
    return np.mean([embed_tiny(concept_inputs(one, TINY.inputs)) for one in segments], axis=0)


def assert_rows(
    backbone: ConceptsBackbone, samples: np.ndarray, windows: list[list[float]], *wanted: list[int]
) -> None:
    found = backbone.features([samples], lambda _: np.array(windows, float))
    for index, starts in enumerate(wanted):
        row = np.concatenate([found.rows["tempo"][index], found.rows["key"][index]])
        np.testing.assert_allclose(row, expected(samples, *starts), atol=1e-4)
    assert found.audible["tempo"].all() and found.audible["key"].all()


def test_a_window_has_the_segments_with_middles_inside(backbone: ConceptsBackbone) -> None:
    assert backbone.dims == {"tempo": 5, "key": 5} and backbone.rate == RATE
    samples = sound(9.0)
    first, second, third = 0, LENGTH, 2 * LENGTH
    windows = [[0.0, 9.0], [1.5, 4.5], [1.6, 7.4], [5.0, 5.5], [8.0, 9.0]]
    assert_rows(backbone, samples, windows, [first, second, third], [first], [second], [second], [third])


def test_what_is_left_at_the_end_counts_from_half_a_segment_on(backbone: ConceptsBackbone) -> None:
    windows = [[0.0, 5.0]]
    assert_rows(backbone, sound(4.4), windows, [0])
    long = sound(4.6)
    assert_rows(backbone, long, windows, [0, len(long) - LENGTH])
    assert_rows(backbone, sound(0.5), windows, [0])


def test_silent_segments_are_left_out(backbone: ConceptsBackbone) -> None:
    samples = sound(9.0)
    samples[LENGTH : 2 * LENGTH] = 0.0
    assert_rows(backbone, samples, [[0.0, 9.0]], [0, 2 * LENGTH])
    found = backbone.features([samples], lambda _: np.array([[3.0, 6.0], [3.0, 9.0]]))
    assert found.audible["key"].tolist() == [False, True] and not found.rows["key"][0].any()


@pytest.mark.parametrize("size", [LENGTH, LENGTH + 17])
def test_blocks_change_nothing_even_if_their_buffer_is_used_again(backbone: ConceptsBackbone, size: int) -> None:
    samples, windows = sound(14.0), np.array([[0.0, 10.0], [5.0, 14.0]])
    whole = backbone.features([samples], lambda _: windows)

    def blocks():
        buffer = np.empty(size, np.float32)
        for start in range(0, len(samples), len(buffer)):
            part = samples[start : start + len(buffer)]
            buffer[: len(part)] = part
            yield buffer[: len(part)]
            buffer[:] = np.nan

    parts = backbone.features(blocks(), lambda _: windows)
    assert all(np.array_equal(whole.rows[name], parts.rows[name]) for name in backbone.dims)
    assert whole.rows["tempo"].shape == (2, 5) and whole.duration == parts.duration == pytest.approx(14.0)


def test_a_network_of_one_input_needs_no_other(tmp_path: Path) -> None:
    graph = replace(TINY, inputs=InputSettings(names=("mel",), bands=64))
    found = ConceptsBackbone(write_tiny_concepts(tmp_path / "mel", graph)).features(
        [sound(3.0)], lambda _: np.array([[0.0, 3.0]])
    )
    row = embed_tiny(concept_inputs(sound(3.0), graph.inputs), graph)
    np.testing.assert_allclose(np.concatenate([found.rows["tempo"][0], found.rows["key"][0]]), row, atol=1e-4)


def test_the_version_follows_the_file(backbone: ConceptsBackbone, path: Path, tmp_path: Path) -> None:
    other = write_tiny_concepts(tmp_path / "other", replace(TINY, licence="MIT"))
    assert ConceptsBackbone(path).version == backbone.version != ConceptsBackbone(other).version


def damaged(kind: str, folder: Path) -> Path:
    path = folder / "bad.onnx"
    if kind == "no settings":
        return write_tiny_concepts(path, metadata="")
    if kind == "of instruments":
        return write_tiny_concepts(path, metadata='{"format": 1, "instruments": ["drums"]}')
    if kind == "another format":
        return write_tiny_concepts(path, metadata=TINY.to_json().replace('"format": 1', '"format": 9'))
    if kind == "other sizes":
        return write_tiny_concepts(path, metadata=replace(TINY, dim=7).to_json())
    if kind == "other inputs":
        return write_tiny_concepts(path, metadata=replace(TINY, inputs=InputSettings(names=("mel",))).to_json())
    if kind == "cut":
        path = write_tiny_concepts(path)
        path.write_bytes(path.read_bytes()[:1000])
    return path


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("missing", r"cannot be read \(No such file"),
        ("cut", "is damaged or no network"),
        ("no settings", "is a network of another kind"),
        ("of instruments", "its settings are incomplete"),
        ("another format", "it has format 9, this version reads 1"),
        ("other sizes", "embedding any x 10, and its settings say .* embedding any x 14"),
        ("other inputs", "tempogram any x 384 x 259.* and its settings say mel any x 128 x 259, embedding any x 10"),
    ],
)
def test_a_file_that_is_no_concept_network_is_one_clear_line(kind: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=rf"bad\.onnx .*{why}.*; give a file that `soundalike train concepts`"
    ) as caught:
        ConceptsBackbone(damaged(kind, tmp_path))
    assert "\n" not in str(caught.value)
