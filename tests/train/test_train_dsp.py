"""Fitting the projections: the algebra against loops, the command on a handful of made-up clips."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import UsageError
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
    heard = np.ones(len(unseen), np.bool_)
    projected = Head(fitted.mean, fitted.weight)(unseen.astype(np.float32), heard)
    assert folder_accuracy(projected, labels) > 0.95 > 0.7 > folder_accuracy(Head()(unseen, heard), labels)


def test_full_shrinkage_whitens() -> None:
    features, _ = folders_of_clips(60, 0)
    fitted = fit_projection(measure_scatter(features, np.full(240, -1)), dims=10, shrink=1.0, floor=0.0)
    projected = (features - fitted.mean) @ fitted.weight.T
    np.testing.assert_allclose(projected.T @ projected / 240, np.eye(10), atol=1e-3)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six folders a factor of two three-second clips: arpeggios with noise bursts, all drawn at random."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    rows = []
    for factor in dsp.FACTORS:
        for number in range(6):
            for clip in range(2):
                t = np.arange(12 * (RATE // 4)) / RATE
                pitch = np.repeat(220 * 2 ** (rng.integers(0, 24, 12) / 12), RATE // 4)
                sound = np.sin(2 * np.pi * pitch * t) + 0.5 * np.sin(4 * np.pi * pitch * t)
                sound = sound * np.exp(-8 * (t % rng.uniform(0.1, 0.5))) + 0.05 * rng.standard_normal(len(t))
                path = f"{factor}-{number}-{clip}.wav"
                soundfile.write(folder / path, 0.2 * sound, RATE)
                rows.append(
                    {
                        "path": path,
                        "factor": factor,
                        "folder": number,
                        "file": path,
                        "source": "made up",
                        "licence": "CC0-1.0",
                    }
                )
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_the_command_writes_a_model_that_loads(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in ("first", "second"):
        arguments = ["--renders", str(clips), "--recordings", str(clips), "--out", str(tmp_path / out)]
        assert main(["train", "dsp", *arguments]) == 0
    assert "harmony" in capsys.readouterr().out
    for name in ("recipe.json", "weights.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    recipe = load_recipe(str(tmp_path / "first"))
    assert [space.name for space in recipe.spaces] == list(dsp.FACTORS)
    for space in recipe.spaces:
        for chance in space.calibration.values():
            assert chance.sigma > 0 and len(chance.quantiles) == 101
            assert list(chance.quantiles) == sorted(chance.quantiles)
    body = json.loads((tmp_path / "first" / "recipe.json").read_text())
    assert {"name": "made up", "licence": "CC0-1.0", "n": 48} in body["trained_on"]
    assert not list((tmp_path / "first").glob(".*"))


def test_the_baseline_is_the_descriptors_alone(clips: Path, tmp_path: Path) -> None:
    arguments = ["--renders", str(clips), "--recordings", str(clips), "--out", str(tmp_path / "plain"), "--plain"]
    assert main(["train", "dsp", *arguments]) == 0
    model = Model.load(str(tmp_path / "plain"))
    assert model.name == "dsp-plain"
    assert {space.head for space in model.spaces} == {"identity"}
    heard = model.encode(clips / "melody-0-0.wav").passages.rows["timbre"]
    dims = plugins.load("backbones", "dsp").dims["timbre"]
    assert heard.shape == (1, dims)
    assert np.linalg.norm(heard) == pytest.approx(1, abs=1e-5)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no index.csv"):
        dsp.fit(tmp_path, tmp_path, tmp_path / "out", 0)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("path,folder\n")
    with pytest.raises(UsageError, match="lacks the column factor"):
        dsp.fit(tmp_path, tmp_path, tmp_path / "out", 0)
