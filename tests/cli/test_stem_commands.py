"""`--stems` and `--matrix`: what commands say before they separate, and what they print."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.api import compare_stems
from soundalike.api import open as open_library
from soundalike.cli.main import main
from soundalike.core.errors import ModelError
from soundalike.demo import Clip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with one short demo clip: its exit code, and what it prints on both streams."""
    clip = Clip(write(tmp_path / "clip.wav", tune(TUNES["up"], seconds=2)), "", "up", "", "", "C major", 120.0)
    monkeypatch.setattr("soundalike.demo.load_clips", lambda: (clip,), raising=False)

    def go(*arguments: object) -> tuple[int, str, str]:
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return go


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Two recordings of 1.5 s."""
    for name in ("up", "leaps"):
        write(tmp_path / "songs" / f"{name}.wav", tune(TUNES[name], seconds=1.5))
    return tmp_path / "songs"


def test_indexing_with_stems_says_what_it_costs_and_does_it_once(
    run: Run, songs: Path, tmp_path: Path, halves: Path
) -> None:
    arguments = ("index", songs, "--stems", "halves", "--model", "dsp", "--library", tmp_path / "library")
    code, out, err = run(*arguments)
    assert code == 0
    assert out.startswith("2 files encoded (0:03.0 of audio)")
    lines = err.splitlines()
    assert lines[0].startswith("installing dsp-halves: dsp on the stems of halves (bass, vocals), licence MIT")
    assert lines[1].startswith("too few of the demo clips have sound in any space: below 200 recordings, ")
    assert lines[2].startswith("stems of halves: 2 files, 0:03.0 of audio; about 0:0")
    assert lines[3].startswith("the stems take about ")
    assert lines[4] == "Ctrl-C stops the run; the next one continues"
    with open_library(tmp_path / "library") as library:
        assert library.models == ("dsp", "dsp-halves")
    log = halves.read_text()
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "2 unchanged" in out
    assert halves.read_text() == log
    # Without the option, the models are those of the library.
    write(songs / "down.wav", tune(TUNES["down"], seconds=1.5))
    assert run("index", songs, "--library", tmp_path / "library")[0] == 0
    code, out, _ = run(
        "search", songs / "down.wav", "--model", "dsp-halves", "--library", tmp_path / "library", "--json"
    )
    assert code == 0 and len(json.loads(out)["matches"]) == 2


def test_a_stem_model_is_installed_by_its_name(run: Run) -> None:
    code, out, err = run("models", "install", "dsp-halves", "--json")
    made = json.loads(out)
    assert code == 0
    assert (made["model"], made["backbone"], made["licence"]) == ("dsp-halves", "dsp", "Apache-2.0 AND MIT")
    assert len(made["spaces"]) == 8
    for arguments, message in (
        (("dsp-halves",), "dsp-halves is installed at .*; give --force to install it again"),
        (("dsp-halves", "--heads", "x"), "dsp-halves has the weights of dsp; leave out --backbone and --heads"),
        (("nope-halves",), "unknown model 'nope'"),
        (("dsp-halves-halves",), "dsp-halves is a stem model itself"),
    ):
        code, out, err = run("models", "install", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert re.search(message, err)


def test_wrong_options_are_one_line(run: Run, songs: Path, tmp_path: Path) -> None:
    both = (songs / "up.wav", songs / "leaps.wav")
    for arguments, message in (
        (("index", songs, "--stems", "nope", "--library", tmp_path / "new"), "unknown separator 'nope'; known: "),
        (("compare", *both, "--stems", "nope"), "unknown separator 'nope'; known: "),
        (("compare", *both, "--matrix", "-w", "melody"), "leave out --weights and --align"),
    ):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
    assert not (tmp_path / "new").exists()


def test_a_matrix_has_the_mix_and_the_stems_as_rows(run: Run, songs: Path) -> None:
    a, b = songs / "up.wav", songs / "leaps.wav"
    with pytest.raises(ModelError, match="install it with: soundalike models install dsp-halves"):
        compare_stems(a, b, "halves", model="dsp")
    code, out, _ = run("compare", a, b, "--matrix", "--stems", "halves", "--model", "dsp")
    assert code == 0
    table = [line.split() for line in out.splitlines() if line.startswith((" ", "mix ", "bass ", "vocals "))]
    assert "reference: model dsp" in out.splitlines()
    assert table[0] == ["melody", "rhythm", "timbre", "harmony"]
    assert [line[0] for line in table[1:4]] == ["mix", "bass", "vocals"]
    code, out, _ = run("compare", a, b, "--matrix", "--model", "dsp-halves", "--json")
    record: dict[str, Any] = json.loads(out)
    assert record["models"] == ["dsp", "dsp-halves"]
    matrix = record["matrix"]
    assert matrix["sources"] == ["mix", "bass", "vocals"]
    assert matrix["factors"] == ["melody", "rhythm", "timbre", "harmony"]
    code, out, _ = run("compare", a, b, "--stems", "halves", "--model", "dsp", "--json")
    (on_stems,) = json.loads(out)["matches"]
    for source, row in matrix["cells"].items():
        for factor, cell in row.items():
            name = factor if source == "mix" else f"{source}.{factor}"
            assert cell["space"] == name
            assert cell["score"] == (record["matches"][0] if source == "mix" else on_stems)["spaces"][name]
            assert (cell["passages"] is None) == (not cell["score"]["audible"])
    made = compare_stems(a, b, "halves", model="dsp")
    assert [cell.score.z for cell in made] == [matrix["cells"][cell.source][cell.factor]["score"]["z"] for cell in made]


@pytest.mark.slow
def test_the_matrix_of_a_library_is_that_of_its_rows(run: Run, songs: Path, tmp_path: Path) -> None:
    a, b = songs / "up.wav", songs / "leaps.wav"
    run("index", songs, "--stems", "halves", "--model", "dsp", "--library", tmp_path / "library")
    made = compare_stems(a, b, "halves", model="dsp")
    with open_library(tmp_path / "library") as library:
        held = library.compare_stems(a, b, "halves")
        assert [cell.score.z for cell in held] == [cell.score.z for cell in made]
        assert {cell.pair.a.track for cell in held if cell.pair} == {str(a)}


def test_the_matrix_of_a_silent_stem_is_empty(run: Run, songs: Path, tmp_path: Path) -> None:
    t = np.arange(3 * 22050) / 22050
    low = write(tmp_path / "low.wav", (0.3 * np.sin(2 * np.pi * 110 * t) * (1 + np.sin(7 * t))).astype(np.float32))
    code, out, _ = run("compare", songs / "up.wav", low, "--matrix", "--stems", "halves", "--model", "dsp")
    assert code == 0
    (vocals,) = [line.split() for line in out.splitlines() if line.startswith("vocals ") and ":" not in line]
    assert vocals == ["vocals", *["n/a"] * 4]
