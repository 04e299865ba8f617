"""Names that stand for weights: those that always exist, and those in the file of settings."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic

__all__ = ["PRESETS", "Preset", "check_preset_name", "parse_presets", "read_presets", "save_preset"]

_HEADER = re.compile(r"\s*\[\s*presets\s*\]\s*(#.*)?")
_TABLE = re.compile(r"\s*\[")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Preset:
    """Named weights, and what they look for."""

    weights: str
    summary: str = ""


PRESETS: Mapping[str, Preset] = {
    "everything": Preset("melody=1,rhythm=1,timbre=1,harmony=1", "all four spaces alike"),
    "tune": Preset("melody=2,harmony=1", "the same tune over similar chords, whoever plays it"),
    "groove": Preset("rhythm=2,timbre=1", "the same groove in a similar sound"),
    "sound": Preset("timbre=1", "the same instruments and production"),
    "chords": Preset("harmony=1", "the same chords"),
    "cover": Preset("melody=2,harmony=1,timbre=-1", "the same tune in another sound"),
    "flip": Preset("rhythm=1,timbre=-1", "the same groove in another sound"),
}
"""Presets that always exist."""


def parse_presets(path: Path, value: Any) -> dict[str, Preset]:
    """Return the presets of the table [presets] of a file of settings.

    Args:
        path: The file, for messages.
        value: The table: names and weights, or names and tables with weights and a summary.

    Raises:
        UsageError: An entry is invalid.

    Example:
        >>> parse_presets(Path("config.toml"), {"mine": {"weights": "timbre=1", "summary": "sound"}})
        {'mine': Preset(weights='timbre=1', summary='sound')}
    """
    if not isinstance(value, dict):
        raise UsageError(f"{path}: presets is {value!r}; expected a table of names and weights")
    presets = {}
    for name, entry in value.items():
        body = entry if isinstance(entry, dict) else {"weights": entry}
        texts = [body.get("weights"), body.get("summary", "")]
        if not all(isinstance(text, str) for text in texts) or not texts[0] or set(body) - {"weights", "summary"}:
            raise UsageError(
                f'{path}: presets.{name} is {entry!r}; expected weights, such as "rhythm=2,timbre=1", or '
                '{weights = "rhythm=2,timbre=1", summary = "what it looks for"}'
            )
        try:
            check_preset_name(name)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
        presets[name] = Preset(str(texts[0]), str(texts[1]))
    return presets


def check_preset_name(name: str) -> None:
    """Raise UsageError if weights could be meant by a name."""
    if not name or set(name) & set("=, "):
        raise UsageError(f"the preset {name!r} has a name with =, a comma or a space; choose another one")


def read_presets(path: Path) -> dict[str, Preset]:
    """Return the presets of a file of settings; none if it does not exist.

    Raises:
        UsageError: The file cannot be read, or an entry is invalid.

    Example:
        >>> read_presets(config_file()).keys()
        dict_keys(['drums'])
    """
    return parse_presets(path, _load(path)[1].get("presets", {}))


def save_preset(path: Path, name: str, preset: Preset, *, replace: bool = False) -> None:
    """Write a preset into the table [presets] of a file of settings. Everything else in it stays as it is.

    Args:
        path: The file; it and its folder are made if needed.
        name: The name of the preset.
        preset: Its weights and summary.
        replace: Whether a preset of this name may be replaced.

    Raises:
        UsageError: The name is invalid or taken, or the file cannot be read, understood or written.

    Example:
        >>> save_preset(config_file(), "listeners", Preset("melody=0.4,drums=1", "from 332 judgements"))
    """
    check_preset_name(name)
    text, before = _load(path)
    known = parse_presets(path, before.get("presets", {}))
    if name in known and not replace:
        raise UsageError(f"{path} has a preset {name}; choose another name, or give --replace")
    key = name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    value = {"weights": preset.weights, "summary": preset.summary}
    line = f"{key} = {{ {', '.join(f'{k} = {json.dumps(v, ensure_ascii=False)}' for k, v in value.items())} }}"
    new = _with_line(text, key, line)
    expected = {**before, "presets": {**before.get("presets", {}), name: value}}
    try:
        understood = tomllib.loads(new) == expected
    except tomllib.TOMLDecodeError:
        understood = False
    if not understood:  # such as presets = {...} in one line
        raise UsageError(f"{path}: its presets are not a table [presets] with one line each; add to them: {line}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda file: file.write(new.encode()))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _load(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a file of settings, and what it holds."""
    try:
        text = path.read_bytes().decode()
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error


def _with_line(text: str, key: str, line: str) -> str:
    """The text with a line of [presets] added, or replaced if it has one with this key."""
    lines = text.splitlines()
    start = next((n for n, one in enumerate(lines) if _HEADER.fullmatch(one)), None)
    if start is None:
        gap = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *gap, "[presets]", line, ""])
    end = next((n for n in range(start + 1, len(lines)) if _TABLE.match(lines[n])), len(lines))
    old = next((n for n in range(start + 1, end) if lines[n].partition("=")[0].strip() == key), None)
    if old is None:
        lines.insert(start + 1, line)
    else:
        lines[old] = line
    return "\n".join([*lines, ""])
