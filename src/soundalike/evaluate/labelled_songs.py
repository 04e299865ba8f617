"""Recordings with labels of concepts: from a dataset, from a table, or from the tags of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.audio import TrackLabels, labels_of_tags, read_labels, read_tags
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Item

__all__ = ["LabelledSong", "read_labelled_songs"]

_SONG = "song"


@dataclass(frozen=True, slots=True)
class LabelledSong:
    """A recording, its labels, and the song or artist that it shares with others."""

    item: Item
    labels: TrackLabels
    song: str


def read_labelled_songs(
    data: Path, dataset: str = "folder", table: Path | None = None, part: str = "all"
) -> list[LabelledSong]:
    """Return the recordings of a dataset with their labels.

    Args:
        data: Its folder.
        dataset: The name of the dataset. The labels of "folder" are the tags of the files; recordings of one artist
            are one song.
        table: A CSV file of labels instead: the column path, relative to `data`, and any of the concepts; tags are
            joined by ",". Recordings with the same text in a column song belong together, and a column subset has the
            parts.
        part: The part of the dataset, such as "test"; "all" for all of them.

    Raises:
        UsageError: There are no such recordings, or a label cannot be read.

    Example:
        >>> read_labelled_songs(Path("gtzan"), "gtzan", part="test")[0].labels.genre
        ('blues',)
    """
    options: dict[str, Any] = {"table": table} if table else {}
    items = list(plugins.load("datasets", "labelled" if table else dataset, root=data, **options).items())
    if part != "all":
        parts = sorted({item.labels["subset"] for item in items if "subset" in item.labels})
        items = [item for item in items if item.labels.get("subset") == part]
        if not items:
            known = ", ".join(parts) or "none"
            raise UsageError(f"{data} holds no recordings of the part {part}; its parts: {known}; or give --part all")
    if not items:
        raise UsageError(f"{data} holds no recordings")
    if dataset == "folder" and not table:
        return [_tagged(item) for item in items]
    return [LabelledSong(item, read_labels(item.labels), item.labels.get(_SONG, str(item.path))) for item in items]


def _tagged(item: Item) -> LabelledSong:
    tags = read_tags(item.path)
    return LabelledSong(item, labels_of_tags(tags), tags.artists[0] if tags.artists else str(item.path))
