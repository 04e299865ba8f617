"""Tiny trees in the layouts of the datasets with labels of concepts."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np

from conftest import RATE, write

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
JAMENDO_TAGS = (
    ("genre---rock", "instrument---guitar", "mood/theme---happy"),
    ("genre---rock", "genre---pop"),
    ("genre---ambient", "mood/theme---calm", "mood/theme---deep"),
    ("genre---pop", "instrument---piano"),
)
MSD_TAGS = (
    (("Rock", 100), ("80s", 40), ("seen live", 90)),
    (("rock", 60), ("Mellow", 3), ("female vocalist", 50)),
    (("jazz", 100), ("sad", 30)),
    (("favourites", 100),),
    (("jazz", 2), ("House", 80)),
)


def sound(number: int, seconds: float = 0.6) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 15 * number) * t)).astype(np.float32)


def gtzan(root: Path) -> Path:
    """Two excerpts per genre."""
    for number, genre in enumerate(GENRES):
        for take in range(2):
            write(root / "genres" / genre / f"{genre}.{take:05d}.wav", sound(2 * number + take))
    return root


def mtg_jamendo(root: Path) -> Path:
    """Eight training tracks and four each for validation and test; some have a date, one a broken one."""
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
    dates = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL"]
    number = 1000
    for subset, size in (("train", 8), ("validation", 4), ("test", 4)):
        lines = [header]
        for k in range(size):
            number += 1
            path = f"{number % 100:02d}/{number}.mp3"
            write(root / "audio" / path, sound(number % 50), format="MP3")
            tags = "\t".join(JAMENDO_TAGS[k % 4])
            track = f"track_{number:07d}"
            lines.append(f"{track}\tartist_{subset}_{k // 2}\talbum_1\t{path}\t0.6\t{tags}")
            if k % 4 < 3:
                date = ("2008-03-02", "1999-01-01", "0000-00-00")[k % 4]
                dates.append(f'{track}\tartist_1\talbum_1\tA "song\tAnn\tOne\t{date}\thttp://x')
        table = root / "data" / "splits" / "split-0" / f"autotagging-{subset}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(lines) + "\n")
    (root / "data" / "raw.meta.tsv").write_text("\n".join(dates) + "\n")
    return root


def track_name(number: int) -> str:
    return f"TR{chr(65 + number)}BC{number:013d}"


def msd_lastfm(root: Path, database: bool = True) -> Path:
    """Five recordings, one of which has none of the tags; without `database`, the tags are in JSON files."""
    rows = []
    for number, tags in enumerate(MSD_TAGS):
        track = track_name(number)
        write(root / "audio" / track[2] / f"{track}.mp3", sound(number), format="MP3")
        rows += [(track, tag, weight) for tag, weight in tags]
        if not database:
            folder = root / ("lastfm_test" if number == 2 else "lastfm_train") / track[2] / track[3] / track[4]
            folder.mkdir(parents=True)
            content = {"track_id": track, "tags": [[tag, str(weight)] for tag, weight in tags], "similars": []}
            (folder / f"{track}.json").write_text(json.dumps(content))
    if database:
        connection = sqlite3.connect(root / "lastfm_tags.db")
        connection.execute("CREATE TABLE tags (tag TEXT)")
        connection.execute("CREATE TABLE tids (tid TEXT)")
        connection.execute("CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT)")
        tracks, tags = (sorted({row[column] for row in rows}) for column in (0, 1))
        connection.executemany("INSERT INTO tids VALUES (?)", [(name,) for name in tracks])
        connection.executemany("INSERT INTO tags VALUES (?)", [(name,) for name in tags])
        pairs = [(tracks.index(track) + 1, tags.index(tag) + 1, weight) for track, tag, weight in rows]
        connection.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", pairs)
        connection.commit()
        connection.close()
    (root / "tracks_per_year.txt").write_text(
        f"1964<SEP>{track_name(2)}<SEP>Ann<SEP>Song\n1999<SEP>TRX<SEP>Bob<SEP>B\n"
    )
    (root / "unique_tracks.txt").write_text(
        f"{track_name(0)}<SEP>SO1<SEP>Ann<SEP>One\n{track_name(1)}<SEP>SO2<SEP>Ann<SEP>\n"
    )
    return root


DIM_SIM_HEADER = "anchor_id,anchor_start_seconds,song1_id,song1_start_seconds,song2_id,song2_start_seconds,song1_vote"


def dim_sim(root: Path, songs: int = 6, seconds: float = 0.6) -> Path:
    """One judged triplet per recording: song 1 is the more similar one of every second triplet."""
    for number in range(songs):
        write(root / "audio" / f"{track_name(number)}.mp3", sound(number, seconds), format="MP3")
    lines = [DIM_SIM_HEADER]
    for number in range(songs):
        names = [track_name((number + step) % songs) for step in (0, 1, 3)]
        lines.append(f"{names[0]},0.0,{names[1]},0.1,{names[2]},0.2,{number % 2}")
    (root / "clean-dim-sim.csv").write_text("\n".join(lines) + "\n")
    return root
