"""Stem models: how they are derived, what they encode, and that their scores are sums of shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TUNES, tune, write
from soundalike.audio.separators import separated_stems
from soundalike.audio.stream import windows
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.models.model import Model
from soundalike.models.recipes import SeparatorVersion, load_recipe, resolve_weights
from soundalike.models.score import explain, query_terms, score_rows
from soundalike.models.stems import joined_base, space_name, split_stem_model, stem_recipe
from soundalike.search.compare import compare_encodings
from soundalike.train.common import CalibrationClip
from soundalike.train.published import install_stems, is_current, plan_joined, plan_stems

SPACES = ["melody", "rhythm", "timbre", "harmony"]
NAMES = [f"{stem}.{space}" for stem in ("bass", "vocals") for space in SPACES]


def test_a_name_consists_of_a_base_and_a_separator(halves: Path) -> None:
    assert split_stem_model("dsp-halves") == ("dsp", "halves")
    assert split_stem_model("my-own-halves") == ("my-own", "halves")
    assert [split_stem_model(name) for name in ("dsp", "halves", "-halves", "dsp-quarters")] == [None] * 4


def test_spaces_are_named_by_stem_and_by_space_unless_there_is_only_one() -> None:
    assert space_name("drums", "rhythm", SPACES) == "drums.rhythm"
    assert space_name("drums", "overall", ["overall"]) == "drums"
    assert space_name("drums", "melody", ["melody"]) == "drums.melody"


def test_a_stem_model_has_the_heads_of_its_base_on_every_stem(dsp_halves: str) -> None:
    base, recipe = load_recipe("dsp"), load_recipe(dsp_halves)
    assert [space.name for space in recipe.spaces] == NAMES
    assert [(space.source, space.tensors) for space in recipe.spaces] == [
        (stem, space) for stem in ("bass", "vocals") for space in SPACES
    ]
    assert (recipe.separator, recipe.base) == (SeparatorVersion("halves", 1), base.digest)
    assert recipe.licence == "Apache-2.0 AND MIT"
    assert recipe.weights.read_bytes() == base.weights.read_bytes()
    assert list(Model.load(dsp_halves).backbones) == ["dsp.halves.bass", "dsp.halves.vocals"]


def test_rows_are_those_of_the_stems(dsp_halves: str, tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", tune(TUNES["up"], seconds=17))
    encoding = Model.load(dsp_halves).encode(path)
    assert [(span.start, span.end) for span in encoding.passages.spans] == [
        tuple(one) for one in windows(17.0).tolist()
    ]
    stems = separated_stems(plugins.load("separators", "halves"), path)
    for stem, file in stems.items():
        alone = Model.load("dsp").encode(file)
        for space in SPACES:
            assert np.array_equal(encoding.passages.rows[f"{stem}.{space}"], alone.passages.rows[space])
    whole = Model.load("dsp").encode(path)
    assert np.array_equal(encoding.fingerprint, whole.fingerprint)
    assert encoding.info == whole.info
    # Tempo and key are those of a recording, not of a stem.
    assert encoding.descriptors == replace(type(whole.descriptors)(), loudness=whole.descriptors.loudness)


def test_a_region_takes_the_same_part_of_the_stems(dsp_halves: str, halves: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", tune(TUNES["down"], seconds=24))
    model = Model.load(dsp_halves)
    region = model.encode(path, start=5.0, end=15.0)
    stem = separated_stems(plugins.load("separators", "halves"), path)["vocals"]
    alone = Model.load("dsp").encode(stem, start=5.0, end=15.0)
    assert np.array_equal(region.passages.rows["vocals.rhythm"], alone.passages.rows["rhythm"])
    model.encode(path)
    assert halves.read_text().split() == ["song.wav"]


@pytest.fixture
def low_and_full(dsp_halves: str, tmp_path: Path) -> tuple[Model, Path, Path]:
    """A model, a recording whose vocals are silent, and one with both stems."""
    t = np.arange(12 * 22050) / 22050
    low = write(tmp_path / "low.wav", (0.5 * np.sin(2 * np.pi * 110 * t) * (1 + np.sin(7 * t))).astype(np.float32) / 2)
    return Model.load(dsp_halves), low, write(tmp_path / "full.wav", tune(TUNES["leaps"], seconds=12))


def test_a_silent_stem_is_neutral(low_and_full: tuple[Model, Path, Path]) -> None:
    model, low, full = low_and_full
    a, b = model.encode(low), model.encode(full)
    for space in SPACES:
        assert not a.track.rows[f"vocals.{space}"].any()
        assert b.track.rows[f"vocals.{space}"].any()
    weights = {"bass.timbre": 1.0, "vocals.timbre": 5.0}
    both = compare_encodings(model, a, b, weights, level="track").match
    vocals = both.spaces["vocals.timbre"]
    assert (vocals.similarity, vocals.z, vocals.percentile, vocals.share, vocals.audible) == (
        None,
        None,
        None,
        0,
        False,
    )
    alone = compare_encodings(model, a, b, {"bass.timbre": 1.0}, level="track").match
    assert both.score == pytest.approx(alone.score)
    with pytest.raises(UsageError, match=r"no audible content for vocals\.timbre"):
        compare_encodings(model, a, b, {"vocals.timbre": 1.0}, level="track")


def test_shares_sum_to_the_score(low_and_full: tuple[Model, Path, Path]) -> None:
    model, low, full = low_and_full
    encodings = [model.encode(low), model.encode(full)]

    @settings(max_examples=20)
    @given(
        st.dictionaries(st.sampled_from(NAMES), st.floats(-3, 3).filter(lambda one: abs(one) > 1e-3), min_size=1),
        st.sampled_from([(0, 1), (1, 0), (1, 1)]),
        st.sampled_from(["track", "passage"]),
    )
    def check(weights: dict[str, float], pair: tuple[int, int], level: str) -> None:
        weights = {"bass.timbre": 1.0, **weights}
        query, found = ({name: row[0] for name, row in encodings[n].track.rows.items()} for n in pair)
        score, spaces = explain(model.spaces, query, found, resolve_weights(weights, model.spaces), level)
        assert score == pytest.approx(sum(one.share for one in spaces.values()))
        (term_score,) = score_rows(
            query_terms(model.spaces, query, resolve_weights(weights, model.spaces), level),
            {name: row[None, :] for name, row in found.items()},
        )
        assert score == pytest.approx(term_score)

    check()


def test_the_digest_follows_the_separator_and_the_base(dsp_halves: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, base = load_recipe(dsp_halves), load_recipe("dsp")
    assert is_current(plan_stems("dsp", "halves"))
    monkeypatch.setenv("HALVES_VERSION", "2")
    job = plan_stems("dsp", "halves")
    assert not is_current(job)
    install_stems(job, [])
    after = load_recipe(dsp_halves)
    assert is_current(job)
    assert len({before.digest, after.digest, base.digest}) == 3
    on_vocals = [Model(recipe).backbones["dsp.halves.vocals"] for recipe in (before, after)]
    assert on_vocals[0].version != on_vocals[1].version
    body = json.loads((after.weights.parent / "recipe.json").read_text())
    (after.weights.parent / "recipe.json").write_text(json.dumps({**body, "base": "0" * 32}))
    assert not is_current(job)


def test_a_joined_model_has_its_base_and_the_melody_of_the_vocals(dsp_halves: str, tmp_path: Path) -> None:
    base, job = load_recipe("dsp"), plan_joined("dsp", "halves")
    assert job.name == "dsp-stems" and (joined_base("dsp-stems"), joined_base("dsp-halves")) == ("dsp", None)
    assert not is_current(job)
    assert install_stems(job, []) == ("vocals.melody",)
    assert is_current(job)
    recipe = load_recipe("dsp-stems")
    assert [space.name for space in recipe.spaces] == [*SPACES, "vocals.melody"]
    assert [space.source for space in recipe.spaces] == ["mix"] * 4 + ["vocals"]
    assert recipe.licence == "Apache-2.0 AND MIT"
    for name in SPACES:
        assert recipe.space(name).calibration == base.space(name).calibration
    path = write(tmp_path / "song.wav", tune(TUNES["up"], seconds=6))
    joined, mixes, stems = (Model.load(one).encode(path) for one in ("dsp-stems", "dsp", dsp_halves))
    for name in SPACES:
        assert np.array_equal(joined.track.rows[name], mixes.track.rows[name])
    assert np.array_equal(joined.track.rows["vocals.melody"], stems.track.rows["vocals.melody"])
    assert joined.descriptors == mixes.descriptors
    with pytest.raises(UsageError, match="dsp-stems is a stem model itself"):
        plan_joined("dsp-stems", "halves")
    with pytest.raises(ModelError, match="unknown model 'compact-stems'; .*: soundalike models install compact-stems"):
        load_recipe("compact-stems")


def test_calibration_of_mixes_is_that_of_the_base(halves: Path, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.wav", tune([n + note for note in TUNES["up"]], seconds=1)) for n in range(12)]
    clips = [CalibrationClip(file, (file.name,)) for file in files]
    install_stems(plan_joined("dsp", "halves"), clips)
    base, recipe = load_recipe("dsp"), load_recipe("dsp-stems")
    assert recipe.space("melody").calibration == base.space("melody").calibration
    assert recipe.space("vocals.melody").calibration != base.space("melody").calibration


def test_another_version_of_the_separator_is_refused(dsp_halves: str, made: Callable[..., Path]) -> None:
    model, path = Model.load(dsp_halves), made("a.wav", seconds=2)
    newer = Model(replace(model.recipe, separator=SeparatorVersion("halves", 7)))
    with pytest.raises(ModelError, match="takes the stems of halves 7, but halves 1 is installed; .*--stems halves"):
        newer.encode(path)
    with pytest.raises(AudioError, match="cannot be separated; choose another"):
        model.encode(made("inseparable.wav", seconds=2))


def test_spaces_are_calibrated_where_enough_clips_have_sound(halves: Path, tmp_path: Path) -> None:
    t = np.arange(3 * 22050) / 22050
    clips = []
    for number in range(12):  # no clip has vocals
        notes = 60 * 2 ** (np.random.default_rng(number).integers(0, 12, 8) / 12)
        pitch = np.repeat(notes, len(t) // 8 + 1)[: len(t)]
        signal = 0.4 * np.sin(2 * np.pi * np.cumsum(pitch) / 22050) * (1 + np.sin((5 + number) * t)) / 2
        clips.append(CalibrationClip(write(tmp_path / f"{number}.wav", signal.astype(np.float32)), (str(number),)))
    calls: list[tuple[int, int, float]] = []
    kept = install_stems(plan_stems("dsp", "halves"), clips, progress=lambda *call: calls.append(call))
    assert {name.partition(".")[0] for name in NAMES if name not in kept} == {"bass"}
    assert set(kept) >= {f"vocals.{space}" for space in SPACES}
    assert calls[-1] == (12, 12, pytest.approx(36, abs=0.1))
    base, recipe = load_recipe("dsp"), load_recipe("dsp-halves")
    for space in recipe.spaces:
        same = space.calibration == base.space(space.tensors or "").calibration
        assert same == (space.name in kept)


def test_what_is_no_stem_model_is_refused(dsp_halves: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dsp-halves is a stem model itself; give a model of mixes"):
        plan_stems(dsp_halves, "halves")
    with pytest.raises(UsageError, match="unknown separator 'nope'; known: .*halves"):
        plan_stems("dsp", "nope")
    with pytest.raises(ModelError, match="unknown model 'nope'"):
        plan_stems("nope", "halves")
    with pytest.raises(ModelError, match="'compact-halves'; .*install it with: soundalike models install"):
        load_recipe("compact-halves")
    body = stem_recipe(load_recipe("dsp"), SeparatorVersion("halves", 1), ["bass"], "MIT")
    folder = load_recipe(dsp_halves).weights.parent
    for change, message in (
        ({"separator": None}, "the source 'bass' is a stem, and the recipe names no separator"),
        ({"separator": {"name": "a b", "version": 1}}, "'a b' cannot be the name of a separator"),
        ({"spaces": [{**space, "source": "mix"} for space in body["spaces"]]}, "no space with a stem as its source"),
        ({"spaces": [{**body["spaces"][0], "source": "."}]}, "'.' cannot be the name of a source"),
    ):
        (folder / "recipe.json").write_text(json.dumps({**body, **change}))
        with pytest.raises(ModelError, match=message):
            load_recipe(dsp_halves)
