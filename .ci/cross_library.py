"""Show that one version of Python reads what another one wrote: `cross_library.py add FOLDER` and `check FOLDER`.

`add` indexes a recording with a name and title that Unicode 14 (Python 3.11) does not know, and stores what a search
finds. `check` compares all checksums and repeats every search.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf

from soundalike.library.catalog import parse_filter
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import check_library
from soundalike.search.query import Query
from soundalike.search.search import search_library

NEW = "\U0001fae8 \u1c89 \U0001cceb"
"""Characters of Unicode 15 and 16, the second of them with a lower case."""


def tune(seed: int) -> np.ndarray:
    """A seeded melody of 12 s over a beat: (t,)."""
    notes = (60 + 7 * seed + 5 * np.arange(24) * (seed + 1)) % 24 + 55
    time = np.arange(22050 // 2) / 22050
    parts = [np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time) * np.exp(-3 * time) for note in notes]
    return (0.5 * np.concatenate(parts)).astype(np.float32)


def found(library: LibraryFolder, path: Path) -> list[list[object]]:
    """What a search finds among the tracks with the new characters: names and scores."""
    where = parse_filter(f"title ~ '{NEW.split()[0]}'")
    matches = search_library(library, Query(path, where=where, include_self=True)).matches
    return [[Path(match.span.track).name, round(match.score, 4)] for match in matches]


def add(folder: Path) -> None:
    """Index one more recording, with stored features, an unreadable file and version families."""
    music = folder / "music"
    music.mkdir(parents=True, exist_ok=True)
    number = len(list(music.glob("*.wav")))
    path = music / f"{number} {NEW}.wav"
    sf.write(path, tune(number), 22050)
    (music / f"{number} {NEW}.mp3").write_bytes(b"not music")
    with LibraryFolder.create(folder / "library") as library:
        report = index_files(library, [music], model="dsp", jobs=1, keep_features=True)
        assert (report.added, report.changed) == (1, 0), report
        catalog = library.catalog
        with catalog.transaction():
            for track in catalog.tracks():
                catalog.put_track(music, replace(track, title=f"{NEW} {track.id}", artists=(NEW, "b"), genres=(NEW,)))
            catalog.families.put([catalog.ids().tolist()])
        expected = {str(track.path): found(library, track.path) for track in catalog.tracks()}
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def check(folder: Path) -> None:
    """Compare everything with what was stored."""
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    with LibraryFolder(folder / "library") as library:
        report = check_library(library)
        assert report.ok, report
        assert report.rows
        for path, matches in expected.items():
            assert len(matches) == len(expected)
            assert found(library, Path(path)) == matches, path
        shown = library.catalog.database.rows("SELECT shown_path FROM tracks")
        assert all(NEW in row[0] for row in shown), "stored paths do not depend on the version of Unicode"
    with LibraryFolder(folder / "library", writable=True) as library:
        again = index_files(library, [folder / "music"], jobs=1)
        assert (again.unchanged, again.added, again.changed, again.reprojected) == (len(expected), 0, 0, 0), again
    print(
        f"checked with Python {sys.version.split()[0]}, Unicode {unicodedata.unidata_version}: {len(expected)} tracks"
    )


if __name__ == "__main__":
    {"add": add, "check": check}[sys.argv[1]](Path(sys.argv[2]))
