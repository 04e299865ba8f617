"""Version families and duplicates with known ground truth: does the stated false-discovery rate hold?

    python benchmarks/families.py [--tunes TUNES] [--works 240] [--singles 700] [--work DIR] [--save DIR]

There are three libraries from the test part of the split. covers.py renders the clips. None of these works was used to
choose the method, which was developed on the first 250.

1. *same chords*: four settings of every work over the same chords, as covers usually have, with different bands,
   grooves, keys and tempos; and one clip each of other works, which have no version in the library.
2. *other chords*: the same, but every setting has its own chords, so that the versions share only the tune.
3. *no versions*: one clip of every work, and for every 25th a copy: MP3, quieter, and 0.7 s later. There are no
   versions to find, and the copies are duplicates.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import soundfile

from common import report_of, show_and_save
from covers import SETTINGS, Task, different, make, melody
from soundalike.evaluate.estimates import bootstrap
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.models.recipes import DEFAULT_MODEL
from soundalike.search.duplicates import find_duplicates
from soundalike.search.versions import Versions, find_versions

RATES = (0.01, 0.05, 0.2)
DEVELOPMENT = 250  # works that were used to choose the method
SINGLE = 10_000  # the first draw of works with one clip
COPY_EVERY = 25


def singles(tunes: str | None, count: int, excluded: Sequence[int]) -> list[int]:
    """Return the numbers of the first draws that give different works and not those of the `excluded` draws."""
    seen = {melody(tunes, drawn).name for drawn in excluded}
    found: list[int] = []
    for drawn in range(SINGLE, SINGLE + 50 * count):
        name = melody(tunes, drawn, single=True).name
        if name not in seen:
            seen.add(name)
            found.append(drawn)
        if len(found) == count:
            return found
    raise SystemExit(f"found only {len(found)} works with one clip; give more --tunes or fewer --singles")


def copy(source: Path, target: Path) -> None:
    """Write a copy of a recording as MP3, at 0.3 times its amplitude and after 0.7 s of silence."""
    if not target.exists():
        samples, rate = soundfile.read(source, dtype="float32")
        soundfile.write(target, np.concatenate([np.zeros(7 * rate // 10, np.float32), 0.3 * samples]), rate)


def work_of(track: Track) -> str:
    """Return the work of a clip, which is the first part of its name."""
    return track.path.stem.split("-")[0]


def indexed(folder: Path, clips: Sequence[Path]) -> LibraryFolder:
    """Index clips into a new library and open it for reading.

    One process is used, because seeded draws depend on the order of the tracks.
    """
    with LibraryFolder.create(folder) as library:
        report = index_files(library, clips, jobs=1)
        if report.failed:
            raise SystemExit(f"clips that could not be indexed: {report.failed}")
    return LibraryFolder(folder)


def outcomes(found: Versions, tracks: Sequence[Track]) -> tuple[list[float], list[float], list[float], list[int]]:
    """Score the families against the works, in per cent with intervals.

    Returns values, low, high and n (4,): false pairs and found true pairs among the listed pairs, and the same among
    all pairs within families.
    """
    columns = []
    pairs = [(pair.a, pair.b) for family in found.families for pair in family.pairs]
    within = [pair for family in found.families for pair in combinations([member[0] for member in family.members], 2)]
    true = [(a, b) for a, b in combinations(tracks, 2) if work_of(a) == work_of(b)]
    for listed in (pairs, within):
        known = {frozenset((a.id, b.id)) for a, b in listed}
        columns.append([(work_of(a), work_of(a) != work_of(b)) for a, b in listed])
        columns.append([(work_of(a), frozenset((a.id, b.id)) in known) for a, b in true])
    values, low, high, n = [], [], [], []
    for column in columns:
        estimate = None
        if column:
            estimate = bootstrap(np.array([[100.0 * hit] for _, hit in column]), [work for work, _ in column], 0)
        values.append(float(estimate.value[0]) if estimate else np.nan)
        low.append(float(estimate.low[0]) if estimate else np.nan)
        high.append(float(estimate.high[0]) if estimate else np.nan)
        n.append(len(column))
    return values, low, high, n


def main() -> None:
    """Render the missing clips, index them, find families at every rate, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tunes")
    parser.add_argument("--works", type=int, default=240)
    parser.add_argument("--singles", type=int, default=700)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(args.jobs) as pool:
        place = args.work or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        works = different(args.tunes, DEVELOPMENT + args.works)
        single_works = singles(args.tunes, args.singles, works)
        works = works[DEVELOPMENT:]
        single_tasks = [
            Task(args.tunes, drawn, 0, place / f"{drawn}-0-single.flac", single=True) for drawn in single_works
        ]
        versions = {
            name: [
                Task(args.tunes, drawn, number, place / f"{drawn}-{number}-{suffix}.flac", same_chords=same)
                for drawn in works
                for number in range(SETTINGS)
            ]
            for name, suffix, same in (("same chords", "song", True), ("other chords", "tune", False))
        }
        list(pool.map(make, [*single_tasks, *versions["same chords"], *versions["other chords"]], chunksize=SETTINGS))
        sets = {name: [task.path for task in [*tasks, *single_tasks]] for name, tasks in versions.items()}
        sets["no versions"] = [
            *sets["same chords"][: SETTINGS * len(works) : SETTINGS],
            *(task.path for task in single_tasks),
        ]
        for source in sets["no versions"][::COPY_EVERY]:
            copy(source, source.with_suffix(".mp3"))
            sets["no versions"].append(source.with_suffix(".mp3"))
        rows: dict[str, tuple[list[float], list[float], list[float], list[int]]] = {}
        notes = []
        for name, clips in sets.items():
            with indexed(Path(scratch) / name, clips) as library:
                tracks = library.catalog.tracks()
                groups = find_duplicates(library).groups
                duplicates = [pair for group in groups for pair in combinations(group.tracks, 2)]
                right = sum(work_of(a) == work_of(b) and a.path.suffix != b.path.suffix for a, b in duplicates)
                copies = sum(path.suffix == ".mp3" for path in clips)
                notes.append(
                    f"{name}: {len(clips)} clips; duplicates: {right} of {copies} copies, "
                    f"{len(duplicates) - right} others."
                )
                for rate in RATES:
                    found = find_versions(library, rate)
                    if name == "no versions":
                        pairs = [pair for family in found.families for pair in family.pairs]
                        missed = sum(work_of(pair.a) == work_of(pair.b) for pair in pairs)
                        notes.append(
                            f"{name}, rate {rate:g}: {len(pairs)} pairs in {found.recordings} recordings, "
                            f"of which {missed} are unrecognised copies."
                        )
                    else:
                        rows[f"{name}, rate {rate:g}"] = outcomes(found, tracks)
    table = list(rows.values())
    show_and_save(
        report_of(
            "bench-families",
            f"Version families: {args.works} works of {SETTINGS} settings among {args.singles} other works",
            f"python benchmarks/families.py --tunes TUNES --works {args.works} --singles {args.singles}",
            rows=list(rows),
            columns=["false pairs", "true pairs found", "false within families", "true within families"],
            values=[row[0] for row in table],
            low=[row[1] for row in table],
            high=[row[2] for row in table],
            n=[row[3] for row in table],
            notes=[
                "Weights: melody 2, harmony 1. Intervals: bootstrap over works. The rate bounds `false pairs`.",
                *notes,
            ],
            unit="%",
            model=DEFAULT_MODEL,
        ),
        args.save,
    )


if __name__ == "__main__":
    main()
