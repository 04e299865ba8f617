"""Find the files of published weights: in a local file or folder, or on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.core.errors import ModelError, UsageError, one_line
from soundalike.core.files import FULL_DISK, as_path

__all__ = ["Source", "UnreachableError", "find_source", "link_or_copy"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where files come from.

    Attributes:
        name: The path or id, for messages.
        path: The local file or folder; None if the files are on the hub.
        licence: The licence of the files, or that it is unknown; empty until it was looked for.
        credit: Whom to credit for them.
        assumed: Whether they state no licence, and are taken for copies of the published files.
    """

    name: str
    path: Path | None
    licence: str = ""
    credit: str = ""
    assumed: bool = False

    def file(self, alternatives: Sequence[str]) -> Path | None:
        """Return the local path of the first of several files that exists, after downloading it if it is on the hub.

        Args:
            alternatives: Paths relative to the folder, with slashes.

        Returns:
            The path; None if no such file exists.

        Raises:
            UsageError: The source is a file, not a folder, or a folder that cannot be read.
            ModelError: The hub cannot be reached, or does not have or give the files.

        Example:
            >>> find_source("m-a-p/MERT-v1-330M", "--backbone").file(["config.json"])
            PosixPath('/home/ann/.cache/huggingface/hub/.../config.json')
        """
        if self.path is None:
            return _first_download(self.name, alternatives)
        try:
            if not self.path.is_dir():
                raise UsageError(f"{self.name} is a file; expected a folder with {alternatives[0]}")
            return next((file for name in alternatives if (file := self.path / name).is_file()), None)
        except OSError as error:
            raise _unreadable(self.path, error) from error


def find_source(given: str, option: str) -> Source:
    """Return the source that a path or an id on the hub names. Nothing is downloaded.

    Args:
        given: The path or id. What exists as a path is one.
        option: The command-line option, named in error messages.

    Raises:
        UsageError: It is neither, or a path that cannot be read.

    Example:
        >>> find_source("m-a-p/MERT-v1-330M", "--backbone").path is None
        True
    """
    path = as_path(given, option)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise _unreadable(path, error) from error
    if os.path.lexists(path):
        return Source(given, path)
    if _HUB_ID.fullmatch(given):
        return Source(given, None)
    raise UsageError(
        f"{option}: {given} does not exist, and is no id on the Hugging Face hub, such as m-a-p/MERT-v1-330M"
    )


def link_or_copy(file: Path, target: Path) -> None:
    """Make `target` a hard link to a file, or a copy where links are impossible. Parents of `target` are created.

    Raises:
        UsageError: The file cannot be read.
        OSError: `target` cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The file itself: a link to a symbolic link would break with it, and the hub's cache consists of such links.
        target.hardlink_to(file.resolve())
    except OSError:
        with target.open("wb") as out:
            for piece in _pieces(file):
                out.write(piece)


def _pieces(file: Path) -> Iterator[bytes]:
    """Yield the content of a file. Raises UsageError if it cannot be read."""
    try:
        with file.open("rb") as content:
            while piece := content.read(2**20):
                yield piece
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    where = error.filename or path
    return UsageError(f"{where} cannot be read ({error.strerror or error}); check its permissions and its disk")


class UnreachableError(ModelError):
    """The hub cannot be reached, and the cache of its client does not have the file."""


def _first_download(repository: str, alternatives: Sequence[str]) -> Path | None:
    """Return the path of the first file that the repository has, or without a connection, that is in the cache."""
    unreachable = None
    for name in alternatives:
        try:
            if file := _download(repository, name):
                return file
        except UnreachableError as error:
            unreachable = unreachable or error
    if unreachable:
        raise unreachable
    return None


def _download(repository: str, name: str) -> Path | None:
    """Return the path of a file of the hub in the cache of its client; None if the repository has no such file."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repository, name))
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repository} is only for users who accepted its terms; accept them on its page at the Hugging Face hub, "
            "then run: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{repository} is neither a folder here nor a public repository of the Hugging Face hub; check the name"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise UnreachableError(
            f"the Hugging Face hub cannot be reached for {name} of {repository}; try again later, or download it "
            "elsewhere and give the folder"
        ) from error
    except errors.EntryNotFoundError:
        return None
    except OSError as error:
        if error.errno in FULL_DISK:
            raise ModelError(f"no space left for {name} of {repository}; free some, or set HF_HOME") from error
        raise ModelError(f"{name} of {repository} cannot be downloaded ({one_line(str(error))}); try again") from error
    except Exception as error:  # the errors of its transport differ from version to version
        why = one_line(f"{type(error).__name__}: {error}")
        raise ModelError(f"{name} of {repository} cannot be downloaded ({why}); try again") from error
