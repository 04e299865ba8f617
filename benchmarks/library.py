"""A library at size and under load: rescan, opening, adding, recovery after kills, and concurrent readers.

    OMP_NUM_THREADS=1 python benchmarks/library.py [--tracks 100000] [--large 1000000] [--kills 50] [--save DIR]

Large libraries are synthetic: model `dsp`, four spaces of 128 dimensions, random rows, because the content of the rows
does not matter here.

- Rescan: the command `soundalike index` on unchanged files.
- Opening and first search: each in a new process, without its imports, with the files in the page cache and an encoded
  query.
- Kills: `soundalike index` on short recordings receives SIGKILL at a random time. After each kill, all data is compared
  with its checksums, and the next run continues.
- Readers: two processes search while a third one adds tracks.
"""

from __future__ import annotations

import argparse
import json
import os
import random as stdlib_random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from common import plain_track, random_fingerprint, report_of, show_and_save, synthetic_library
from soundalike.demo.clips import load_clips
from soundalike.library.catalog.held import HeldModel
from soundalike.library.folder import LibraryFolder
from soundalike.library.maintenance import check_library
from soundalike.models.heads import unit_rows
from soundalike.models.model import Model

COMMAND = [sys.executable, "-m", "soundalike"]
PASSAGES = 47
"""Passages of a track of four minutes."""

OPEN = """
import json, sys, time
from pathlib import Path
import numpy as np
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library import LibraryFolder, Subject
from soundalike.search import Query, search_library
from soundalike.core.types import Span
from common import assume_files_exist
assume_files_exist()
random, took = np.random.default_rng(1), {}
began = time.perf_counter()
library = LibraryFolder(Path(sys.argv[1]))
took["open"] = time.perf_counter() - began
model = library.model()
def search(where=""):
    track = {s.name: random.standard_normal(s.dim, np.float32) for s in model.spaces}
    track = {name: row / np.linalg.norm(row) for name, row in track.items()}
    passages = {name: row[None, :] for name, row in track.items()}
    subject = Subject(Span("/elsewhere.mp3", 0.0, 200.0), passages, track, "", np.zeros(0, np.uint32), None, None)
    query = Query(Path("/elsewhere.mp3"), by="track", **({"where": parse_filter(where)} if where else {}))
    began = time.perf_counter()
    found = search_library(library, query, subject)
    assert len(found.matches) == 10 and not found.corrupt
    return time.perf_counter() - began
took["first"] = search()
took["later"] = float(np.median([search() for _ in range(20)]))
took["first where"] = search("bpm 90..110")
took["later where"] = float(np.median([search("bpm 90..110") for _ in range(20)]))
print(json.dumps(took))
"""

READ = """
import json, sys, time
from pathlib import Path
from soundalike.library import LibraryFolder
from soundalike.search import Query, search_library
took, counts, stop = [], [], Path(sys.argv[3])
with LibraryFolder(Path(sys.argv[1])) as library:
    while not stop.exists():
        began = time.perf_counter()
        found = search_library(library, Query(Path(sys.argv[2]), k=10_000, include_self=True))
        took.append(time.perf_counter() - began)
        assert not found.corrupt
        counts.append(found.searched)
        assert counts == sorted(counts)
print(json.dumps({"took": took, "last": counts[-1]}))
"""


def opened(library: Path) -> dict[str, float]:
    """Return the seconds of opening and of first and later searches, in a new process."""
    done = subprocess.run([sys.executable, "-c", OPEN, library], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )  # fmt: skip
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def make_library(folder: Path, count: int) -> tuple[Path, Path]:
    """Make a library of `count` tracks. Returns the library and the folder of the tracks, which are not created."""
    model, random = Model.load("dsp"), np.random.default_rng(0)
    rows = {s.name: unit_rows(random.standard_normal((count, s.dim), np.float32)) for s in model.spaces}
    music = folder / "music"
    synthetic_library(folder / "library", model, rows, music=music)
    return folder / "library", music


def touch(music: Path, count: int) -> None:
    """Create the empty files of a synthetic library, with modification time 0."""
    import os

    for number in range(count):
        path = music / str(number // 100) / f"{number}.mp3"
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, ns=(0, 0))


def add_rate(folder: Path) -> tuple[float, float]:
    """Return the tracks and the MB per second that are written durably: 47 passages per track, 32 tracks per commit."""
    model, random = Model.load("dsp"), np.random.default_rng(0)
    batch, tracks = 32, 960
    rows = unit_rows(random.standard_normal((batch * PASSAGES, 128), np.float32))
    with LibraryFolder.create(folder) as library:
        catalog = library.catalog
        with catalog.transaction():
            dims = [(s.name, level, s.dim) for s in model.spaces for level in ("track", "passage")]
            catalog.put_model(model.name, HeldModel(model.recipe.digest, model.source), dims)
        library.refresh()
        store = library.store
        began = time.perf_counter()
        for first in range(0, tracks, batch):
            for space in model.spaces:
                store.write("track", space.full_name, first, rows[:batch])
                store.write("passage", space.full_name, first * PASSAGES, rows)
            store.flush()
            with catalog.transaction():
                catalog.commit_rows(model.name, "track", first, batch)
                catalog.commit_rows(model.name, "passage", first * PASSAGES, batch * PASSAGES)
                for number in range(first, first + batch):
                    track_id = catalog.put_track(Path("/music"), plain_track(Path(f"/music/{number}.mp3")))
                    catalog.fingerprints.put(track_id, random_fingerprint(random, 150.0))
                    catalog.assign_rows(track_id, "track", number, 1)
                    catalog.assign_rows(track_id, "passage", number * PASSAGES, PASSAGES)
                    catalog.mark_encoded(track_id, model.name)
        took = time.perf_counter() - began
    size = sum(file.stat().st_size for file in folder.iterdir())
    return tracks / took, size / 1e6 / took


def short_songs(folder: Path, count: int) -> Path:
    """Make `count` different recordings of 6 s from the demo clips."""
    random = np.random.default_rng(0)
    sounds = []
    for clip in load_clips():
        samples, rate = sf.read(clip.path, dtype="float32")
        sounds.append(soxr.resample(samples, rate, 22_050))
    folder.mkdir()
    for number in range(count):
        first, second = random.choice(len(sounds), 2, replace=False)
        samples = np.concatenate([sounds[first][:66_150], sounds[second][:66_150]])
        sf.write(folder / f"{number:03}.flac", samples, 22_050)
    return folder


def killed(folder: Path, songs: Path, kills: int) -> dict[str, float]:
    """Kill `soundalike index` repeatedly. Returns the numbers of kills and of kills with lost or corrupt data."""
    previous, libraries, kills_done, lost = 0, 0, 0, 0
    draw = stdlib_random.Random(0)
    while kills_done < kills:
        library = folder / f"killed{libraries}"
        process = subprocess.Popen([*COMMAND, "index", songs, "--library", library], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        time.sleep(draw.uniform(0.3, 2.0))
        kills_done += process.poll() is None
        process.kill()
        process.wait()
        if not (library / "catalog.sqlite").exists():
            continue
        try:
            with LibraryFolder(library) as opened_again:
                count = opened_again.catalog.counts()["tracks"]
                lost += count < previous or not check_library(opened_again).ok
        except Exception as error:
            if "make one with" not in str(error):  # killed before the library was complete
                raise
            count = 0
        previous = count
        if count == len(list(songs.iterdir())):
            libraries, previous = libraries + 1, 0
    return {"kills": kills_done, "lost": lost}


def read_while_writing(folder: Path, songs: Path) -> dict[str, float]:
    """Measure searches of two processes while a third one indexes."""
    library, stop = folder / "shared", folder / "stop"
    first = next(iter(sorted(songs.iterdir())))
    subprocess.run([*COMMAND, "index", first, "--library", library], check=True, capture_output=True)
    readers = [
        subprocess.Popen([sys.executable, "-c", READ, library, first, stop], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    subprocess.run([*COMMAND, "index", songs, "--library", library, "--jobs", "1"], check=True, capture_output=True)
    second = subprocess.run([*COMMAND, "index", songs, "--library", library], capture_output=True, check=False)
    stop.touch()
    outputs = [json.loads(reader.communicate()[0]) for reader in readers]
    took = np.concatenate([output["took"] for output in outputs])
    return {
        "answers": len(took),
        "p50": float(np.median(took)),
        "p95": float(np.quantile(took, 0.95)),
        "failed": sum(reader.returncode != 0 for reader in readers) + (second.returncode != 0),
    }


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    rows: list[tuple[str, float, float, int]] = []  # name, measured value, limit, n
    no_limit = float("nan")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (args.tracks, args.large):
            place = folder / str(count)
            place.mkdir()
            library, music = make_library(place, count)
            if count == args.tracks:
                touch(music, count)
                took = []
                for _ in range(3):
                    began = time.perf_counter()
                    done = subprocess.run([*COMMAND, "index", music, "--library", library, "--json"],
                                          capture_output=True, check=True, text=True)  # fmt: skip
                    took.append(time.perf_counter() - began)
                    assert json.loads(done.stdout)["unchanged"] == count
                rows.append((f"rescan of {count:,} unchanged files, s", float(np.median(took)), 10, 3))
            made = opened(library)  # creates the arrays that later processes map
            repeated = [opened(library) for _ in range(5)]
            median = {key: float(np.median([run[key] for run in repeated])) for key in made}
            rows += [
                (f"{count:,} tracks: opening, ms", 1000 * median["open"], 100, 5),
                (f"{count:,} tracks: first search after opening, ms", 1000 * median["first"], no_limit, 5),
                (f"{count:,} tracks: later searches, ms", 1000 * median["later"], no_limit, 100),
                (f"{count:,} tracks: first search with a filter, ms", 1000 * median["first where"], no_limit, 5),
                (f"{count:,} tracks: later searches with a filter, ms", 1000 * median["later where"], no_limit, 100),
                (f"{count:,} tracks: first search of the library, creates arrays, s", made["first"], no_limit, 1),
            ]
        tracks, megabytes = add_rate(folder / "added")
        rows += [("tracks added per second, 47 passages each", tracks, no_limit, 960),
                 ("MB per second, durable", megabytes, no_limit, 960)]  # fmt: skip
        songs = short_songs(folder / "songs", 48)
        survived = killed(folder, songs, args.kills)
        rows += [("killed runs", survived["kills"], no_limit, args.kills),
                 ("killed runs with lost or corrupt data", survived["lost"], 0, args.kills)]  # fmt: skip
        reading = read_while_writing(folder, songs)
        rows += [
            ("searches of two readers during writes", reading["answers"], no_limit, int(reading["answers"])),
            ("searches during writes, p50 ms", 1000 * reading["p50"], no_limit, int(reading["answers"])),
            ("searches during writes, p95 ms", 1000 * reading["p95"], no_limit, int(reading["answers"])),
            ("failed processes", reading["failed"], 0, 3),
        ]
    show_and_save(
        report_of(
            "bench-library",
            "A library at size, and under load",
            f"OMP_NUM_THREADS=1 python benchmarks/library.py --tracks {args.tracks} --large {args.large}",
            rows=[row[0] for row in rows],
            columns=["measured", "limit"],
            values=[[row[1], row[2]] for row in rows],
            n=[[row[3]] * 2 for row in rows],
            notes=(
                "Synthetic libraries hold track rows of four spaces of 128 dimensions. Files are in the page cache, "
                "and the query is encoded. A search returns ten explained matches whose rows match their checksums.",
                "The first search of a library creates the arrays that later processes map (row groups and "
                "calibration). The first search with a filter creates its columns.",
                f"Kills: SIGKILL after 0.3 to 2 s of indexing {48} recordings. The next run continues.",
            ),
            model="synthetic",
        ),
        args.save,
    )


if __name__ == "__main__":
    main()
