"""Triplet folders as training data: find their clips and split the folders into parts.

    DIR/<factor>/triplets_<N>/triplet/{anchor,positive_01..,negative[,negative_adversarial]}.wav

A factor is what the anchor and positives of a folder have in common. The folders can come from `soundalike render`,
from MERIT, or from the user.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundalike.audio.datasets import find_clips
from soundalike.core.errors import UsageError
from soundalike.core.files import read_json
from soundalike.core.types import IntArray
from soundalike.train.data.sampling import TripletSet

__all__ = ["PARTS", "ClipFolder", "read_folders", "triplet_set"]

PARTS = ("train", "validation", "test")
_LAYOUT = "DIR/<factor>/triplets_N/triplet/ with anchor, positive_01.. and negative"
_HELD_OUT = 0.1
"""Fraction of the folders for test, and for validation, if no split is given: as in MERIT's code."""


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """A triplet folder.

    Attributes:
        name: The name of the folder, such as "triplets_1".
        anchor: The anchor.
        positives: Clips that share the factor with the anchor, one or more.
        negative: A clip that does not share it, or None.
        adversarial: A clip that shares everything but the factor, or None.
    """

    name: str
    anchor: Path
    positives: tuple[Path, ...]
    negative: Path | None
    adversarial: Path | None

    @property
    def clips(self) -> tuple[Path, ...]:
        """All clips of the folder."""
        clips = (self.anchor, *self.positives, self.negative, self.adversarial)
        return tuple(clip for clip in clips if clip is not None)


def read_folders(place: Path, seed: int, *, published: bool = False) -> dict[str, dict[str, tuple[ClipFolder, ...]]]:
    """Find triplet folders and split them.

    The file split.json in `place` lists folder names under "train", "validation" and "test". If it has no list for
    validation, a tenth of all folders is drawn from the training folders. Without this file a tenth of the folders is
    drawn for test and a tenth for validation.

    Args:
        place: The folder with one subfolder per factor.
        seed: Seed of the split.
        published: Draw what split.json does not list as MERIT's code does with this seed, and order the folders as its
            trainer takes them.

    Returns:
        {factor: {part: folders}} with the parts in `PARTS`. Folders are ordered by number, unless `published`.

    Raises:
        UsageError: There are no triplet folders, one has no anchor or positive, split.json is invalid, or a part has no
            folders.

    Example:
        >>> read_folders(Path("triplets"), seed=0)["melody"]["train"][0].name
        'triplets_1'
    """
    factors = sorted(sub.name for sub in place.iterdir() if any(sub.glob("triplets_*"))) if place.is_dir() else []
    if not factors:
        raise UsageError(f"{place} holds no triplets; expected {_LAYOUT}")
    split = read_json(place / "split.json") if (place / "split.json").is_file() else {}
    if not isinstance(split, dict):
        raise UsageError(
            f"{place / 'split.json'} is not a split; expected an object with lists of folders under train and test"
        )
    read: dict[str, dict[str, tuple[ClipFolder, ...]]] = {}
    for factor in factors:
        paths = {path.name: path for path in (place / factor).glob("triplets_*") if path.is_dir()}
        ordered = sorted(paths, key=lambda name: (len(name), name))
        parts = (_published_split if published else _split)(ordered, split, seed)
        read[factor] = {part: tuple(_read(paths[name]) for name in parts[part]) for part in PARTS}
        for part in PARTS:
            if not read[factor][part]:
                raise UsageError(f"{place / factor} has no folder for {part}; add folders or change split.json")
    return read


def _split(names: Sequence[str], split: Mapping[str, object], seed: int) -> dict[str, list[str]]:
    """Return the names of the folders of each part."""
    known = _listed(split)
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    held_out = max(1, round(_HELD_OUT * len(names)))
    test = set(known.get("test", shuffled[:held_out]))
    train = set(known.get("train", names)) - test
    validation = set(known.get("validation", [name for name in shuffled if name in train][:held_out]))
    chosen = {"train": train - validation, "validation": validation - test, "test": test}
    return {part: [name for name in names if name in chosen[part]] for part in PARTS}


def _published_split(names: Sequence[str], split: Mapping[str, object], seed: int) -> dict[str, list[str]]:
    """Return the names of the folders of each part, split and ordered as in MERIT's code."""

    def shuffled(chosen: Iterable[str]) -> list[str]:
        ordered = sorted(chosen)
        random.Random(seed).shuffle(ordered)
        return ordered

    known = _listed(split)
    test = set(known.get("test", shuffled(names)[: max(1, round(_HELD_OUT * len(names)))]))
    listed = {*known.get("train", names), *known.get("validation", ())}
    order = shuffled(listed.intersection(names) - test)
    validation = set(known.get("validation", order[: max(1, int(_HELD_OUT * len(order)))]))
    return {
        "train": [name for name in order if name not in validation],
        "validation": [name for name in order if name in validation],
        "test": [name for name in names if name in test],
    }


def _listed(split: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the parts that a split lists."""
    return {part: listed for part in PARTS if isinstance(listed := split.get(part), list)}


def _read(folder: Path) -> ClipFolder:
    clips, positives = find_clips(folder)
    if "anchor" not in clips or not positives:
        raise UsageError(f"{folder / 'triplet'} has no anchor or no positive_01; expected {_LAYOUT}")
    return ClipFolder(folder.name, clips["anchor"], positives, clips.get("negative"), clips.get("negative_adversarial"))


def triplet_set(
    folders: Sequence[ClipFolder], positions: Mapping[Path, int], audible: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> TripletSet:
    """Look up the rows of the clips of some folders.

    Args:
        folders: One or more folders of a factor.
        positions: The row of each clip in a feature matrix of n rows.
        audible: (n,) bool.

    Returns:
        The rows; -1 for clips that a folder lacks, and for clips that are inaudible or not embedded.

    Example:
        >>> triplet_set(folders, report.positions, cache.audible("melody")).folders.shape
        (400, 8)
    """
    most = max(len(folder.positives) for folder in folders)
    table: IntArray = np.full((len(folders), most + 3), -1)

    def row(clip: Path | None) -> int:
        position = positions.get(clip, -1) if clip is not None else -1
        return position if position >= 0 and audible[position] else -1

    for line, folder in zip(table, folders, strict=True):
        line[0] = row(folder.anchor)
        line[1 : 1 + len(folder.positives)] = [row(clip) for clip in folder.positives]
        line[-2:] = row(folder.negative), row(folder.adversarial)
    return TripletSet(table)
