"""Render the bundled demo collection: every tune with every groove on every instrumentation, 36 clips of 8 s.

    python tools/render_demo.py

writes `src/soundalike/demo/clips/*.ogg` (mono, 22,050 Hz) and `clips.json`. Keys lie within four semitones of C
and tempi within 4 % of 120. Each tune uses each of nine keys and nine tempi once, so that neither identifies it.
The tunes are in the public domain and were entered by hand; the grooves are original.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Band, Chord, Groove, Hit, Melody, Note, Progression, Rhythm, Scene, Sound
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.soundfonts import KNOWN, check_fluidsynth, find_soundfonts
from soundalike.render.sound.studio import play

DEMO = Path(__file__).resolve().parents[1] / "src" / "soundalike" / "demo"
SOUNDFONT = "musescore"
RATE = 22050
METER, TEMPO, BEATS, TAIL = "4/4", 120.0, 16.0, 0.5  # beats per minute, beats of music, seconds to ring out
# Tune and groove fill a loop twice as long as the clip, so that they do not restart while it rings out and the chords
# return to the first one.
LOOP = 2 * BEATS

CREDITS = {
    "clips": "Rendered by tools/render_demo.py; Apache-2.0, like the rest of soundalike.",
    "tunes": "Auld Lang Syne (Scots, 18th century), Drunken Sailor (sea shanty, 19th century), God Rest Ye Merry,"
             " Gentlemen (English, 18th century or before), Canon in D (Johann Pachelbel, 1653-1706): public domain.",
    "soundfont": {
        "name": "MuseScore_General (Lite)",
        "licence": "MIT; parts public domain and CC0-1.0",
        "copyright": [
            "Adaptation for MuseScore_General: Copyright 2018-2021 S. Christian Collins",
            "Fluid (R3) Mono: Copyright 2014-2017 Michael Cowgill",
            "Fluid (R3): Copyright 2000-2002, 2008 Frank Wen",
            "Temple Blocks instrument: Copyright 2002 Ethan Winer",
            "Drumline Cymbals: Copyright 2016 Michael Schorsch",
            "MuseScore Drumline samples: S. Christian Collins and Amir Oosman (CC0-1.0)",
            "Versilian Community Sample Library: Sam Gossner (CC0-1.0)",
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Song:
    """A tune and its chords."""

    melody: Melody
    progression: Progression


def _song(name: str, mode: str, melody: str, chords: str) -> Song:
    """A tune from "pitch:beats ..." and its chords from "root:kind:beats ...", pitches and roots above the tonic."""
    at, notes = 0.0, []
    for word in melody.replace("|", " ").split():
        pitch, length = word.split(":")
        notes.append(Note(at, float(length), int(pitch), 104 if at % 4 == 0 else 96))
        at += float(length)
    start, harmony = 0.0, []
    for word in chords.split():
        root, kind, length = word.split(":")
        harmony.append(Chord(start, float(length), int(root), kind))
        start += float(length)
    assert at == start == BEATS, name
    return Song(Melody(name, name, METER, mode, LOOP, tuple(notes)),
                Progression(name, METER, mode, BEATS, tuple(harmony)))


SONGS = (
    _song("Auld Lang Syne", "major",
          "0:1.5 0:.5 0:1 4:1 | 2:1.5 0:.5 2:1 4:1 | 0:1.5 0:.5 4:1 7:1 | 9:4",
          "0:maj:4 7:7:4 0:maj:4 5:maj:4"),
    _song("Drunken Sailor", "minor",
          "7:1 7:.5 7:.5 7:1 7:.5 7:.5 | 7:1 0:1 3:1 7:1 | 5:1 5:.5 5:.5 5:1 5:.5 5:.5 | 5:1 -2:1 2:1 5:1",
          "0:min:8 10:maj:8"),
    _song("God Rest Ye Merry, Gentlemen", "minor",
          "0:1 7:1 7:1 5:1 | 3:1 2:1 0:1 -2:1 | 0:1 2:1 3:1 5:1 | 7:3 0:1",
          "0:min:4 8:maj7:4 5:min:4 7:7:4"),
    _song("Canon in D", "major",
          "0:1 4:1 7:1 5:1 | 4:1 0:1 4:1 2:1 | 0:1 -3:1 0:1 7:1 | 5:1 9:1 7:1 5:1",
          "0:maj:2 7:maj:2 9:min:2 4:min:2 5:maj:2 0:maj:2 5:maj:2 7:maj:2"),
)


def _groove(name: str, bars: float, swing: float, **strokes: tuple[int, str]) -> Groove:
    """Repeat a pattern of `bars` bars until the clip ends. Each voice is (drum, "beat/velocity ...")."""
    hits = [Hit(float(beat) + start, drum, int(velocity)) for drum, line in strokes.values()
            for beat, velocity in (word.split("/") for word in line.split())
            for start in np.arange(0.0, BEATS, 4 * bars)]
    return Groove(name, name, METER, LOOP, tuple(sorted(hits, key=lambda hit: hit.start)), swing)


RHYTHMS = (
    Rhythm(_groove(
        "rock", 2, 0.5,
        kick=(36, "0/118 2/112 2.5/100 4/118 5.5/96 6/112"),
        snare=(38, "1/116 3/116 5/116 7/116"),
        hat=(42, " ".join(f"{k / 2}/{86 if k % 2 == 0 else 64}" for k in range(15))),
        open_hat=(46, "7.5/92")), "quarters", "eighths"),
    Rhythm(_groove(
        "swing", 1, 0.667,
        ride=(51, "0/92 1/112 1.667/88 2/92 3/112 3.667/88"),
        pedal_hat=(44, "1/100 3/100"),
        kick=(36, "0/64 2/60"),
        snare=(38, "2.667/58")), "charleston", "walking"),
    Rhythm(_groove(
        "bossa nova", 2, 0.5,
        rim=(37, "0/112 1.5/108 3/112 5/108 6.5/112"),
        kick=(36, "0/96 1.5/80 2/100 3.5/80 4/96 5.5/80 6/100 7.5/80"),
        shaker=(82, " ".join(f"{k / 4}/{84 if k % 4 == 2 else 58}" for k in range(32)))), "bossa", "bossa"),
)


def _band(lead: int, comp: int, bass: int, drums: int, bass_db: float) -> Band:
    """Choose General MIDI programs and a GS drum kit, with the tune loudest."""
    # Levels are relative to all other parts. These put the drums about 2 dB above comp and bass, which stay audible.
    return Band(Sound(SOUNDFONT, lead), Sound(SOUNDFONT, comp), Sound(SOUNDFONT, bass), Sound(SOUNDFONT, drums),
                lead_db=4.0, drums_db=-6.0, bass_db=bass_db, room=0.15)


BANDS = {
    "flute trio": _band(73, 24, 32, 40, bass_db=-1.0),
    "synth band": _band(81, 90, 38, 25, bass_db=-1.0),
    "trumpet and organ": _band(56, 16, 33, 8, bass_db=0.0),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One clip of the grid: what to render, and its description."""

    scene: Scene
    title: str
    tune: str
    groove: str
    instruments: str
    key: str

    @property
    def file(self) -> str:
        """Return the name of the clip's file."""
        parts = (self.tune, self.groove, self.instruments)
        return ".".join(part.lower().replace(",", "").replace(" ", "-") for part in parts) + ".ogg"


def cells() -> Iterator[Cell]:
    """Yield every tune x groove x instrumentation, each with its own key, tempo, room and players."""
    rng, seed = np.random.default_rng(4), 0
    for song in SONGS:
        keys, tempi = rng.permutation(np.arange(-4, 5)) % 12, rng.permutation(np.linspace(0.96, 1.04, 9))
        cross = ((rhythm, name, band) for rhythm in RHYTHMS for name, band in BANDS.items())
        for key, tempo, (rhythm, name, band) in zip(keys, tempi, cross, strict=True):
            tune, groove = song.melody.name, rhythm.groove.name
            tonic = ["C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"][key]
            yield Cell(
                Scene(song.melody, song.progression, rhythm, band, key=int(key), tempo=round(TEMPO * float(tempo), 1),
                      level=-18.0, seed=seed),
                f"{tune}, {groove}, {name}", tune, groove, name, f"{tonic} {song.melody.mode}")
            seed += 1


def find_orchestra() -> Orchestra:
    """Return the players of the soundfont. Raises UsageError if it or FluidSynth is missing."""
    check_fluidsynth()
    found = [one for one in find_soundfonts() if one.bank == SOUNDFONT]
    if not found:
        known = next(one for one in KNOWN if one.bank == SOUNDFONT)
        raise UsageError(f"{known.path} is missing: apt install {known.package}")
    return Orchestra(found, voices=False, kits=False)


def samples(cell: Cell, orchestra: Orchestra) -> FloatArray:
    """Render four bars and their decay, (t,) float32 at 22,050 Hz, with a fade at the end."""
    out = play(cell.scene, orchestra, BEATS * 60 / cell.scene.tempo + TAIL, RATE).samples
    fade = int(0.25 * RATE)
    out[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return out


def main() -> None:
    """Render the clips and write their list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO, help="the demo package's folder")
    out: Path = parser.parse_args().out
    try:
        orchestra = find_orchestra()
    except SoundalikeError as error:
        raise SystemExit(str(error)) from error
    (out / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for cell in cells():
        with soundfile.SoundFile(out / "clips" / cell.file, "w", RATE, 1, "VORBIS", format="OGG",
                                 compression_level=0.85) as file:
            file.title, file.artist, file.album = cell.title, cell.instruments, "soundalike demo"
            file.write(samples(cell, orchestra))
        rows.append({"file": f"clips/{cell.file}", "title": cell.title, "tune": cell.tune, "groove": cell.groove,
                     "instruments": cell.instruments, "key": cell.key, "tempo": cell.scene.tempo})
    (out / "clips.json").write_text(json.dumps({"credits": CREDITS, "clips": rows}, indent=1) + "\n")
    size = sum(path.stat().st_size for path in (out / "clips").glob("*.ogg"))
    print(f"{len(rows)} clips, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
