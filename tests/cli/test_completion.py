"""What a shell completes: commands, options, spaces, presets, models, columns and tracks of the library."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.library.catalog import suggest_tracks

Complete = Callable[..., list[str]]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of three recordings, two of them with tags."""
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for name, notes in zip(("punk 1", "b", "50% off_x"), TUNES.values(), strict=False):
        write(tmp_path / "music" / f"{name}.wav", tune(notes, seconds=2))
    assert main(["index", str(tmp_path / "music"), "--model", "dsp"]) == 0
    with sqlite3.connect(tmp_path / "library" / "catalog.sqlite") as database:
        set_tags = "UPDATE tracks SET title = ?, artists = ? WHERE shown_path LIKE ?"
        database.execute(set_tags, ("Punk Song", '["The \\u00c4rzte", "x"]', "%punk 1.wav"))
        database.execute(set_tags, ("Don't", None, "%/b.wav"))
    database.close()
    return tmp_path / "library"


@pytest.fixture
def complete(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Complete a line as the script of bash does; returns `kind,value` lines."""

    def go(line: str, word: str | None = None) -> list[str]:
        capsysbinary.readouterr()
        monkeypatch.setenv("_SOUNDALIKE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_WORD", line.rpartition(" ")[2] if word is None else word)
        main([])
        monkeypatch.delenv("_SOUNDALIKE_COMPLETE")
        out, err = capsysbinary.readouterr()
        assert err == b""
        return out.decode().splitlines()

    return go


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("soundalike se", ["plain,search"]),
        ("soundalike library ch", ["plain,check"]),
        ("soundalike --library x library ch", ["plain,check"]),
        ("soundalike nonsense x", []),
        ("soundalike search --form", ["plain,--format"]),
        ("soundalike search x --format js", ["plain,json", "plain,jsonl"]),
        ("soundalike search x --by p", ["plain,passage"]),
        ("soundalike search x -w gr", ["plain,groove"]),
        ("soundalike search x -w r", ["plain,rhythm=1"]),
        ("soundalike search x -w rhythm=1,t", ["plain,rhythm=1,timbre=1"]),
        ("soundalike search x --at-least ti", ["plain,timbre="]),
        ("soundalike search x --columns score,bp", ["plain,score,bpm"]),
        ("soundalike search x --columns #", [r"plain,\#"]),  # unescaped, bash takes it for a comment
        ("soundalike search x --model com", ["plain,compact"]),
        ("soundalike --model com", ["plain,compact"]),
        ("soundalike --version ", [f"plain,{name}" for name in ("index", "search")]),
        ("soundalike list mod", ["plain,models"]),
        ("soundalike index --exclude x ", ["file,"]),
        ("soundalike index mu", ["file,mu"]),
        ("soundalike search x --like mel", ["plain,melody=1"]),
        ("soundalike search x --like a.mp3 melody=1,ti", ["plain,melody=1,timbre=1"]),
        ("soundalike completion z", ["plain,zsh"]),
    ],
)
def test_completions(line: str, expected: list[str], complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", "/nowhere")
    assert complete(line)[: len(expected) or None] == expected


def test_bash_splits_words_at_equals_signs(complete: Complete) -> None:
    assert complete("soundalike search x -w melody=2,rh", "2,rh") == ["plain,2,rhythm=1"]
    assert complete("soundalike search x --weights=melody=2,rh", "2,rh") == ["plain,2,rhythm=1"]
    assert complete("soundalike search x --format=cs", "cs") == ["plain,csv"]
    assert "plain,groove" in complete("soundalike search x --weights=", "=")


def test_tracks_of_the_library(library: Path, complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("soundalike search pu") == ["plain,punk\\ Song"]
    assert complete('soundalike search "pu', '"pu') == ["plain,punk Song"]
    assert complete('soundalike search "The Ä', '"The Ä') == ["plain,The Ärzte Punk Song"]
    assert complete("soundalike search Don") == ["plain,Don\\'t"]
    assert complete("soundalike search 50%") == ["plain,50%\\ off_x"]
    assert complete("soundalike path x 5") == ["plain,50%\\ off_x"]
    assert complete("soundalike search x --like Pu") == ["plain,Punk\\ Song"]
    assert complete("soundalike search nothing") == ["file,nothing"]
    assert complete("soundalike search ../mu") == ["file,../mu"]
    Path("punk.wav").touch()
    assert complete("soundalike search pu") == ["file,pu"], "a file comes first"
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", "/nowhere")
    assert complete(f"soundalike --library {library} playlist Pu") == ["plain,Punk\\ Song"]
    assert complete(f"soundalike playlist --library {library} Pu") == ["plain,Punk\\ Song"]
    assert complete("soundalike playlist Pu") == ["file,Pu"]


def test_names_of_tracks_are_limited_and_literal(library: Path) -> None:
    assert suggest_tracks(library, "", limit=2)[0][0] in ("Don't", "Punk Song", "50% off_x")
    assert len(suggest_tracks(library, "", limit=2)) == 2
    assert suggest_tracks(library, "%") == suggest_tracks(library, "_") == suggest_tracks(library, "50_") == []
    with sqlite3.connect(library / "catalog.sqlite") as database:
        database.execute("UPDATE tracks SET missing = 1")
    database.close()
    assert suggest_tracks(library, "Pu") == []


def test_wrong_settings_leave_the_line_as_it_is(
    complete: Complete, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "wrong.toml").write_text("nonsense")
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(tmp_path / "wrong.toml"))
    assert complete("soundalike search x -w gr") == []


SHELLS = {
    "bash": """
        eval "$({soundalike} completion bash)"
        COMP_LINE='soundalike search Don' COMP_POINT=21 COMP_WORDS=(soundalike search Don) COMP_CWORD=2
        _soundalike_completion soundalike Don search
        printf '%s\\n' "${{COMPREPLY[@]}}"
        COMP_LINE='soundalike search x -w melody=2,rh -k 5' COMP_POINT=34
        COMP_WORDS=(soundalike search x -w melody = 2,rh -k 5) COMP_CWORD=6 COMPREPLY=()
        _soundalike_completion soundalike 2,rh =
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "fish": """
        {soundalike} completion fish | source
        complete --do-complete 'soundalike search Don' | string split -f 1 \\t
        complete --do-complete 'soundalike search x -w melody=2,rh' | string replace melody= '' | string split -f 1 \\t
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts(shell: str, library: Path, tmp_path: Path) -> None:
    """The script runs in the real shell, where that is installed."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    start = tmp_path / "bin" / "soundalike"
    start.parent.mkdir()
    start.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m soundalike \"$@\"\n")
    start.chmod(0o755)
    environment = {**os.environ, "PATH": f"{start.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = SHELLS[shell].format(soundalike=start)
    done = subprocess.run([program, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    replies = ["Don\\'t"] if shell == "bash" else ["Don't"]
    assert (done.stdout.splitlines(), done.stderr) == ([*replies, "2,rhythm=1"], "")
