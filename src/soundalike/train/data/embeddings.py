"""Fill a cache of embeddings: find out which clips it lacks, and listen to them in worker processes.

A clip of several windows (over 11 s, `audio.windows`) has the mean of its audible windows' features as its row.
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
from soundalike.core import plugins
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.executors.processes import run_tasks
from soundalike.core.files import absolute, content_hash
from soundalike.core.types import FloatArray
from soundalike.train.data.cache import EmbeddingCache, merge

__all__ = ["EmbedReport", "EmbeddingCache", "embed", "merge"]

_FLUSH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """What an `embed` did: clips that are new (`done`) and that were there (`kept`), by content.

    `failed` has the files that could not be heard, and why. `positions` finds the row of every other path; paths of
    other shards are left out, as is what an interruption (`interrupted`) left undone.
    """

    done: int
    kept: int
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
    """Listen to the clips that the cache lacks, in `jobs` processes (default: one a core), and store their features.

    Copies of a file are listened to once. A bad file costs only itself; an interruption (KeyboardInterrupt) keeps what
    was done, and a killed process all but the last seconds. `shard` (i, n), 1 <= i <= n, takes the clips whose digest
    is i - 1 modulo n, so machines can share the work and `merge` what they have. `progress` is told of clips done,
    clips in all, and the seconds of sound in those done. Raises UsageError.
    """
    number, shards = shard or (1, 1)
    if not 1 <= number <= shards:
        raise UsageError(f"shard {number} of {shards}: expected a number from 1 to {shards}")
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
        _listen(cache, wanted, jobs, progress, failed)
    except KeyboardInterrupt:
        interrupted = True
    found = zip(digests, cache.find(list(digests.values())).tolist(), strict=True)
    positions = {path: position for path, position in found if position >= 0}
    kept = len({position for position in positions.values() if position < before})
    return EmbedReport(len(cache) - before, kept, tuple(failed), positions, interrupted)


def _hash(
    cache: EmbeddingCache,
    paths: Sequence[Path],
    jobs: int | None,
    digests: dict[Path, str],
    failed: list[tuple[Path, str]],
) -> None:
    """Fill in the digests of files. One whose size and modification time are as before is not read again."""
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
    """What a worker brings back: a row (D,) a feature, whether it is audible, and the clip's seconds."""

    rows: Mapping[str, FloatArray]
    audible: Mapping[str, bool]
    seconds: float


@once
def _backbone(name: str) -> Backbone:
    """Made once a process."""
    return plugins.load("backbones", name)


def _hear(task: _ClipTask) -> _Clip:
    """Runs in a worker."""
    if content_hash(task.path) != task.digest:
        raise AudioError("has changed since it was first read; run it again")
    backbone = _backbone(task.backbone)
    heard = backbone.features(MonoStream(task.path, backbone.rate), windows)
    rows, audible = {}, {}
    for feature, dim in backbone.dims.items():
        on = heard.audible[feature]
        audible[feature] = bool(on.any())
        mean = heard.rows[feature][on].mean(axis=0, dtype=np.float64) if audible[feature] else np.zeros(dim)
        if not np.isfinite(mean).all():
            raise AudioError(f"the backbone {backbone.name} found {feature} of NaN or infinite values in it")
        rows[feature] = mean.astype(np.float32)
    return _Clip(rows, audible, heard.duration)


def _listen(
    cache: EmbeddingCache,
    wanted: Mapping[str, Sequence[Path]],
    jobs: int | None,
    progress: Callable[[int, int, float], None] | None,
    failed: list[tuple[Path, str]],
) -> None:
    """Embed each digest of `wanted` from the first of its files; what fails, fails for all of them."""
    heard: dict[str, _Clip] = {}

    def flush() -> None:
        clips = list(heard.values())
        rows = {name: np.array([clip.rows[name] for clip in clips], np.float32) for name in cache.dims}
        audible = {name: np.array([clip.audible[name] for clip in clips], np.bool_) for name in cache.dims}
        if clips:
            cache.append(list(heard), rows, audible)
        heard.clear()

    outcomes = run_tasks(_hear, [_ClipTask(cache.backbone, paths[0], digest) for digest, paths in wanted.items()], jobs)
    flushed, seconds = time.monotonic(), 0.0
    try:
        for done, (task, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, _Clip):
                heard[task.digest] = outcome
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
