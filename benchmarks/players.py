"""Time of what music players ask first, over OpenSubsonic, with a large library.

    python benchmarks/players.py [--tracks 100000] [--save DIR]

The library is synthetic: albums of 12 tracks, three albums per artist, a guest on every fifth track, and 7 of 10 albums
name their artist. Its files exist, but are empty. Requests go through the app in this process; times are medians of 5,
without the network, but with the envelope as JSON. The first request makes the index of artists and albums.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

import soundalike
from common import plain_track, report_of, show_and_save
from soundalike.library.folder import LibraryFolder
from soundalike.serve.app import create_app

_WORDS = ("love", "night", "river", "golden", "winter", "quiet", "blue", "dancing", "fire", "été", "song", "choir")
_LOGIN = {"u": "bench", "p": "any", "v": "1.16.1", "c": "bench", "f": "json"}
_REPEATS = 5


def _words(number: int, count: int) -> str:
    return " ".join(_WORDS[number // 12**place % 12] for place in range(count))


def fill(folder: Path, music: Path, n: int) -> None:
    """Make a library of n tracks with empty files."""
    with LibraryFolder.create(folder) as library, library.catalog.transaction():
        for i in range(n):
            album, artist = i // 12, i // 36
            name, title = f"The {_words(artist + 1000, 2).title()} {artist}", f"{_words(31 * i, 4)} {i}"
            path = music / name / f"{_words(7 * album, 3)} {album}" / f"{i % 12 + 1:02d} {title}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            track = replace(
                plain_track(path, mtime_ns=10**18 + i * 10**9),
                title=title,
                artists=(name, f"Guest {artist % 500}")[: 1 + (i % 5 == 0)],
                album=path.parent.name,
                album_artist=name if album % 10 < 7 else None,
                genres=(f"Genre {album % 100}",),
                year=1950 + album % 75,
            )
            library.catalog.put_track(music, track)


def main() -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    measured: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        fill(Path(temporary) / "library", Path(temporary) / "music", args.tracks)
        with (
            soundalike.open(Path(temporary) / "library") as library,
            TestClient(create_app(library), base_url="http://127.0.0.1") as client,
        ):

            def ask(name: str, endpoint: str, repeats: int = _REPEATS, **parameters: object) -> dict:
                times = []
                for _ in range(repeats):
                    began = time.perf_counter()
                    answer = client.get(f"/rest/{endpoint}", params={**_LOGIN, **parameters})
                    times.append(1000 * (time.perf_counter() - began))
                    found = answer.json()["subsonic-response"]
                    if found["status"] != "ok":
                        raise SystemExit(f"{endpoint}: {found['error']}")
                measured[name] = float(np.median(times))
                return found

            ask("the first getArtists, which makes the index", "getArtists", 1)
            ask("getArtists", "getArtists")
            ask("getIndexes", "getIndexes")
            half = args.tracks // 2
            ask("search3, one word", "search3", query="golden")
            ask("search3, three words", "search3", query="golden winter 77")
            ask("search3, no word, 20 of each", "search3", query="")
            ask("search3, no word, 500 songs from the middle", "search3", query="", songCount=500, songOffset=half)
            found = ask("getAlbumList2, 500 newest", "getAlbumList2", type="newest", size=500)
            album = found["albumList2"]["album"][0]["id"]
            ask("getAlbum", "getAlbum", id=album)
            ask("getRandomSongs, 10", "getRandomSongs", size=10)
            ask("getSong", "getSong", id=f"tr-{half}")
    report = report_of(
        "players",
        f"OpenSubsonic over {args.tracks:,} tracks, milliseconds",
        f"python benchmarks/players.py --tracks {args.tracks}",
        rows=list(measured),
        columns=["ms"],
        values=[[ms] for ms in measured.values()],
        n=[[args.tracks] for _ in measured],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
