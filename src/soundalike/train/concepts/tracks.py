"""Labelled recordings of a folder: those of a dataset, or a user's own with the tags of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from soundalike.audio import read_labels, read_tags
from soundalike.audio.concept_labels import labels_of_tags
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Item
from soundalike.train.concepts.material import SUBSETS, ConceptTrack

__all__ = ["DATASETS", "TAGGED", "find_tracks", "split_songs"]

TAGGED = "folder"
"""The name of the recordings of a folder with the tags of their files."""
DATASETS = (TAGGED, "labelled", "gtzan", "mtg_jamendo", "msd_lastfm")
"""The datasets that have labels of concepts."""

_PARTIAL = "mtg_jamendo"
"""The dataset that users rarely have as a whole."""
_SHARES = {"validation": 0.1, "test": 0.1}


def find_tracks(
    folder: Path, dataset: str = TAGGED, *, seed: int = 0, announce: Callable[[str], None] | None = None
) -> tuple[ConceptTrack, ...]:
    """Return the labelled recordings of a folder.

    Args:
        folder: The folder.
        dataset: One of `DATASETS`, or a dataset of another distribution the items of which have labels of concepts.
        seed: Seed of the split, where the dataset has none: 80 % of the artists, or of the recordings without an
            artist, are for training, 10 % each for validation and test.
        announce: Called with one line before the tags of files are read.

    Raises:
        UsageError: The dataset is unknown or lacks something, or there are no recordings.

    Example:
        >>> find_tracks(Path("gtzan"), "gtzan")[0].labels.genre
        ('blues',)
    """
    if dataset == TAGGED:
        try:
            items = list(plugins.load("datasets", TAGGED, root=folder).items())
        except UsageError as error:  # it does not say where
            raise UsageError(f"{folder}: {error}") from error
        if announce:
            announce(f"reading the tags of {len(items):,} recordings")
        found = [_tagged(item) for item in items]
    else:
        options: dict[str, Any] = {"partial": True} if dataset == _PARTIAL else {}
        found = [_labelled(item) for item in plugins.load("datasets", dataset, root=folder, **options).items()]
    if not found:
        raise UsageError(f"{folder} holds no recordings; give a folder of music to --data")
    return split_songs(found, seed)


def split_songs(found: Iterable[ConceptTrack], seed: int) -> tuple[ConceptTrack, ...]:
    """Divide tracks without a subset among train, validation and test, so that no song is in two of them.

    The order of the tracks does not matter. Where subsets are known, only what is missing is drawn from the training
    subset: a dataset with train and test gets a validation subset.

    Args:
        found: The tracks; an unknown subset is "".
        seed: Seed of the split.
    """
    tracks = list(found)
    known = {track.subset for track in tracks if track.subset}
    if unknown := sorted(known - {*SUBSETS}):
        raise UsageError(f"the subset {unknown[0]} is unknown; expected {', '.join(SUBSETS)}")
    free = _in_drawn_order({track.song for track in tracks if track.subset in ("", "train")}, seed)
    drawn: dict[str, str] = {}
    taken = 0
    for subset, share in _SHARES.items():
        if subset not in known:
            # Of three songs or more, each subset gets one.
            count = max(round(share * len(free)), 1 if len(free) >= len(SUBSETS) else 0)
            drawn |= dict.fromkeys(free[taken : taken + count], subset)
            taken += count
    return tuple(
        replace(track, subset=drawn.get(track.song, "train")) if track.subset in ("", "train") else track
        for track in tracks
    )


def _in_drawn_order(songs: Iterable[str], seed: int) -> Sequence[str]:
    """Order songs by a hash of their names, so that further songs change the split of few."""
    return sorted(songs, key=lambda song: (hashlib.blake2b(f"{seed} {song}".encode(), digest_size=8).digest(), song))


def _tagged(item: Item) -> ConceptTrack:
    tags = read_tags(item.path)
    song = tags.artists[0] if tags.artists else tags.album or str(item.path)
    return ConceptTrack(item.path, labels_of_tags(tags), song, "")


def _labelled(item: Item) -> ConceptTrack:
    try:
        labels = read_labels(item.labels)
    except UsageError as error:
        raise UsageError(f"{item.path}: {error}") from error
    return ConceptTrack(item.path, labels, item.labels.get("song", "") or str(item.path), item.labels.get("subset", ""))
