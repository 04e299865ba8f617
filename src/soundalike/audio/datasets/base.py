"""The protocols of datasets. `core.plugins.load("datasets", name, root=...)` creates one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["About", "Dataset", "LabelledDataset", "existing_folder", "first_of", "problem_of"]


class Dataset(Protocol):
    """A collection of recordings."""

    def items(self) -> Iterator[Item]:
        """Yield every recording, always in the same order."""
        ...


@dataclass(frozen=True, slots=True)
class About:
    """Where a published dataset comes from.

    Attributes:
        title: Its full name.
        citation: The publication to cite.
        licence: The licence of the audio, as its authors state it.
        home: The address that it can be had from.
        layout: The folders and files that are expected, in one line.
    """

    title: str
    citation: str
    licence: str
    home: str
    layout: str


class LabelledDataset(Dataset, Protocol):
    """A published dataset in its real layout.

    Its items have the label "label" (several are joined by ",") and "song": items of the same song, or for other
    datasets of the same artist, are not independent. An item with `stems` is the sum of these files.
    """

    about: ClassVar[About]

    def missing(self) -> str | None:
        """Return in one line what the folder lacks; None if it is complete enough to be read."""
        ...


def existing_folder(root: Path, about: About) -> Path:
    """Return `root` if it is a folder.

    Raises:
        UsageError: It is not; the message names the layout.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "not found"
        raise UsageError(f"{root}: {found}; give a folder of {about.title}: {about.layout}")
    return root


def problem_of(read: Callable[[], object]) -> str | None:
    """Return the message of the UsageError that reading a dataset raises; None if it can be read."""
    try:
        read()
    except UsageError as error:
        return str(error)
    return None


def first_of(names: Sequence[str], most: int = 4) -> str:
    """Join names for a message, and only count those after the first `most`.

    Example:
        >>> first_of(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
