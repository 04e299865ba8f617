"""The file of settings: what the options are where they are not given, and named weights."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError
from soundalike.core.presets import PRESETS, Preset, parse_presets
from soundalike.core.settings import config_file

__all__ = ["Config", "read_config"]


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of the command line.

    Attributes:
        path: The file; it need not exist.
        library: The folder of the library, or None.
        model: The name of the model, or None.
        weights: The weights, or the name of a preset, or None.
        exclude: Patterns of files that are not indexed.
        presets: The presets by name, with those that are built in.
    """

    path: Path
    library: Path | None = None
    model: str | None = None
    weights: str | None = None
    exclude: tuple[str, ...] = ()
    presets: Mapping[str, Preset] = field(default_factory=lambda: dict(PRESETS))


def read_config(path: Path | None = None) -> Config:
    """Read the settings.

    Args:
        path: The file; None takes that of the user, see `soundalike.core.settings.config_file`.

    Returns:
        The settings; those that the file does not have are the defaults, as are all of them if there is no file.

    Raises:
        UsageError: The file cannot be read, is no TOML, or has an unknown key or a value of another type.

    Example:
        >>> read_config(Path("config.toml")).presets["groove"].weights
        'rhythm=2,timbre=1'
    """
    return _read(path or config_file())


@functools.cache
def _read(path: Path) -> Config:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Config(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        found = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error
    known = ("library", "model", "weights", "exclude", "presets")
    for key in found:
        if key not in known:
            raise UsageError(f"{path}: unknown key {key!r}; known: {', '.join(known)}")
    library = _text(path, found, "library")
    return Config(
        path,
        library=None if library is None else _folder(path, library),
        model=_text(path, found, "model"),
        weights=_text(path, found, "weights"),
        exclude=_patterns(path, found.get("exclude", [])),
        presets={**PRESETS, **parse_presets(path, found.get("presets", {}))},
    )


def _text(path: Path, found: Mapping[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise UsageError(f"{path}: {key} is {value!r}; expected text")
    return value


def _folder(path: Path, name: str) -> Path:
    try:
        return path.parent / Path(name).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: library is {name!r}; there is no such user") from None


def _patterns(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise UsageError(f'{path}: exclude is {value!r}; expected a list of patterns, such as ["*.wav"]')
    return tuple(value)
