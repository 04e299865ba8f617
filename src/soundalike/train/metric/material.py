"""The songs to train on and to judge with, read once into a cache of mapped samples.

The stems of each instrument are summed and resampled (see `pieces.py` for the files and the level gate, and
`audio/datasets/songs.py` for the layouts and the rule for MIDI duplicates). The cache is keyed by the contents of the
files and by the settings: songs that moved, or that another training has read, are not read again. Songs are written
one by one and atomically, so that an interrupted run continues.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundalike.audio import AudioStream, MonoStream
from soundalike.audio.activity import BLOCK, GATE
from soundalike.audio.datasets import SUBSETS, SongFiles, find_songs
from soundalike.audio.loudness import LoudnessMeter
from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.executors.cores import usable_cores
from soundalike.core.files import content_hash, make_folder, read_json, write_json
from soundalike.core.types import FloatArray
from soundalike.train.metric.pieces import Piece, is_stored, open_piece, store_piece
from soundalike.train.metric.settings import MetricSettings

__all__ = ["Material", "load_material", "read_songs"]

_INDEX = "files.json"
_WRITE_EVERY = 10.0
"""Seconds between two writes of the index. Whole sets have tens of thousands of files."""
_FORMAT = 1
_LOUDNESS = -20.0
"""LUFS of each instrument where all are brought to the same loudness."""
_SPEED = 400.0
"""Seconds of stems that one core reads, resamples and stores per second; for the estimate only."""


@dataclass(frozen=True, eq=False)
class Material:
    """Songs to train on and to judge with.

    Attributes:
        instruments: Names of the K instruments.
        rate: Sampling rate in Hz.
        songs: The songs of every subset: train, validation and test.
        failed: Names of songs that could not be decoded, with the reasons.
    """

    instruments: tuple[str, ...]
    rate: int
    songs: Mapping[str, tuple[Piece, ...]]
    failed: tuple[tuple[str, str], ...] = ()

    def cut(self, piece: Piece, instrument: int | None, start: int, length: int) -> FloatArray:
        """Return samples of one instrument of a song, or of its mix (None): (length,) float32.

        Example:
            >>> material.cut(material.songs["train"][0], None, 0, 16000).shape
            (16000,)
        """
        return piece.cut(instrument, start, length)


@dataclass(frozen=True, slots=True)
class _Task:
    """A song to store, by its number, and the digests of its files as far as they are known."""

    number: int
    song: SongFiles
    instruments: tuple[str, ...]
    rate: int
    cache: Path
    digests: Mapping[str, str]
    equal_loudness: bool


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored song: the key of its file, the digests of its stems, and its length in seconds."""

    key: str
    digests: Mapping[str, str]
    seconds: float


def load_material(
    folder: Path,
    settings: MetricSettings,
    cache: Path,
    *,
    redux: Path | None = None,
    recorded: Mapping[Path, Sequence[str]] | None = None,
    jobs: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Material:
    """Read the songs of a folder that a cache lacks, and open all of them.

    Args:
        folder: Slakh2100, what `soundalike render songs` writes, or recordings that stems.csv lists.
        settings: Its sampling rate, instruments and `equal_loudness` are used.
        cache: Folder of the stored samples. Several trainings can share it.
        redux: The file redux.json of slakh-utils, which says which tracks of Slakh2100 are used.
        recorded: Further folders with stems.csv, each with the names of its songs that join the training subset.
        jobs: The number of worker processes; None starts one per core.
        announce: Called with one line about size and time before songs are read.
        progress: Called with songs done, songs to read, and seconds of audio read.

    Returns:
        The material. Songs that cannot be decoded are listed in `failed`.

    Raises:
        UsageError: A stem is missing, no song can be read, an instrument sounds nowhere, or the disk is too small.
        KeyboardInterrupt: The run was interrupted; the next one continues.

    Example:
        >>> material = load_material(Path("songs"), SMALL, Path("cache"))
        >>> material.songs["train"][0].samples.dtype
        dtype('int16')
    """
    instruments = settings.network.instruments
    songs = list(find_songs(folder, instruments, redux=redux))
    for place, names in (recorded or {}).items():
        songs += find_songs(place, instruments, only=names)
    material = read_songs(songs, settings, cache, jobs=jobs, announce=announce, progress=progress)
    _check_audible(material)
    return material


def read_songs(
    songs: Sequence[SongFiles],
    settings: MetricSettings,
    cache: Path,
    *,
    jobs: int | None = None,
    announce: Callable[[str], None] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Material:
    """Read songs that a cache lacks, and open all of them; `load_material` describes the arguments."""
    instruments, rate = settings.network.instruments, settings.spectrum.rate
    if rate * BLOCK < 1 or rate * BLOCK % 1:
        raise UsageError(f"the sampling rate is {rate:,} Hz; expected a multiple of {1 / BLOCK:.0f} Hz")
    make_folder(cache, "--work")
    index = _Index(cache)
    tasks: list[_Task] = []
    keys: dict[int, str] = {}
    for number, song in enumerate(songs):
        digests = index.known(song)
        task = _Task(number, song, instruments, rate, cache, digests, settings.equal_loudness)
        key = _key(task, digests) if len(digests) == len(set(song.files())) else None
        if key is not None and is_stored(cache, key):
            keys[number] = key
        else:
            tasks.append(task)
    failed: list[tuple[str, str]] = []
    if tasks:
        _prepare(tasks, len(songs), jobs or usable_cores(), announce)
        outcomes = run_tasks(_store, tasks, jobs)
        seconds = 0.0
        try:
            for done, (task, outcome) in enumerate(outcomes, start=1):
                if isinstance(outcome, AudioError):
                    failed.append((task.song.name, str(outcome)))
                elif isinstance(outcome, SoundalikeError):  # a full disk; every further song would fail too
                    raise outcome
                else:
                    keys[task.number] = outcome.key
                    index.add(outcome.digests)
                    seconds += outcome.seconds
                if progress:
                    progress(done, len(tasks), seconds)
        finally:
            outcomes.close()
            index.write()
    if not keys:
        reason = f"; {failed[0][0]}: {failed[0][1]}" if failed else ""
        raise UsageError(f"none of {len(songs):,} songs could be read{reason}")
    found: dict[str, list[Piece]] = {subset: [] for subset in SUBSETS}
    for number, key in sorted(keys.items()):
        found[songs[number].subset].append(open_piece(songs[number].name, cache, key))
    return Material(instruments, rate, {name: tuple(own) for name, own in found.items()}, tuple(failed))


def _check_audible(material: Material) -> None:
    """Raise UsageError if an instrument sounds in no song."""
    pieces = [piece for subset in material.songs.values() for piece in subset]
    silent = ~np.any([piece.active.any(axis=1) for piece in pieces], axis=0)
    if silent.any():
        names = ", ".join(name for name, off in zip(material.instruments, silent, strict=True) if off)
        raise UsageError(
            f"silent targets everywhere: none of {len(pieces):,} songs has {names} above {GATE:g} dB relative to its "
            "mix; give songs that have these stems"
        )


def _prepare(tasks: Sequence[_Task], songs: int, jobs: int, announce: Callable[[str], None] | None) -> None:
    """Say what will be read, and raise UsageError if the disk has too little space for it."""
    seconds = stems = 0.0
    for task in tasks:
        files = task.song.files()
        try:
            with AudioStream(files[0]) as stream:
                length = stream.duration or 0.0
        except AudioError:  # `_store` reports it
            continue
        seconds += length
        stems += length * len(files)
    first = tasks[0]
    size = round(seconds * first.rate * 2 * len(first.instruments))
    if announce:
        minutes = stems / _SPEED / min(jobs, len(tasks)) / 60
        announce(
            f"reading {len(tasks):,} of {songs:,} songs ({seconds / 60:,.0f} minutes, {stems / 3600:.1f} hours of "
            f"stems) into {size / 1e6:,.0f} MB at {first.cache}; about {max(minutes, 0.1):,.1f} minutes"
        )
    free = shutil.disk_usage(first.cache).free
    if size > free:
        raise UsageError(
            f"the samples need {size / 1e9:,.1f} GB, but the disk of {first.cache} has {free / 1e9:,.1f} GB; "
            "give a folder on another disk"
        )


def _store(task: _Task) -> _Stored:
    """Run in a worker: write the file of a song, unless one with the same content exists."""
    digests = {str(file): task.digests.get(str(file)) or content_hash(file) for file in task.song.files()}
    key = _key(task, digests)
    if is_stored(task.cache, key):
        return _Stored(key, digests, open_piece(task.song.name, task.cache, key).seconds)
    stems: list[FloatArray] = []
    for name in task.instruments:
        total = np.zeros(0, np.float32)
        for file in task.song.stems.get(name, ()):
            try:
                signal = MonoStream(file, task.rate).read(_concatenate)
            except AudioError as error:
                raise AudioError(f"{file.name}: {error}") from error
            if len(signal) > len(total):
                total, signal = signal, total
            total[: len(signal)] += signal
        stems.append(_levelled(total, task.rate) if task.equal_loudness else total)
    frames = max(map(len, stems))
    store_piece(task.cache, key, np.stack([np.pad(stem, (0, frames - len(stem))) for stem in stems]), task.rate)
    return _Stored(key, digests, frames / task.rate)


def _concatenate(blocks: Iterator[FloatArray]) -> FloatArray:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _levelled(stem: FloatArray, rate: int) -> FloatArray:
    """Return a stem (t,) at `_LOUDNESS`. One that is too quiet or too short to be measured stays as it is."""
    meter = LoudnessMeter(rate, 1)
    if len(stem):
        meter.add(stem[None])
    loudness = meter.loudness()
    return stem if loudness is None else stem * np.float32(10 ** ((_LOUDNESS - loudness) / 20))


def _key(task: _Task, digests: Mapping[str, str]) -> str:
    """The name of the file of a song: a digest of the contents of its stems and of the settings."""
    stems = [[digests[str(file)] for file in task.song.stems.get(name, ())] for name in task.instruments]
    loudness = _LOUDNESS if task.equal_loudness else None
    identity = json.dumps([_FORMAT, task.rate, BLOCK, GATE, task.instruments, loudness, stems])
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


class _Index:
    """The digests of files, with the sizes and times at which they were taken, so that they are not taken again."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / _INDEX
        self._written = time.monotonic()
        self._entries: dict[str, list[object]] = {}
        if self._path.exists():
            found = read_json(self._path)
            self._entries = found if isinstance(found, dict) else {}

    def known(self, song: SongFiles) -> dict[str, str]:
        """Return the digests of the files of a song that have not changed."""
        found = {}
        for file in song.files():
            entry = self._entries.get(str(file))
            if entry and entry[:2] == _stamp(file):
                found[str(file)] = str(entry[2])
        return found

    def add(self, digests: Mapping[str, str]) -> None:
        """Keep the digests of files, on disk too once in a while, so that little is lost if the process is killed."""
        for file, digest in digests.items():
            self._entries[file] = [*_stamp(Path(file)), digest]
        if time.monotonic() - self._written > _WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """Write the index. Without it, all files are hashed again."""
        write_json(self._path, self._entries)
        self._written = time.monotonic()


def _stamp(file: Path) -> list[object]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]
