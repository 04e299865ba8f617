"""Fitting the projections: the algebra against loops, the command on a few synthetic triplet folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import AudioError, UsageError
from soundalike.models.heads import Head
from soundalike.models.model import Model
from soundalike.models.recipes import load_recipe
from soundalike.train.common.projection import fit_projection, folder_accuracy, measure_scatter
from soundalike.train.jobs import dsp

RATE = 22050


def test_folder_accuracy_equals_a_loop_over_triplets() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((12, 3)).astype(np.float32)
    rows[3] = rows[4]  # a tie
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    folders = np.repeat(np.arange(4), 3)
    similarity, won = rows @ rows.T, []
    for a in range(12):
        for p in range(12):
            for n in range(12):
                if a != p and folders[a] == folders[p] != folders[n]:
                    won.append(np.sign(similarity[a, p] - similarity[a, n]) / 2 + 0.5)
    assert folder_accuracy(rows, folders) == pytest.approx(np.mean(won))


def folders_of_clips(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What folders share lies in dims 0 to 4, what they do not, ten times as strong, in dims 5 to 9."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.standard_normal((count, 5)), 4, axis=0)
    return np.hstack(
        [shared + 0.3 * rng.standard_normal((4 * count, 5)), 10 * rng.standard_normal((4 * count, 5))]
    ), np.repeat(np.arange(count), 4)


def test_a_projection_turns_down_what_folders_do_not_share() -> None:
    features, folders = folders_of_clips(60, 0)
    fitted = fit_projection(measure_scatter(features, folders), dims=6, shrink=0.0, floor=0.001)
    assert fitted.mean.shape == (10,) and fitted.weight.shape == (6, 10)
    assert fitted.weight.dtype == np.float32
    unseen, labels = folders_of_clips(30, 1)
    audible = np.ones(len(unseen), np.bool_)
    projected = Head(fitted.mean, fitted.weight)(unseen.astype(np.float32), audible)
    assert folder_accuracy(projected, labels) > 0.95 > 0.7 > folder_accuracy(Head()(unseen, audible), labels)


def test_full_shrinkage_whitens() -> None:
    features, _ = folders_of_clips(60, 0)
    fitted = fit_projection(measure_scatter(features, np.full(240, -1)), dims=10, shrink=1.0, floor=0.0)
    projected = (features - fitted.mean) @ fitted.weight.T
    np.testing.assert_allclose(projected.T @ projected / 240, np.eye(10), atol=1e-3)


CLIPS = ("anchor", "positive_01", "negative")
SPLIT = {
    "train": ["triplets_1", "triplets_2", "triplets_3"],
    "validation": ["triplets_4"],
    "test": ["triplets_5", "triplets_6"],
    "sources": {"train": {"banks": ["good"]}, "validation": {"banks": ["fair"]}, "test": {"banks": ["unseen"]}},
}
RECORD = {
    "made_by": "soundalike render",
    "settings": {"seed": 7},
    "sources": {"credits": ["Tunes: a collection, ODbL 1.0"]},
    "sounds": {"good": "MIT", "fair": "public domain", "unseen": "GPL-2"},
}


def arpeggio(rng: np.random.Generator) -> np.ndarray:
    """Three seconds of notes in a steady rhythm with some noise, all drawn at random."""
    t = np.arange(12 * (RATE // 4)) / RATE
    pitch = np.repeat(220 * 2 ** (rng.integers(0, 24, 12) / 12), RATE // 4)
    sound = np.sin(2 * np.pi * pitch * t) + 0.5 * np.sin(4 * np.pi * pitch * t)
    sound = sound * np.exp(-8 * (t % rng.uniform(0.1, 0.5))) + 0.05 * rng.standard_normal(len(t))
    return 0.2 * sound


def write_folder(place: Path, rng: np.random.Generator) -> None:
    (place / "triplet").mkdir(parents=True, exist_ok=True)
    for name in CLIPS:
        soundfile.write(place / "triplet" / f"{name}.wav", arpeggio(rng), RATE)


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six folders per factor, with the split and the record of a renderer."""
    folder, rng = tmp_path_factory.mktemp("renders"), np.random.default_rng(0)
    for factor in dsp.FACTORS:
        for number in range(1, 7):
            write_folder(folder / factor / f"triplets_{number}", rng)
    (folder / "split.json").write_text(json.dumps(SPLIT))
    (folder / "render.json").write_text(json.dumps(RECORD))
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings with an index."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(1)
    lines = ["file,source,licence"]
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", arpeggio(rng), RATE)
        lines.append(f"{number}.wav,made up,CC0-1.0")
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


def options(renders: Path, recordings: Path, out: Path) -> list[str]:
    return ["train", "dsp", "--renders", str(renders), "--recordings", str(recordings), "--out", str(out)]


@pytest.fixture(scope="module")
def fitted(renders: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted")
    dsp.fit(renders, recordings, out, 0)
    return out


def test_the_command_writes_a_model_that_loads(
    renders: Path, recordings: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(renders, recordings, tmp_path / "second")) == 0
    assert "harmony" in capsys.readouterr().out
    for name in ("recipe.json", "weights.safetensors"):
        assert (fitted / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    recipe = load_recipe(str(fitted))
    assert [space.name for space in recipe.spaces] == list(dsp.FACTORS)
    for space in recipe.spaces:
        for calibration in space.calibration.values():
            assert calibration.sigma > 0 and len(calibration.quantiles) == 101
            assert list(calibration.quantiles) == sorted(calibration.quantiles)
    assert not list(fitted.glob(".*"))


def test_the_recipe_credits_what_was_fitted_on(fitted: Path) -> None:
    assert json.loads((fitted / "recipe.json").read_text())["trained_on"] == [
        {
            "name": "soundalike render",
            "licence": "Tunes: a collection, ODbL 1.0; good: MIT; fair: public domain",
            "n": 4 * 4 * len(CLIPS),
            "seed": 7,
        },
        {"name": "made up", "licence": "CC0-1.0", "n": 3},
    ]


def test_sounds_are_credited_in_full_without_a_list_of_those_used(
    renders: Path, recordings: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "renders"
    shutil.copytree(renders, copy)
    (copy / "split.json").unlink()
    assert "unseen: GPL-2" in str(dsp.find_sources(copy, recordings, 0)[1][0]["licence"])
    (copy / "render.json").unlink()
    assert dsp.find_sources(copy, recordings, 0)[1][0]["licence"] == "unknown"


def test_negatives_share_no_factor(renders: Path, recordings: Path) -> None:
    sources, _ = dsp.find_sources(renders, recordings, 0)
    assert len(sources) == 4 * 6 * len(CLIPS) + 3
    for source in sources:
        if source.path.parent == recordings:
            assert (source.folder, source.factor, source.test) == (-1, "", False)
            continue
        folder = source.path.parent.parent
        assert source.factor == ("" if source.path.stem == "negative" else folder.parent.name)
        assert source.test == (folder.name in SPLIT["test"])
    assert len({source.folder for source in sources}) == 4 * 6 + 1
    for number in range(4 * 6):
        assert len({source.path.parent for source in sources if source.folder == number}) == 1


@pytest.mark.slow
def test_test_folders_are_judged_by_and_not_fitted_on(renders: Path, recordings: Path, tmp_path: Path) -> None:
    changed, rng = tmp_path / "renders", np.random.default_rng(2)
    shutil.copytree(renders, changed)
    for factor in dsp.FACTORS:
        for name in SPLIT["test"]:
            write_folder(changed / factor / str(name), rng)
    before = dsp.fit(renders, recordings, tmp_path / "before", 0)
    after = dsp.fit(changed, recordings, tmp_path / "after", 0)
    for name in ("recipe.json", "weights.safetensors"):
        assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes()
    assert before != after
    model = Model.load(str(tmp_path / "after"))
    for factor in dsp.FACTORS:
        clips = [
            (changed / factor / name / "triplet" / f"{clip}.wav", number)
            for number, name in enumerate(SPLIT["test"])
            for clip in ("anchor", "positive_01")
        ]
        rows = np.concatenate([model.encode(path).track.rows["rhythm"] for path, _ in clips])
        folders = np.array([number for _, number in clips])
        assert after["rhythm"][factor] == pytest.approx(folder_accuracy(rows, folders))


def test_the_baseline_is_the_descriptors_alone(renders: Path, recordings: Path, tmp_path: Path) -> None:
    assert main([*options(renders, recordings, tmp_path / "plain"), "--plain"]) == 0
    model = Model.load(str(tmp_path / "plain"))
    assert model.name == "dsp-plain"
    assert {space.head for space in model.spaces} == {"identity"}
    rows = model.encode(recordings / "0.wav").passages.rows["timbre"]
    dims = plugins.load("backbones", "dsp").dims["timbre"]
    assert rows.shape == (1, dims)
    assert np.linalg.norm(rows) == pytest.approx(1, abs=1e-5)


def test_progress_reaches_the_end(renders: Path, recordings: Path) -> None:
    sources, _ = dsp.find_sources(renders, recordings, 0)
    calls: list[tuple[int, int, float]] = []
    clips = dsp.describe_clips(sources, progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(1, len(sources) + 1))
    assert calls[-1][1:] == (len(sources), pytest.approx(3.0 * len(sources), rel=1e-3))
    assert len(clips.folder) == len(clips.factor) == clips.clip.max() + 1 == len(sources)


def test_a_missing_factor_is_named(renders: Path, recordings: Path, tmp_path: Path) -> None:
    shutil.copytree(renders / "melody", tmp_path / "melody")
    with pytest.raises(UsageError, match="has no folders for rhythm, timbre, harmony"):
        dsp.fit(tmp_path, recordings, tmp_path / "out", 0)


def test_missing_renders_are_named(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no triplets"):
        dsp.fit(tmp_path, recordings, tmp_path / "out", 0)


def test_a_missing_index_is_named(renders: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no index.csv"):
        dsp.fit(renders, tmp_path, tmp_path / "out", 0)


def test_a_missing_column_is_named(renders: Path, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("file,source\n")
    with pytest.raises(UsageError, match="lacks the column licence"):
        dsp.fit(renders, tmp_path, tmp_path / "out", 0)


def test_an_unreadable_clip_is_named(renders: Path, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("file,source,licence\nbroken.wav,made up,CC0-1.0\n")
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"broken\.wav: "):
        dsp.fit(renders, tmp_path, tmp_path / "out", 0)
