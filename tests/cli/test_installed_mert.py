"""`soundalike models install merit` with a tiny random MERT and random heads, and what can be done with it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import jsonschema
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="MERT needs torch: pip install 'soundalike[mert]'")
pytest.importorskip("transformers", reason="MERT needs transformers: pip install 'soundalike[mert]'")

from fastapi.testclient import TestClient  # noqa: E402
from test_models_command import FACTORS, Trap, write_heads  # noqa: E402
from tiny_mert import write_tiny_mert  # noqa: E402
from tiny_muq import write_tiny_muq  # noqa: E402

from hub_server import serve_hub  # noqa: E402
from json_schemas import schema_of  # noqa: E402
from soundalike import open as open_library  # noqa: E402
from soundalike.cli.main import main  # noqa: E402
from soundalike.demo import load_clips  # noqa: E402
from soundalike.models import Model, extract, installed_models  # noqa: E402
from soundalike.serve import create_app  # noqa: E402

Run = Callable[..., dict]

SOME = [clip for number, clip in enumerate(load_clips()) if number in (0, 13, 26)]
"""Three clips that differ in tune, groove and instruments."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models, with nothing in it; a few of the demo clips calibrate."""
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr("soundalike.demo.load_clips", lambda: SOME)
    return tmp_path / "data" / "models"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with --json; returns what it prints, checked against its schema."""

    def go(*arguments: object) -> dict:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
        printed = json.loads(capsys.readouterr().out)
        jsonschema.validate(printed, schema_of(printed["schema"].partition("/")[0]), jsonschema.Draft202012Validator)
        return printed

    return go


def test_merit_is_installed_and_used_as_any_model(home: Path, run: Run, tmp_path: Path) -> None:
    mert, heads = write_tiny_mert(tmp_path / "mert"), write_heads(tmp_path / "heads")
    found = run("models", "install", "merit", "--backbone", mert, "--heads", heads, "--yes")
    assert found["folder"] == str(home / "merit") and found["spaces"] == list(FACTORS)
    assert (home / "merit" / "mert" / "pytorch_model.bin").samefile(mert / "pytorch_model.bin"), "linked, not copied"
    assert {one.name for one in home.iterdir()} == {"merit", ".lock"}
    recipe = json.loads((home / "merit" / "recipe.json").read_text())
    assert recipe["licence"] == "CC-BY-NC-4.0"
    credit = "MERT by Li et al., 2024, https://huggingface.co/m-a-p/MERT-v1-330M"
    assert recipe["backbones"] == {"mert": {"weights": "mert", "licence": "CC-BY-NC-4.0", "credit": credit}}

    # The rows are the published arithmetic on the feature of the backbone.
    model = Model.load("merit")
    state = torch.load(heads / "head_mel" / "best_head.pt", weights_only=True)["state_dict"]
    rows = [model.encode(clip.path).track.rows["melody"][0] for clip in SOME]
    feature = extract(model.backbones, SOME[-1].path).features["mert"].rows["layers"]
    hidden = torch.relu(
        torch.nn.functional.linear(torch.from_numpy(feature), state["net.0.weight"], state["net.0.bias"])
    )
    expected = torch.nn.functional.normalize(torch.nn.functional.linear(hidden, state["net.2.weight"]))
    np.testing.assert_allclose(rows[-1], expected[0].numpy(), atol=1e-5)
    calibration = model.recipe.space("melody").calibration["track"]
    pairs = [float(a @ b) for a, b in combinations(rows, 2)]
    assert min(pairs) == pytest.approx(calibration.quantiles[0], abs=1e-6)
    assert max(pairs) == pytest.approx(calibration.quantiles[100], abs=1e-6)
    assert calibration.mu == pytest.approx(np.mean(pairs), abs=0.05 * np.std(pairs))

    music, library = tmp_path / "music", tmp_path / "library"
    music.mkdir()
    for clip in SOME:
        shutil.copy(clip.path, music)
    first, second = sorted(music.iterdir())[:2]
    assert run("index", music, "--model", "merit", "--library", library)["added"] == 3
    answer = run("search", first, "--library", library, "-w", "rhythm=2,timbre=-1")
    assert answer["models"] == ["merit"]
    assert len(answer["matches"]) == 2
    compared = run("compare", first, second, "--model", "merit")
    assert list(compared["weights"]) == list(FACTORS)
    with open_library(library) as opened, TestClient(create_app(opened), base_url="http://127.0.0.1") as client:
        assert [one["name"] for one in client.get("/api/v1/library").json()["spaces"]] == list(FACTORS)
    listed = {one["name"]: one["installed"] for one in run("list", "models")["models"]}
    assert listed["merit"] and not listed["mert"]

    assert main(["models", "install", "merit", "--backbone", str(mert), "--heads", str(heads), "--yes"]) == 2
    before = (home / "merit" / "weights.safetensors").read_bytes()
    write_heads(tmp_path / "others", names={name: name for name in FACTORS}, seed=1)
    run("models", "install", "merit", "--backbone", mert, "--heads", tmp_path / "others", "--yes", "--force")
    assert (home / "merit" / "weights.safetensors").read_bytes() != before

    assert run("models", "remove", "merit")["folder"] == str(home / "merit")
    assert "merit" not in installed_models() and {one.name for one in home.iterdir()} == {".lock"}
    assert mert.is_dir() and heads.is_dir()


def test_merit_is_installed_from_the_hub(home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repositories = {
        "m-a-p/MERT-v1-330M": write_tiny_mert(tmp_path / "mert"),
        "amaai-lab/merit": write_heads(tmp_path / "heads"),
    }
    (repositories["m-a-p/MERT-v1-330M"] / "modeling_MERT.py").write_text("raise SystemExit")
    with serve_hub(repositories, tmp_path / "cache", monkeypatch):
        run("models", "install", "merit", "--yes")
    shutil.rmtree(tmp_path / "cache")
    assert Model.load("merit").encode(SOME[0].path).track.rows["timbre"].shape == (1, 8)
    assert {one.name for one in (home / "merit" / "mert").iterdir()} == {
        "config.json", "preprocessor_config.json", "pytorch_model.bin",
    }  # fmt: skip


def test_the_licence_of_another_repository_is_kept(
    home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mert = write_tiny_mert(tmp_path / "mert")
    (mert / "README.md").write_text("---\nlicense: mit\n---\n")
    with serve_hub({"one/mert": mert}, tmp_path / "cache", monkeypatch):
        assert run("models", "install", "mert", "--backbone", "one/mert", "--yes")["licence"] == "mit"
    recipe = json.loads((home / "mert" / "recipe.json").read_text())
    owner = {"licence": "mit", "credit": "https://huggingface.co/one/mert"}
    assert recipe["licence"] == "mit" and recipe["backbones"]["mert"] == {"weights": "mert", **owner}
    assert recipe["trained_on"] == [{"name": "the weights of one/mert", "licence": "mit"}]


def test_mert_without_heads(home: Path, run: Run, tmp_path: Path) -> None:
    (home / ".partial" / "mert").mkdir(parents=True)  # as after a crash
    run("models", "install", "mert", "--backbone", write_tiny_mert(tmp_path / "mert", safetensors=True), "--yes")
    (space,) = Model.load("mert").spaces
    assert (space.name, space.head, space.dim) == ("overall", "identity", 160)
    assert {one.name for one in home.iterdir()} == {"mert", ".lock"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda mert, heads: write_heads(heads, in_dim=5120), "takes 5120 values, but the feature layers of"),
        (lambda mert, heads: cut(mert / "pytorch_model.bin"), "pytorch_model.bin"),
        (lambda mert, heads: torch.save({"weight": Trap()}, mert / "pytorch_model.bin"), "pytorch_model.bin"),
        (lambda mert, heads: (mert / "pytorch_model.bin").write_bytes(pickle.dumps(Trap())), "pytorch_model.bin"),
        (lambda mert, heads: (mert / "config.json").write_text('{"model_type": "bert"}'), "mert"),
        (lambda mert, heads: (mert / "config.json").write_text("{"), "config.json is not valid JSON"),
    ],
    ids=["other dimensions", "truncated", "malicious", "malicious pickle", "another model", "no JSON"],
)  # fmt: skip
def test_weights_that_do_not_fit(
    spoil: Callable[[Path, Path], object], message: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mert, heads = write_tiny_mert(tmp_path / "mert"), tmp_path / "heads"
    spoil(mert, heads)
    if not heads.exists():
        write_heads(heads)
    assert main(["models", "install", "merit", "--backbone", str(mert), "--heads", str(heads), "--yes"]) == 2
    out, err = capsys.readouterr()
    line = err.splitlines()[-1]
    assert out == "" and line.startswith("soundalike: ") and message in line and len(err.splitlines()) == 4
    assert ".partial" not in line  # the file of the user is named
    assert "run" not in out and {one.name for one in home.iterdir()} == {".lock"}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def test_an_interruption_and_a_full_disk_leave_what_was_there(
    home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mert, heads = write_tiny_mert(tmp_path / "mert"), write_heads(tmp_path / "heads")
    arguments = ["models", "install", "merit", "--backbone", str(mert), "--heads", str(heads), "--yes", "--force"]
    run(*arguments)
    before = {file: file.stat().st_ino for file in home.rglob("*") if file.is_file()}

    def fail(error: BaseException) -> Callable[..., object]:
        def raise_it(*_: object, **__: object) -> object:
            raise error

        return raise_it

    for error, code, message in (
        (KeyboardInterrupt(), 130, "soundalike: interrupted"),
        (OSError(28, "No space left on device"), 2, "No space left on device; free some space"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("soundalike.train.published.installer._calibrate", fail(error))
            assert main(arguments) == code
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert {file: file.stat().st_ino for file in home.rglob("*") if file.is_file()} == before


def test_muq_is_installed_from_the_hub_and_searched(
    home: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = write_tiny_muq(tmp_path / "hub")
    with serve_hub({"OpenMuQ/MuQ-MuLan-large": hub}, tmp_path / "cache", monkeypatch):
        found = run("models", "install", "muq", "--yes")
    assert found["spaces"] == ["overall"]
    recipe = json.loads((home / "muq" / "recipe.json").read_text())
    credit = "MuQ-MuLan by Zhu et al., 2025, https://huggingface.co/OpenMuQ/MuQ-MuLan-large"
    assert recipe["backbones"] == {"muq": {"weights": "muq", "licence": "CC-BY-NC-4.0", "credit": credit}}
    music = tmp_path / "music"
    music.mkdir()
    for clip in SOME:
        shutil.copy(clip.path, music / clip.path.name)
    library = tmp_path / "library"
    assert run("index", music, "--library", library, "--model", "muq")["tracks"] == 3
    answer = run("search", music / SOME[0].path.name, "--library", library)
    assert answer["models"] == ["muq"] and len(answer["matches"]) == 2
