"""Recordings that can be decoded in part: encoded, listed, and no failure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import soundalike
from soundalike.cli.main import main
from soundalike.core.errors import AudioError

RATE = 22050
MISSING = "only 5.0 s of the stated 10.0 s could be decoded"


def write(path: Path, seed: int, seconds: float = 10.0) -> Path:
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 220 * (1 + seed / 7) * time) * np.exp(-3 * (time % 0.5))
    soundfile.write(path, 0.5 * tone, RATE)
    return path


def cut(path: Path, part: float) -> Path:
    """The file without the end of its samples."""
    content = path.read_bytes()
    path.write_bytes(content[: 44 + int(part * (len(content) - 44))])
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of four whole recordings, seven of which half is missing, and one of which most is; and a library."""
    folder = tmp_path_factory.mktemp("music")
    for n in range(4):
        write(folder / f"whole{n}.wav", n)
    for n in range(7):
        cut(write(folder / f"half{n}.wav", 4 + n), 0.5)
    cut(write(folder / "tenth.wav", 20), 0.1)
    return folder, folder.parent / "library"


def test_index_search_compare_embed_and_show(
    music: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:

    folder, library = music
    options = ["--library", str(library)]

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    code, out, err = run("index", folder, "--jobs", "1", "--model", "dsp", *options)
    assert code == 1  # one file failed: of tenth.wav, less than half is there
    assert "tenth.wav: truncated: the header states 10.0 s, the file contains 1.0 s" in err
    assert "7 decoded in part" in out
    assert err.count(MISSING) == 5 and "and 2 more (--json lists all)" in err
    (folder / "tenth.wav").unlink()
    cut(write(folder / "new.wav", 12), 0.5)
    code, out, _ = run("index", folder, "--jobs", "1", "--json", *options)
    assert code == 0
    assert json.loads(out)["warnings"] == [{"path": str(folder / "new.wav"), "warning": MISSING}]
    half, whole = folder / "half0.wav", folder / "whole0.wav"
    code, out, _ = run("library", "show", half, "--json", *options)
    assert json.loads(out)["track"]["warning"] == MISSING
    code, out, _ = run("library", "show", half, *options)
    assert MISSING in out
    code, out, _ = run("library", "show", whole, *options)
    assert "warning" not in out
    for query in (half, cut(write(tmp_path / "query.wav", 30), 0.5)):
        code, out, err = run("search", query, *options)
        assert code == 0 and f"{query}: {MISSING}" in err and MISSING not in out
        code, out, _ = run("search", query, "--json", *options)
        assert json.loads(out)["warnings"] == [{"path": str(query), "warning": MISSING}]
    code, out, err = run("compare", whole, half, *options)
    assert code == 0 and f"{half}: {MISSING}" in err and f"{whole}: " not in err
    code, out, _ = run("compare", whole, half, "--json", *options)
    assert json.loads(out)["warnings"] == [{"path": str(half), "warning": MISSING}]
    code, out, err = run("embed", whole, half, "-o", tmp_path / "v.npz", *options)
    assert code == 0 and f"{half}: {MISSING}" in err
    code, out, _ = run("embed", whole, half, "-o", tmp_path / "v.npz", "--json", *options)
    assert json.loads(out)["warnings"] == [{"path": str(half), "warning": MISSING}]


def test_the_python_interface(tmp_path: Path) -> None:
    half = cut(write(tmp_path / "half.wav", 3), 0.5)
    encoding = soundalike.load_model("dsp").encode(half)
    assert encoding.warning == encoding.info.warning == MISSING
    assert encoding.info.duration == pytest.approx(5.0, abs=1e-3)
    with pytest.raises(AudioError, match="truncated"):
        soundalike.load_model("dsp").encode(cut(half, 0.5))
