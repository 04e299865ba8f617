"""Keeping a library up to date: what is encoded, what is recognised, and what a bad file costs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import RATE, TUNES, tune, write
from soundalike.core.errors import LibraryError, UsageError
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing import index as indexing
from soundalike.library.indexing.index import IndexReport, index_files
from soundalike.library.maintenance import check_library
from soundalike.models import DEFAULT_MODEL
from soundalike.models.model import Model
from soundalike.search.query import Query
from soundalike.search.search import search_library

Run = Callable[..., IndexReport]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings of three seconds."""
    for number, notes in enumerate(list(TUNES.values())[:3]):
        write(tmp_path / "music" / f"{number}.wav", tune(notes, seconds=3, seed=number))
    return tmp_path / "music"


@pytest.fixture
def run(tmp_path: Path, folder: Path) -> Run:
    """Index the folder into the test's library."""

    def go(*sources: Path, **options: object) -> IndexReport:
        with LibraryFolder.create(tmp_path / "library") as library:
            return index_files(library, sources or [folder], **options)  # type: ignore[arg-type]

    return go


def paths(tmp_path: Path) -> list[str]:
    with LibraryFolder(tmp_path / "library") as library:
        return sorted({Path(span.track).name for span in library.vectors().spans})


def counted(report: IndexReport) -> dict[str, int]:
    fields = ("added", "changed", "moved", "copied", "unchanged", "missing", "pruned")
    return {name: getattr(report, name) for name in fields if getattr(report, name)}


def test_only_what_is_new_or_changed_is_encoded(run: Run, folder: Path) -> None:
    assert counted(run()) == {"added": 3}
    assert counted(run()) == {"unchanged": 3}
    write(folder / "new.wav", tune(TUNES["pedal"], seconds=3))
    write(folder / "0.wav", tune(TUNES["pedal"], seconds=4))
    assert counted(run()) == {"added": 1, "changed": 1, "unchanged": 2}


def test_a_touched_file_is_not_encoded_again(run: Run, folder: Path) -> None:
    run()
    os.utime(folder / "1.wav", (1, 1))
    assert counted(run()) == {"unchanged": 3}
    assert counted(run()) == {"unchanged": 3}


def test_a_moved_or_renamed_file_is_not_encoded_again(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    before = vectors(tmp_path)
    (folder / "sub").mkdir()
    (folder / "1.wav").rename(folder / "sub" / "renamed.wav")
    assert counted(run()) == {"moved": 1, "unchanged": 2}
    after = vectors(tmp_path)
    assert set(after) == {"0.wav", "renamed.wav", "2.wav"}
    assert np.array_equal(after["renamed.wav"], before["1.wav"])


def vectors(tmp_path: Path) -> dict[str, np.ndarray]:
    with LibraryFolder(tmp_path / "library") as library:
        found = library.vectors()
    return {Path(span.track).name: found.rows["timbre"][n] for n, span in enumerate(found.spans)}


def test_a_copied_file_is_not_encoded_again(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    shutil.copy(folder / "1.wav", folder / "copy.wav")
    assert counted(run()) == {"copied": 1, "unchanged": 3}
    rows = vectors(tmp_path)
    assert np.array_equal(rows["copy.wav"], rows["1.wav"])
    (folder / "1.wav").unlink()
    assert counted(run(prune=True)) == {"missing": 1, "pruned": 1, "unchanged": 3}
    assert "copy.wav" in vectors(tmp_path)


def test_vanished_files_are_marked_and_pruned(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    (folder / "2.wav").rename(tmp_path / "2.wav")
    assert counted(run()) == {"missing": 1, "unchanged": 2}
    assert paths(tmp_path) == ["0.wav", "1.wav"]
    (tmp_path / "2.wav").rename(folder / "2.wav")
    assert counted(run()) == {"unchanged": 3}
    assert paths(tmp_path) == ["0.wav", "1.wav", "2.wav"]
    (folder / "2.wav").unlink()
    assert counted(run(prune=True)) == {"missing": 1, "pruned": 1, "unchanged": 2}
    assert counted(run()) == {"unchanged": 2}


def test_what_lies_elsewhere_is_not_missing(run: Run, folder: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other" / "x.wav", tune(TUNES["pedal"], seconds=3))
    run(folder, other.parent)
    assert counted(run(other.parent)) == {"unchanged": 1}
    assert len(paths(tmp_path)) == 4


def test_folders_within_folders_are_the_same_files(run: Run, folder: Path, tmp_path: Path) -> None:
    write(folder / "sub" / "x.wav", tune(TUNES["pedal"], seconds=3))
    assert counted(run(folder / "sub")) == {"added": 1}
    assert counted(run(folder)) == {"added": 3, "unchanged": 1}
    assert counted(run(folder / "sub", folder)) == {"unchanged": 4}
    assert counted(run(folder / "sub" / "x.wav")) == {"unchanged": 1}


def wav_with(rate: int, frames: int = 4000) -> bytes:
    data = (np.sin(np.arange(frames) / 9) * 9000).astype("<i2").tobytes()
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
        + b"data" + struct.pack("<I", len(data)) + data
    )  # fmt: skip


def bad_files(folder: Path) -> dict[str, str]:
    """One file of every unreadable kind, and a word of its message."""
    good = (folder / "0.wav").read_bytes()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "truncated.flac").write_bytes(b"fLaC\x00\x00")
    (folder / "headless.wav").write_bytes(good[:40])
    (folder / "short.wav").write_bytes(good[: len(good) // 3])
    (folder / "text.mp3").write_text("dear diary, " * 500)
    (folder / "noise.m4a").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "onehz.wav").write_bytes(wav_with(1))
    (folder / "ultrasonic.wav").write_bytes(wav_with(768_000))
    nan = tune(TUNES["up"], seconds=2)
    nan[1000] = np.nan
    sf.write(folder / "nan.wav", nan, RATE, subtype="FLOAT")
    nan[1000] = np.inf
    sf.write(folder / "inf.wav", nan, RATE, subtype="FLOAT")
    sf.write(folder / "one.wav", np.zeros(1), RATE)
    sf.write(folder / "none.wav", np.zeros(0), RATE)
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    return {
        "empty.wav": "empty", "truncated.flac": "", "headless.wav": "", "short.wav": "truncated", "text.mp3": "",
        "noise.m4a": "", "onehz.wav": "1 Hz", "ultrasonic.wav": "768,?000 Hz",
        "nan.wav": "NaN", "inf.wav": "infinite",
        "one.wav": "0.02", "none.wav": "", "gone.wav": "cannot be read",
    }  # fmt: skip


def test_bad_files_cost_only_themselves(
    run: Run, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import re

    expected = bad_files(folder)
    sf.write(folder / "dc.wav", np.full(RATE, 0.5), RATE)
    report = run()
    failed = {Path(path).name: message for path, message in report.failed}
    assert set(failed) == set(expected)
    for name, words in expected.items():
        assert re.search(words, failed[name]), f"{name}: {failed[name]}"
        assert "\n" not in failed[name]
        assert len(failed[name]) > 10
    assert paths(tmp_path) == ["0.wav", "1.wav", "2.wav", "dc.wav"]
    assert [Path(path).name for path in report.silent] == ["dc.wav"]
    assert capfd.readouterr().err == "", "decoders keep quiet"


def test_failures_are_tried_again_only_on_request_or_change(
    run: Run, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    (folder / "bad.wav").write_bytes(b"RIFF")
    assert len(run().failed) == 1
    asked: list[str] = []
    real = indexing.run_tasks

    def spy(function, tasks, *options):
        tasks = list(tasks)
        asked.extend(task.file.path.name for task in tasks)
        return real(function, tasks, *options)

    monkeypatch.setattr(indexing, "run_tasks", spy)
    again = run()
    assert asked == []
    assert (again.failed, again.failed_before) == ([], 1), "this run tried nothing that failed"
    again_failed = run(retry=True)
    assert len(again_failed.failed) == 1
    assert asked == ["bad.wav"]
    with LibraryFolder(tmp_path / "library") as library:
        (failure,) = library.catalog.failures.all().values()
    assert (failure.path, failure.attempts) == (folder / "bad.wav", 2)
    assert failure.message == again_failed.failed[0][1]
    write(folder / "bad.wav", tune(TUNES["up"], seconds=2))
    assert counted(run()) == {"added": 1, "unchanged": 3}
    assert (run().failed, run().failed_before) == ([], 0)


def test_a_track_that_turns_bad_is_no_match_but_not_forgotten(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    good = (folder / "1.wav").read_bytes()
    (folder / "1.wav").write_bytes(b"RIFF")
    report = run()
    assert [Path(path).name for path, _ in report.failed] == ["1.wav"]
    assert paths(tmp_path) == ["0.wav", "2.wav"]
    assert counted(run(prune=True)) == {"unchanged": 2}, "it has not vanished"
    (folder / "1.wav").write_bytes(good)
    assert counted(run()) == {"unchanged": 3}, "nothing that was stored is lost"
    with LibraryFolder(tmp_path / "library") as library:
        assert library.catalog.counts() == {"tracks": 3, "missing": 0, "unreadable": 0, "silent": 0, "failures": 0}
    assert paths(tmp_path) == ["0.wav", "1.wav", "2.wav"]


def check_against_fresh_encoding(tmp_path: Path, model_name: str = DEFAULT_MODEL) -> None:
    """Every stored row is what its file sounds like now."""
    model = Model.load(model_name)
    with LibraryFolder(tmp_path / "library") as library:
        vectors = library.vectors()
        by_path: dict[str, list[int]] = {}
        for number, span in enumerate(vectors.spans):
            by_path.setdefault(span.track, []).append(number)
        for path, numbers in by_path.items():
            fresh = model.encode(Path(path)).passages
            assert [vectors.spans[n] for n in numbers] == list(fresh.spans)
            for space, rows in fresh.rows.items():
                assert np.allclose(vectors.rows[space][numbers], rows, atol=1e-4), (path, space)


def test_files_that_change_places(run: Run, folder: Path, tmp_path: Path) -> None:
    """Equal sizes, so that each looks like a copy of another; and none is."""
    run()
    names = ["0.wav", "1.wav", "2.wav"]
    for name in names:
        (folder / name).rename(folder / f"{name}.old")
    for name, source in zip(names, ["1.wav", "2.wav", "0.wav"], strict=True):
        (folder / f"{source}.old").rename(folder / name)
    run()
    check_against_fresh_encoding(tmp_path)
    assert counted(run()) == {"unchanged": 3}


def rename_all(folder: Path, names: dict[str, str]) -> None:
    """Rename files all at once."""
    for name in names:
        (folder / name).rename(folder / f"{name}.old")
    for old, new in names.items():
        (folder / f"{old}.old").rename(folder / new)


@pytest.mark.parametrize(
    ("names", "new", "expected"),
    [
        ({"0.wav": "1.wav", "1.wav": "0.wav"}, None, {"moved": 2, "unchanged": 1}),
        ({"0.wav": "1.wav", "1.wav": "2.wav", "2.wav": "0.wav"}, None, {"moved": 3}),
        ({"0.wav": "1.wav", "1.wav": "2.wav", "2.wav": "3.wav"}, None, {"moved": 3}),
        ({"0.wav": "1.wav", "1.wav": "2.wav", "2.wav": "3.wav"}, "0.wav", {"added": 1, "moved": 3}),
        ({"0.wav": "1.wav", "1.wav": "sub/2.wav"}, None, {"moved": 2, "unchanged": 1}),
        ({"1.wav": "0.wav", "2.wav": "1.wav"}, None, {"moved": 2}),
    ],
    ids=["two change places", "a circle", "one up", "one up and a new first", "a chain that leaves", "one down"],
)
def test_files_that_were_numbered_anew_are_not_encoded_again(
    run: Run, folder: Path, tmp_path: Path, names: dict[str, str], new: str | None, expected: dict[str, int]
) -> None:
    """Their lengths differ, so that no file looks as the one before."""
    for number in range(3):
        write(folder / f"{number}.wav", tune(TUNES["up"], seconds=2 + number / 4, seed=number))
    run(model="dsp")
    with LibraryFolder(tmp_path / "library") as library:
        before = {str(track.path.relative_to(folder)): track.id for track in library.catalog.tracks()}
        with LibraryFolder(tmp_path / "library", writable=True) as writer, writer.catalog.transaction():
            writer.catalog.families.put([list(before.values())[:2]])
    (folder / "sub").mkdir()
    rename_all(folder, names)
    if new:
        write(folder / new, tune(TUNES["leaps"], seconds=4))
    calls: list[tuple[int, int]] = []
    report = run(model="dsp", comparing=lambda done, total: calls.append((done, total)))
    assert counted(report) == expected
    assert calls[-1][0] == calls[-1][1] >= len(names)
    with LibraryFolder(tmp_path / "library") as library:
        after = {str(track.path.relative_to(folder)): track.id for track in library.catalog.tracks()}
        roots = set(library.catalog.paths.roots().values())
        assert check_library(library).ok
        assert set(library.catalog.families.by_track() or {}) <= set(before.values())
    expected_ids = {name: number for name, number in before.items() if name not in names}
    expected_ids |= {names[name]: before[name] for name in names}
    assert {name: number for name, number in after.items() if name != new} == expected_ids, "entries follow their files"
    assert roots == {folder}
    check_against_fresh_encoding(tmp_path, "dsp")
    assert counted(run(model="dsp")) == {"unchanged": len(after)}


def test_one_file_moved_over_another(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    (folder / "2.wav").rename(folder / "1.wav")
    assert counted(run(prune=True)) == {"moved": 1, "unchanged": 1}
    check_against_fresh_encoding(tmp_path)
    assert paths(tmp_path) == ["0.wav", "1.wav"]


def test_a_new_version_of_the_model_with_new_and_changed_files(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    database = sqlite3.connect(tmp_path / "library" / "catalog.sqlite")
    database.execute("UPDATE models SET digest = 'older'")
    database.commit()
    database.close()
    write(folder / "a new one.wav", tune(TUNES["pedal"], seconds=13))
    write(folder / "1.wav", tune(TUNES["pedal"], seconds=4))
    assert counted(run()) == {"added": 1, "changed": 3}
    check_against_fresh_encoding(tmp_path)


def test_pipes_and_devices_are_not_read(run: Run, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    report = run()
    assert counted(report) == {"added": 3}
    assert (report.failed, report.skipped) == ([], {"pipes and devices": 2})
    with pytest.raises(UsageError, match="neither a folder nor a regular file"):
        run(folder / "pipe.wav")


def test_tracks_that_are_excluded_later_stay_until_they_are_pruned(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    report = run(exclude=["1.wav"])
    assert (counted(report), report.excluded) == ({"unchanged": 2}, 1)
    assert report.skipped == {"excluded files": 1}
    assert paths(tmp_path) == ["0.wav", "1.wav", "2.wav"]
    (folder / ".soundalikeignore").write_text("[12].wav\n")
    (folder / "2.wav").unlink()  # gone and excluded
    report = run()
    assert (counted(report), report.excluded) == ({"unchanged": 1, "missing": 1}, 1)
    report = run(prune=True)
    assert (counted(report), report.excluded) == ({"unchanged": 1, "missing": 1, "pruned": 2}, 1)
    assert paths(tmp_path) == ["0.wav"]
    (folder / ".soundalikeignore").unlink()
    assert counted(run()) == {"unchanged": 1, "added": 1}


def test_what_another_source_includes_is_not_excluded(run: Run, folder: Path) -> None:
    (folder / ".soundalikeignore").write_text("1.wav\n")
    report = run(folder, folder / "1.wav")
    assert (counted(report), report.excluded) == ({"added": 3}, 0)


def test_a_disk_that_is_not_there_keeps_its_tracks(run: Run, folder: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other" / "x.wav", tune(TUNES["pedal"], seconds=3)).parent
    run(folder, other)
    folder.rename(tmp_path / "unmounted")
    report = run(folder, other, prune=True)
    assert counted(report) == {"unchanged": 1}
    assert [Path(path).name for path, _ in report.failed] == ["music"]
    assert "the library holds 3 tracks below it" in report.failed[0][1]
    folder.mkdir()  # the mount point without its disk
    report = run(folder, other, prune=True)
    assert (counted(report), report.failed) == ({"unchanged": 1}, [])
    assert report.away == [(str(folder), 3)]
    assert len(paths(tmp_path)) == 4
    assert counted(run(tmp_path, prune=True)) == {"moved": 3, "unchanged": 1}


def test_a_file_given_by_name_is_still_there_when_its_folder_is_indexed(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "0.wav").rename(folder / "no suffix")
    assert counted(run(folder / "no suffix")) == {"added": 1}
    assert counted(run(folder)) == {"added": 2}
    assert paths(tmp_path) == ["1.wav", "2.wav", "no suffix"]


def test_a_file_that_vanishes_meanwhile(run: Run, folder: Path, tmp_path: Path, monkeypatch) -> None:
    real = indexing.run_tasks

    def vanish(function, tasks, *options):
        (folder / "1.wav").unlink()
        return real(function, tasks, *options)

    monkeypatch.setattr(indexing, "run_tasks", vanish)
    report = run()
    assert [Path(path).name for path, _ in report.failed] == ["1.wav"]
    assert paths(tmp_path) == ["0.wav", "2.wav"]
    monkeypatch.undo()
    assert run().failed == [], "it is no longer there to fail"


def test_a_loop_of_folders_ends(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "up").mkdir()
    (folder / "up" / "again").symlink_to(folder / "up")
    report = run()
    assert counted(report) == {"added": 3}
    assert [Path(path).name for path, _ in report.failed] in ([], ["itself"])


def test_a_folder_behind_a_link_is_followed(run: Run, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "x.wav", tune(TUNES["pedal"], seconds=3))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert counted(run()) == {"added": 4}
    assert counted(run()) == {"unchanged": 4}


ODD = [
    "two\nlines.wav",
    "emoji 🎸.wav",
    "Ünïcödé.wav",
    " spaces .wav",
    "-w.wav",
    "tab\there.wav",
    "'\".wav",
    "%s{}.wav",
]


def test_odd_names(run: Run, folder: Path, tmp_path: Path) -> None:
    source = (folder / "0.wav").read_bytes()
    for number, name in enumerate(ODD):
        (folder / name).write_bytes(source[:-2] + bytes([number, 0]))
    raw = os.path.join(os.fsencode(folder), b"latin \xe9\xff.wav")
    with open(raw, "wb") as file:
        file.write(source[:-2] + b"\x7f\x00")
    report = run()
    assert report.failed == []
    assert counted(report) == {"added": 4 + len(ODD)}
    assert counted(run()) == {"unchanged": 4 + len(ODD)}
    with LibraryFolder(tmp_path / "library") as library:
        result = search_library(library, Query(Path(os.fsdecode(raw)), include_self=True, k=50))
        found = {os.fsencode(match.span.track) for match in result.matches}
    assert raw in found
    assert {os.fsencode(folder / name) for name in ODD} <= found


def test_a_worker_that_dies_costs_one_file(run: Run, folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(indexing, "_encode", die_on_one)
    report = run(jobs=2)
    assert [Path(path).name for path, _ in report.failed] == ["1.wav"]
    assert "died (exit code 9)" in report.failed[0][1]
    assert paths(tmp_path) == ["0.wav", "2.wav"]


_real_listen = indexing._encode


def die_on_one(task):
    """Runs in a worker."""
    if task.file.path.name == "1.wav":
        os._exit(9)
    return _real_listen(task)


def test_a_source_that_is_not_there(run: Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: not found; give a folder of music or an audio file"):
        run(tmp_path / "nowhere")
    report = run(tmp_path / "nowhere", folder)
    assert counted(report) == {"added": 3}
    assert [Path(path).name for path, _ in report.failed] == ["nowhere"]


def test_an_unreadable_folder_hides_nothing(run: Run, folder: Path, tmp_path: Path, monkeypatch) -> None:
    """A disk that fails is not a disk that is empty: its tracks stay."""
    write(folder / "sub" / "x.wav", tune(TUNES["pedal"], seconds=3))
    run()
    real = os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = run(prune=True)
    assert counted(report) == {"unchanged": 3}
    assert report.failed == [(str(folder / "sub"), "folder cannot be read: Permission denied")]
    assert "x.wav" in paths(tmp_path)


def test_a_full_disk_is_named_and_loses_nothing(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    sidecar = tmp_path / "library" / "passage.compact@1.melody.f32"
    write(folder / "new.wav", tune(TUNES["pedal"], seconds=3))
    with LibraryFolder.create(tmp_path / "library") as library:
        kept = sidecar.rename(tmp_path / "kept")
        sidecar.symlink_to("/dev/full")  # every write there fails as on a full disk
        with pytest.raises(
            LibraryError, match=r"cannot write passage\.compact@1\.melody\.f32: No space left on device; free"
        ):
            index_files(library, [folder])
    sidecar.unlink()
    kept.rename(sidecar)
    assert paths(tmp_path) == ["0.wav", "1.wav", "2.wav"]
    assert counted(run()) == {"added": 1, "unchanged": 3}
