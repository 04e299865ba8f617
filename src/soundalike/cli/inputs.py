"""Inputs of commands: the library and model to use, recordings from standard input, names as typed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from soundalike.cli.cells import count, track_names
from soundalike.cli.config import read_config
from soundalike.core.errors import UsageError
from soundalike.core.files import absolute
from soundalike.core.settings import default_library

if TYPE_CHECKING:
    from soundalike.api import Library
    from soundalike.audio import AudioInput
    from soundalike.library.catalog import Track
    from soundalike.models import Model

__all__ = [
    "StandardInput",
    "absolute_name",
    "chosen_library",
    "chosen_model",
    "library_folder",
    "named_recording",
    "one_standard_input",
    "recording",
    "typed_names",
]


class StandardInput:
    """Standard input as a recording that results and errors call `-`."""

    name = "-"

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes. Raises UsageError if nothing is piped in."""
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("- reads a recording from standard input, but nothing is piped in there")
        return sys.stdin.buffer.read(size)


def recording(name: str) -> AudioInput:
    """Return the recording that an argument names; `-` is standard input."""
    return cast("BinaryIO", StandardInput()) if name == "-" else name


_OFFERED = 8


def named_recording(library: Library, name: str) -> AudioInput:
    """Return the recording that an argument names: a path, `-`, or else words that name one track of the library.

    A person at a terminal chooses where several tracks fit.

    Raises:
        UsageError: The words fit no track, or several.
    """
    if name == "-" or _is_path(name) or not name.split():
        return recording(name)
    found = library.find(name)
    if not found:
        raise UsageError(f"{name}: neither a file nor words that name a track of the library; see: library ls")
    if len(found) > 1:
        found = [_chosen_by_user(name, found)]
    return str(found[0].path)


def _is_path(name: str) -> bool:
    from soundalike.audio import AUDIO_SUFFIXES

    try:
        exists = os.path.lexists(name) and not Path(name).is_dir()
    except ValueError:  # a null byte
        exists = False
    separators = [one for one in (os.sep, os.altsep) if one]
    return exists or any(one in name for one in separators) or Path(name).suffix.lower() in AUDIO_SUFFIXES


def _chosen_by_user(name: str, found: Sequence[Track]) -> Track:
    names, _ = track_names([(str(track.path), track) for track in found[:_OFFERED]])
    more = f" and {len(found) - _OFFERED:,} more" if len(found) > _OFFERED else ""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{name!r} fits {count(len(found), 'track')}: {'; '.join(names)}{more}; give more words")
    print(f"{name!r} fits {count(len(found), 'track')}:", file=sys.stderr)
    for number, one in enumerate(names, start=1):
        print(f"{number:3}  {one}", file=sys.stderr)
    if more:
        print(f"    {more}: give more words", file=sys.stderr)
    number = click.prompt("which one", type=click.IntRange(1, len(names)), err=True)
    return found[number - 1]


def absolute_name(name: str) -> str:
    """Return the absolute path of a recording that an argument names; `-` stays."""
    return name if name == "-" else str(absolute(Path(name)))


def one_standard_input(names: Sequence[str]) -> None:
    """Raise UsageError if more than one recording is to come from standard input."""
    if names.count("-") > 1:
        raise UsageError("only one of the recordings can come from standard input")


def typed_names(names: Sequence[str]) -> Mapping[str, str]:
    """Return the names as typed by the absolute paths that results have, for `Results.renamed`."""
    return {str(absolute(Path(name))): name for name in names if name != "-"}


def library_folder(given: Path | None) -> Path:
    """Return the absolute folder of the library: as given, else of the environment, the settings, or the default.

    Raises:
        UsageError: The file of settings is wrong.
    """
    if given is None and not os.environ.get("SOUNDALIKE_LIBRARY"):
        given = read_config().library
    return absolute(given or default_library())


def chosen_library(given: Path | None, *, create: bool = False) -> Library:
    """Open the library that `--library` names. Raises LibraryError."""
    from soundalike import api

    return api.open(library_folder(given), create=create)


@contextmanager
def chosen_model(model: str | None, library: Path | None) -> Iterator[Model]:
    """Load the model that `--model` names; without it, the default of the library that `--library` names."""
    if library is None:
        from soundalike import api
        from soundalike.models import DEFAULT_MODEL

        yield api.load_model(model if model is not None else DEFAULT_MODEL)
        return
    with chosen_library(library) as opened:
        yield opened.folder.model(model)
