"""The segments to train on and to judge with, with their inputs in a cache of mapped arrays.

Inputs are computed once, in worker processes. An interrupted run continues after the last complete track. A recording
is known by its path, size and time of change. The inputs of other settings are in other folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from soundalike.audio import MonoStream
from soundalike.backbones.analysis import InputSettings, concept_inputs, fit_segment
from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder
from soundalike.core.types import AnyArray, FloatArray, IntArray
from soundalike.train.concepts.input_store import InputStore
from soundalike.train.concepts.labels import TrackLabels

__all__ = ["SEGMENTS", "SUBSETS", "ConceptMaterial", "ConceptTrack", "load_material"]

SUBSETS = ("train", "validation", "test")
"""The parts of the tracks: to learn from, to choose the epoch with, and to judge with."""
SEGMENTS = 8
"""Segments of a track, unless told otherwise."""

_FORMAT = 1
_QUIET = 1e-4
"""The root mean square below which a segment is silent."""
_LEAST = 0.5
"""The part of a segment that a whole recording must have."""


@dataclass(frozen=True, slots=True)
class ConceptTrack:
    """A labelled recording.

    Attributes:
        path: Its file.
        labels: What is known of it.
        song: Recordings with the same name belong together, such as those of one artist, and stay in one subset.
        subset: One of `SUBSETS`.
    """

    path: Path
    labels: TrackLabels
    song: str
    subset: str


@dataclass(frozen=True, eq=False)
class ConceptMaterial:
    """n segments of tracks with their labels and inputs.

    Attributes:
        tracks: The tracks.
        track_of: The number of the track of every segment, (n,).
        starts: Where every segment starts in its track, in seconds, (n,).
        rows: The numbers of the segments of every subset: train, validation and test.
        arrays: The inputs by name, (n, bins, frames) float16, mapped from the disk.
        digest: Identifies recordings, labels, subsets and inputs.
        failed: Tracks that could not be read, with the reasons.
        places: The row of every segment in the arrays, (n,); None if they have the order of the segments.
    """

    tracks: tuple[ConceptTrack, ...]
    track_of: IntArray
    starts: FloatArray
    rows: Mapping[str, IntArray]
    arrays: Mapping[str, AnyArray]
    digest: str
    failed: tuple[tuple[str, str], ...] = ()
    places: IntArray | None = None

    @cached_property
    def labels(self) -> tuple[TrackLabels, ...]:
        """The labels of every segment: those of its track."""
        return tuple(self.tracks[number].labels for number in self.track_of)

    @cached_property
    def songs(self) -> IntArray:
        """The number of the song of every segment, (n,)."""
        numbers = {name: k for k, name in enumerate(sorted({track.song for track in self.tracks}))}
        return np.array([numbers[self.tracks[number].song] for number in self.track_of], np.int64)

    def inputs(self, name: str, rows: Sequence[int] | IntArray) -> FloatArray:
        """Return one input of some segments: (len(rows), bins, frames) float32.

        Example:
            >>> material.inputs("mel", material.rows["train"][:8]).shape
            (8, 128, 259)
        """
        wanted = np.asarray(rows, np.int64)
        return self.arrays[name][wanted if self.places is None else self.places[wanted]].astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Task:
    """A recording to read."""

    key: str
    path: Path
    settings: InputSettings
    segments: int


@dataclass(frozen=True, slots=True, eq=False)
class _Segments:
    """The k segments of a recording: starts in seconds, inputs (k, bins, frames) float16, and its length."""

    starts: tuple[float, ...]
    inputs: Mapping[str, AnyArray]
    seconds: float


def load_material(
    tracks: Sequence[ConceptTrack],
    settings: InputSettings,
    cache: Path,
    *,
    segments: int = SEGMENTS,
    jobs: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> ConceptMaterial:
    """Compute the inputs of tracks that a cache lacks, and open all of them.

    Args:
        tracks: The tracks.
        settings: The inputs, and the length of a segment.
        cache: The folder of the inputs. Several trainings can share it.
        segments: Segments of a track at most. They do not overlap, and are spread over the track; silent ones are left
            out.
        jobs: The number of worker processes; None starts one per core.
        announce: Called with one line about the size before tracks are read.
        progress: Called with tracks done, tracks to read, and seconds of audio read.

    Returns:
        The material. Tracks that cannot be read are listed in `failed`.

    Raises:
        UsageError: There are no tracks, none can be read, or the cache cannot be written.
        KeyboardInterrupt: The run was interrupted; the next one continues.

    Example:
        >>> material = load_material(tracks, InputSettings(), Path("cache"))
        >>> material.inputs("chroma", [0]).shape
        (1, 16, 259)
    """
    if not tracks:
        raise UsageError("there are no labelled recordings; give some")
    if segments < 1:
        raise UsageError(f"segments are {segments}; expected at least 1 per track")
    identity = json.dumps([_FORMAT, asdict(settings)], sort_keys=True)
    folder = cache / f"inputs-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}"
    make_folder(folder, "--work")
    store = InputStore(folder, settings)
    keys: dict[int, str] = {}
    failed: list[tuple[str, str]] = []
    for number, track in enumerate(tracks):
        try:
            keys[number] = _key(track.path, segments)
        except OSError as error:
            failed.append((str(track.path), error.strerror or str(error)))
    files = {key: tracks[number].path for number, key in keys.items()}
    tasks = [_Task(key, path, settings, segments) for key, path in files.items() if key not in store.tracks]
    if tasks and announce:
        size = len(tasks) * segments * store.row_bytes
        announce(f"computing inputs of {len(tasks):,} of {len(files):,} recordings, up to {size / 1e6:,.0f} MB")
    if tasks:
        failed += _fill(store, tasks, jobs, progress)
    opened = {number: key for number, key in keys.items() if key in store.tracks}
    if not opened:
        raise UsageError(f"none of {len(tracks):,} recordings could be read; {failed[0][0]}: {failed[0][1]}")
    return _open([tracks[number] for number in opened], list(opened.values()), store, failed, identity)


def _fill(
    store: InputStore,
    tasks: Sequence[_Task],
    jobs: int | None,
    progress: Callable[[int, int, float], None] | None,
) -> list[tuple[str, str]]:
    """Compute the inputs of recordings and store them; returns those that failed, with the reasons."""
    failed = []
    outcomes = run_tasks(_read_segments, tasks, jobs)
    seconds = 0.0
    try:
        with store.writing():
            for done, (task, outcome) in enumerate(outcomes, start=1):
                if isinstance(outcome, SoundalikeError):
                    failed.append((str(task.path), str(outcome)))
                else:
                    store.add(task.key, outcome.starts, outcome.inputs)
                    seconds += outcome.seconds
                if progress:
                    progress(done, len(tasks), seconds)
    except OSError as error:
        raise UsageError(f"{store.folder} cannot be written: {error.strerror}; free some disk space") from error
    finally:
        outcomes.close()
    return failed


def _open(
    tracks: Sequence[ConceptTrack], keys: Sequence[str], store: InputStore, failed: list[tuple[str, str]], identity: str
) -> ConceptMaterial:
    stored = [store.tracks[key] for key in keys]
    counts = [len(one.starts) for one in stored]
    subsets = np.repeat([track.subset for track in tracks], counts)
    about = [identity, [(key, repr(track.labels), track.subset) for key, track in zip(keys, tracks, strict=True)]]
    return ConceptMaterial(
        tracks=tuple(tracks),
        track_of=np.repeat(np.arange(len(tracks)), counts),
        starts=np.concatenate([one.starts for one in stored]),
        rows={subset: np.flatnonzero(subsets == subset) for subset in SUBSETS},
        arrays=store.arrays(),
        digest=hashlib.blake2b(json.dumps(about).encode(), digest_size=16).hexdigest(),
        failed=tuple(failed),
        places=np.concatenate([np.arange(one.row, one.row + len(one.starts)) for one in stored]),
    )


def _key(path: Path, segments: int) -> str:
    """The identity of a recording and of the choice of its segments. Raises OSError."""
    status = path.stat()
    about = json.dumps([str(path.absolute()), status.st_size, status.st_mtime_ns, segments])
    return hashlib.blake2b(about.encode(), digest_size=16).hexdigest()


def _read_segments(task: _Task) -> _Segments:
    """Run in a worker: compute the inputs of the segments of a recording. Raises AudioError."""
    settings = task.settings
    chosen = _Chooser(settings.samples, task.segments)
    count = MonoStream(task.path, settings.rate).read(chosen.read)
    found = chosen.segments
    if not found:
        raise AudioError(
            f"no segment is audible; expected {_LEAST * settings.seconds:g} s of sound or more"
            if count >= _LEAST * settings.samples
            else f"too short: {count / settings.rate:.2f} s; expected {_LEAST * settings.seconds:g} s or more"
        )
    each = [concept_inputs(fit_segment(samples, settings), settings) for samples in found.values()]
    inputs = {name: np.stack([one[name] for one in each]).astype(np.float16) for name in settings.names}
    return _Segments(tuple(number * settings.seconds for number in found), inputs, count / settings.rate)


class _Chooser:
    """Choose segments that are spread over a stream of unknown length, of which few are kept in memory.

    Every `step`th segment is kept; whenever there are twice as many as wanted, every second one is dropped.
    """

    def __init__(self, length: int, most: int) -> None:
        self._length, self._most = length, most
        self.segments: dict[int, FloatArray] = {}

    def read(self, blocks: Iterator[FloatArray]) -> int:
        """Read a stream of (t,) blocks, and return its number of samples."""
        self.segments = {}
        step, count = 1, 0
        rest = np.zeros(0, np.float32)
        for block in blocks:
            rest = np.concatenate([rest, block])
            while len(rest) >= self._length:
                number = count // self._length
                if number % step == 0 and _rms(rest[: self._length]) >= _QUIET:
                    self.segments[number] = rest[: self._length].copy()
                rest = rest[self._length :]
                count += self._length
                if len(self.segments) >= 2 * self._most:
                    step *= 2
                    self.segments = {one: samples for one, samples in self.segments.items() if one % step == 0}
        if count == 0 and len(rest) >= _LEAST * self._length and _rms(rest) >= _QUIET:
            self.segments[0] = rest
        numbers = sorted(self.segments)
        if len(numbers) > self._most:
            spread = np.linspace(0, len(numbers) - 1, self._most).round().astype(int)
            numbers = [numbers[place] for place in spread]
        self.segments = {number: self.segments[number] for number in numbers}
        return count + len(rest)


def _rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
