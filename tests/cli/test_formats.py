"""Formats for programs: every row, exact values, paths byte for byte; and files that are taken to folders."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TUNES, tune, write
from soundalike.cli.main import main

Run = Callable[..., str]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, stocked: Path) -> Run:
    """Run a command on the library of `music`: its standard output, bytes that are not UTF-8 escaped."""
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(stocked))

    def go(*arguments: object, code: int = 0) -> str:
        found = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        assert found == code, err
        return os.fsdecode(out if code == 0 else err)

    return go


def test_all_formats_hold_the_same_matches(run: Run, music: Path) -> None:
    query = ("search", music / "up" / "0.wav", "-k", "3", "-w", "melody=2,timbre=-1")
    matches = json.loads(run(*query, "--json"))["matches"]
    assert json.loads(run(*query, "--format", "json"))["matches"] == matches
    lines = run(*query, "--format", "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == matches
    rows = list(csv.DictReader(io.StringIO(run(*query, "--format", "csv"))))
    assert [row["path"] for row in rows] == [match["path"] for match in matches]
    for row, match in zip(rows, matches, strict=True):
        assert float(row["score"]) == match["score"]
        assert float(row["melody.share"]) == match["spaces"]["melody"]["share"]
        assert row["title"] == "" and row["melody.audible"] == "true"
    tabs = [line.split("\t") for line in run(*query, "--format", "tsv").splitlines()]
    assert tabs == [list(rows[0]), *(list(row.values()) for row in rows)]
    assert run(*query, "--format", "paths").splitlines() == [match["path"] for match in matches]
    assert run(*query, "-0").split("\0") == [*(match["path"] for match in matches), ""]
    playlist = run(*query, "--format", "m3u").splitlines()
    assert playlist[0] == "#EXTM3U" and playlist[2::2] == [match["path"] for match in matches]
    assert run(*query, "--m3u", "-").splitlines() == playlist


def test_chosen_columns(run: Run, music: Path) -> None:
    query = ("search", music / "up" / "0.wav", "-k", "2")
    assert run(*query, "--format", "csv", "--columns", "rank,duration").splitlines() == [
        "rank,duration", "1,12.0", "2,12.0"
    ]  # fmt: skip
    assert json.loads(run(*query, "--format", "jsonl", "--columns", "rank").splitlines()[1]) == {"rank": 2}
    header = run(*query, "--columns", "track,score,length,melody").splitlines()[2]
    assert header.split() == ["track", "score", "length", "melody"]
    for form, known in (("table", "known: #, track"), ("csv", "known: rank, id"), ("jsonl", "known: rank, id")):
        error = run(*query, "--format", form, "--columns", "mood", code=2)
        assert "--columns: unknown column 'mood'" in error and known in error


def test_relative_paths(run: Run, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(music)
    query = ("search", "up/0.wav", "-k", "2", "--relative")
    paths = run(*query, "--format", "paths").splitlines()
    assert all((music / path).is_file() and not Path(path).is_absolute() for path in paths)
    (tmp_path / "lists").mkdir()
    run(*query, "--m3u", tmp_path / "lists" / "x.m3u8")
    written = (tmp_path / "lists" / "x.m3u8").read_text(encoding="utf-8").splitlines()[2::2]
    assert [(tmp_path / "lists" / path).resolve() for path in written] == [(music / path).resolve() for path in paths]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "--format", "csv"], "--json and --format csv exclude each other"),
        (["-0", "--format", "csv"], "-0 is for --format paths"),
        (["--relative", "--json"], "--relative is for --format paths and for M3U playlists"),
        (["--m3u", "-", "--json"], "--m3u - and --format json both write to standard output"),
        (["--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["--columns", "a,,b"], "expected names joined by commas"),
    ],
)
def test_options_that_exclude_each_other(run: Run, music: Path, arguments: list[str], message: str) -> None:
    assert message in run("search", music / "up" / "0.wav", *arguments, code=2)


def test_lists_that_are_not_of_files(run: Run) -> None:
    assert "--format paths is for lists of files" in run("list", "models", "--format", "paths", code=2)
    assert run("list", "stores", "--format", "csv").splitlines()[0] == "name,licence,installed"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_paths_keep_their_bytes(run: Run, tmp_path: Path) -> None:
    names = [b"odd\xff.wav", b"a\nb.wav", b"plain.wav"]
    for number, name in enumerate(names):
        plain = write(tmp_path / f"{number}.wav", tune(list(TUNES.values())[number], seconds=3))
        (tmp_path / "in").mkdir(exist_ok=True)
        plain.rename(tmp_path / "in" / os.fsdecode(name))
    library = ("--library", tmp_path / "library")
    run("index", tmp_path / "in", *library)
    inside = os.fsencode(tmp_path / "in")
    listed = os.fsencode(run("library", "ls", "-0", *library))
    assert sorted(listed.split(b"\0")[:-1]) == sorted(inside + b"/" + name for name in names)
    lines = os.fsencode(run("library", "ls", "--format", "paths", *library)).splitlines()
    assert sorted(lines) == sorted(inside + b"/" + name for name in names if b"\n" not in name)


# The files of matches -----------------------------------------------------------------------------------------------


def test_matches_are_copied_and_linked(run: Run, music: Path, tmp_path: Path) -> None:
    query = ("search", music / "up" / "0.wav", "-k", "4")
    paths = run(*query, "--format", "paths").splitlines()
    names = [Path(path).name for path in paths]
    assert len(set(names)) < 4, "some are called alike"
    for _ in range(2):  # the second time, all are there already
        run(*query, "--copy-to", tmp_path / "new" / "copies", "--link-to", tmp_path / "links")
        for folder in (tmp_path / "new" / "copies", tmp_path / "links"):
            found = sorted(path.read_bytes() for path in folder.iterdir())
            assert found == sorted(Path(path).read_bytes() for path in paths)
    assert all(path.is_symlink() and path.readlink().is_absolute() for path in (tmp_path / "links").iterdir())
    assert not any(path.is_symlink() for path in (tmp_path / "new" / "copies").iterdir())
    (tmp_path / "file").write_text("")
    assert "give another folder to --copy-to" in run(*query, "--copy-to", tmp_path / "file", code=2)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the player is opened differently there")
def test_matches_are_played(run: Run, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    player = tmp_path / "bin" / "xdg-open"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/played.m3u8\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{player.parent}:/usr/bin:/bin")
    query = ("search", music / "up" / "0.wav", "-k", "2")
    run(*query, "--play")
    played = (tmp_path / "played.m3u8").read_text(encoding="utf-8").splitlines()[2::2]
    assert played == run(*query, "--format", "paths").splitlines()
    player.write_text("#!/bin/sh\nexit 3\n")
    assert "xdg-open could not open the playlist" in run(*query, "--play", code=2)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "--play needs xdg-open, which is not installed" in run(*query, "--play", code=2)


# Names instead of paths ---------------------------------------------------------------------------------------------


def test_a_track_is_found_by_its_name(run: Run, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(music)  # which holds a folder called leaps
    found = json.loads(run("search", "LEAPS 1", "-k", "1", "--json"))
    assert found["query"]["path"] == str(music / "leaps" / "1.wav")
    error = run("search", "leaps", code=2)
    assert "'leaps' fits 3 tracks: 0.wav; 1.wav; 2.wav; give more words" in error
    assert "neither a file nor words that name a track" in run("search", "no such song", code=2)


def test_the_user_chooses_where_several_tracks_fit(music: Path, stocked: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "soundalike", "search", "leaps", "-k", "1", "--json", "--library", str(stocked)]
    process = subprocess.Popen(command, stdin=slave, stderr=slave, stdout=subprocess.PIPE, cwd="/")
    os.close(slave)
    os.write(master, b"3\n")
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["query"]["path"] == str(music / "leaps" / "2.wav")


# Settings -----------------------------------------------------------------------------------------------------------


def test_settings_are_used_where_options_are_not_given(
    run: Run, music: Path, stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('weights = "mine"\n[presets]\nmine = "rhythm=3"\n', encoding="utf-8")
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(config))
    query = ("search", music / "up" / "0.wav", "--json")
    assert json.loads(run(*query))["weights"]["rhythm"] == 3
    assert json.loads(run(*query, "-w", "groove"))["weights"] == {"melody": 0, "rhythm": 2, "timbre": 1, "harmony": 0}
    named = {one["name"]: one for one in json.loads(run("presets", "--json"))["presets"]}
    assert named["mine"] == {"name": "mine", "weights": "rhythm=3", "summary": "", "built_in": False}
    monkeypatch.delenv("SOUNDALIKE_LIBRARY")
    other = tmp_path / "other.toml"
    other.write_text(f"library = {json.dumps(str(stocked))}\nmodel = 'compact'\n", encoding="utf-8")
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(other))
    assert json.loads(run(*query))["query"]["searched"] == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("library = 3", "library is 3; expected text"),
        ("library = '~no-such-user/x'", "library is '~no-such-user/x'; there is no such user"),
        ("colour = 'red'", "unknown key 'colour'; known: library"),
        ("weights = [", "not a TOML file"),
        ("exclude = '*.wav'", "exclude is '*.wav'; expected a list of patterns"),
        ("[presets]\nx = 3", "presets.x is 3; expected weights"),
        ("[presets]\n'a b' = 'rhythm=1'", "the preset 'a b' has a name with =, a comma or a space"),
        ("presets = 3", "presets is 3; expected a table"),
    ],
)
def test_wrong_settings_are_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text, encoding="utf-8")
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(config))
    error = run("presets", code=2)
    assert message in error and str(config) in error and error.count("\n") == 1
