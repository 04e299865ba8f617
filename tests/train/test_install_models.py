"""Installing models whose weights others publish: a killed process, and sources that cannot be read."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hub_server import serve_hub
from soundalike.core.errors import ModelError, UsageError
from soundalike.models import installed_models, load_recipe
from soundalike.train import published
from soundalike.train.published.sources import find_source, link_or_copy


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models, with nothing in it."""
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "data")
    return tmp_path / "data" / "models"


# Killed installations -----------------------------------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    from pathlib import Path
    from soundalike.train.published.model_folder import making, put_in_place

    folder, made, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(" ")[0]
    path = str(folder.parent / sys.argv[3].split(" ")[1])

    def kill(event, arguments):
        if event == moment and path in map(str, arguments) and os.path.exists(path):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    with making(folder) as place:
        place.rmdir()
        made.rename(place)
        put_in_place(place, folder)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize(
    ("moment", "summary"),
    [("os.rename .partial/mert", "old"), ("shutil.rmtree .replaced", "new")],
    ids=["before the new one is renamed", "before the old one is removed"],
)
def test_a_process_killed_while_it_replaces_a_model_leaves_one(
    moment: str, summary: str, home: Path, tmp_path: Path
) -> None:
    put(home / "mert", "old")
    put(tmp_path / "mert", "new")
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), home / "mert", tmp_path / "mert", moment],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert load_recipe("mert").summary == summary and "mert" in installed_models()
    with pytest.raises(UsageError, match="mert is installed at"):
        published.plan("mert")
    with pytest.raises(ModelError, match="holds no checkpoint"):  # the next change tidies, even if it fails
        published.install(published.plan("musicnn", backbone=str(tmp_path)), [])
    assert load_recipe("mert").summary == summary
    assert {one.name for one in home.iterdir()} == {"mert", ".lock"}
    published.remove("mert")
    assert {one.name for one in home.iterdir()} == {".lock"}


def test_a_model_that_was_renamed_out_of_the_way_can_be_removed(home: Path) -> None:
    put(home / ".replaced" / "mert", "old")
    published.remove("mert")
    assert {one.name for one in home.iterdir()} == {".lock"} and "mert" not in installed_models()


def put(folder: Path, summary: str) -> None:
    """A copy of the model `dsp` under another name."""
    shutil.copytree(load_recipe("dsp").weights.parent, folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"name": folder.name, "summary": summary}))


# The hub without a connection ---------------------------------------------------------------------------------------


def test_without_a_connection_another_name_of_a_file_is_found_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mert").mkdir()
    (tmp_path / "mert" / "pytorch_model.bin").write_bytes(b"weights")
    source, names = find_source("one/mert", "--backbone"), ("model.safetensors", "pytorch_model.bin")
    with serve_hub({"one/mert": tmp_path / "mert"}, tmp_path / "cache", monkeypatch):
        downloaded = source.file(names)
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client waits before it tries again
    assert downloaded is not None and source.file(names) == downloaded
    with pytest.raises(ModelError, match="the Hugging Face hub cannot be reached for config.json of one/mert"):
        source.file(["config.json", "other.json"])


# Sources that cannot be read ----------------------------------------------------------------------------------------


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A file that can be opened and not read."""
    memory = Path("/proc/self/mem")
    if not memory.is_file():
        pytest.skip("this system has no /proc/self/mem")
    (tmp_path / "weights.pt").symlink_to(memory)
    return tmp_path / "weights.pt"


def test_a_source_that_cannot_be_read_is_named(failing: Path, home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"weights\.pt cannot be read \(Input/output error\)"):
        link_or_copy(failing, tmp_path / "copy" / "weights.pt")
    failing.rename(tmp_path / ".index")
    with pytest.raises(ModelError, match=r"cannot be read \(Input/output error\)"):
        published.install(published.plan("musicnn", backbone=str(tmp_path)), [])
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="loop cannot be read"):
        find_source(str(tmp_path / "loop"), "--backbone")


def test_a_target_that_cannot_be_written_is_no_fault_of_the_source(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "weights.pt").write_bytes(b"w")
    with pytest.raises(OSError, match="No space left") as caught:
        link_or_copy(tmp_path / "weights.pt", full)
    assert caught.value.errno == errno.ENOSPC
