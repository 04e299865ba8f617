"""Folders of the user's platform: application data, the cache, and the default library."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from soundalike.core.errors import UsageError

__all__ = ["cache_folder", "config_file", "data_folder", "default_library", "stem_cache_bytes"]

_APP = "soundalike"
_XDG_VARIABLES = {"data": "XDG_DATA_HOME", "cache": "XDG_CACHE_HOME", "config": "XDG_CONFIG_HOME"}
_MACOS_FOLDERS = {"data": "Application Support", "cache": "Caches", "config": "Application Support"}


def data_folder() -> Path:
    """Return the folder for data that must persist.

    Returns:
        `$XDG_DATA_HOME/soundalike` or `~/.local/share/soundalike` on Linux,
        `~/Library/Application Support/soundalike` on macOS, `%LOCALAPPDATA%\\soundalike` on Windows. The folder need
        not exist.
    """
    return _user_folder("data")


def cache_folder() -> Path:
    """Return the folder for files that can be made again.

    Returns:
        `$XDG_CACHE_HOME/soundalike` or `~/.cache/soundalike` on Linux, `~/Library/Caches/soundalike` on macOS,
        `%LOCALAPPDATA%\\soundalike` on Windows. The folder need not exist.
    """
    return _user_folder("cache")


def config_file() -> Path:
    """Return the file of the settings of the command line.

    Returns:
        The value of `$SOUNDALIKE_CONFIG` if it is set and not empty, else `$XDG_CONFIG_HOME/soundalike/config.toml` or
        `~/.config/soundalike/config.toml` on Linux, `config.toml` below `data_folder()` elsewhere. It need not exist.
    """
    chosen = os.environ.get("SOUNDALIKE_CONFIG")
    return Path(chosen) if chosen else _user_folder("config") / "config.toml"


def default_library() -> Path:
    """Return the folder of the library to use when none is named.

    Returns:
        The value of `$SOUNDALIKE_LIBRARY` if it is set and not empty, else `library` below `data_folder()`.

    Example:
        >>> os.environ["SOUNDALIKE_LIBRARY"] = "/music/library"
        >>> default_library()
        PosixPath('/music/library')
    """
    chosen = os.environ.get("SOUNDALIKE_LIBRARY")
    return Path(chosen) if chosen else data_folder() / "library"


def stem_cache_bytes() -> int:
    """Return how many bytes of separated stems the cache may hold.

    Returns:
        `$SOUNDALIKE_STEM_CACHE` gigabytes of 10^9 bytes if it is set and not empty, else 20.

    Raises:
        UsageError: It is not a number of at least 0.

    Example:
        >>> stem_cache_bytes()
        20000000000
    """
    text = os.environ.get("SOUNDALIKE_STEM_CACHE") or "20"
    try:
        gigabytes = float(text)
        if not 0 <= gigabytes <= 1e9:
            raise ValueError
    except ValueError:
        raise UsageError(f"SOUNDALIKE_STEM_CACHE is {text!r}; expected gigabytes, such as 50") from None
    return int(gigabytes * 1e9)


def _user_folder(kind: Literal["data", "cache", "config"]) -> Path:
    """Return the folder of this application for one kind of file."""
    if sys.platform == "darwin":
        # Recent versions of platformdirs apply the XDG variables on macOS too, which would hide existing libraries.
        return Path.home() / "Library" / _MACOS_FOLDERS[kind] / _APP
    # platformdirs ignores relative XDG paths, and on Windows asks the system before it reads the variable.
    variable = "LOCALAPPDATA" if sys.platform == "win32" else _XDG_VARIABLES[kind]
    if value := os.environ.get(variable):
        return Path(value) / _APP
    import platformdirs  # here, because it takes some milliseconds

    if kind == "data":
        return platformdirs.user_data_path(_APP, appauthor=False)
    if kind == "config":
        return platformdirs.user_config_path(_APP, appauthor=False)
    return platformdirs.user_cache_path(_APP, appauthor=False, opinion=False)
