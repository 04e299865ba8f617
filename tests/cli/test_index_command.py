"""`soundalike index`: lists of files, what is skipped, exit codes, and commands for what failed, moved or is gone."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.cli.watch import watch
from soundalike.core.errors import LibraryError
from soundalike.core.executors import processes
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.track import Track

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command with a library of its own in the test's folder: its exit code, output and messages."""
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)

    def go(*arguments: object, stdin: bytes | None = None) -> tuple[int, str, str]:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        model = ["--model", "dsp"] if arguments[0] == "index" else []
        code = main([*map(str, arguments), *model])
        return code, *capsys.readouterr()

    return go


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Two recordings with names that lists write in several ways."""
    write(tmp_path / "music" / "Motörhead 100% live.wav", tune(TUNES["up"], seconds=2))
    write(tmp_path / "music" / "sub" / "b.wav", tune(TUNES["down"], seconds=2))
    return tmp_path / "music"


def test_lists_from_standard_input(run: Run, songs: Path) -> None:
    first, second = "music/Motörhead 100% live.wav", "music/sub/b.wav"
    url = f"file://{songs}/Mot%C3%B6rhead%20100%25%20live.wav"
    lists = [
        f"{first}\r\n\r\n{second}\r\n".encode(),
        f"{first}\0{second}\0".encode(),
        f"\ufeff#EXTM3U\r\n#EXTINF:2,Song\r\n{first}\r\n#EXTVLCOPT:x\r\n{second}".encode(),
        f"# a comment\n{url}\nhttp://example.org/stream.mp3\nmusic\\sub\\b.wav\n".encode(),
        f"{first}\n{second}\n".encode("cp1252"),
        f"{first}\r\n{second}\r\n".encode("utf-16"),
    ]
    for number, data in enumerate(lists):
        code, out, err = run("index", "-", "--json", stdin=data)
        report = json.loads(out)
        assert (code, report["failed"]) == (0, []), (number, err)
        assert (report["added"], report["unchanged"]) == ((2, 0) if number == 0 else (0, 2)), number


def test_playlists_are_relative_to_their_folder(run: Run, songs: Path) -> None:
    (songs / "sub" / "list.m3u8").write_text("#EXTM3U\n../Motörhead 100% live.wav\nb.wav\n", encoding="utf-8")
    assert json.loads(run("index", songs / "sub" / "list.m3u8", "--json")[1])["added"] == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"#EXTM3U\r\n", "is empty"), (b"http://a/b\nhttp://a/c\n", "lists only 2 web addresses")],
)
def test_lists_without_files(run: Run, data: bytes, message: str, tmp_path: Path) -> None:
    code, _, err = run("index", "-", stdin=data)
    assert code == 2 and err.count("\n") == 1 and f"the list on standard input {message}" in err
    assert not (tmp_path / "library").exists()


def test_a_name_that_begins_with_a_hash(run: Run, songs: Path) -> None:
    (songs / "sub" / "b.wav").rename(songs / "#1.wav")
    assert json.loads(run("index", "-", "--json", stdin=b"music/#1.wav\n")[1])["added"] == 1
    (songs / "#1.wav").rename(Path("#1.wav"))
    assert json.loads(run("index", "-", "--json", stdin=b"#1.wav\n")[1])["moved"] == 1


def test_nothing_to_index_makes_no_library(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "cover.jpg").touch()
    code, out, err = run("index", "empty")
    assert (code, out) == (2, "")
    assert err == "soundalike: no recordings found in empty; skipped: 1 .jpg file\n"
    assert not (tmp_path / "library").exists()
    (tmp_path / "library").mkdir()
    (tmp_path / "empty" / "bad.wav").write_bytes(b"RIFF")
    code, out, err = run("index", "empty")
    assert (code, out) == (2, "")
    assert "nothing could be read (1 failed); the next run leaves out what has not changed" in err.splitlines()[-1]


def test_a_first_run_in_which_everything_fails_is_remembered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "music" / name).write_bytes(b"RIFF")
    assert run("index", "music")[0] == 2
    assert run("library", "failures")[1].endswith("\n2 failures; to try them again: soundalike index FOLDER --retry\n")
    code, out, err = run("index", "music")
    assert code == 0 and out.splitlines()[-1].startswith("0 tracks in the library")
    assert err.startswith("left out everything that was found: 2 files that failed before; ")
    assert run("library", "failures", "--json")[1].count('"attempts": 1') == 2, "they were tried again"
    code, out, err = run("search", "music/a.wav")
    assert code == 2 and err.count("\n") == 1
    write(tmp_path / "music" / "a.wav", tune(TUNES["up"], seconds=2))
    assert run("index", "music")[0] == 0
    assert run("library", "ls")[1].endswith("\n1 track\n")


def test_exit_codes_speak_of_this_run(run: Run, songs: Path) -> None:
    (songs / "bad.wav").write_bytes(b"RIFF")
    assert run("index", "music")[0] == 1
    code, out, err = run("index", "music")
    assert (code, "2 unchanged" in out) == (0, True)
    assert err.startswith("left out 1 file that failed before; ")
    assert run("index", "music", "--retry")[0] == 1
    (songs / "empty").mkdir()
    code, _, err = run("index", "music/empty")
    assert code == 2 and "no recordings found in music/empty" in err


def test_failures_are_listed_with_reason_and_attempts(run: Run, songs: Path) -> None:
    (songs / "bad.wav").write_bytes(b"RIFF")
    (songs / "link.wav").symlink_to(songs / "nowhere")
    run("index", "music")
    run("index", "music", "--retry")
    code, out, err = run("library", "failures")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert (lines[0], lines[2]) == ("music/bad.wav  (2 attempts)", "music/link.wav  (2 attempts; now gone)")
    assert lines[1].startswith("    ") and lines[3].startswith("    cannot be read: No such file or directory")
    assert lines[4] == "2 failures; to try them again: soundalike index FOLDER --retry"
    found = json.loads(run("library", "failures", "--json")[1])["failures"]
    assert [(one["path"], one["attempts"]) for one in found] == [
        (str(songs / "bad.wav"), 2), (str(songs / "link.wav"), 2),
    ]  # fmt: skip
    (songs / "bad.wav").unlink()
    (songs / "link.wav").unlink()
    run("index", "music")
    assert run("library", "failures")[1] == "0 failures\n"


def test_what_is_skipped_is_counted(run: Run, songs: Path) -> None:
    clip = (songs / "sub" / "b.wav").read_bytes()
    for number, name in enumerate(["...And Other Dots/1.wav", ".dot OST/1.wav", "38/.45 Hold On.wav"]):
        (songs / name).parent.mkdir()
        (songs / name).write_bytes(clip[:-1] + bytes([number]))
    for name in [".Trash-1000/a.wav", ".git/a.wav", "$RECYCLE.BIN/a.wav", "@eaDir/a.wav", "sub/._b.wav"]:
        (songs / name).parent.mkdir(exist_ok=True)
        (songs / name).write_bytes(clip)
    for name in ["a.jpg", "b.JPG", "code.ts", "README"]:
        (songs / name).write_text("text")
    report = json.loads(run("index", "music", "--json")[1])
    assert (report["added"], report["failed"]) == (5, [])
    assert report["skipped"] == {
        "folders of trash, version control or the system": 4,
        ".jpg files": 2,
        "._ files of macOS": 1,
        ".ts files that are not video": 1,
        "files without a suffix": 1,
    }
    assert "\nskipped: 4 folders of trash, version control or the system, 2 .jpg files, 1 " in run("index", "music")[1]


def test_remove_move_and_missing(run: Run, songs: Path, tmp_path: Path) -> None:
    run("index", "music")
    songs.rename(tmp_path / "moved")
    code, out, _ = run("library", "ls")
    assert (code, out) == (0, "0 tracks, and 2 missing (--missing lists them)\n")
    assert run("library", "ls", "--missing")[1].endswith("\n2 tracks whose files are not there\n")
    code, out, err = run("library", "move", "music", "moved")
    assert (code, out, err) == (0, "2 tracks moved\n", "")
    assert run("library", "ls")[1].endswith("\n2 tracks\n")
    (tmp_path / "moved" / "sub" / "b.wav").unlink()
    code, out, err = run("library", "remove", "--missing")
    assert (code, out.splitlines()[0]) == (0, "1 track removed")
    code, out, err = run("library", "remove", "nowhere")
    assert code == 2 and "nowhere is not in the library at" in err and "index" not in err.replace(str(tmp_path), "")
    code, _, err = run("library", "remove")
    assert code == 2 and "give either paths, or --where, or --missing, to say" in err
    code, _, err = run("library", "remove", "moved", "--missing")
    assert code == 2 and "give either paths, or --where, or --missing, to say" in err
    assert run("library", "remove", "--where", "path ~ live")[1].splitlines()[0] == "1 track removed"
    run("index", "moved")
    assert run("library", "remove", "moved")[1].splitlines()[0] == "1 track removed"


def test_suggested_commands_quote_paths(run: Run, songs: Path, tmp_path: Path) -> None:
    music = songs.rename(tmp_path / "My Music")
    run("index", music)
    code, _, err = run("library", "show", "My Music")
    assert code == 2 and "My Music is a folder with 2 tracks; give the path of a track" in err
    command = shlex.split(err.partition("soundalike library ls ")[2])
    assert run("library", "ls", *command)[1].endswith("\n2 tracks\n")
    code, _, err = run("library", "show", "My Music/c.wav")
    assert shlex.split(err.rpartition("soundalike index ")[2]) == [str(music / "c.wav")]
    shutil.rmtree(music)
    err = run("index", music)[2]
    assert shlex.split(err.rpartition("soundalike library remove ")[2]) == [str(music)]


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_move_and_remove_find_other_spellings(run: Run, songs: Path, tmp_path: Path, typed: str) -> None:
    held = {"NFC": "NFD", "NFD": "NFC"}[typed]

    def spelled(form: str, *names: str) -> Path:
        return tmp_path.joinpath(*(unicodedata.normalize(form, name) for name in names))

    folder = songs.rename(spelled(held, "été"))
    write(spelled(held, "été", "ö.wav"), tune(TUNES["leaps"], seconds=2))
    run("index", folder)
    spelled(held, "été", "ö.wav").rename(tmp_path / "o.wav")
    code, out, err = run("library", "move", spelled(typed, "été", "ö.wav"), tmp_path / "o.wav")
    assert (code, out, err) == (0, "1 track moved\n", "")
    folder.rename(tmp_path / "summer")
    code, out, err = run("library", "move", spelled(typed, "été"), tmp_path / "summer")
    assert (code, out, err) == (0, "2 tracks moved\n", "")
    (tmp_path / "summer").rename(folder)
    run("library", "move", "summer", folder)
    assert run("library", "remove", spelled(typed, "été"))[1].startswith("2 tracks removed\n")


def test_remove_looks_through_the_library_once(
    run: Run, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (songs / "bad").mkdir()
    (songs / "bad" / "x.wav").write_bytes(b"RIFF")
    (songs / "empty").mkdir()
    write(songs / "c.wav", tune(TUNES["leaps"], seconds=2))
    run("index", "music")
    calls, tracks = [], Catalog.tracks

    def spy(catalog: Catalog, *condition: object) -> list[Track]:
        calls.append(condition)
        return tracks(catalog, *condition)  # type: ignore[arg-type]

    monkeypatch.setattr(Catalog, "tracks", spy)
    code, _, err = run("library", "remove", "music/sub", "music/empty", "music/bad")
    assert code == 2 and "music/empty is not in the library" in err
    calls.clear()
    assert run("library", "remove", "music/sub", "music/bad", "music/c.wav", "music/sub/b.wav")[1].startswith(
        "2 tracks removed\n"
    )
    assert sum(not condition for condition in calls) == 1
    assert run("library", "failures")[1] == "0 failures\n"
    assert run("library", "ls")[1].endswith("\n1 track\n")


def test_the_sources_are_gone(run: Run, songs: Path, tmp_path: Path) -> None:
    run("index", "music")
    songs.rename(tmp_path / "elsewhere")
    code, _, err = run("index", "music", "--prune")
    assert code == 2 and err.count("\n") == 1
    assert "not found, but the library holds 2 tracks below it; index the folder to which they moved" in err
    assert "soundalike library remove" in err


def test_an_export_to_a_suffix_that_cannot_be_written(run: Run, songs: Path, tmp_path: Path) -> None:
    run("index", "music")
    code, _, err = run("library", "export", "vectors.csv")
    assert code == 2 and "vectors.csv: cannot write .csv files; give a name that ends in .npz or .parquet" in err
    assert not (tmp_path / "vectors.csv").exists()


def slow(task: float) -> float:
    """Runs in a worker."""
    time.sleep(task)
    return task


def test_a_long_task_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    from inline_workers import _run_in_processes

    monkeypatch.setattr(processes, "_HEARTBEAT", 0.05)
    seen: list[tuple[float, float]] = []
    done = list(_run_in_processes(slow, [0.6], 1, lambda task, seconds: seen.append((task, seconds))))
    assert done == [(0.6, 0.6)]
    assert len(seen) > 3 and {task for task, _ in seen} == {0.6}
    assert [seconds for _, seconds in seen] == sorted(seconds for _, seconds in seen)


LONG = """
import sys
import soundalike.cli.output as output
from soundalike.cli.main import main
from soundalike.cli.watch import watch
from soundalike.core.errors import LibraryError
output._EVERY_LINE = 0.5
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_one_long_file_shows_progress(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(22050 * 900).astype(np.float32) * 0.1
    write(tmp_path / "in" / "long.wav", noise)
    command = [sys.executable, "-c", LONG, "index", tmp_path / "in", "--library", tmp_path / "library"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "long.wav for 0:" in done.stderr


def test_patterns_of_the_settings_and_of_the_command(
    run: Run, songs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text('exclude = ["/sub/"]\n')
    code, out, _ = run("index", "music")
    assert (code, out.splitlines()[-2]) == (0, "skipped: 1 excluded folder")
    assert json.loads(run("index", "music", "--exclude", "!sub", "--json")[1])["added"] == 1
    code, out, _ = run("index", "music", "--exclude", "M*.wav")
    assert out.splitlines()[1:3] == [
        "2 now excluded (--prune removes them)",
        "skipped: 1 excluded file, 1 excluded folder",
    ]
    assert run("index", "music", "--exclude", "")[2].startswith(
        "soundalike: exclude is ['/sub/', '']; expected patterns"
    )
    code, out, _ = run("index", "music", "--exclude", "!sub", "--exclude", "M*.wav", "--prune", "--json")
    report = json.loads(out)
    assert (code, report["excluded"], report["pruned"], report["tracks"]) == (0, 1, 1, 1)


def test_a_change_counts_when_two_scans_agree(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = iter(["a", "a", "ab (part)", "ab", "ab", "ab", "a", "a", "a", KeyboardInterrupt])
    ran: list[int] = []
    busy = [False, False, True, False]

    def scan() -> str:
        found = next(scans)
        if not isinstance(found, str):
            raise found
        ran.append(0)
        return found

    def run() -> int:
        ran[-1] = 1
        if busy.pop(0):
            raise LibraryError("another process writes")
        return 0

    assert watch(scan, run, 0.001) == 0
    assert ran == [1, 0, 0, 0, 1, 0, 0, 1, 1]
    assert capsys.readouterr().err == "not indexed another process writes\n"
    assert watch(lambda: 1, lambda: 130, 1) == 130


@pytest.mark.slow
def test_watching_a_folder(tmp_path: Path) -> None:
    """A process that indexes what is added and removed, and ends with Ctrl-C."""
    (tmp_path / "music").mkdir()
    command = [sys.executable, "-m", "soundalike", "index", "music", "--watch", "0.3", "--json", "--model", "dsp"]
    environment = {**os.environ, "SOUNDALIKE_LIBRARY": str(tmp_path / "library")}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["tracks"] == 0
        write(tmp_path / "music" / "a.wav", tune(TUNES["up"], seconds=2))
        report = json.loads(process.stdout.readline())
        assert (report["added"], report["tracks"]) == (1, 1)
        (tmp_path / "music" / "a.wav").rename(tmp_path / "music" / "b.wav")
        assert json.loads(process.stdout.readline())["moved"] == 1
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()
