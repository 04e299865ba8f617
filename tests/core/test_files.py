"""Writing files: whole or not at all, durable, with the permissions and links that users expect."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from soundalike.core.errors import UsageError
from soundalike.core.files import foreign_files, write_atomic

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")


def put(path: Path, content: bytes = b"new") -> None:
    write_atomic(path, lambda file: file.write(content))


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        put(tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@posix
def test_an_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    put(tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/target")
    for content in (b"a target that did not exist", b"one that does"):
        put(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "target").read_bytes() == content
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["target"]


@posix
def test_a_device_is_written_and_not_replaced() -> None:
    put(Path(os.devnull))
    assert not stat.S_ISREG(Path(os.devnull).stat().st_mode)


@posix
def test_the_file_is_synced_before_it_gets_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes"
        steps.append(f"sync {kind}")
        fsync(handle)

    def recorded_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    put(tmp_path / "file", b"12345")
    assert steps == ["sync 5 bytes", "rename", "sync folder"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "file", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"cannot write .*file: No space left on device"):
        put(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_of_file_managers_are_not_foreign(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", "._cover.jpg", "Icon\r"):
        (tmp_path / name).touch()
    assert foreign_files(tmp_path) == []
    (tmp_path / "song.mp3").touch()
    assert foreign_files(tmp_path) == [tmp_path / "song.mp3"]
