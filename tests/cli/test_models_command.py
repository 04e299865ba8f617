"""`soundalike models`: licence, sources, and what goes wrong before a backbone is loaded, in one line each."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="MERT needs torch: pip install 'soundalike[mert]'")
pytest.importorskip("transformers", reason="MERT needs transformers: pip install 'soundalike[mert]'")

from hub_server import serve_hub  # noqa: E402
from soundalike.cli.main import main  # noqa: E402
from soundalike.core.sqlite import take_lock  # noqa: E402

FACTORS = {"melody": "head_mel", "rhythm": "head_rhy", "timbre": "head_tim"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models, with nothing in it."""
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "data")
    return tmp_path / "data" / "models"


def write_heads(folder: Path, in_dim: int = 160, names: dict[str, str] = FACTORS, seed: int = 0) -> Path:
    """Random heads as MERIT publishes them, with 16 hidden units and 8 outputs."""
    torch.manual_seed(seed)
    for name in names.values():
        state = {
            "net.0.weight": torch.randn(16, in_dim),
            "net.0.bias": torch.randn(16),
            "net.2.weight": torch.randn(8, 16),
        }
        body = {"state_dict": state, "in_dim": in_dim, "hidden_dim": 16, "out_dim": 8, "encoder": "mert",
                "model_id": "m-a-p/MERT-v1-330M", "epoch": 1, "val_loss": 0.5, "val_acc": 0.9}  # fmt: skip
        (folder / name).mkdir(parents=True)
        torch.save(body, folder / name / "best_head.pt")
    return folder


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return write_heads(tmp_path / "heads")


@pytest.fixture
def mert(tmp_path: Path) -> Path:
    """A folder with the files of MERT, none of them valid."""
    folder = tmp_path / "mert"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json", "pytorch_model.bin"):
        (folder / name).write_bytes(b"{}")
    return folder


@pytest.fixture
def refused(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `soundalike models` with arguments that are wrong; returns the message."""

    def run(*arguments: object) -> str:
        assert main(["models", *map(str, arguments)]) == 2
        out, err = capsys.readouterr()
        *licence, message = [line for line in err.splitlines() if not line.startswith("fetching ")]
        assert out == "" and message.startswith("soundalike: ") and len(message) < 400
        assert not licence or (len(licence) == 3 and licence[2].startswith("Licence: CC-BY-NC-4.0")), err
        assert not home.exists() or all(one.name.startswith(".lock") for one in home.iterdir())
        return message.removeprefix("soundalike: ")

    return run


# The licence --------------------------------------------------------------------------------------------------------


def test_the_licence_is_accepted_before_anything_is_written(
    refused: Callable[..., str], home: Path, mert: Path, heads: Path
) -> None:
    found = refused("install", "merit", "--backbone", mert, "--heads", heads)
    assert found == "nobody can be asked to accept the licence (CC-BY-NC-4.0); give --yes to accept it"
    assert not home.exists()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("\n", 2), ("", 130)])
def test_who_does_not_accept_the_licence_installs_nothing(
    answer: str, code: int, home: Path, mert: Path, heads: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["models", "install", "merit", "--backbone", str(mert), "--heads", str(heads)]) == code
    err = capsys.readouterr().err
    assert "Licence: CC-BY-NC-4.0. Give credit; commercial use is not allowed." in err
    assert "Install it under this licence? [y/N]" in err
    assert ("the licence was not accepted; nothing was installed" in err) == (code == 2)
    assert not home.exists()


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ({"README.md": "---\ntags: [music]\nlicense: mit\n---\n# Other"}, "mit"),
        ({"README.md": "---\nlicense:\n- 'apache-2.0'\ntags: x\n---\n"}, "apache-2.0"),
        ({"README.md": "---\nlicense: other # ours\nlicense_name: own-terms\n---\n"}, "own-terms"),
        ({"README.md": "license: mit", "LICENSE": "\nBSD 3-Clause License\n\nAll"}, "BSD 3-Clause License (LICENSE)"),
        ({"README.md": "---\nlicense:\ntags: x\n---\nlicense: mit"}, None),
        ({}, None),
    ],
)
def test_the_licence_of_another_repository_is_what_it_states(
    files: dict[str, str], shown: str | None, home: Path, mert: Path, heads: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, text in files.items():
        (mert / name).write_text(text)
    place = tmp_path / "cache"
    with serve_hub({"one/mert": mert, "m-a-p/MERT-v1-330M": mert, "amaai-lab/merit": heads}, place, monkeypatch):
        assumed = "CC-BY-NC-4.0. Give credit; commercial use is not allowed."
        other = shown or "unknown: check https://huggingface.co/one/mert"
        for backbone, expected in (
            ("m-a-p/MERT-v1-330M", assumed),
            ("one/mert", f"{other} AND CC-BY-NC-4.0. It is not that of the published weights"),
            (mert, f"{shown} AND CC-BY-NC-4.0. It" if shown else f"{assumed} Your files state none"),
        ):
            assert main(["models", "install", "merit", "--backbone", str(backbone)]) == 2
            *_, licence, last = capsys.readouterr().err.splitlines()
            assert licence.startswith(f"Licence: {expected}")
            assert last.startswith("soundalike: nobody can be asked to accept the licence (")
    assert {file.name for file in place.rglob("*") if file.is_symlink()} <= set(files), "no weights were downloaded"


# Wrong sources ------------------------------------------------------------------------------------------------------


def test_wrong_names_and_places(refused: Callable[..., str], tmp_path: Path, mert: Path, heads: Path) -> None:
    assert refused("install", "mirit").startswith("unknown model 'mirit'; known: merit, mert, mert-95m")
    nowhere = tmp_path / "nowhere"
    assert refused("install", "mert", "--backbone", nowhere) == (
        f"--backbone: {nowhere} does not exist, and is no id on the Hugging Face hub, such as m-a-p/MERT-v1-330M"
    )
    assert refused("install", "mert", "--backbone", "", "--yes").startswith("--backbone is empty")
    assert refused("install", "mert", "--backbone", mert, "--heads", heads) == "mert has no heads; leave out --heads"
    file = mert / "config.json"
    assert (
        refused("install", "mert", "--backbone", file, "--yes")
        == f"{file} is a file; expected a folder with config.json"
    )
    (mert / "preprocessor_config.json").unlink()
    assert refused("install", "mert", "--backbone", mert, "--yes") == (
        f"--backbone: {mert} has no preprocessor_config.json; expected a folder such as "
        "https://huggingface.co/m-a-p/MERT-v1-330M"
    )
    (mert / "pytorch_model.bin").unlink()
    (mert / "preprocessor_config.json").write_text("{}")
    assert "has no model.safetensors or pytorch_model.bin" in refused("install", "mert", "--backbone", mert, "--yes")


def test_a_missing_module_is_named_before_a_download(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "soundalike.train.published.installer.find_spec", lambda name: None if name == "torch" else name
    )
    assert refused("install", "merit", "--yes") == "merit needs torch; install it with: pip install 'soundalike[mert]'"


# Wrong heads --------------------------------------------------------------------------------------------------------


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_wrong_heads(refused: Callable[..., str], tmp_path: Path, mert: Path, heads: Path) -> None:
    def install() -> str:
        return refused("install", "merit", "--backbone", mert, "--heads", heads, "--yes")

    rhythm = heads / "head_rhy" / "best_head.pt"
    complete = rhythm.read_bytes()
    rhythm.write_bytes(complete[:1000])
    assert f"{rhythm} is invalid or truncated" in install()
    torch.save({"state_dict": Trap()}, rhythm)
    assert f"{rhythm} is invalid or truncated, or holds more than weights" in install()
    rhythm.write_bytes(pickle.dumps(Trap()))
    assert f"{rhythm} is not a PyTorch checkpoint, or holds more than weights" in install()
    torch.save({"epoch": 1}, rhythm)
    assert f"{rhythm} is not a head checkpoint: it lacks state_dict" in install()
    rhythm.unlink()
    assert install() == (
        f"--heads: {heads} has no head for rhythm; expected head_rhy/best_head.pt or rhythm/best_head.pt"
    )


# The hub ------------------------------------------------------------------------------------------------------------


def test_what_the_hub_refuses(
    refused: Callable[..., str], tmp_path: Path, mert: Path, heads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(hub_id: str) -> str:
        return refused("install", "merit", "--backbone", mert, "--heads", hub_id, "--yes")

    shutil.rmtree(heads / "head_tim")
    with serve_hub({"one/two-heads": heads}, tmp_path / "cache", monkeypatch):
        assert install("one/unknown").startswith("one/unknown is neither a folder here nor a public repository")
        assert install("one/gated").startswith("one/gated is only for users who accepted its terms")
        assert install("one/two-heads").startswith("--heads: one/two-heads has no head for timbre")
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client waits before it tries again
    assert install("one/other") == (
        "the Hugging Face hub cannot be reached for head_mel/best_head.pt of one/other; try again later, or download "
        "it elsewhere and give the folder"
    )


# Removal ------------------------------------------------------------------------------------------------------------


def test_only_installed_models_are_removed(refused: Callable[..., str]) -> None:
    assert refused("remove", "dsp") == "dsp is not an installed model; those that are bundled cannot be removed"
    assert refused("remove", "../dsp").startswith("../dsp is not an installed model")
    assert refused("remove", "merit") == "merit is not installed; see: soundalike list models"


def test_one_process_at_a_time_changes_models(refused: Callable[..., str], home: Path, mert: Path) -> None:
    home.mkdir(parents=True)
    with closing(take_lock(home / ".lock")):
        found = refused("install", "mert", "--backbone", mert, "--yes")
    assert found == "another process is installing or removing a model; wait for it"


def test_the_shell_completes_names_and_files(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (home / "merit").mkdir(parents=True)
    (home / "merit" / "recipe.json").touch()
    monkeypatch.setenv("_SOUNDALIKE_COMPLETE", "bash_complete")
    for line, expected in (
        ("soundalike models install mert", b"plain,mert\nplain,mert-95m\n"),
        ("soundalike models install merit --heads h", b"file,h\n"),
        ("soundalike models remove ", b"plain,merit\n"),
    ):
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_WORD", line.rpartition(" ")[2])
        main([])
        assert capsysbinary.readouterr().out == expected
