"""Tiny trees in the layouts of the published datasets, of short tones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from concept_trees import dim_sim, gtzan, msd_lastfm, mtg_jamendo

from conftest import RATE, write

STEMS = ("bass", "drums", "other", "vocals")
DANCES = (
    "ChaChaCha",
    "Jive",
    "Quickstep",
    "Rumba-International",
    "Rumba-Misc",
    "Samba",
    "Tango",
    "VienneseWaltz",
    "Waltz",
)


def tone(pitch: float, harmonics: int, seconds: float = 1.2) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * pitch * h * t) / h for h in range(1, harmonics + 1))
    return (0.3 * wave * np.exp(-2 * (t % 0.4))).astype(np.float32)


def stem(kind: str, number: int) -> np.ndarray:
    """A stem of the song with a number: the class makes the sound, the song only shifts its pitch a little."""
    shift = 1.02**number
    if kind == "drums":
        noise = np.random.default_rng(number).standard_normal(len(tone(200, 1)))
        return (0.2 * noise * np.exp(-20 * (np.arange(len(noise)) / RATE % 0.3))).astype(np.float32)
    pitch, harmonics = {"bass": (55, 3), "other": (330, 20), "vocals": (700, 2), "mixture": (100, 5)}[kind]
    return tone(pitch * shift, harmonics)


def musdb18hq(root: Path) -> Path:
    """Three songs."""
    for number, song in enumerate(("train/Cat - One", "train/Dog - Two", "test/Eel - Three")):
        for name in (*STEMS, "mixture"):
            write(root / song / f"{name}.wav", stem(name, number))
    return root


def stem_table(root: Path) -> Path:
    """Two songs with all classes, one of two files, and one without vocals."""
    lines = ["song,path,instrument,stem_class,seconds"]
    for number, song in enumerate(("Cat", "Dog", "Eel")):
        for name in STEMS[:3] if song == "Eel" else STEMS:
            for part in range(2 if (song, name) == ("Cat", "other") else 1):
                path = write(root / song / f"{name}{part}.wav", stem(name, number + 9 * part))
                lines.append(f"{song},{root.name}/{path.relative_to(root).as_posix()},x,{name},1.2")
    (root / "stems.csv").write_text("\n".join(lines) + "\n")
    return root


def ballroom(root: Path) -> Path:
    """Two recordings per dance, three of ChaChaCha, and one of them a replica of another one."""
    for number, dance in enumerate(DANCES):
        for take in range(2):
            write(
                root / "BallroomData" / dance / f"Media-{number}0{take}.wav", tone(150 + 40 * number + take, number + 1)
            )
    for name in ("Albums-Latin_Jam2-05", "Albums-Latin_Jam2-13"):
        write(root / "BallroomData" / "ChaChaCha" / f"{name}.wav", tone(154, 1))
    (root / "BallroomData" / "allBallroomFiles").write_text("")
    return root


def covers80(root: Path) -> Path:
    """Four songs in two versions, one of figure 4's, and a third version of one song."""
    place = root / "coversongs" / "covers32k"
    lists: tuple[list[str], list[str]] = ([], [])
    for number, song in enumerate(("Abracadabra", "Let_It_Be", "Lodi", "Yesterday")):
        for version, artist in enumerate(("ann", "bob")):
            name = f"{song}/{artist}+Live_Vol.1+0{number}-{song}"
            write(place / f"{name}.wav", tone(200 + 60 * number, 2 + 5 * version))
            lists[version].append(name)
    write(place / "Lodi" / "cyd+Demo+02-Lodi.wav", tone(320, 9))
    for n, names in enumerate(lists, start=1):
        (place / f"list{n}.list").write_text("\n".join(names) + "\n")
    return root


def jamendo_instruments(root: Path) -> Path:
    """Six tracks of three artists."""
    tracks = (
        (1001, "artist_1", ("guitar",)), (1002, "artist_1", ("guitar", "voice")), (2003, "artist_2", ("piano",)),
        (2004, "artist_2", ("voice",)), (3005, "artist_3", ("guitar", "piano")), (3006, "artist_3", ("piano",)),
    )  # fmt: skip
    lines = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
    for number, artist, tags in tracks:
        path = f"{number % 100:02d}/{number}.mp3"
        sound = tone(250 + number % 7 * 20, 3 + 5 * len(tags[0]))
        write(root / "audio" / path, sound, format="MP3")
        labels = "\t".join(f"instrument---{tag}" for tag in tags)
        lines.append(f"track_{number:07d}\t{artist}\talbum_1\t{path}\t1.2\t{labels}")
    for name in ("autotagging_instrument.tsv", "splits/split-0/autotagging_instrument-test.tsv"):
        table = root / "data" / name
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(lines) + "\n")
    return root


SLAKH_STEMS = (
    ("S00", 0, "false", "Piano"), ("S01", 33, "false", "Bass"), ("S02", 128, "true", "Drums"),
    ("S03", 27, "false", "Guitar"), ("S04", 30, "false", "Guitar"), ("S05", 48, "false", "Strings (continued)"),
)  # fmt: skip


def slakh2100(root: Path, songs: int = 4, seconds: float = 2.4) -> Path:
    """Songs with two guitars, in two subsets; a stem without audio is only in the metadata."""
    for number in range(songs):
        folder = root / ("train" if number % 2 else "test") / f"Track{number + 1:05d}"
        lines = ["UUID: 1a81", "audio_dir: stems", "stems:"]
        total = np.zeros(round(seconds * RATE), np.float32)
        for name, program, is_drum, kind in (*SLAKH_STEMS, ("S06", 9, "false", "Chromatic Percussion")):
            rendered = str(name != "S06").lower()
            lines += [
                f"  {name}:",
                f"    audio_rendered: {rendered}",
                f"    inst_class: {kind}",
                "    integrated_loudness: -13.5",
                f"    is_drum: {is_drum}",
                f"    program_num: {program}",
            ]
            if name != "S06":
                pitch = 60 + 20 * program % 300 + 35 * (number + 1) * int(name[-1])
                sound = tone(pitch, 1 + (program + number) % 9, seconds)
                total += sound / 6
                write(folder / "stems" / f"{name}.flac", sound)
        write(folder / "mix.flac", total)
        (folder / "metadata.yaml").write_text("\n".join([*lines, "target_peak: -1.0", ""]))
    return root


def abx_row(answer: str, subject: int, *paths: str) -> str:
    return f"0,ex202407,subject{subject},{','.join(paths)},NA,NA,{answer},{answer},1000"


def inst_sim_abx(root: Path, clips: bool = True, sets: int = 6) -> Path:
    """Judgements on mixes of `slakh2100`: five votes each, one attention check, and the segments."""
    rows = [",ex_name,subject_id,reference,sample_a,sample_b,answer_timbre,answer_rhythm,answer_melody,answer_total,x"]
    config: dict[str, object] = {}
    for number in range(sets):
        x, a, b = 1 + number % 4, 1 + (number + 1) % 4, 1 + (number + 2) % 4
        names = {role: f"{role}_{song}-0.wav" for role, song in (("X", x), ("A", a), ("B", b))}
        paths = [f"set{number}/0/mix/{name}" for name in names.values()]
        answer = "AB"[number % 2]
        rows += [abx_row(f"{answer}+", subject, *paths) for subject in range(5)]
        config[str(number)] = {"0": {"test2": {"mix": {
            role: {"ID": song, "seg": 0, "filename": names[role], "sr": RATE, "index_s": 0, "index_e": 26460}
            for role, song in (("X", x), ("A", a), ("B", b))}}}}  # fmt: skip
        for path, song in zip(paths, (x, a, b), strict=True) if clips else ():
            write(root / path, tone(100 * song, song))
    rows.append(abx_row("A+", 9, "samples/dummy_0.wav", "set0/0/mix/A_2-0.wav", "set0/0/mix/B_3-0.wav"))
    for path, text in (("csvs/inst_sim_abx_answers.csv", "\n".join(rows) + "\n"),
                       ("sample_configs/dict_triplet_202407.json", json.dumps(config))):  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "slakh2100": slakh2100,
    "inst_sim_abx": inst_sim_abx,
    "musdb18hq": musdb18hq,
    "stem_table": stem_table,
    "ballroom": ballroom,
    "covers80": covers80,
    "jamendo_instruments": jamendo_instruments,
    "gtzan": gtzan,
    "mtg_jamendo": mtg_jamendo,
    "msd_lastfm": msd_lastfm,
    "dim_sim": dim_sim,
}
