"""`soundalike library ls`, `show` and `remove`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from soundalike.cli.main import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stocked: Path, tmp_path: Path):
    """Run a library command on a copy of the library of `music`: its exit code, output and messages."""
    shutil.copytree(stocked, tmp_path / "library")
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(tmp_path / "library"))

    def go(*arguments: object) -> tuple[int, str, str]:
        code = main(["library", *map(str, arguments)])
        return code, *capsys.readouterr()

    return go


def test_ls_lists_tracks(run, music: Path) -> None:
    code, out, err = run("ls")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["track", "bpm", "key", "length"]
    assert len(lines) == 15 and lines[-2:] == [f"paths below {music}/", "12 tracks"]
    assert sorted(line.split()[0] for line in lines[1:13]) == sorted(
        str(path.relative_to(music)) for path in music.rglob("*.wav")
    )
    code, out, _ = run("ls", "--where", "path ~ leaps")
    assert out.endswith(f"\npaths below {music}/leaps/\n3 tracks\n")
    assert run("ls", "--where", "year = 1800") == (0, "0 tracks\n", "")


def test_ls_in_json(run, music: Path) -> None:
    tracks = json.loads(run("ls", "--json", "--where", "path ~ up")[1])["tracks"]
    assert sorted(track["path"] for track in tracks) == sorted(map(str, (music / "up").glob("*.wav")))
    for track in tracks:
        assert list(track) == [
            "id", "path", "title", "artist", "artists", "album_artist", "album", "genre", "genres", "year", "bpm",
            "tempo_confidence", "key", "key_confidence", "meter", "meter_confidence", "loudness",
            "duration", "rate", "channels", "codec", "bit_rate", "silent", "missing", "unreadable", "warning",
        ]  # fmt: skip
        assert track["duration"] == pytest.approx(12) and track["rate"] == 22050 and track["bpm"] > 0
        assert (track["silent"], track["missing"], track["title"]) == (False, False, None)


def test_show_tells_everything_about_a_track(run, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = music / "up" / "0.wav"
    code, out, err = run("show", path)
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, err) == (0, "")
    assert (facts["path"], facts["duration"], facts["models"], facts["passages"]) == (
        str(path),
        "0:12.0",
        "compact",
        "2",
    )
    assert "changed" not in facts and "artist" not in facts
    found = json.loads(run("show", "--json", path)[1])
    assert list(found) == [
        "schema",
        "track", "models", "described_by", "passages", "features", "copies", "versions", "current",
    ]  # fmt: skip
    assert found["described_by"] == "compact"
    assert found["track"]["path"] == str(path)
    assert (found["models"], found["passages"], found["copies"], found["current"]) == (["compact"], 2, [], True)
    monkeypatch.chdir(path.parent)
    assert json.loads(run("show", "--json", "0.wav")[1]) == found


def test_remove_takes_tracks_out_and_leaves_files(run, music: Path) -> None:
    first, second = music / "up" / "0.wav", music / "up" / "1.wav"
    code, out, _ = run("remove", first, second)
    assert code == 0
    assert out.splitlines()[0] == "2 tracks removed" and out.splitlines()[1].startswith("10 tracks in the library at ")
    assert first.exists() and second.exists()
    assert str(first) not in run("ls")[1]
    found = json.loads(run("remove", music / "up" / "2.wav", "--json")[1])
    assert (found["removed"], found["tracks"]) == (1, 9)


def test_an_unknown_track_is_an_error_and_removes_nothing(run, music: Path) -> None:
    for command in ("show", "remove"):
        code, out, err = run(command, music / "up" / "9.wav")
        assert (code, out) == (2, "") and err.count("\n") == 1 and "9.wav is not in the library at" in err
    assert run("remove", music / "up" / "0.wav", music / "up" / "9.wav")[0] == 2
    assert run("ls")[1].endswith("\n12 tracks\n")
    assert json.loads(run("show", "nowhere.wav", "--json")[1])["error"]
