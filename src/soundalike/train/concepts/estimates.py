"""Tempo and key of recordings, estimated where they are not tagged, and kept.

The papers take both from madmom. Here they are those of the backbone `compact`, with the probabilities that it gives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from soundalike.audio import MonoStream, windows
from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import SoundalikeError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder, read_json, write_json
from soundalike.train.concepts.material import ConceptTrack

__all__ = ["LEAST_PROBABILITY", "LISTENED", "estimate_labels"]

LISTENED = 60.0
"""Seconds from the start of a recording that its tempo and key are estimated from."""
LEAST_PROBABILITY = 0.6
"""The least probability of an estimate that becomes a label."""

_BACKBONE = "compact"
_FILE = "estimates.json"
_WRITE_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class _Estimate:
    """The estimates of a recording, each with its probability; None where there is none."""

    tempo: float | None
    tempo_probability: float | None
    key: str | None
    key_probability: float | None


def estimate_labels(
    tracks: Sequence[ConceptTrack],
    work: Path,
    *,
    jobs: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[ConceptTrack, ...]:
    """Add estimates of tempo and key to the labels of tracks that lack them.

    Args:
        tracks: The tracks.
        work: The folder to keep the estimates in.
        jobs: The number of worker processes; None starts one per core.
        announce: Called with one line before recordings are read.
        progress: Called with recordings done, recordings to read, and seconds of audio at most.

    Returns:
        The same tracks. Labels that are there stay. Estimates that are not probable enough are left out, and a
        recording that cannot be read has none.

    Raises:
        ModelError: The networks of the backbone are missing.
        KeyboardInterrupt: The run was interrupted; the next one continues.

    Example:
        >>> estimate_labels(tracks, Path("work"))[0].labels.tempo
        123.9
    """
    make_folder(work, "--work")
    file = work / _FILE
    known: dict[str, list[Any]] = read_json(file) if file.exists() else {}
    version = plugins.load("backbones", _BACKBONE).version
    lacking = [track for track in tracks if track.labels.tempo is None or track.labels.key is None]
    keys = {track.path: _key(track.path, version) for track in lacking if track.path.is_file()}
    missing = [path for path, key in keys.items() if key not in known]
    if missing and announce:
        announce(f"estimating tempo and key of {len(missing):,} recordings without such tags")
    outcomes = run_tasks(_estimate, missing, jobs)
    written = time.monotonic()
    try:
        for done, (path, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):  # `load_material` reports it
                outcome = _Estimate(None, None, None, None)
            known[keys[path]] = [outcome.tempo, outcome.tempo_probability, outcome.key, outcome.key_probability]
            if progress:
                progress(done, len(missing), done * LISTENED)
            if time.monotonic() - written > _WRITE_EVERY:
                write_json(file, known)
                written = time.monotonic()
    finally:
        outcomes.close()
        if missing:
            write_json(file, known)
    return tuple(
        _with_estimate(track, _Estimate(*known[keys[track.path]])) if track.path in keys else track for track in tracks
    )


def _key(path: Path, version: int) -> str:
    status = path.stat()
    return json.dumps([str(path.absolute()), status.st_size, status.st_mtime_ns, version])


@cache
def _backbone() -> Backbone:
    found: Backbone = plugins.load("backbones", _BACKBONE)
    return found


def _estimate(path: Path) -> _Estimate:
    """Run in a worker: estimate the tempo and the key of a recording."""
    backbone = _backbone()
    found = backbone.features(MonoStream(path, backbone.rate, end=LISTENED), windows).descriptors
    return _Estimate(found.tempo, found.tempo_confidence, found.key, found.key_confidence)


def _with_estimate(track: ConceptTrack, found: _Estimate) -> ConceptTrack:
    labels = track.labels
    if labels.tempo is None and found.tempo and (found.tempo_probability or 0.0) >= LEAST_PROBABILITY:
        labels = replace(labels, tempo=found.tempo)
    if labels.key is None and found.key and (found.key_probability or 0.0) >= LEAST_PROBABILITY:
        labels = replace(labels, key=found.key)
    return replace(track, labels=labels)
