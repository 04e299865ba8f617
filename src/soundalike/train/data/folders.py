"""Triplet folders as training data: which clips there are, and which part of the split each folder is in.

    DIR/<factor>/triplets_<N>/triplet/{anchor,positive_01..,negative[,negative_adversarial]}.wav

A factor is whatever its folders keep the same: those of `soundalike render`, MERIT's published ones, or your own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
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
_HELD_OUT = 0.1  # of the folders, where no split says which are for test or validation: as in MERIT's code


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """One folder: its clips, None for a negative that it lacks."""

    name: str
    anchor: Path
    positives: tuple[Path, ...]
    negative: Path | None
    adversarial: Path | None

    @property
    def clips(self) -> tuple[Path, ...]:
        """All that are there."""
        found = (self.anchor, *self.positives, self.negative, self.adversarial)
        return tuple(clip for clip in found if clip is not None)


def read_folders(place: Path, seed: int) -> dict[str, dict[str, tuple[ClipFolder, ...]]]:
    """{factor: {part of PARTS: folders}}, in the order of their numbers.

    `place`/split.json says which folder is in which part; a split without validation gives a tenth of its training
    folders to it, and without a split a tenth goes to test and a tenth to validation, drawn by `seed`.
    Raises UsageError if there are no such folders, one lacks a clip, or a part is empty.
    """
    factors = sorted(sub.name for sub in place.iterdir() if any(sub.glob("triplets_*"))) if place.is_dir() else []
    if not factors:
        raise UsageError(f"{place} holds no triplets; expected {_LAYOUT}")
    split = read_json(place / "split.json") if (place / "split.json").is_file() else {}
    if not isinstance(split, dict):
        raise UsageError(f"{place / 'split.json'} is no split; expected lists of folders under train and test")
    read: dict[str, dict[str, tuple[ClipFolder, ...]]] = {}
    for factor in factors:
        found = {path.name: path for path in (place / factor).glob("triplets_*") if path.is_dir()}
        ordered = sorted(found, key=lambda name: (len(name), name))
        parts = _parts(ordered, split, seed)
        read[factor] = {part: tuple(_read(found[name]) for name in parts[part]) for part in PARTS}
        for part in PARTS:
            if not read[factor][part]:
                raise UsageError(f"{place / factor} has no folder for {part}; give it more, or another split.json")
    return read


def _parts(names: Sequence[str], split: Mapping[str, object], seed: int) -> dict[str, list[str]]:
    known = {part: names_of for part in PARTS if isinstance(names_of := split.get(part), list)}
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    held_out = max(1, round(_HELD_OUT * len(names)))
    test = set(known.get("test", shuffled[:held_out]))
    train = set(known.get("train", names)) - test
    validation = set(known.get("validation", [name for name in shuffled if name in train][:held_out]))
    chosen = {"train": train - validation, "validation": validation - test, "test": test}
    return {part: [name for name in names if name in chosen[part]] for part in PARTS}


def _read(folder: Path) -> ClipFolder:
    clips, positives = find_clips(folder)
    if "anchor" not in clips or not positives:
        raise UsageError(f"{folder / 'triplet'} holds no anchor or no positive_01; expected {_LAYOUT}")
    return ClipFolder(folder.name, clips["anchor"], positives, clips.get("negative"), clips.get("negative_adversarial"))


def triplet_set(
    folders: Sequence[ClipFolder], positions: Mapping[Path, int], audible: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> TripletSet:
    """Rows of a feature matrix for every clip; -1 for what a folder lacks, or is not `audible` (n,) or not embedded."""
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
