"""A model folder of random networks: its recipe and card, and its use in the command line and over HTTP."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("onnx", reason="torch writes networks with onnx")

import torch
from fastapi.testclient import TestClient

import soundalike
from conftest import TUNES, tune, write
from soundalike.audio.mono import MonoStream
from soundalike.audio.stream import windows
from soundalike.backbones.unet import UnetBackbone
from soundalike.cli.main import main
from soundalike.core.errors import ModelError, UsageError
from soundalike.models.model import Model
from soundalike.models.recipes import SeparatorVersion, load_recipe
from soundalike.serve.app import create_app
from soundalike.train.common import CalibrationClip
from soundalike.train.metric.export import export_rows
from soundalike.train.metric.model_folder import About, write_instruments
from soundalike.train.metric.unet import Direct, ExtractorBank, SeparatorBank
from tiny_unet import tiny_settings, write_tiny_masks, write_tiny_rows

SIX = ("drums", "bass", "guitar", "piano", "vocals", "other")
SETTINGS = tiny_settings(*SIX)
ABOUT = About("band", "Six instruments of a mix.", [{"name": "songs", "licence": "CC0-1.0", "n": 3}], 7, "Random.")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen recordings of 1.5 s."""
    folder = tmp_path_factory.mktemp("music")
    for number in range(14):
        notes = [note + number for note in list(TUNES.values())[number % len(TUNES)]]
        write(folder / f"{number:02}.wav", tune(notes, seconds=1.5, harmonics=1 + number % 5, seed=number))
    return folder


@pytest.fixture(scope="module")
def clips(music: Path) -> list[CalibrationClip]:
    return [CalibrationClip(path, (path.stem,)) for path in sorted(music.glob("*.wav"))]


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random networks for six instruments."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("networks") / "direct.onnx"
    network = Direct(SETTINGS.spectrum, SETTINGS.network)
    export_rows("direct", network, SETTINGS, path, licence="CC0-1.0", precision="int8")
    return path


@pytest.fixture(scope="module")
def model(direct: Path, clips: list[CalibrationClip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "band"
    assert write_instruments(direct, out, ABOUT, clips) == ()
    return out


def test_a_folder_has_one_space_per_instrument_and_the_same_bytes_again(
    model: Path, direct: Path, clips: list[CalibrationClip], tmp_path: Path
) -> None:
    write_instruments(direct, tmp_path / "again", ABOUT, clips)
    for file in model.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    recipe = load_recipe(str(model))
    assert [space.name for space in recipe.spaces] == [space.feature for space in recipe.spaces] == list(SIX)
    assert {(space.source, space.backbone, space.dim) for space in recipe.spaces} == {("mix", "unet", 6)}
    assert (recipe.name, recipe.licence) == ("band", "CC0-1.0")
    assert recipe.backbone_weights["unet"].path == model / "unet.onnx"
    card = (model / "card.md").read_text()
    for line in ("| songs | CC0-1.0 | 3 |", "| an instrument is audible | wherever there is sound |", "Random.\n"):
        assert line in card


def test_rows_are_centred_and_calibrated_on_the_clips(model: Path, clips: list[CalibrationClip]) -> None:
    loaded = Model.load(model)
    backbone = UnetBackbone(model / "unet.onnx")
    for space in loaded.spaces:
        raw, rows = [], []
        for clip in clips:
            raw.append(backbone.features(MonoStream(clip.path, backbone.rate), windows).rows[space.name][0])
            rows.append(loaded.encode(clip.path).track.rows[space.name][0])
        centred = np.array(raw) - np.mean(raw, axis=0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        assert np.abs(centred - rows).max() < 1e-3
        pairs = [a @ b for i, a in enumerate(rows) for b in rows[:i]]
        assert space.calibration["track"].mu == pytest.approx(np.mean(pairs), abs=0.05)
        assert space.calibration["track"].sigma == pytest.approx(np.std(pairs), abs=0.05)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_line_and_http_take_the_folder(
    model: Path, music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = tmp_path / "library"
    assert run(capsys, "index", music, "--library", library, "--model", model, "--jobs", 1)["added"] == 14
    query = music / "00.wav"
    found = run(capsys, "search", query, "--library", library, "-w", "drums=2,vocals", "-k", 3)["matches"]
    assert len(found) == 3
    assert set(found[0]["spaces"]) == set(SIX)
    for match in found:
        assert match["score"] == pytest.approx(sum(one["share"] for one in match["spaces"].values()), abs=1e-4)
    compared = run(capsys, "compare", query, music / "01.wav", "--model", model)
    assert set(compared["matches"][0]["spaces"]) == set(SIX)
    with soundalike.open(library) as opened, TestClient(create_app(opened), base_url="http://127.0.0.1") as client:
        asked = {"query": {"track": 1}, "weights": {"drums": 2, "vocals": 1}, "k": 3}
        answer = client.post("/api/v1/search", json=asked)
        assert answer.status_code == 200, answer.text
        served = answer.json()["matches"]
        assert [Path(match["path"]).name for match in served] == [Path(match["path"]).name for match in found]


def test_an_instrument_below_its_gate_is_inaudible(tmp_path: Path, music: Path) -> None:
    settings = tiny_settings()
    separators = SeparatorBank(settings.network)
    with torch.no_grad():  # masks near 0.02 for drums, and near 1 for the rest
        for network, bias in zip(separators.networks, (-4.0, 8.0), strict=True):
            network.decoder.layers[-1][0].weight.zero_()
            network.decoder.layers[-1][0].bias.fill_(bias)
    extractors = ExtractorBank(settings.spectrum, settings.network)
    path = tmp_path / "gated.onnx"
    export_rows("cascade", extractors, settings, path, licence="CC0-1.0", separate=separators, gates=[-30.0, -30.0])
    backbone = UnetBackbone(path)
    features = backbone.features(MonoStream(music / "00.wav", backbone.rate), windows)
    assert (features.audible["drums"].any(), features.audible["other"].all()) == (False, True)
    assert not features.rows["drums"].any() and features.rows["other"].all()


def test_a_long_window_is_the_mean_of_its_parts(model: Path) -> None:
    backbone = UnetBackbone(model / "unet.onnx")
    samples = tune(TUNES["up"], seconds=70, rate=16_000)
    whole = backbone.features([samples], lambda _: np.array([[0.0, 70.0]])).rows["bass"][0]
    thirds = backbone.features([samples], lambda _: np.array([[0.0, 70 / 3], [70 / 3, 140 / 3], [140 / 3, 70.0]]))
    assert whole == pytest.approx(thirds.rows["bass"].mean(axis=0), abs=1e-4)


def test_a_model_of_stems_takes_each_instrument_from_its_own_stem(
    direct: Path, clips: list[CalibrationClip], tmp_path: Path
) -> None:
    names = SIX[:4]
    for number in range(14):
        parts = [tune(TUNES["up"], seconds=1.5, harmonics=1 + index, seed=number) for index in range(4)]
        folder = tmp_path / "songs" / str(number)
        write(folder / "mix.wav", np.sum(parts, axis=0) / 8)
        for name, part in zip(names, parts, strict=True):
            write(folder / "stems" / f"{name}.wav", part / 8)
    on_stems = [CalibrationClip(path, (path.parent.name,)) for path in (tmp_path / "songs").glob("*/mix.wav")]
    kept = write_instruments(direct, tmp_path / "clean", ABOUT, on_stems, separator="given")
    assert kept == ("vocals", "other")  # there are no such stems
    recipe = load_recipe(str(tmp_path / "clean"))
    assert [space.source for space in recipe.spaces] == list(SIX)
    assert recipe.separator == SeparatorVersion("given", recipe.separator.version if recipe.separator else 0)
    rows = Model.load(tmp_path / "clean").encode(on_stems[0].path).track.rows
    assert [name for name, row in rows.items() if row.any()] == list(names)
    assert "from the separator `given`" in (tmp_path / "clean" / "card.md").read_text()
    with pytest.raises(ModelError, match="no instrument is audible in 12 of the 14 clips"):
        write_instruments(direct, tmp_path / "none", ABOUT, clips, separator="given")


def test_a_file_of_another_kind_is_one_clear_line(tmp_path: Path, clips: list[CalibrationClip]) -> None:
    with pytest.raises(ModelError, match="gives masks, for the separator unet; expected rows"):
        write_instruments(write_tiny_masks(tmp_path / "a"), tmp_path / "out", ABOUT, clips)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--out"):
        write_instruments(write_tiny_rows(tmp_path / "b"), tmp_path / "file", ABOUT, clips)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (Path.unlink, r"unet\.onnx cannot be read \(No such file or directory\); give a file that"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:3000]),
            r"unet\.onnx is damaged or no network \(.*\); give a",
        ),
        (lambda file: write_tiny_masks(file), r"unet\.onnx gives masks, for the separator unet; expected rows"),
        (lambda file: write_tiny_rows(file), r"space band/bass: unet has no feature 'bass'; it has drums, other"),
    ],
)
def test_a_model_without_its_networks_is_one_clear_line(
    spoil: Callable[[Path], object],
    why: str,
    model: Path,
    music: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(model, tmp_path / "band")
    spoil(tmp_path / "band" / "unet.onnx")
    clips = [str(music / name) for name in ("00.wav", "01.wav")]
    assert main(["compare", *clips, "--model", str(tmp_path / "band")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and re.search(why, err), err
