"""Encode the stems of tracks whose library holds none, and keep the rows in the user's cache.

They lie there as `encodings/DIGEST/CONTENT_HASH.safetensors`, by the digest of the model and the content hash of the
recording. Above a limit in bytes, those that have not been used for the longest time are removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import write_atomic
from soundalike.core.settings import cache_folder
from soundalike.core.types import LEVELS, FloatArray, Vectors
from soundalike.library.catalog.track import Track
from soundalike.library.folder import span_of
from soundalike.library.stored_encoding import encoding_of
from soundalike.models import Encoding, Model, at_levels, extract, load_once

__all__ = ["CACHE_BYTES", "encode_stems"]

CACHE_BYTES = 1_000_000_000
"""The most that the rows in the cache take on disk."""
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _StemTask:
    """A recording to encode: its file and content hash, and what to load the model from."""

    path: Path
    content_hash: str
    model: str


def _encode(task: _StemTask) -> Mapping[str, FloatArray]:
    """Run in a worker: the rows of the passages."""
    model = load_once(task.model)
    return model.encode_features(extract(model.backbones, task.path, content_hash=task.content_hash)).passages.rows


def encode_stems(
    tracks: Sequence[Track],
    model: Model,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[dict[int, Encoding], dict[int, str]]:
    """Encode tracks with a stem model, in worker processes, unless the cache has their rows.

    What was done stays in the cache after an interruption. Fingerprints are left out.

    Args:
        tracks: The tracks. Their files are there and have not changed since they were indexed.
        model: The stem model.
        jobs: The number of worker processes; None starts one per core.
        progress: Called with tracks done and all tracks.

    Returns:
        The encodings by track id, and why the others could not be separated, by track id.

    Raises:
        ModelError: The separator of the model is not there in its version.

    Example:
        >>> encodings, failures = encode_stems(catalog.tracks_of([1, 2]), load_once("compact-spleeter"))
        >>> sorted(encodings)
        [1, 2]
    """
    folder = cache_folder() / "encodings" / model.recipe.digest
    by_hash: dict[str, list[Track]] = {}
    for track in tracks:
        by_hash.setdefault(track.content_hash, []).append(track)
    rows: dict[str, Mapping[str, FloatArray]] = {}
    for key in by_hash:
        if (found := _read(folder / f"{key}.safetensors", model)) is not None:
            rows[key] = found
    failures: dict[int, str] = {}
    tasks = [_StemTask(own[0].path, key, model.source) for key, own in by_hash.items() if key not in rows]
    done = sum(len(by_hash[key]) for key in rows)
    for task, outcome in run_tasks(_encode, tasks, jobs):
        own = by_hash[task.content_hash]
        if isinstance(outcome, AudioError):
            failures |= dict.fromkeys((track.id for track in own), str(outcome))
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            rows[task.content_hash] = outcome
            _write(folder / f"{task.content_hash}.safetensors", outcome)
        done += len(own)
        if progress:
            progress(done, len(tracks))
    if tasks:
        _trim(folder.parent)
    return {
        track.id: _encoding(track, rows[key], model) for key, own in by_hash.items() if key in rows for track in own
    }, failures


def _encoding(track: Track, rows: Mapping[str, FloatArray], model: Model) -> Encoding:
    levels = {}
    for level in LEVELS:
        of_level = at_levels(rows)[level]
        count = len(next(iter(of_level.values())))
        levels[level] = Vectors(
            tuple(span_of(track, level, number) for number in range(count)), of_level, model.recipe.digest
        )
    return encoding_of(track, levels, np.zeros(0, np.uint32))


def _read(file: Path, model: Model) -> Mapping[str, FloatArray] | None:
    """The rows in a file of the cache; None if there are none, or they cannot be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        rows: dict[str, FloatArray] = load_file(file)
        os.utime(file)
    except (OSError, SafetensorError):
        return None
    fits = {name: part.shape[1:] for name, part in rows.items()} == {space.name: (space.dim,) for space in model.spaces}
    return rows if fits else None


def _write(file: Path, rows: Mapping[str, FloatArray]) -> None:
    """Write rows to the cache. Without space or permission the cache stays as it is: the rows can be made again."""
    from safetensors.numpy import save

    content = save({name: np.ascontiguousarray(part) for name, part in rows.items()})
    with suppress(OSError, UsageError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, lambda stream: stream.write(content))


def _trim(root: Path) -> None:
    """Remove the files that were not used for the longest time until the cache is within its limit."""
    entries = []
    for file in root.glob("*/*.safetensors"):
        with suppress(OSError):  # another process has removed it
            status = file.stat()
            entries.append((status.st_mtime, status.st_size, file))
    total = sum(size for _, size, _ in entries)
    for _, size, file in sorted(entries):
        if total <= CACHE_BYTES:
            return
        with suppress(OSError):
            file.unlink()
            total -= size
