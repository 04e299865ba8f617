"""Fill an embedding cache: find the clips that it lacks and extract their features in worker processes.

The row of a clip is the mean of its features over the audible windows. Clips of more than 11 s have several windows
(`audio.windows`).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np

from soundalike.audio import MonoStream, windows
from soundalike.backbones import Backbone
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import absolute, content_hash
from soundalike.core.types import FloatArray
from soundalike.models import load_named_backbone
from soundalike.train.data.cache import EmbeddingCache, merge

__all__ = ["EmbedReport", "EmbeddingCache", "embed", "merge"]

_FLUSH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """The result of `embed`.

    Attributes:
        done: The number of clips added. Copies of a file count once.
        cached: The number of requested clips that the cache already held.
        failed: Files that could not be embedded, with the reasons.
        positions: The row of each path. Paths are missing if they failed, belong to another shard or were not reached
            before an interruption.
        interrupted: True if a KeyboardInterrupt ended the run early.
    """

    done: int
    cached: int
    failed: tuple[tuple[Path, str], ...]
    positions: Mapping[Path, int]
    interrupted: bool


def embed(
    cache: EmbeddingCache,
    paths: Sequence[Path],
    *,
    jobs: int | None = None,
    shard: tuple[int, int] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> EmbedReport:
    """Extract and store the features of the clips that a cache lacks.

    Copies of a file are encoded once. Unreadable files are skipped and reported. After a KeyboardInterrupt all finished
    clips are stored; if the process is killed, those of the last seconds are lost.

    Args:
        cache: A cache that is open for writing.
        paths: The clips.
        jobs: The number of worker processes; None starts one per core.
        shard: (i, n) with 1 <= i <= n: embed only the clips whose digest is i - 1 modulo n. Several machines can embed
            one shard each and `merge` the caches.
        progress: Called with clips done, all clips to embed, and the seconds of audio in those done.

    Returns:
        The number of clips embedded, the failures, and the positions of the clips in the cache.

    Raises:
        UsageError: `shard` is out of range, or the cache cannot be written.

    Example:
        >>> with EmbeddingCache.open(Path("cache"), backbone) as cache:
        ...     report = embed(cache, sorted(Path("clips").glob("*.wav")))
        ...     rows = cache.rows("melody")[list(report.positions.values())]
    """
    number, shards = shard or (1, 1)
    if not 1 <= number <= shards:
        raise UsageError(f"shard is {number} of {shards}; expected a number from 1 to {shards}")
    before = len(cache)
    digests: dict[Path, str] = {}
    failed: list[tuple[Path, str]] = []
    interrupted = False
    try:
        _hash(cache, paths, jobs, digests, failed)
        wanted: dict[str, list[Path]] = {}
        for path, digest in digests.items():
            if int(digest, 16) % shards == number - 1 and cache.find([digest])[0] < 0:
                wanted.setdefault(digest, []).append(path)
        _extract_missing(cache, wanted, jobs, progress, failed)
    except KeyboardInterrupt:
        interrupted = True
    found = zip(digests, cache.find(list(digests.values())).tolist(), strict=True)
    positions = {path: position for path, position in found if position >= 0}
    cached = len({position for position in positions.values() if position < before})
    return EmbedReport(len(cache) - before, cached, tuple(failed), positions, interrupted)


def _hash(
    cache: EmbeddingCache,
    paths: Sequence[Path],
    jobs: int | None,
    digests: dict[Path, str],
    failed: list[tuple[Path, str]],
) -> None:
    """Add the digests of files to `digests`. A file with the same size and modification time as before is not read."""
    known = cache.known_files()
    unknown: dict[Path, tuple[bytes, int, int]] = {}
    for path in dict.fromkeys(paths):
        try:
            status = path.stat()
        except OSError as error:
            failed.append((path, f"cannot be read: {error.strerror}"))
            continue
        if not stat.S_ISREG(status.st_mode):  # a pipe may never end
            failed.append((path, "not a regular file"))
            continue
        name = os.fsencode(absolute(path))
        size, mtime, digest = known.get(name, (-1, 0, ""))
        if (size, mtime) == (status.st_size, status.st_mtime_ns):
            digests[path] = digest
        else:
            unknown[path] = (name, status.st_size, status.st_mtime_ns)
    fresh: list[tuple[bytes, int, int, str]] = []
    outcomes = run_tasks(content_hash, list(unknown), jobs)
    flushed = time.monotonic()
    try:
        for path, outcome in outcomes:
            if isinstance(outcome, str):
                digests[path] = outcome
                fresh.append((*unknown[path], outcome))
            else:
                failed.append((path, str(outcome)))
            if time.monotonic() - flushed > _FLUSH_SECONDS:
                cache.put_files(fresh)
                fresh.clear()
                flushed = time.monotonic()
    finally:
        outcomes.close()
        cache.put_files(fresh)


@dataclass(frozen=True, slots=True)
class _ClipTask:
    backbone: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    """The result of a worker: a row (D,) and whether it is audible for each feature, and the length in seconds."""

    rows: Mapping[str, FloatArray]
    audible: Mapping[str, bool]
    seconds: float


@once
def _backbone(name: str) -> Backbone:
    """Load the backbone once per process."""
    return load_named_backbone(name)


def _extract(task: _ClipTask) -> _Clip:
    """Extract the features of a clip, in a worker process."""
    if content_hash(task.path) != task.digest:
        raise AudioError("has changed since it was first read; run the command again")
    backbone = _backbone(task.backbone)
    features = backbone.features(MonoStream(task.path, backbone.rate), windows)
    rows, audible = {}, {}
    for feature, dim in backbone.dims.items():
        on = features.audible[feature]
        audible[feature] = bool(on.any())
        mean = features.rows[feature][on].mean(axis=0, dtype=np.float64) if audible[feature] else np.zeros(dim)
        if not np.isfinite(mean).all():
            raise AudioError(f"the backbone {backbone.name} returned NaN or infinite values for {feature}")
        rows[feature] = mean.astype(np.float32)
    return _Clip(rows, audible, features.duration)


def _extract_missing(
    cache: EmbeddingCache,
    wanted: Mapping[str, Sequence[Path]],
    jobs: int | None,
    progress: Callable[[int, int, float], None] | None,
    failed: list[tuple[Path, str]],
) -> None:
    """Embed clips, {digest: files}, each from its first file. A failure is reported for all files of a clip."""
    pending: dict[str, _Clip] = {}

    def flush() -> None:
        clips = list(pending.values())
        rows = {name: np.array([clip.rows[name] for clip in clips], np.float32) for name in cache.dims}
        audible = {name: np.array([clip.audible[name] for clip in clips], np.bool_) for name in cache.dims}
        if clips:
            cache.append(list(pending), rows, audible)
        pending.clear()

    outcomes = run_tasks(
        _extract, [_ClipTask(cache.backbone, paths[0], digest) for digest, paths in wanted.items()], jobs
    )
    flushed, seconds = time.monotonic(), 0.0
    try:
        for done, (task, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, _Clip):
                pending[task.digest] = outcome
                seconds += outcome.seconds
            elif isinstance(outcome, AudioError):
                failed += [(path, str(outcome)) for path in wanted[task.digest]]
            else:
                raise outcome
            if time.monotonic() - flushed > _FLUSH_SECONDS:
                flush()
                flushed = time.monotonic()
            if progress:
                progress(done, len(wanted), seconds)
    finally:
        outcomes.close()
        flush()
