"""Paths typed in another spelling than their folder lists, on systems that find them nevertheless."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

import pytest

from soundalike.core import spelling
from soundalike.core.files import absolute, as_path
from soundalike.core.spelling import as_listed, other_forms

NFC, NFD = unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "Café")


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform such as macOS or Windows. The folders are real, and Linux lists what was written."""
    monkeypatch.setattr(spelling, "_FOLDS", True)


@pytest.mark.usefixtures("folding")
def test_names_become_what_their_folders_list(tmp_path: Path) -> None:
    listed = tmp_path / NFD / "Song.WAV"
    listed.parent.mkdir()
    listed.touch()
    for typed in (f"{NFC}/Song.WAV", f"{NFC.upper()}/song.wav", f"{NFD}/Song.WAV", f"./{NFC}/../{NFC}/SONG.wav"):
        assert as_path(tmp_path / typed, "path") == listed


@pytest.mark.usefixtures("folding")
def test_an_exact_name_is_preferred_to_other_spellings(tmp_path: Path) -> None:
    """Folders that distinguish case exist on macOS and Windows too."""
    names = ("song.wav", "Song.wav", "SONG.wav")
    for name in names:
        (tmp_path / name).touch()
    assert [absolute(tmp_path / name).name for name in names] == list(names)


@pytest.mark.usefixtures("folding")
def test_names_that_do_not_exist_stay_and_new_ones_are_seen(tmp_path: Path) -> None:
    assert absolute(tmp_path / "none" / "New.wav") == tmp_path / "none" / "New.wav"
    assert absolute(tmp_path / "NEW.wav").name == "NEW.wav"
    (tmp_path / "new.wav").touch()
    assert absolute(tmp_path / "NEW.wav").name == "new.wav"


@pytest.mark.usefixtures("folding")
def test_a_folder_that_cannot_be_listed_keeps_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert absolute(tmp_path / "Song.wav") == tmp_path / "Song.wav"


def test_drives_are_written_as_windows_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Windows(PureWindowsPath):
        def stat(self) -> None:
            raise FileNotFoundError

    monkeypatch.setattr(spelling, "_FOLDS", True)
    assert str(as_listed(Windows("c:\\Music\\a.wav"))) == "C:\\Music\\a.wav"  # type: ignore[type-var]
    assert str(as_listed(Windows("\\\\nas\\Music\\a.wav"))) == "\\\\nas\\Music\\a.wav"  # type: ignore[type-var]


def test_nothing_changes_where_names_are_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, "_FOLDS", False)
    (tmp_path / "song.wav").touch()
    assert absolute(tmp_path / "SONG.wav") == tmp_path / "SONG.wav"


def test_other_forms_of_a_path() -> None:
    assert other_forms(Path("/a/b.wav")) == ()
    assert other_forms(Path("/a", NFC)) == (Path("/a", NFD),)
    assert other_forms(Path("/a", NFD)) == (Path("/a", NFC),)
    assert set(other_forms(Path(NFC, NFD))) == {Path(NFC, NFC), Path(NFD, NFD)}
    assert other_forms(Path("/a/\udcff")) == ()
