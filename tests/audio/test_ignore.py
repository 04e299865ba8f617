"""Patterns of files to leave out: those of the caller and those of `.soundalikeignore` files."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from soundalike.audio.datasets.folder import FolderDataset
from soundalike.audio.datasets.ignore import check_patterns
from soundalike.core.errors import UsageError

FILES = (
    "a.mp3", "a.wav", "keep.wav", "demos/b.mp3", "album/demos/c.mp3", "album/d.mp3", "album/live/e.mp3",
    "album/live/f.flac", "album/[x] g.mp3", "Ünder/h.mp3",
)  # fmt: skip


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "music" / name).touch()
    return tmp_path / "music"


def left_out(music: Path, *patterns: str) -> set[str]:
    found = {item.path.relative_to(music).as_posix() for item in FolderDataset(music, patterns).items()}
    return set(FILES) - found


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], set()),
        (["*.wav"], {"a.wav", "keep.wav"}),
        (["*.wav", "!keep.wav"], {"a.wav"}),
        (["demos"], {"demos/b.mp3", "album/demos/c.mp3"}),
        (["/demos/"], {"demos/b.mp3"}),
        (["album/*.mp3"], {"album/d.mp3", "album/[x] g.mp3"}),
        (["album/**/*.mp3"], {"album/demos/c.mp3", "album/d.mp3", "album/live/e.mp3", "album/[x] g.mp3"}),
        (["Ünder/"], {"Ünder/h.mp3"}),
        (["[[]x[]]*"], {"album/[x] g.mp3"}),
        (["album", "!album/d.mp3"], {name for name in FILES if name.startswith("album/")}),
    ],
)
def test_patterns_exclude_what_git_ignores(patterns: list[str], expected: set[str], music: Path) -> None:
    assert left_out(music, *patterns) == expected
    (music / ".gitignore").write_text("\n".join(patterns))
    subprocess.run(["git", "init", "-q", str(music)], check=True)
    listed = subprocess.run(
        ["git", "-C", str(music), "ls-files", "-z", "--others", "--exclude-standard"], capture_output=True, check=True
    ).stdout
    assert set(FILES) - {os.fsdecode(name) for name in listed.split(b"\0")} == expected


def test_a_path_below_the_source_may_be_written_in_full(music: Path) -> None:
    assert left_out(music, str(music / "demos")) == {"demos/b.mp3"}


def test_files_with_patterns_apply_below_their_folder(music: Path) -> None:
    (music / "album" / ".soundalikeignore").write_bytes(b"\xef\xbb\xbf# takes\r\nlive\r\n*.flac\r\n/demos\r\n")
    assert left_out(music) == {"album/live/e.mp3", "album/live/f.flac", "album/demos/c.mp3"}
    (music / "album" / ".soundalikeignore").write_text("*.mp3\n")
    (music / "album" / "live" / ".soundalikeignore").write_text("!e.mp3\n")
    assert left_out(music) == {"album/d.mp3", "album/demos/c.mp3", "album/[x] g.mp3"}
    assert "album/live/e.mp3" in left_out(music, "e.mp3"), "patterns of the caller come last"


def test_what_is_excluded_is_counted(music: Path) -> None:
    (music / ".soundalikeignore").write_text("*.wav\ncover.*\n")
    (music / "cover.jpg").touch()
    dataset = FolderDataset(music, ["demos"])
    assert len(list(dataset.items())) == len(FILES) - 4
    assert dataset.skipped == Counter({"excluded files": 2, "excluded folders": 2, ".jpg files": 1})
    assert {path.relative_to(music).as_posix() for path in dataset.excluded} == {
        "a.wav", "keep.wav", "demos", "album/demos",
    }  # fmt: skip


def test_a_single_file_can_be_excluded(music: Path) -> None:
    assert list(FolderDataset(music / "a.wav", ["*.mp3"]).items())
    dataset = FolderDataset(music / "a.wav", ["*.wav"])
    assert list(dataset.items()) == []
    assert dataset.excluded == [music / "a.wav"]


def test_a_folder_whose_patterns_cannot_be_read_is_left_out(music: Path) -> None:
    (music / "album" / ".soundalikeignore").mkdir()
    (music / "demos" / ".soundalikeignore").write_text("!\n")
    dataset = FolderDataset(music)
    names = {item.path.name for item in dataset.items()}
    assert names == {"a.mp3", "a.wav", "keep.wav", "h.mp3"}
    reasons = dict(dataset.unreadable)
    assert reasons[music / "album"] == ".soundalikeignore: Is a directory"
    assert reasons[music / "demos"].startswith(".soundalikeignore: Invalid git pattern")


def test_patterns_that_are_none() -> None:
    assert check_patterns("*.wav") == ("*.wav",)
    for wrong in ([""], 3, [3], ["!"], b"*.wav"):
        with pytest.raises(UsageError, match=r"^exclude"):
            check_patterns(wrong)
