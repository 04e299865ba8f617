"""Inputs of commands: the library and model to use, recordings from standard input, names as typed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from soundalike.cli.config import read_config
from soundalike.core.errors import UsageError
from soundalike.core.files import absolute
from soundalike.core.settings import default_library

if TYPE_CHECKING:
    from soundalike.api import Library
    from soundalike.audio import AudioInput
    from soundalike.models import Model

__all__ = [
    "StandardInput",
    "chosen_library",
    "chosen_model",
    "library_folder",
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
