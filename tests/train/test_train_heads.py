"""`soundalike train heads`: train a model from triplet folders."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_mert import write_tiny_mert

from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import ModelError, UsageError
from soundalike.models.model import Model
from soundalike.models.recipes import load_recipe
from soundalike.train.common.recipe import space_entry, write_model
from soundalike.train.data.folders import PARTS, read_folders, triplet_set
from soundalike.train.jobs.heads import default_backbone

torch = pytest.importorskip("torch", reason="torch is not installed: training heads needs it")

RATE, SECONDS = 22050, 4.0
CLIPS = ("anchor", "positive_01", "positive_02", "negative", "negative_adversarial")


def tone(rng: np.random.Generator, pitch: float, bright: float) -> np.ndarray:
    """Return a melody of eight notes around a MIDI pitch. `bright` is the weight of the overtones."""
    steps = rng.choice([0, 2, 4, 5, 7, 9, 11, 12], 8)
    t = np.arange(int(RATE * SECONDS / 8)) / RATE
    notes = []
    for step in steps:
        f = 440 * 2 ** ((pitch + step - 69) / 12)
        note = sum(bright ** (k - 1) * np.sin(2 * np.pi * k * f * t) for k in range(1, 8) if k * f < RATE / 2)
        notes.append(note * np.exp(-3 * t) * np.minimum(1, t * 200))
    out = np.concatenate(notes)
    return (0.3 * out / np.abs(out).max()).astype(np.float32)


def write_set(place: Path, folders: int, *, split: bool) -> Path:
    """Write folders of a new factor, "brightness": positives are as bright as the anchor, negatives are not."""
    rng = np.random.default_rng(0)
    for number in range(1, folders + 1):
        triplet = place / "brightness" / f"triplets_{number}" / "triplet"
        triplet.mkdir(parents=True)
        own, other = (0.15, 0.85) if number % 2 else (0.85, 0.15)
        for name in CLIPS:
            bright = other if name.startswith("negative") else own
            soundfile.write(triplet / f"{name}.wav", tone(rng, rng.uniform(52, 72), bright), RATE)
    if split:
        names = [f"triplets_{number}" for number in range(1, folders + 1)]
        parts = {"train": names[:-4], "validation": names[-4:-2], "test": names[-2:]}
        (place / "split.json").write_text(json.dumps(parts))
    return place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data"), 12, split=True)


def train(data: Path, out: Path, *more: str) -> int:
    return main(
        [
            "train",
            "heads",
            "--triplets",
            str(data),
            "--out",
            str(out),
            "--epochs",
            "30",
            "--batch",
            "16",
            "--hidden",
            "32",
            *([] if "--backbone" in more else ["--backbone", "dsp"]),
            *more,
        ]
    )


@pytest.mark.parametrize(
    "more",
    [(), ("--joint", "--negatives", "both"), ("--linear", "--features", "brightness=timbre")],
    ids=["one head per factor", "joint", "linear"],
)
def test_new_factor_becomes_a_model(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    cache = str(data.parent / "cache")
    assert train(data, tmp_path / "mine", "--cache", cache, "--json", *more) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0.5 <= report["test_triplet_accuracy"]["neutral"]["brightness"]["brightness"] <= 1.0
    assert report["folders"] == {"brightness": 8}
    assert all(len(curve) == (0 if "--linear" in more else 30) for curve in report["curves"].values())
    recipe = load_recipe(str(tmp_path / "mine"))
    assert [space.name for space in recipe.spaces] == ["brightness"]
    model = Model.load(str(tmp_path / "mine"))
    clip = data / "brightness" / "triplets_1" / "triplet"  # a training folder
    rows = {name: model.encode(clip / f"{name}.wav").track.rows["brightness"][0] for name in CLIPS}
    assert all(np.linalg.norm(row) == pytest.approx(1, abs=1e-5) for row in rows.values())
    assert rows["anchor"] @ rows["positive_01"] > rows["anchor"] @ rows["negative"]
    assert not list((tmp_path / "mine" / "checkpoints").glob("*"))


def test_same_seed_gives_the_same_model(data: Path, tmp_path: Path) -> None:
    cache = str(data.parent / "cache")
    for name in ("one", "two"):
        assert train(data, tmp_path / name, "--cache", cache) == 0
    for file in ("recipe.json", "weights.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_unreadable_clip_is_reported_and_training_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_set(tmp_path / "data", 6, split=False)
    bad = data / "brightness" / "triplets_1" / "triplet" / "positive_02.wav"
    bad.write_bytes(b"RIFF, but no more")
    assert train(data, tmp_path / "mine") == 1
    shown = capsys.readouterr()
    assert "positive_02.wav" in shown.err
    assert "model written" in shown.out


def test_shards_are_embedded_separately_and_merged(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = ["train", "embed", "--backbone", "dsp", "--json", "--triplets", str(data), "--cache"]
    held = []
    for shard in ("1/2", "2/2"):
        assert main([*share, str(tmp_path / shard[0]), "--shard", shard]) == 0
        held.append(json.loads(capsys.readouterr().out)["held"])
    assert all(held) and sum(held) == 12 * len(CLIPS)
    assert main(["train", "merge", str(tmp_path / "1"), str(tmp_path / "2"), "-o", str(tmp_path / "all")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'all'} holds {sum(held)} clips\n"
    assert main([*share, str(tmp_path / "all")]) == 0
    assert json.loads(capsys.readouterr().out)["new"] == 0
    assert train(data, tmp_path / "mine", "--cache", str(tmp_path / "all"), "--json") == 0
    for shard in ("3/2", "0/2", "2", "a/b"):
        capsys.readouterr()
        assert main([*share, str(tmp_path / "none"), "--shard", shard]) == 2
        assert f"found {shard!r}" in capsys.readouterr().err
    assert main(["train", "merge", str(tmp_path / "none"), "-o", str(tmp_path / "other")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--factors", "melody"], "no factor 'melody'; it has brightness"),
        (["--loss", "circle-merit", "--batch", "0"], "whole number from 1"),
        (["--dropout", "2"], "dropout is 2.0; expected 0 to below 1"),
        (["--device", "nowhere"], "no device 'nowhere' here"),
        (["--backbone", "mert-of-my-own"], "mert-of-my-own"),
        (["--features", "brightness"], "found 'brightness', expected FACTOR=FEATURE"),
        (["--features", "warmth=timbre"], "has no factor 'warmth'; it has brightness"),
        (["--name", "my/model"], "'my/model' cannot be the name of a model; expected 1 to 64"),
        (["--features", "brightness=timbre+light"], "dsp has no feature 'light'"),
    ],
)
def test_invalid_arguments_give_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], found: str
) -> None:
    assert train(data, tmp_path / "mine", "--cache", str(data.parent / "cache"), *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert found in error
    assert error.startswith("soundalike: ")


def test_folder_without_triplets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "nothing", tmp_path / "mine") == 2
    assert "holds no triplets; expected DIR/<factor>/triplets_N" in capsys.readouterr().err


def test_parts_of_the_split_are_disjoint(tmp_path: Path) -> None:
    place = tmp_path / "melody"
    for number in range(1, 41):
        triplet = place / f"triplets_{number}" / "triplet"
        triplet.mkdir(parents=True)
        for name in CLIPS:
            (triplet / f"{name}.wav").touch()
    for split in (None, {"train": [f"triplets_{k}" for k in range(1, 31)], "test": ["triplets_31", "triplets_32"]}):
        if split:
            (tmp_path / "split.json").write_text(json.dumps(split))
        parts = read_folders(tmp_path, seed=42)["melody"]
        names = {part: {folder.name for folder in parts[part]} for part in PARTS}
        assert all(names.values())
        assert not names["train"] & names["test"]
        assert not names["train"] & names["validation"]
        assert not names["validation"] & names["test"]
    assert names["test"] == {"triplets_31", "triplets_32"}
    assert len(names["validation"]) == 4  # a tenth of 40
    assert names["train"] | names["validation"] == set(split["train"] if split else ())


def test_the_published_split_is_that_of_merits_code(tmp_path: Path) -> None:
    """create_split.py sorts and shuffles all names, train_head.py those for training; both start from the seed."""
    names = sorted(f"triplets_{number}" for number in range(1, 41))
    for name in names:
        triplet = tmp_path / "melody" / name / "triplet"
        triplet.mkdir(parents=True)
        for clip in CLIPS:
            (triplet / f"{clip}.wav").touch()
    everything = names[:]
    random.Random(42).shuffle(everything)
    training = sorted(everything[4:])
    random.Random(42).shuffle(training)
    listed = {"train": sorted(training[3:]), "validation": training[:3], "test": everything[:4]}
    for split in (None, {"test": everything[:4]}, listed):
        if split:
            (tmp_path / "split.json").write_text(json.dumps(split))
        parts = read_folders(tmp_path, seed=42, published=True)["melody"]
        found = {part: [folder.name for folder in parts[part]] for part in PARTS}
        assert (found["train"], found["validation"]) == (training[3:], training[:3])
        assert set(found["test"]) == set(everything[:4])


def test_missing_and_inaudible_clips_have_no_row(data: Path) -> None:
    folders = read_folders(data, seed=0)["brightness"]["test"]
    clips = [clip for folder in folders for clip in folder.clips]
    positions = {clip: n for n, clip in enumerate(clips)}
    audible = np.ones(len(clips), dtype=bool)
    audible[1] = False
    del positions[clips[4]]
    assert triplet_set(folders, positions, audible).folders.tolist() == [[0, -1, 2, 3, -1], [5, 6, 7, 8, 9]]


def test_folder_without_an_anchor(tmp_path: Path) -> None:
    (tmp_path / "melody" / "triplets_1" / "triplet").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"(triplets_1.*no anchor|no folder for)"):
        read_folders(tmp_path, seed=0)


def test_a_model_says_that_it_was_trained_on_what_it_is_tested_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, mine = str(data.parent / "cache"), tmp_path / "mine"
    data = shutil.copytree(data, tmp_path / "data")
    for clip in data.rglob("negative_adversarial.wav"):
        clip.unlink()
    assert train(data, mine, "--cache", cache, "--linear") == 0
    shown = capsys.readouterr().out
    assert "neutral negatives" in shown and "adversarial" not in shown and "nan" not in shown
    split = json.loads((mine / "split.json").read_text())
    parts = split["factors"]["brightness"]
    assert {part: len(names) for part, names in parts.items()} == {"train": 8, "validation": 2, "test": 2}

    def notes(*more: object) -> str:
        assert main(["evaluate", "triplets", str(data), "--model", str(mine), "--json", *map(str, more)]) == 0
        return " ".join(json.loads(capsys.readouterr().out)["reports"][0]["notes"])

    assert "trained on 10 of these 12 folders" in notes()
    assert "trained on" not in notes("--split", mine / "split.json")
    assert "trained on 8 of these 8 folders" in notes("--split", mine / "split.json", "--part", "train")
    assert main(["evaluate", "triplets", str(data), "--split", str(mine / "split.json"), "--part", "x"]) == 2
    assert "has no list 'x' for any factor; it holds brightness" in capsys.readouterr().err


def test_the_backbone_is_that_of_the_default_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert default_backbone() == "compact"
    data = write_set(tmp_path / "data", 4, split=False)
    one = ["--folders", "1", "--backbone", "dsp"]
    assert train(data, tmp_path / "mine", *one) == 2
    assert "has one folder for training; give two or more" in capsys.readouterr().err
    assert (
        main(
            [
                "train",
                "heads",
                "--triplets",
                str(data),
                "--out",
                str(tmp_path / "mine"),
                "--linear",
                "--features",
                "brightness=timbre",
            ]
        )
        == 0
    )
    assert [space.backbone for space in load_recipe(str(tmp_path / "mine")).spaces] == ["compact"]


def test_a_backbone_takes_the_weights_of_an_installed_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="MERT needs transformers: pip install 'soundalike[mert]'")
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "home")
    given = ["--backbone", "mert", "--folders", "4", "--epochs", "2"]
    assert train(data, tmp_path / "mine", *given) == 2
    assert "soundalike models install mert" in capsys.readouterr().err
    weights = write_tiny_mert(tmp_path / "home" / "models" / "mert" / "weights")
    backbone = plugins.load("backbones", "mert", weights=weights)
    calibration = dict(load_recipe("dsp").space("melody").calibration)
    owner = {"licence": "CC-BY-NC-4.0", "credit": "MERT by Li et al."}
    write_model(
        weights.parent, name="mert", summary="random", licence="CC0-1.0", tensors={"none": np.zeros(1, np.float32)},
        spaces=[space_entry("overall", backbone, "layers", "identity", backbone.dims["layers"], calibration)],
        trained_on=[], seed=0, backbones={"mert": {"weights": "weights", **owner}},
    )  # fmt: skip
    assert train(data, tmp_path / "mine", *given) == 0
    recipe = json.loads((tmp_path / "mine" / "recipe.json").read_text())
    assert recipe["backbones"] == {"mert": {"model": "mert", **owner}}, "no path of this machine"
    assert recipe["licence"].startswith("CC-BY-NC-4.0 (weights of mert); heads: ")
    clip = data / "brightness" / "triplets_1" / "triplet" / "anchor.wav"
    rows = Model.load(str(tmp_path / "mine")).encode(clip).track.rows["brightness"]
    assert rows.any()

    # On another machine, where another installed model brings the same weights, and one brings others.
    (tmp_path / "mine").rename(tmp_path / "moved")
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    remedy = r"mert brings \(MERT by Li et al\.\); install it with: soundalike models install mert"
    with pytest.raises(ModelError, match=remedy):
        Model.load(str(tmp_path / "moved"))
    installed = tmp_path / "home" / "models"
    shutil.copytree(tmp_path / "elsewhere" / "models" / "mert", installed / "merit")
    assert np.array_equal(Model.load(str(tmp_path / "moved")).encode(clip).track.rows["brightness"], rows)
    other = shutil.copytree(installed / "merit", installed / "mert")
    shutil.rmtree(other / "weights")
    write_tiny_mert(other / "weights", seed=1)
    changed = json.loads((other / "recipe.json").read_text())
    changed["spaces"][0]["backbone_version"] = plugins.load("backbones", "mert", weights=other / "weights").version
    (other / "recipe.json").write_text(json.dumps(changed))
    assert np.array_equal(Model.load(str(tmp_path / "moved")).encode(clip).track.rows["brightness"], rows)
    shutil.rmtree(installed / "merit")
    with pytest.raises(ModelError, match="was made for version"):
        Model.load(str(tmp_path / "moved"))
