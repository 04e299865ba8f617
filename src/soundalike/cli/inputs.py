"""What commands share: the model and library asked for, recordings on standard input, errors that name their file."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundalike.cli.parser import default_library
from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.files import absolute
from soundalike.core.types import Weights
from soundalike.library import LibraryFolder
from soundalike.models import DEFAULT_MODEL, Model, parse_weights

__all__ = ["about", "check_folder", "chosen_model", "chosen_weights", "library_path", "recording"]


def library_path(args: argparse.Namespace) -> Path:
    """The library's folder, absolute."""
    return absolute(args.library or default_library())


def check_folder(path: Path) -> None:
    """Refuse a file to be written whose folder is not there, before any work is done. Raises UsageError."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: its folder does not exist")


def chosen_weights(args: argparse.Namespace) -> Weights | None:
    """The slider positions of `-w`, if it was given. Raises UsageError."""
    return None if args.weights is None else parse_weights(args.weights)


@contextmanager
def chosen_model(args: argparse.Namespace) -> Iterator[tuple[Model, LibraryFolder | None]]:
    """The model asked for; with `--library` the library's own by default, and the library it is to be measured by."""
    if args.library is None:
        yield Model.load(args.model if args.model is not None else DEFAULT_MODEL), None
        return
    with LibraryFolder(library_path(args)) as library:
        yield library.model(args.model), library


@contextmanager
def about(name: str) -> Iterator[None]:
    """An AudioError inside names the file that it is about."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from error


@contextmanager
def recording(name: str) -> Iterator[Path]:
    """The file that `name` means; `-` is what comes on standard input, kept in a temporary file meanwhile."""
    if name != "-":
        yield absolute(Path(name))
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("- reads a recording from standard input, but nothing is piped in there")
    with tempfile.NamedTemporaryFile(prefix="soundalike-", suffix=".audio") as file:
        while chunk := sys.stdin.buffer.read(1 << 20):
            file.write(chunk)
        file.flush()
        try:
            yield Path(file.name)
        except SoundalikeError as error:
            raise type(error)(str(error).replace(file.name, "-")) from error
