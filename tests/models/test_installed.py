"""Installed models: where they are found, in which order, and what the lists and the shell show of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TUNES
from soundalike.cli.main import main
from soundalike.cli.train.progress import model_argument
from soundalike.core.errors import ModelError, UsageError
from soundalike.library.folder import LibraryFolder
from soundalike.library.held_models import check_backbones
from soundalike.library.indexing.index import index_files
from soundalike.models.backbone_weights import load_backbone
from soundalike.models.installed import find_model, installed_folder, installed_models
from soundalike.models.model import Model
from soundalike.models.recipes import load_recipe

BUNDLED = load_recipe("dsp").weights.parent
BUNDLED_NAMES = ("compact", "concepts", "dsp", "instruments")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models, with nothing in it."""
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "data")
    return tmp_path / "data" / "models"


def put(folder: Path, **changes: object) -> Path:
    """A copy of the model `dsp` in a folder, with changes to its recipe."""
    shutil.copytree(BUNDLED, folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"name": folder.name} | changes))
    return folder


def test_a_folder_with_the_name_of_an_installed_model_is_given_by_its_path(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "dsp", summary="mine")
    assert [model_argument(one) for one in ("dsp", "band", tmp_path / "dsp")] == ["./dsp", "band", f"{tmp_path}/dsp"]
    assert load_recipe(model_argument("dsp")).summary == "mine" and load_recipe("dsp").summary != "mine"


def test_names_are_looked_up_among_bundled_then_installed_models_then_as_paths(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed_models() == BUNDLED_NAMES
    put(home / "mine", summary="installed")
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "mine", summary="in the working folder")
    put(tmp_path / "other")
    assert installed_models() == (*BUNDLED_NAMES, "mine")
    assert load_recipe("mine").summary == "installed"
    assert load_recipe("./mine").summary == "in the working folder"
    assert load_recipe("other").name == "other"
    assert Model.load("mine").source == "mine"
    assert Model.load("other").source == str(tmp_path / "other")
    with pytest.raises(
        ModelError, match=f"unknown model 'nope'; installed: {', '.join(BUNDLED_NAMES)}, mine, or give the path"
    ):
        load_recipe("nope")


def test_a_bundled_model_is_never_replaced(home: Path) -> None:
    put(home / "dsp", summary="an impostor")
    assert load_recipe("dsp").summary != "an impostor"
    assert installed_models() == BUNDLED_NAMES
    assert find_model("dsp") == BUNDLED
    with pytest.raises(ValueError, match="'dsp' is the name of a bundled model"):
        installed_folder("dsp")
    with pytest.raises(ValueError, match="cannot be the name of a model"):
        installed_folder("../dsp")


def test_only_names_are_looked_up_among_installed_models(home: Path, tmp_path: Path) -> None:
    put(home.parent / "outside")
    assert find_model("../outside") == Path("../outside")
    assert find_model("x" * 5000) == Path("x" * 5000)


def test_weights_of_backbones_are_found_from_the_folder_of_the_model(home: Path, tmp_path: Path) -> None:
    folder = put(home / "mine", backbones={"dsp": {"weights": "some/weights"}})
    assert load_recipe("mine").backbone_weights["dsp"].path == folder / "some" / "weights"
    assert load_recipe("mine").digest == load_recipe("dsp").digest  # `backbone_version` covers them
    assert load_recipe("dsp").backbone_weights == {}
    other = put(home / "other", backbones={"dsp": {"weights": str(tmp_path / "w.pt")}})
    assert load_recipe(str(other)).backbone_weights["dsp"].path == tmp_path / "w.pt"
    with pytest.raises(UsageError, match="the backbone 'dsp' takes no weights"):
        load_backbone(load_recipe("mine"), "dsp")


@pytest.mark.parametrize(
    ("backbones", "message"),
    [
        ({"logmel": {"weights": "x"}}, "weights of logmel, which no space uses"),
        ({"dsp": {}}, "recipe.json is incomplete"),
        ({"dsp": {"model": "../dsp"}}, "'../dsp' cannot be the name of a model"),
        ({"dsp": "x"}, "recipe.json is incomplete"),
        (["dsp"], "recipe.json is incomplete"),
        (7, "recipe.json is incomplete"),
    ],
)
def test_invalid_weights_of_backbones_are_rejected(tmp_path: Path, backbones: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_recipe(str(put(tmp_path / "mine", backbones=backbones)))


def test_lists_show_installed_models_and_those_that_cannot_be_read(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(home / "mine", summary="one of mine")
    (put(home / "torn") / "weights.safetensors").unlink()
    assert main(["list", "models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert list(rows)[: len(BUNDLED_NAMES) + 2] == [*BUNDLED_NAMES, "mine", "torn"]
    assert (rows["mert"]["installed"], rows["mert"]["extra"]) == (False, "mert"), "it can be installed"
    assert (rows["mine"]["installed"], rows["mine"]["summary"], rows["mine"]["spaces"]) == (True, "one of mine", 4)
    assert not rows["torn"]["installed"]
    assert "weights.safetensors cannot be read" in rows["torn"]["summary"]
    assert main(["list", "spaces", "--json"]) == 0
    spaces = [row["name"] for row in json.loads(capsys.readouterr().out)["spaces"]]
    assert "mine/melody" in spaces
    assert not any(name.startswith("torn") for name in spaces)


def test_listing_and_completing_models_loads_no_network_library(home: Path) -> None:
    put(home / "mine")
    code = (
        "import os, sys; from pathlib import Path; import soundalike.models.installed as installed\n"
        "installed.data_folder = lambda: Path(sys.argv[1])\n"
        "from soundalike.cli.main import main\n"
        "assert main(['list', 'models']) == 0\n"
        "os.environ.update(_SOUNDALIKE_COMPLETE='bash_complete', COMP_WORD='m')\n"
        "os.environ['COMP_LINE'] = 'soundalike index --model m'\n"
        "main([])\n"
        "print([name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, home.parent], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, completed, loaded = done.stdout.splitlines()
    assert (completed, loaded) == ("plain,mine", "[]")


def test_a_library_of_a_removed_model_says_so(home: Path, made: Callable[..., Path], tmp_path: Path) -> None:
    song, folder = made("a.wav", notes=TUNES["up"], seconds=2), put(home / "mine")
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [song], model="mine", jobs=1)
        assert library.model().source == "mine"
        folder.rename(tmp_path / "away")
        expected = (
            "encoded by mine, but it is no longer installed: install it again with: soundalike models install mine"
        )
        with pytest.raises(ModelError, match=expected):
            library.model()
        with pytest.raises(ModelError, match=expected):
            index_files(library, [song], jobs=1)
        (tmp_path / "away").rename(folder)
        assert library.model().name == "mine"


def test_a_library_of_a_moved_model_folder_says_so(made: Callable[..., Path], tmp_path: Path) -> None:
    song, folder = made("a.wav", notes=TUNES["up"], seconds=2), put(tmp_path / "mine")
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [song], model=str(folder), jobs=1)
        folder.rename(tmp_path / "away")
        with pytest.raises(ModelError, match="expected its folder at .*mine: put it back"):
            library.model()


def test_models_with_other_weights_of_the_same_backbone_are_not_mixed() -> None:
    first, second = Model.load("dsp"), Model.load("dsp")
    check_backbones([first, second])
    second.backbones["dsp"].version = 99  # type: ignore[misc]
    with pytest.raises(UsageError, match="dsp and dsp use different weights of the backbone dsp; encode with"):
        check_backbones([first, second])
