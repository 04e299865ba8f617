"""What it costs to index recordings with models of stems: how much audio, time and disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from soundalike.audio import AudioStream
from soundalike.audio.separators import write_stems
from soundalike.core.errors import AudioError
from soundalike.core.executors.cores import usable_cores
from soundalike.core.files import absolute
from soundalike.core.settings import stem_cache_bytes
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.find_files import find_files
from soundalike.models import Model, SeparatorVersion, load_separator

__all__ = ["StemCost", "estimate_stem_cost"]

_SAMPLE = 200
"""New files whose headers are read for their durations. The others count with their mean."""


@dataclass(frozen=True, slots=True)
class StemCost:
    """What a run that separates recordings will cost.

    Attributes:
        files: The number of recordings without rows of stems.
        audio_seconds: Their length.
        work: Seconds of one process per second of audio, for separating and encoding, measured on a clip; None if the
            separator cannot separate the clip, as it needs stems beside a recording.
        processes: The number of processes.
        disk: Bytes that the stems take in the cache.
        limit: The largest number of bytes that the cache takes.
    """

    files: int
    audio_seconds: float
    work: float | None
    processes: int
    disk: int
    limit: int

    @property
    def seconds(self) -> float | None:
        """The time that the run will take; None if it is unknown."""
        if self.work is None:
            return None
        return self.audio_seconds * self.work / max(1, min(self.processes, self.files))


def estimate_stem_cost(
    library: LibraryFolder,
    sources: Sequence[Path],
    models: Sequence[str],
    clip: Path,
    *,
    jobs: int | None = None,
    exclude: Sequence[str] = (),
) -> StemCost:
    """Estimate what it costs to index with models of stems. Nothing is measured if every file has its rows.

    Args:
        library: The library.
        sources: The folders and files that are to be indexed.
        models: Names of models of the stems of one separator.
        clip: A recording of some seconds, on which the speed is measured.
        jobs: The number of worker processes; None is one per core.
        exclude: As for `index_files`.

    Raises:
        ModelError: A model cannot be loaded.

    Example:
        >>> estimate_stem_cost(library, [Path("music")], ["compact-spleeter"], Path("clip.ogg")).files
        12
    """
    found = find_files([absolute(source) for source in sources], exclude)
    tracks = {track.path: track for track in library.catalog.tracks()}
    encoded, held = library.catalog.encoded_by(), library.catalog.models()
    loaded = [Model.load(name) for name in models]
    current = {one.name for one in loaded if one.name in held and held[one.name].digest == one.recipe.digest}
    known: list[float] = []
    fresh: list[Path] = []
    for path, file in found.files.items():
        track = tracks.get(path)
        if track is None or (track.size, track.mtime_ns) != (file.size, file.mtime_ns):
            fresh.append(path)
        elif not {one.name for one in loaded} <= encoded.get(track.id, set()) & current:
            known.append(track.duration)
    seconds, limit = sum(known) + _total_duration(fresh), stem_cache_bytes()
    processes, files = jobs or usable_cores(), len(known) + len(fresh)
    separator = loaded[0].recipe.separator
    if not files or separator is None:
        return StemCost(files, seconds, 0.0, processes, 0, limit)
    try:
        work, size = _measure(separator, loaded, clip)
    except AudioError:
        return StemCost(files, seconds, None, processes, 0, limit)
    return StemCost(files, seconds, work, processes, round(size * seconds), limit)


def _total_duration(paths: Sequence[Path]) -> float:
    """The length of recordings as their headers state it, of many those of a sample. What cannot be read has none."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    total = 0.0
    for path in sample:
        with suppress(AudioError), AudioStream(path) as stream:
            total += stream.duration or 0.0
    return total * len(paths) / len(sample) if sample else 0.0


def _measure(separator: SeparatorVersion, models: Sequence[Model], clip: Path) -> tuple[float, float]:
    """The seconds of work, and the bytes of stems, per second of audio."""
    used = load_separator(separator)
    next(iter(used.separate(clip, end=1.0)))  # loads the weights
    with AudioStream(clip) as stream:
        seconds = sum(block.shape[1] for block in stream) / stream.rate
    with TemporaryDirectory() as folder:
        files = {stem: Path(folder) / f"{stem}.flac" for stem in used.stems}
        began = time.perf_counter()
        write_stems(used.separate(clip), used.rate, files)
        work = time.perf_counter() - began
        size = sum(file.stat().st_size for file in files.values())
    for model in models:
        model.encode(clip, end=1.0)  # from here on the stems of the clip are in the cache
        began = time.perf_counter()
        model.encode(clip)
        work += time.perf_counter() - began
    return work / seconds, size / seconds
