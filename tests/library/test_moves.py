"""Entries follow files that move, and what may lie on a disk that is not mounted is never dropped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, mounted, tune, write
from soundalike.core.errors import LibraryBusyError, LibraryError, UsageError
from soundalike.core.files import content_hash
from soundalike.library.editing import discard_if_empty, move_tracks, remove_tracks, tracks_at
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import IndexReport, index_files
from soundalike.library.indexing.plan import Planner
from soundalike.library.presence import holds_no_file
from soundalike.search.duplicates import find_duplicates
from soundalike.search.paths import find_path
from soundalike.search.playlists import build_playlist
from soundalike.search.query import Query
from soundalike.search.search import search_library

Run = Callable[..., IndexReport]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Index sources into the test's library with the small model."""

    def go(*sources: Path, **options: object) -> IndexReport:
        with LibraryFolder.create(tmp_path / "library") as library:
            return index_files(library, sources, **{"model": "dsp", **options})  # type: ignore[arg-type]

    return go


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four different clips of three seconds."""
    folder = tmp_path_factory.mktemp("clips")
    return [write(folder / f"{n}.wav", tune(notes, seconds=3, seed=n)) for n, notes in enumerate(TUNES.values())]


def place(clips: list[Path], folder: Path, *numbers: int) -> Path:
    """A folder with copies of some clips."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        shutil.copy(clips[number], folder)
    return folder


def counted(report: IndexReport) -> dict[str, int]:
    fields = ("added", "changed", "moved", "copied", "unchanged", "missing", "pruned", "failed_before")
    return {name: getattr(report, name) for name in fields if getattr(report, name)}


def held(tmp_path: Path) -> set[str]:
    """The paths of all tracks, relative to the test's folder."""
    with LibraryFolder(tmp_path / "library") as library:
        return {str(track.path.relative_to(tmp_path)) for track in library.catalog.tracks()}


# Moves ----------------------------------------------------------------------------------------------------------------


def test_a_folder_that_was_moved_is_followed_from_its_new_place(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a, b = place(clips, tmp_path / "a", 0, 1, 2), tmp_path / "b"
    run(a)
    with LibraryFolder(tmp_path / "library") as library:
        before = {track.path.name: (track.id, library.catalog.rows_of(track.id, "passage")) for track in
                  library.catalog.tracks()}  # fmt: skip
    a.rename(b)
    report = run(b)
    assert (counted(report), report.failed) == ({"moved": 3}, [])
    assert held(tmp_path) == {"b/0.wav", "b/1.wav", "b/2.wav"}
    with LibraryFolder(tmp_path / "library") as library:
        after = {track.path.name: (track.id, library.catalog.rows_of(track.id, "passage")) for track in
                 library.catalog.tracks()}  # fmt: skip
        assert library.catalog.paths.roots().values() and set(library.catalog.paths.roots().values()) == {b}
    assert after == before, "not one row was written"
    assert counted(run(b)) == {"unchanged": 3}


def test_files_that_move_between_two_given_folders(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a, b = place(clips, tmp_path / "a", 0, 1), place(clips, tmp_path / "b", 2)
    run(a, b)
    (a / "0.wav").rename(b / "0.wav")
    assert counted(run(a, b)) == {"moved": 1, "unchanged": 2}
    (a / "1.wav").rename(b / "1.wav")  # nothing is left in a
    report = run(a, b, prune=True)
    assert (counted(report), report.away, report.failed) == ({"moved": 1, "unchanged": 2}, [], [])
    assert held(tmp_path) == {"b/0.wav", "b/1.wav", "b/2.wav"}


def test_a_folder_that_is_gone_is_no_failure_if_its_files_were_found_elsewhere(
    run: Run, clips: list[Path], tmp_path: Path
) -> None:
    a, b = place(clips, tmp_path / "a", 0, 1), tmp_path / "b"
    run(a)
    a.rename(b)
    report = run(a, b, prune=True)
    assert (counted(report), report.failed) == ({"moved": 2}, [])
    shutil.rmtree(b)
    with pytest.raises(UsageError, match=r"b: not found, but the library holds 2 tracks below it; .* library remove /"):
        run(b, prune=True)
    assert len(held(tmp_path)) == 2


def test_a_copy_is_no_move_as_long_as_the_original_is_there(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a = place(clips, tmp_path / "a", 0)
    run(a)
    b = place(clips, tmp_path / "b", 0)
    assert counted(run(b)) == {"copied": 1}
    assert held(tmp_path) == {"a/0.wav", "b/0.wav"}


def test_of_one_vanished_file_two_new_copies_make_a_move_and_a_copy(
    run: Run, clips: list[Path], tmp_path: Path
) -> None:
    a = place(clips, tmp_path / "a", 0)
    run(a)
    a.rename(tmp_path / "b")
    shutil.copy(tmp_path / "b" / "0.wav", tmp_path / "b" / "again.wav")
    assert counted(run(tmp_path / "b")) == {"moved": 1, "copied": 1}
    assert held(tmp_path) == {"b/0.wav", "b/again.wav"}


def test_of_two_vanished_copies_the_one_of_the_same_name_moves(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a = place(clips, tmp_path / "a", 0)
    shutil.copy(a / "0.wav", a / "zero.wav")
    run(a)
    with LibraryFolder(tmp_path / "library") as library:
        ids = {track.path.name: track.id for track in library.catalog.tracks()}
    a.rename(tmp_path / "b")
    assert counted(run(tmp_path / "b")) == {"moved": 2}
    with LibraryFolder(tmp_path / "library") as library:
        assert {track.path.name: track.id for track in library.catalog.tracks()} == ids


def test_a_file_that_was_only_replaced_is_encoded(run: Run, clips: list[Path], tmp_path: Path) -> None:
    """Equal sizes are not equal contents."""
    a = place(clips, tmp_path / "a", 0)
    run(a)
    (a / "0.wav").unlink()
    b = place(clips, tmp_path / "b", 1)
    assert (a / "../b/1.wav").stat().st_size == clips[0].stat().st_size
    assert counted(run(b)) == {"added": 1}
    assert held(tmp_path) == {"a/0.wav", "b/1.wav"}


def test_a_moved_track_gets_the_model_that_it_lacks(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a = place(clips, tmp_path / "a", 0)
    run(a)
    a.rename(tmp_path / "b")
    run(tmp_path / "b", model="compact")
    with LibraryFolder(tmp_path / "library") as library:
        assert list(library.catalog.encoded_by().values()) == [{"compact", "dsp"}]


# Results --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_disks(run: Run, clips: list[Path], tmp_path: Path) -> Path:
    """A library of three clips on one disk, and one with a copy on another."""
    one, two = place(clips, tmp_path / "one", 0, 1, 2), place(clips, tmp_path / "two", 3)
    shutil.copy(two / "3.wav", two / "copy.wav")
    run(one, two)
    return tmp_path / "library"


def names(matches: object) -> set[str]:
    return {Path(match.path).name for match in matches}  # type: ignore[attr-defined]


def test_no_result_is_a_file_that_is_not_there(two_disks: Path, clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "one" / "1.wav").unlink()
    with LibraryFolder(two_disks) as library:
        found = search_library(library, Query(clips[0], include_self=True, k=10, all_copies=True))
        assert names(found) == {"0.wav", "2.wav", "3.wav", "copy.wav"}
        assert [Path(path).name for path in found.missing] == ["1.wav"]
        assert found.absent_folders == ()
        assert "1.wav" not in names(build_playlist(library, clips[0], 5))
        assert "1.wav" not in names(find_path(library, clips[0], clips[3], 2))
        groups = find_duplicates(library).groups
        assert [[track.path.name for track in group.tracks] for group in groups] == [["3.wav", "copy.wav"]]
        (tmp_path / "two" / "copy.wav").unlink()
        assert find_duplicates(library).groups == ()


def test_tracks_on_a_disk_that_is_away_are_left_out_and_come_back(
    two_disks: Path, clips: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "two").rename(tmp_path / "unplugged")
    with LibraryFolder(two_disks) as library:
        for _ in range(2):
            found = search_library(library, Query(clips[0], include_self=True, k=10, all_copies=True))
            assert names(found) == {"0.wav", "1.wav", "2.wav"}
            assert (found.absent_folders, found.missing, found.searched) == ((str(tmp_path / "two"),), (), 3)
            assert names(build_playlist(library, clips[0], 5)) <= {"1.wav", "2.wav"}
            (tmp_path / "two").mkdir(exist_ok=True)  # the mount point without its disk
        (tmp_path / "two").rmdir()
        (tmp_path / "unplugged").rename(tmp_path / "two")
        assert len(search_library(library, Query(clips[0], include_self=True, k=10, all_copies=True))) == 5


# Pruning --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave_folder", [True, False], ids=["empty mount point", "no mount point"])
def test_prune_keeps_what_may_lie_on_a_disk_below_the_folder(
    run: Run, clips: list[Path], tmp_path: Path, leave_folder: bool
) -> None:
    """A disk of two tracks below the given folder: two are enough to be careful."""
    media = tmp_path / "media"
    place(clips, media / "internal", 0), place(clips, media / "usb", 1, 2)
    run(media)
    shutil.rmtree(media / "usb")
    if leave_folder:
        (media / "usb" / "empty" / "too").mkdir(parents=True)
        (media / "usb" / ".DS_Store").touch()
    report = run(media, prune=True)
    assert (counted(report), report.away) == ({"unchanged": 1}, [(str(media / "usb"), 2)])
    assert len(held(tmp_path)) == 3
    with LibraryFolder.create(tmp_path / "library") as library:  # on purpose
        assert remove_tracks(library, tracks_at(library, [media / "usb"])) == 2
    assert held(tmp_path) == {"media/internal/0.wav"}


def test_a_given_folder_of_two_tracks_that_is_empty_may_be_a_missing_disk(
    run: Run, clips: list[Path], tmp_path: Path
) -> None:
    a = place(clips, tmp_path / "a", 0, 1)
    run(a)
    for file in a.iterdir():
        file.unlink()
    report = run(a, prune=True)
    assert (counted(report), report.away) == ({}, [(str(a), 2)])
    assert len(held(tmp_path)) == 2


def test_prune_drops_deleted_files(run: Run, clips: list[Path], tmp_path: Path) -> None:
    """A file deleted alone, with its folder or from it, and files deleted from a folder that holds others."""
    music = place(clips, tmp_path / "music", 0, 1, 2)
    place(clips, music / "album", 3)
    run(music)
    (music / "0.wav").unlink()
    (music / "1.wav").unlink()
    shutil.rmtree(music / "album")
    report = run(music, prune=True)
    assert (counted(report), report.away) == ({"missing": 3, "pruned": 3, "unchanged": 1}, [])
    assert held(tmp_path) == {"music/2.wav"}


def test_a_source_below_the_given_folder_counts_as_a_disk_even_with_one_track(
    run: Run, clips: list[Path], tmp_path: Path
) -> None:
    media = tmp_path / "media"
    usb = place(clips, media / "usb", 1)
    place(clips, media, 0)
    run(usb)
    run(media)
    shutil.rmtree(usb)
    assert run(media, prune=True).away == [(str(usb), 1)]
    assert len(held(tmp_path)) == 2


def test_a_link_to_a_disk_that_is_away(run: Run, clips: list[Path], tmp_path: Path) -> None:
    music = place(clips, tmp_path / "music", 0)
    disk = place(clips, tmp_path / "disk", 1)
    (music / "link").symlink_to(disk)
    run(music)
    shutil.rmtree(disk)
    assert run(music, prune=True).away == [(str(music / "link"), 1)]
    assert len(held(tmp_path)) == 2


def test_a_mounted_disk_is_remembered_as_such(run: Run, clips: list[Path], tmp_path: Path) -> None:
    """One track is enough where the mount point was seen."""
    music = place(clips, tmp_path / "music", 0)
    (music / "usb").mkdir()
    with mounted("-t", "tmpfs", "tmpfs", at=music / "usb"):
        place(clips, music / "usb" / "album", 1)
        run(music)
    report = run(music, prune=True)
    assert (counted(report), report.away) == ({"unchanged": 1}, [(str(music / "usb"), 1)])


def test_another_device_below_the_folder_is_the_root_of_its_files(
    run: Run, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, where no file system can be mounted."""
    music = place(clips, tmp_path / "music", 0)
    place(clips, music / "usb" / "album", 1)
    real = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        found = real(path, **options)
        if "usb" not in path.parts:
            return found
        return os.stat_result([*found[:2], 99, *found[3:10]], {
            name: getattr(found, name) for name in ("st_mtime_ns", "st_atime_ns", "st_ctime_ns")
        })  # fmt: skip

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stat)
        run(music)
    with LibraryFolder(tmp_path / "library") as library:
        roots = set(library.catalog.paths.roots_of(library.catalog.ids().tolist()).values())
    assert roots == {music, music / "usb"}
    shutil.rmtree(music / "usb")
    assert run(music, prune=True).away == [(str(music / "usb"), 1)]


def failing(tmp_path: Path) -> set[str]:
    """The paths of all failures, relative to the test's folder."""
    with LibraryFolder(tmp_path / "library") as library:
        return {str(path.relative_to(tmp_path)) for path in library.catalog.failures.all()}


def bad(folder: Path, *names: str) -> None:
    """Put files that cannot be decoded into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"RIFF")


@pytest.mark.parametrize("with_track", [True, False])
def test_failures_on_a_disk_that_is_away_are_kept(
    run: Run, clips: list[Path], tmp_path: Path, with_track: bool
) -> None:
    media = place(clips, tmp_path / "media", 0)
    bad(media / "usb", "x.wav", "y.wav")
    place(clips, media / "usb", *([1] if with_track else []))
    run(media)
    (media / "usb").rename(tmp_path / "unplugged")
    report = run(media, prune=True)
    assert report.away == ([(str(media / "usb"), 1)] if with_track else [])
    assert failing(tmp_path) == {"media/usb/x.wav", "media/usb/y.wav"}
    (tmp_path / "unplugged").rename(media / "usb")
    report = run(media)
    assert (report.failed_before, report.failed) == (2, []), "they were tried again"


def test_failures_that_were_deleted_or_moved_with_their_tracks_are_forgotten(
    run: Run, clips: list[Path], tmp_path: Path
) -> None:
    music = place(clips, tmp_path / "music", 0)
    bad(music, "x.wav")
    bad(music / "single", "y.wav")
    bad(place(clips, music / "album", 1), "u.wav", "v.wav")
    run(music)
    (music / "x.wav").unlink()
    shutil.rmtree(music / "single")
    (music / "album").rename(music / "renamed")
    report = run(music)
    assert (report.moved, len(report.failed), report.away) == (1, 2, [])
    assert failing(tmp_path) == {"music/renamed/u.wav", "music/renamed/v.wav"}


def test_failures_below_a_folder_that_cannot_be_read_are_kept(
    run: Run, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    music = place(clips, tmp_path / "music", 0)
    bad(music / "sub", "x.wav")
    run(music)
    real = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        run(music)
    assert failing(tmp_path) == {"music/sub/x.wav"}
    assert run(music).failed_before == 1


def test_a_folder_that_cannot_be_read_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    assert holds_no_file(tmp_path / "a") and holds_no_file(tmp_path / "b")

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert not holds_no_file(tmp_path / "a")


# Moves and removals by hand -------------------------------------------------------------------------------------------


def test_move_follows_files_that_have_the_content(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a = place(clips, tmp_path / "a" / "deep", 0, 1, 2).parent
    run(a)
    a.rename(tmp_path / "b")
    shutil.copy(clips[3], tmp_path / "b" / "deep" / "1.wav")  # other content of the same size
    (tmp_path / "b" / "deep" / "2.wav").unlink()
    with LibraryFolder.create(tmp_path / "library") as library:
        report = move_tracks(library, a, tmp_path / "b")
    assert report.moved == 1
    assert [(Path(path).name, reason.partition(";")[0]) for path, reason in report.failed] == [
        ("1.wav", f"{tmp_path}/b/deep/1.wav has other content"),
        ("2.wav", f"its file is not at {tmp_path}/b/deep/2.wav"),
    ]
    assert held(tmp_path) == {"b/deep/0.wav", "a/deep/1.wav", "a/deep/2.wav"}
    assert counted(run(tmp_path / "b")) == {"added": 1, "unchanged": 1}


def test_move_of_a_file_into_a_folder_as_mv_does(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a, b = place(clips, tmp_path / "a", 0), place(clips, tmp_path / "b")
    run(a)
    (a / "0.wav").rename(b / "0.wav")
    with LibraryFolder.create(tmp_path / "library") as library:
        assert move_tracks(library, a / "0.wav", b).moved == 1
        b.rename(tmp_path / "c")
        (tmp_path / "d").mkdir()
        (tmp_path / "c").rename(tmp_path / "d" / "b")
        assert move_tracks(library, b, tmp_path / "d").moved == 1, "mv b d puts b into d"
    assert held(tmp_path) == {"d/b/0.wav"}


def test_move_refuses_copies_and_replaces_entries(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a = place(clips, tmp_path / "a", 0)
    b = place(clips, tmp_path / "b", 0)
    run(a)
    with LibraryFolder.create(tmp_path / "library") as library:
        report = move_tracks(library, a, b)
        assert report.moved == 0 and "its file is still there" in report.failed[0][1]
    run(b)
    (a / "0.wav").unlink()
    with LibraryFolder.create(tmp_path / "library") as library:
        first = library.catalog.id_at(a / "0.wav")
        assert move_tracks(library, a, b).moved == 1
        assert [(track.id, track.path) for track in library.catalog.tracks()] == [(first, b / "0.wav")]
        with pytest.raises(UsageError, match=r"a is not in the library at .*; see what it holds with: soundalike"):
            move_tracks(library, a, b)
        with pytest.raises(UsageError, match=r"nowhere: not found; move the files there first"):
            move_tracks(library, b, tmp_path / "nowhere")


# What belongs to the old audio ----------------------------------------------------------------------------------------


def test_a_replaced_file_leaves_its_family_and_one_with_new_tags_stays(
    run: Run, clips: list[Path], tmp_path: Path
) -> None:
    a = place(clips, tmp_path / "a", 0, 1, 2)
    run(a)
    with LibraryFolder.create(tmp_path / "library") as library:
        ids = {track.path.name: track.id for track in library.catalog.tracks()}
        with library.catalog.transaction():
            library.catalog.families.put([[ids["0.wav"], ids["1.wav"], ids["2.wav"]]])
    shutil.copy(clips[3], a / "0.wav")
    os.utime(a / "0.wav", (1, 1))
    data = (a / "1.wav").read_bytes()
    (a / "1.wav").write_bytes(data + b"LIST\x04\x00\x00\x00INFO")  # the same audio in another file
    assert counted(run(a)) == {"changed": 2, "unchanged": 1}
    with LibraryFolder(tmp_path / "library") as library:
        assert set(library.catalog.families.by_track() or {}) == {ids["1.wav"], ids["2.wav"]}
        assert library.catalog.database.corrupt_tracks() == []


def test_a_copy_over_a_track_joins_the_family_of_its_source(run: Run, clips: list[Path], tmp_path: Path) -> None:
    a = place(clips, tmp_path / "a", 0, 1, 2, 3)
    run(a)
    with LibraryFolder.create(tmp_path / "library") as library:
        ids = {track.path.name: track.id for track in library.catalog.tracks()}
        with library.catalog.transaction():
            library.catalog.families.put([[ids["0.wav"], ids["1.wav"]], [ids["2.wav"], ids["3.wav"]]])
    shutil.copy(clips[2], a / "0.wav")
    os.utime(a / "0.wav", (1, 1))
    assert counted(run(a)) == {"copied": 1, "unchanged": 3}
    with LibraryFolder(tmp_path / "library") as library:
        assert library.catalog.families.by_track() == {
            ids["0.wav"]: 1, ids["1.wav"]: 0, ids["2.wav"]: 1, ids["3.wav"]: 1,
        }  # fmt: skip


def described(tmp_path: Path) -> tuple[str | None, float | None, str | None]:
    with LibraryFolder(tmp_path / "library") as library:
        (track,) = library.catalog.tracks()
    return track.described_by, track.tempo, track.key


def test_descriptors_come_from_the_default_model_or_else_the_last(run: Run, tmp_path: Path) -> None:
    from soundalike.models import Model

    # Two bars of chords, which the two models describe differently.
    file = write(tmp_path / "a" / "x.wav", tune(TUNES["leaps"], seconds=11, beat=0.37, drums=(0, 3, 6)))
    expected = {}
    for name in ("dsp", "compact"):
        found = Model.load(name).encode(file).descriptors
        expected[name] = (name, found.tempo, found.key)
    assert expected["dsp"][1:] != expected["compact"][1:], "the test needs a clip on which they differ"
    run(file.parent, model="dsp")
    assert described(tmp_path) == expected["dsp"]
    run(file.parent, model="compact")
    assert described(tmp_path) == expected["compact"], "the descriptors of the old model went"
    os.utime(file, (1, 1))
    write(file, np.append(tune(TUNES["leaps"], seconds=11, beat=0.37, drums=(0, 3, 6)), 0))
    run(file.parent, model="dsp")
    assert described(tmp_path)[0] == "compact", "of two models in one run, the default one describes"


def test_an_empty_library_is_deleted_while_nobody_can_write(
    tmp_path: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "library"
    LibraryFolder.create(path).close()
    (path / "mine.txt").touch()
    busy, unlink = [], Path.unlink

    def spy(file: Path, missing_ok: bool = False) -> None:
        with pytest.raises(LibraryBusyError):
            LibraryFolder(path, writable=True)
        busy.append(file.name)
        unlink(file, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", spy)
        assert discard_if_empty(path)
    assert {"catalog.sqlite", "writer.lock"} <= set(busy)
    assert [file.name for file in path.iterdir()] == ["mine.txt"]
    assert discard_if_empty(path)
    (path / "mine.txt").unlink()
    with LibraryFolder.create(path) as library:
        index_files(library, [clips[0]], model="dsp", jobs=1)
    assert not discard_if_empty(path)
    with LibraryFolder(path) as library:
        assert len(library.catalog.tracks()) == 1


def test_a_folder_with_other_files_is_no_place_for_a_library(tmp_path: Path) -> None:
    """Their names may begin as those of a library do."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "catalog.csv").write_text("mine")
    with pytest.raises(LibraryError, match="not empty and holds no library"):
        LibraryFolder.create(folder)
    assert (folder / "catalog.csv").read_text() == "mine"


def test_a_folder_moves_into_itself(run: Run, clips: list[Path], tmp_path: Path) -> None:
    """x/sub/a.wav moves to x/sub/sub/a.wav, and x/a.wav to the place that it left."""
    top = tmp_path / "x"
    (top / "sub" / "sub").mkdir(parents=True)
    shutil.copy(clips[0], top / "a.wav")
    shutil.copy(clips[1], top / "sub" / "a.wav")
    run(top)
    (top / "sub" / "a.wav").rename(top / "sub" / "sub" / "a.wav")
    (top / "a.wav").rename(top / "sub" / "a.wav")
    with LibraryFolder(tmp_path / "library", writable=True) as library:
        report = move_tracks(library, top, top / "sub")
        assert (report.moved, report.failed) == (2, [])
        held = {str(track.path.relative_to(top)): track.content_hash for track in library.catalog.tracks()}
    assert held == {"sub/a.wav": content_hash(clips[0]), "sub/sub/a.wav": content_hash(clips[1])}


def test_files_that_come_back_while_others_are_encoded_are_not_pruned(
    run: Run, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    music = place(clips, tmp_path / "music", 0, 1)
    run(music)
    (music / "1.wav").rename(tmp_path / "kept.wav")
    note = Planner._note_missing

    def restore(planner: Planner) -> None:
        note(planner)
        (tmp_path / "kept.wav").rename(music / "1.wav")

    monkeypatch.setattr(Planner, "_note_missing", restore)
    with LibraryFolder(tmp_path / "library", writable=True) as library:
        assert index_files(library, [music], prune=True, jobs=1).pruned == 0
        assert len(library.catalog.tracks()) == 2


def test_names_that_differ_in_case_only_are_two_files_here(run: Run, clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "Music").mkdir()
    try:
        (tmp_path / "music").mkdir()
    except FileExistsError:
        return  # here they are one
    for folder in ("Music", "music"):
        shutil.copy(clips[0], tmp_path / folder / "a.wav")
    run(tmp_path / "Music")
    run(tmp_path / "music")
    with LibraryFolder(tmp_path / "library") as library:
        assert len(library.catalog.tracks()) == 2
