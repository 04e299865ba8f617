"""The command line as a person or a program uses it: what is printed where, which exit code, and never a traceback."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike import __version__
from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.core.settings import default_library
from soundalike.search import parse_region


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stocked: Path):
    """Run a command in this process, against the library of `music` unless told otherwise."""
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(stocked))

    def go(*arguments: object) -> Outcome:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return go


def one_error(outcome: Outcome) -> str:
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("soundalike: ")
    assert outcome.err.count("\n") == 1
    return outcome.err


def test_help_teaches(run) -> None:
    assert run("--version").out == f"soundalike {__version__}\n"
    main_help = run("--help").out
    for command in ("index", "search", "compare", "embed", "list", "library", "demo", "evaluate", "train"):
        assert command in main_help
        assert run(command, "--help").code == 0
    assert "-w rhythm=1,timbre=-1" in main_help
    assert "-w melody=2,timbre=-1" in run("search", "--help").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "unknown command 'frobnicate'; known: index, search"),
        (["search"], "missing argument AUDIO; see: soundalike search --help"),
        (["search", "a.wav", "-k", "0"], "expected a whole number from 1, found '0'"),
        (["search", "a.wav", "--region", "9"], "cannot read the region '9'; expected FROM-TO"),
        (["search", "a.wav", "--region", "10-5"], "cannot read the region"),
        (["search", "a.wav", "-w", "melody=x"], "cannot read the weight 'melody=x'"),
        (["search", "a.wav", "--where", "mood = sad"], "unknown field 'mood'; known: bpm"),
        (["search", "nowhere.wav"], "nowhere.wav: "),
        (["search", "nowhere.wav", "--model", "nope"], "unknown model 'nope'; installed: "),
        (["search", "a.wav", "--library", "/nonexistent/library"], "no library at /nonexistent/library; make one with"),
        (["compare", "nowhere.wav", "nowhere.wav"], "nowhere.wav: "),
        (["index", "/nonexistent"], "/nonexistent: not found; give a folder of music or an audio file"),
        (["embed", "a.wav", "-o", "out.csv"], "give a name that ends in .npz or .parquet"),
        (["embed", "a.wav", "-o", "/nonexistent/out.npz"], "its folder does not exist"),
        (["library", "export", "/nonexistent/out.npz"], "its folder does not exist"),
        (["demo", "--page", "/nonexistent/page.html"], "page.html: its folder does not exist"),
        (["list", "moods"], "WHAT: 'moods' is not one of 'models', 'spaces'"),
        (["index", ""], "an empty path; give a file or folder"),
        (["index", "x" * 300], "File name too long"),
        (["search", "a.wav", "-w", ""], "cannot read the weight ''"),
        (["search", "a.wav", "--where", ""], "a condition is missing"),
        (["search", "a.wav", "--region", "1e300-"], "cannot read the region"),
        (["search", "a.wav", "--m3u", "song.wav"], "is not a playlist name"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(run, arguments: list[str], message: str, tmp_path: Path, monkeypatch) -> None:
    if arguments[:1] == ["index"]:
        arguments = [*arguments, "--library", str(tmp_path / "new")]
    assert message in one_error(run(*arguments))


def test_index_reports(run, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.wav", tune(TUNES["up"], seconds=3))
    write(tmp_path / "in" / "silent.wav", np.zeros(30000))
    (tmp_path / "in" / "bad\n.wav").write_bytes(b"RIFF")
    (tmp_path / "in" / "notes.txt").write_text("not music")
    arguments = ("index", tmp_path / "in", "--library", tmp_path / "library")
    first = run(*arguments, "--json")
    assert first.code == 1
    report = first.json
    assert (report["added"], report["tracks"], len(report["failed"]), len(report["silent"])) == (2, 2, 1, 1)
    second = run(*arguments)
    assert second.code == 0, "nothing failed in this run"
    assert "0 files encoded" in second.out and "2 unchanged" in second.out
    assert "skipped: 1 .txt file\n" in second.out
    assert second.err == (
        "left out 1 file that failed before; soundalike library failures lists them, and --retry tries them again\n"
    )
    third = run(*arguments, "--retry")
    assert third.code == 1
    assert re.search(r"failed .*bad\\n\.wav: ", third.err)
    (tmp_path / "in" / "bad\n.wav").unlink()
    (tmp_path / "in" / "a.wav").unlink()
    third = run(*arguments, "--prune")
    assert third.code == 0
    assert "1 removed" in third.out


def test_index_reads_paths_from_standard_input(run, tmp_path: Path, monkeypatch) -> None:
    one = write(tmp_path / "one.wav", tune(TUNES["up"], seconds=3))
    two = write(tmp_path / "two.wav", tune(TUNES["down"], seconds=3))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{one}\n{two}\n".encode())))
    assert run("index", "-", "--library", tmp_path / "library", "--json").json["added"] == 2


def test_search_prints_a_table(run, music: Path) -> None:
    found = run("search", music / "up" / "0.wav", "-w", "melody=2,timbre=-1", "-k", "3")
    assert found.code == 0
    lines = found.out.splitlines()
    assert "weights: melody 2, timbre -1; model compact" in lines[0]
    assert "the passages of 11 tracks (the query is shorter than 30 s);" in lines[0]
    assert lines[1] == "reference: model compact (12 recordings in the library; 200 make it its own reference)"
    assert lines[0].endswith("; ordered by percentile")
    assert lines[2].split() == ["#", "track", "score", "percentile", "melody", "timbre", "bpm", "key", "time"]
    assert len(lines) == 7 and lines[-1] == f"paths below {music}/"
    assert "\x1b" not in found.out


def test_search_json_has_stable_keys(run, music: Path) -> None:
    found = run("search", music / "up" / "0.wav", "--json", "-k", "2", "-w", "melody=2,timbre=-1").json
    assert list(found) == [
        "schema", "query", "models", "reference", "weights", "matches", "copies", "corrupt", "missing",
        "absent_folders", "not_encoded", "examples", "warnings",
    ]  # fmt: skip
    assert found["schema"] == "search/1"
    assert (found["models"], found["reference"]) == (["compact"], "model")
    assert found["weights"] == {"melody": 2.0, "rhythm": 0.0, "timbre": -1.0, "harmony": 0.0}
    assert found["query"] == {"path": str(music / "up" / "0.wav"), "start": 0.0, "end": 12.0, "level": "passage",
                              "where": None, "searched": 11, "hubness": "none", "level_reason": "short",
                              "at_least": {}, "at_most": {}, "stem": None, "separator": None,
                              "shortlist": None}  # fmt: skip
    for match in found["matches"]:
        assert list(match) == [
            "rank", "id", "path", "title", "artist", "artists", "album", "bpm", "key", "camelot", "duration", "start",
            "end", "score", "percentile", "stretch", "semitones", "spaces", "copies", "relation", "examples",
            "versions",
        ]  # fmt: skip
        assert (match["duration"], match["title"], Path(match["path"]).is_absolute()) == (12.0, None, True)
        assert match["examples"] == [] and match["versions"] is None
        for part in match["spaces"].values():
            assert set(part) == {"similarity", "z", "weight", "share", "percentile", "percentile_source", "audible"}
        assert sum(part["share"] for part in match["spaces"].values()) == pytest.approx(match["score"])


def test_a_search_without_matches_is_an_answer(run, music: Path) -> None:
    found = run("search", music / "up" / "0.wav", "--where", "year = 1800")
    assert found.code == 0
    assert "no match: no track meets the conditions" in found.out
    assert run("search", music / "up" / "0.wav", "--where", "year = 1800", "--json").json["matches"] == []


def test_errors_reach_programs_too(run) -> None:
    found = run("search", "nowhere.wav", "--json")
    assert found.code == 2
    assert "nowhere.wav" in found.json["error"]


def test_a_playlist_is_written(run, music: Path, tmp_path: Path) -> None:
    playlist = tmp_path / "alike.m3u8"
    run("search", music / "up" / "0.wav", "-k", "3", "--m3u", playlist)
    lines = playlist.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#EXTM3U"
    assert [line for line in lines[1::2] if re.fullmatch(r"#EXTINF:12,.+", line)] == lines[1::2]
    assert all(Path(line).is_file() for line in lines[2::2])
    assert len(lines) == 7
    assert "cannot write" in run("search", music / "up" / "0.wav", "--m3u", tmp_path / "no" / "x.m3u").err


def test_a_name_with_a_line_break_stays_out_of_playlists(run, tmp_path: Path) -> None:
    for number, name in enumerate(("a.wav", "b\nc.wav", "d.wav")):
        write(tmp_path / "in" / name, tune(list(TUNES.values())[number], seconds=3))
    library = ("--library", tmp_path / "library")
    run("index", tmp_path / "in", *library)
    found = run("search", tmp_path / "in" / "a.wav", "--m3u", tmp_path / "x.m3u", *library)
    assert r"left out of the playlist: " in found.err and r"b\nc.wav" in found.err
    assert (tmp_path / "x.m3u").read_text().count("#EXTINF") == 1
    assert r"b\nc.wav" in found.out


def test_asking_from_standard_input(music: Path, stocked: Path) -> None:
    with (music / "leaps" / "1.wav").open("rb") as file:
        found = subprocess.run(
            [sys.executable, "-m", "soundalike", "search", "-", "-w", "melody", "--library", stocked, "--json"],
            stdin=file, capture_output=True, check=True,
        )  # fmt: skip
    answer = json.loads(found.stdout)
    assert answer["query"]["path"] == "-"
    assert answer["copies"] == [str(music / "leaps" / "1.wav")]
    assert "/leaps/" in answer["matches"][0]["path"]


@pytest.mark.parametrize(
    "weights", ["melody=5e-324", "melody=1e308,rhythm=1e308", "compact/melody=1,melody=2", "melody=0"]
)
def test_weights_that_cannot_be_meant(run, music: Path, weights: str) -> None:
    one_error(run("search", music / "up" / "0.wav", "-w", weights))


@pytest.mark.parametrize("arguments", [["search"], ["frobnicate"], ["search", "a.wav", "-k", "0"]])
def test_a_program_is_told_of_wrong_usage(run, arguments: list[str]) -> None:
    found = run(*arguments, "--json")
    assert found.code == 2
    assert found.json["error"]


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", "> /dev/full", ">&- 2>&- <&-"])
def test_streams_that_are_closed_or_full(music: Path, stocked: Path, redirection: str) -> None:
    asked = f"{sys.executable} -m soundalike search '{music / 'up' / '0.wav'}' --library '{stocked}' {redirection}"
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if "full" in redirection else 0)
    from_nothing = f"{sys.executable} -m soundalike search - --library '{stocked}' {redirection} <&-"
    done = subprocess.run(["sh", "-c", from_nothing], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


def test_a_working_folder_that_is_gone(stocked: Path, tmp_path: Path) -> None:
    command = (
        f"mkdir {tmp_path}/x; cd {tmp_path}/x; rmdir {tmp_path}/x; "
        f"{sys.executable} -m soundalike search a.wav --library {stocked}"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_comparing_with_silence(run, music: Path, tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(30000))
    song = music / "up" / "0.wav"
    why = "recording has no audible content: it is silent, or one constant value; "
    assert f"the second {why}" in one_error(run("compare", song, silent))
    assert f"the first {why}" in one_error(run("compare", silent, song))


def test_a_reader_that_stops_reading(music: Path, stocked: Path) -> None:
    command = (
        f"{sys.executable} -m soundalike search '{music / 'up' / '0.wav'}' --library '{stocked}' --json | head -c 1"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_an_output_that_knows_no_unicode(music: Path, stocked: Path, tmp_path: Path) -> None:
    write(tmp_path / "🎸é.wav", tune(TUNES["up"], seconds=3))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "soundalike", "search", tmp_path / "🎸é.wav", "--library", stocked],
        capture_output=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rb"\xe9.wav" in done.stdout


def test_compare_shows_every_space(run, music: Path) -> None:
    arguments = ("compare", music / "up" / "0.wav", music / "up" / "2.wav", "--align")
    shown = run(*arguments)
    assert shown.code == 0
    assert [line.split()[0] for line in shown.out.splitlines()[6:10]] == ["melody", "rhythm", "timbre", "harmony"]
    told = run(*arguments, "--json").json
    assert "best passage of B (A is shorter than 30 s)" in shown.out
    assert list(told) == [
        "schema",
        "query",
        "models",
        "reference",
        "weights",
        "matches",
        "passages",
        "matrix",
        "warnings",
    ]
    assert (told["query"]["level"], told["query"]["level_reason"]) == ("passage", "short")
    assert set(told["matches"][0]["alignment"]) == {"semitones", "tempo_ratio", "offset", "agreement"}
    assert told["matches"][0]["alignment"]["semitones"] == 4
    assert set(told["passages"]["melody"]) == {"a", "b", "similarity"}
    alone = run("compare", music / "up" / "0.wav", music / "up" / "0.wav", "--json").json["matches"][0]
    for one in alone["spaces"].values():  # by passages, as it is shorter than 30 s
        assert (one["similarity"], one["percentile"]) == (pytest.approx(1, abs=1e-6), 100)
    assert alone["percentile"] == 100


def test_passages_of_a_region_are_at_their_place_in_the_recording(run, music: Path) -> None:
    song = music / "up" / "0.wav"
    found = run("compare", song, song, "--region", "0:02-0:12", "--region-b", "0:01.5-0:11.5", "--json").json
    assert (found["query"]["start"], found["query"]["end"], found["query"]["level_reason"]) == (2, 12, "region")
    for pair in found["passages"].values():
        assert (pair["a"], pair["b"]) == ({"start": 2, "end": 12}, {"start": 1.5, "end": 11.5})
    same = run("compare", song, song, "--region", "0:02-0:12", "--region-b", "0:02-0:12", "--json").json["matches"][0]
    assert (same["start"], same["percentile"]) == (2, 100)
    for one in same["spaces"].values():
        assert (one["similarity"], one["percentile"]) == (pytest.approx(1, abs=1e-6), 100)


def test_embed_writes_plain_arrays(run, music: Path, tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(30000))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    output = tmp_path / "v.npz"
    done = run("embed", music / "up" / "0.wav", silent, tmp_path / "bad.wav", "-o", output)
    assert done.code == 1
    assert "bad.wav" in done.err
    with np.load(output, allow_pickle=False) as file:
        assert set(file.files) == {"path", "start", "end", "melody", "rhythm", "timbre", "harmony"}
        assert file["path"].tolist() == [str(music / "up" / "0.wav")] * 2 + [str(silent)]
        assert file["start"].tolist() == [0, 5, 0]
        for space in ("melody", "rhythm", "timbre", "harmony"):
            assert file[space].dtype == np.float32
            norms = np.linalg.norm(file[space], axis=1)
            assert norms.tolist() == pytest.approx([1, 1, 0], abs=1e-5)
    run("embed", music / "up" / "0.wav", "-o", output, "--by", "track")
    with np.load(output, allow_pickle=False) as file:
        assert file["melody"].shape[0] == 1
    nothing = run("embed", tmp_path / "bad.wav", "-o", tmp_path / "none.npz")
    assert nothing.code == 2
    assert not (tmp_path / "none.npz").exists()


def test_export_holds_what_embed_would_write(run, music: Path, tmp_path: Path) -> None:
    run("library", "export", tmp_path / "all.npz")
    run("embed", *sorted(music.rglob("*.wav")), "-o", tmp_path / "each.npz")
    with np.load(tmp_path / "all.npz") as held, np.load(tmp_path / "each.npz") as fresh:
        for name in ("path", "start", "end"):
            assert held[name].tolist() == fresh[name].tolist()
        # In this process numeric libraries may use several threads and so round sums in another order, and a
        # probability that the transcriber keeps in 255ths the other way.
        for name in ("melody", "rhythm", "timbre", "harmony"):
            assert np.allclose(held[name], fresh[name], rtol=0, atol=1e-3)


def test_library_info(run, stocked: Path) -> None:
    told = run("library", "info", "--json").json
    assert (told["tracks"], told["missing"], told["path"]) == (12, 0, str(stocked))
    assert told["models"] == [{"name": "compact", "tracks": 12, "passages": 24}]
    assert "12 tracks, 24 passages" in run("library", "info").out


@pytest.mark.parametrize("what", ["models", "spaces", "backbones", "datasets", "protocols", "separators", "stores"])
def test_list(run, what: str) -> None:
    rows = run("list", what, "--json").json[what]
    printed = run("list", what).out
    assert rows
    assert all(row["name"] in printed for row in rows)
    if what == "models":
        assert [row["name"] for row in rows if row["default"]] == ["compact"]
        assert all(row["licence"] for row in rows)


def test_demo_answers_its_questions(run, tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    told = run("demo", "--no-serve", "--json", "--page", page).json
    assert told["clips"] == 36
    assert page.stat().st_size > 1_000_000
    # The most alike clip shares the tune, the groove, the instruments: chance is 8, 11 and 11 of 36.
    assert told["first_right"]["melody"] >= 30
    assert told["first_right"]["rhythm"] >= 30
    assert told["first_right"]["timbre"] >= 30
    shown = run("demo", "--page", page)
    assert shown.code == 0
    assert shown.out.count("✓") >= 15
    assert page.as_uri() in shown.out


def test_regions_are_read() -> None:
    assert parse_region("0:30-0:40") == (30, 40)
    assert parse_region("1:02:03.5-") == (3723.5, None)
    assert parse_region("5-7.25") == (5, 7.25)
    for text in ("", "5", "a-b", "0:99-2:00", "-5", "7-7", "1:2:3:4-5", "nan-3"):
        with pytest.raises(UsageError, match="cannot read the region"):
            parse_region(text)


def test_the_library_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", "/somewhere")
    assert default_library() == Path("/somewhere")
    monkeypatch.delenv("SOUNDALIKE_LIBRARY")
    assert default_library().parts[-2:] == ("soundalike", "library")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_colours_and_progress_are_for_terminals(tmp_path: Path) -> None:
    import pty

    write(tmp_path / "in" / "a.wav", tune(TUNES["up"], seconds=3))
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    arguments = ["-m", "soundalike", "index", str(tmp_path / "in"), "--library", str(tmp_path / "library")]
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, *arguments], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert process.wait() == 1
    assert b"\x1b[31mfailed\x1b[0m " in seen
    assert b"\\x1b" not in seen, "a colour is not escaped into text"
    assert b"2 of 2 files" in seen
