"""The platform folders: the same paths on every platform as before, and the variables that change them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from soundalike.core.settings import cache_folder, data_folder, default_library

VARIABLES = ("SOUNDALIKE_LIBRARY", "XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE")
PLATFORMS = {"linux": Unix, "darwin": MacOS, "win32": Windows}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, with none of the variables set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def use(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to run on another platform, as far as our code and platformdirs choose by it."""
    monkeypatch.setattr("soundalike.core.settings.sys.platform", platform)
    monkeypatch.setattr(platformdirs, "PlatformDirs", PLATFORMS[platform])


@pytest.mark.parametrize(
    ("platform", "data", "cache"),
    [
        ("linux", ".local/share/soundalike", ".cache/soundalike"),
        ("darwin", "Library/Application Support/soundalike", "Library/Caches/soundalike"),
    ],
)
def test_default_folders(home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, data: str, cache: str) -> None:
    use(platform, monkeypatch)
    assert data_folder() == home / data
    assert cache_folder() == home / cache
    assert default_library() == home / data / "library"


def test_folders_on_windows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("win32", monkeypatch)
    monkeypatch.setenv("LOCALAPPDATA", str(home / "AppData" / "Local"))
    assert data_folder() == cache_folder() == home / "AppData" / "Local" / "soundalike"


def test_folders_on_windows_without_the_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("win32", monkeypatch)
    local = home / "AppData" / "Local"
    # On Windows the system answers; here its answer is given.
    monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda name: {"CSIDL_LOCAL_APPDATA": str(local)}[name])
    assert [folder.parts for folder in (data_folder(), cache_folder())] == [(local / "soundalike").parts] * 2


def test_xdg_variables_on_linux(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("linux", monkeypatch)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert (data_folder(), cache_folder()) == (Path("/data/soundalike"), Path("/cache/soundalike"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert data_folder() == Path("relative/soundalike")
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert data_folder() == home / ".local/share/soundalike"


def test_xdg_variables_do_not_apply_on_macos(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("darwin", monkeypatch)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_folder() == home / "Library/Application Support/soundalike"
    assert cache_folder() == home / "Library/Caches/soundalike"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_library_variable_wins(home: Path, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    use(platform, monkeypatch)
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", "/music/library")
    assert default_library() == Path("/music/library")


def test_importing_does_not_load_platformdirs() -> None:
    code = "import sys, soundalike.core.settings; sys.exit('platformdirs' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
