"""Shared code of the benchmarks: libraries of synthetic rows, and reports that are printed and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import soundalike.library.presence as presence
from soundalike.audio.fingerprint import FRAME_RATE, Fingerprint, Words
from soundalike.cli.table import print_table
from soundalike.core.types import Report
from soundalike.evaluate import reports
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.models.model import Model
from soundalike.models.recipes import DEFAULT_MODEL


def report_of(
    protocol: str,
    title: str,
    command: str,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    n: Sequence[Sequence[int]],
    notes: Sequence[str] = (),
    low: Sequence[Sequence[float]] | None = None,
    high: Sequence[Sequence[float]] | None = None,
    chance: Sequence[float] | None = None,
    unit: str = "",
    model: str = DEFAULT_MODEL,
) -> Report:
    """Build a report. `low` and `high` are missing without intervals, and `chance` without a chance level."""
    table = np.array(values, dtype=np.float64)
    missing = np.full_like(table, np.nan)
    return Report(
        protocol=protocol,
        title=title,
        model=model,
        rows=tuple(rows),
        columns=tuple(columns),
        values=table,
        low=missing if low is None else np.array(low, dtype=np.float64),
        high=missing if high is None else np.array(high, dtype=np.float64),
        n=np.array(n, dtype=np.int64),
        chance=np.full(len(columns), np.nan) if chance is None else np.array(chance, dtype=np.float64),
        unit=unit,
        command=command,
        notes=tuple(notes),
    )


def random_fingerprint(random: np.random.Generator, seconds: float) -> Words:
    """Build a fingerprint of random bits."""
    signs = random.integers(1, 2**32, size=round(seconds * FRAME_RATE), dtype=np.uint32)
    levels = random.integers(60, 200, size=((len(signs) - 12) // 4, 24)).astype(np.float32) / 2
    return Fingerprint(signs, levels).words()


def show_and_save(report: Report, folder: Path | None) -> None:
    """Print a report, and save it if a folder is given."""
    print(report.title)
    header, *lines = reports.table(report)
    print_table(header, lines, left=[0], stretch=0)
    for note in report.notes:
        print(f"- {note}")
    if folder:
        print(f"saved: {reports.save_reports([report], folder)}")


def plain_track(
    path: Path,
    *,
    mtime_ns: int = 0,
    seconds: float = 200.0,
    artist: str | None = None,
    tempo: float | None = 100.0,
) -> Track:
    """Describe a track of a synthetic library: an empty file whose digests are its name."""
    return Track(
        path, 0, mtime_ns, path.stem, path.stem, seconds, 44_100, 2, "mp3", None, artist, None, None, None, None, None,
        tempo, "A minor", -10.0, False,
    )  # fmt: skip


def assume_files_exist() -> None:
    """Let searches of this process find tracks that have no files."""
    presence._is_file = presence._has_entries = lambda _: True


def synthetic_library(
    folder: Path,
    model: Model,
    rows: Mapping[str, np.ndarray],
    artists: Sequence[str | None] = (),
    tempos: Sequence[float | None] = (),
    *,
    music: Path = Path("/music"),
    fingerprints: bool = False,
) -> None:
    """Make a library of synthetic tracks of 200 s.

    Track n is `music`/<n // 100>/<n>.mp3. To search with it, create an empty file there with a modification time of 0.

    Args:
        folder: The folder of the library.
        model: The model that the rows belong to.
        rows: Track rows, (n, d) by space.
        artists: n artists; unknown by default.
        tempos: n tempos in BPM; 100 by default.
        music: The folder of the tracks.
        fingerprints: Whether to store random fingerprints.
    """
    assume_files_exist()
    count, random = len(next(iter(rows.values()))), np.random.default_rng(0)
    with LibraryFolder.create(folder) as library:
        catalog = library.catalog
        with catalog.transaction():
            dims = [(space.name, "track", space.dim) for space in model.spaces]
            catalog.put_model(model.name, HeldModel(model.recipe.digest, model.source), dims)
        library.refresh()
        for space in model.spaces:
            library.store.write("track", space.full_name, 0, rows[space.name])
        library.store.flush()
        with catalog.transaction():
            catalog.commit_rows(model.name, "track", 0, count)
            for number in range(count):
                path = music / str(number // 100) / f"{number}.mp3"
                artist, tempo = artists[number] if artists else None, tempos[number] if tempos else 100.0
                track = plain_track(path, artist=artist, tempo=tempo)
                track_id = catalog.put_track(music, track)
                catalog.assign_rows(track_id, "track", number, 1)
                catalog.mark_encoded(track_id, model.name)
                if fingerprints:
                    catalog.fingerprints.put(track_id, random_fingerprint(random, 200.0))
