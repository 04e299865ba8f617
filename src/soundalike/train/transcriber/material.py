"""Spectra and scores of rendered clips on disk, the training data of the transcriber: one mapped file per folder.

The spectra come from the code that the transcriber uses (`soundalike.backbones.analysis.spectra`), so training and
inference cannot differ. c clips of a folder, f fast and g slow frames; shorter clips are padded with silence.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.audio import MonoStream
from soundalike.backbones.analysis import HOP, RATE, spectra_of
from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder, write_atomic
from soundalike.core.types import FloatArray
from soundalike.render.score import read_truth
from soundalike.train.data.folders import PARTS, ClipFolder, read_folders
from soundalike.train.transcriber.targets import write_score

__all__ = ["ClipMaterial", "Material", "gather", "open_material", "stack_frames"]

_MAGIC, _FORMAT = "soundalike-material", 1
_SPECTRA = ("fast", "colour", "pitch")


@dataclass(frozen=True, slots=True, eq=False)
class ClipMaterial:
    """One clip: root spectra `fast` (f, 32), `colour` and `pitch` (g, 64), (g, 252) float16, and its score.

    `band` names the instrument of every role; `name` is the name of the clip in its `folder`.
    """

    folder: str
    name: str
    fast: FloatArray
    colour: FloatArray
    pitch: FloatArray
    notes: FloatArray
    chords: FloatArray
    band: str


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The training data: the clips of every part of the split, and folders that could not be read."""

    parts: Mapping[str, Sequence[ClipMaterial]]
    failed: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _MaterialTask:
    folder: ClipFolder
    out: Path
    stamp: str


def gather(
    renders: Path,
    out: Path,
    *,
    folders: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Material:
    """Compute the spectra that `out` lacks, and open all of them.

    Args:
        renders: Rendered triplets.
        out: The folder of the spectra.
        folders: The number of folders per factor and part; None takes all.
        jobs: The number of worker processes; None starts one per core.
        progress: Called with folders done, missing folders, and seconds of audio.

    Returns:
        The clips; folders that could not be read are listed in `failed`.

    Raises:
        UsageError: There are no rendered triplets.
        KeyboardInterrupt: The run was interrupted; the next one continues.
    """
    make_folder(out, "--cache")
    chosen: dict[str, list[_MaterialTask]] = {
        part: [
            _MaterialTask(folder, out / f"{factor}-{folder.name}.safetensors", _stamp(folder))
            for factor, parts in read_folders(renders, 0).items()
            for folder in parts[part][:folders]
        ]
        for part in PARTS
    }
    missing = [task for tasks in chosen.values() for task in tasks if not _is_made_of(task.out, task.stamp)]
    failed: list[tuple[Path, str]] = []
    outcomes = run_tasks(_write_material, missing, jobs)
    seconds = 0.0
    try:
        for done, (task, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):
                failed.append((task.folder.anchor.parent, str(outcome)))
            else:
                seconds += outcome
            if progress:
                progress(done, len(missing), seconds)
    finally:
        outcomes.close()
    bad = {folder for folder, _ in failed}
    parts = {
        part: [clip for task in tasks if task.folder.anchor.parent not in bad for clip in open_material(task.out)]
        for part, tasks in chosen.items()
    }
    return Material(parts, tuple(failed))


def _stamp(folder: ClipFolder) -> str:
    """The identity of a folder: sizes and times of its clips, and the version of the stored spectra."""
    times = [(clip.name, clip.stat().st_size, clip.stat().st_mtime_ns) for clip in folder.clips]
    return json.dumps([_FORMAT, HOP, *times])


def _is_made_of(path: Path, stamp: str) -> bool:
    try:
        return _header(path)[0]["__metadata__"]["stamp"] == stamp
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return False


def _write_material(task: _MaterialTask) -> float:
    """Run in a worker: write the file of a folder; returns the seconds of audio."""
    from safetensors.numpy import save

    clips = task.folder.clips
    spectra: dict[str, list[FloatArray]] = {name: [] for name in _SPECTRA}
    scores: dict[str, FloatArray] = {}
    bands, seconds = [], 0.0
    for number, clip in enumerate(clips):
        truth = read_truth(clip.parents[1] / "truth" / f"{clip.stem}.jams")
        try:
            found = spectra_of(MonoStream(clip, RATE), HOP)
        except AudioError as error:
            raise AudioError(f"{clip.name}: {error}") from error
        seconds += found.duration
        for name in _SPECTRA:
            spectra[name].append(getattr(found, name))
        scores[f"notes.{number}"], scores[f"chords.{number}"] = write_score(truth)
        bands.append({role: truth.instruments[role] for role in truth.parts})
    stacked = {name: stack_frames(parts) for name, parts in spectra.items()}
    about = {"magic": _MAGIC, "stamp": task.stamp, "clips": json.dumps([clip.stem for clip in clips])}
    content = save(stacked | scores, about | {"bands": json.dumps(bands, sort_keys=True)})
    write_atomic(task.out, lambda file: file.write(content))
    return seconds


def stack_frames(parts: Sequence[FloatArray]) -> FloatArray:
    """Stack the spectra of clips to (c, frames, bands), padding shorter ones with silence."""
    stacked = np.zeros((len(parts), max(map(len, parts)), parts[0].shape[1]), parts[0].dtype)
    for row, part in zip(stacked, parts, strict=True):
        row[: len(part)] = part
    return stacked


def open_material(path: Path) -> tuple[ClipMaterial, ...]:
    """Open the clips of one folder's file. Their spectra are mapped, and read from disk on use.

    Raises:
        UsageError: The file is missing or invalid.
    """
    try:
        header, start = _header(path)
        about = header.pop("__metadata__")
        raw = np.memmap(path, np.uint8, "r")
        arrays = {name: _array(raw, start, entry) for name, entry in header.items()}
        bands = json.loads(about["bands"])
        return tuple(
            ClipMaterial(
                path.stem,
                name,
                fast=arrays["fast"][number],
                colour=arrays["colour"][number],
                pitch=arrays["pitch"][number],
                notes=arrays[f"notes.{number}"],
                chords=arrays[f"chords.{number}"],
                band=json.dumps(bands[number], sort_keys=True),
            )
            for number, name in enumerate(json.loads(about["clips"]))
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise UsageError(
            f"{path} cannot be read as spectra of clips ({error}); delete it, and it will be computed again"
        ) from error


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and the offset of its data; the library cannot map parts of tensors."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise ValueError("its header is longer than the file")
        return json.loads(file.read(length)), 8 + length


def _array(raw: np.memmap[Any, Any], start: int, entry: Mapping[str, Any]) -> FloatArray:
    dtype = {"F16": np.float16, "F32": np.float32}[entry["dtype"]]
    first, last = entry["data_offsets"]
    return raw[start + first : start + last].view(dtype).reshape(entry["shape"])
