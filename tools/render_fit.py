"""Render the clips that fixed descriptors are fitted on: folders whose clips share one factor only.

    python tools/render_fit.py --out DIR --folders 150 --seconds 12 --data DATA --seed 0 --jobs 2

`DIR/<factor>/<i>/0.ogg` to `3.ogg` (mono, 22,050 Hz) share their melody, rhythm, timbre or harmony; whatever else there
is to hear is drawn afresh for every clip. `DIR/index.csv` lists them with what was drawn; `DIR/READY` is written last.
Tunes come from The Session (ODbL), grooves from the Groove MIDI Dataset (CC BY 4.0), chords from the small grammar
below. The parsed notes are kept beside DIR, so that a second run starts at once. New work uses `soundalike render`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing
import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import mido
import numpy as np
import soundfile
from scipy import signal

from scenes import (
    BASS_STYLES,
    COMP_STYLES,
    KINDS,
    SOUNDFONTS,
    Chord,
    Groove,
    Hit,
    Instrumentation,
    Note,
    Progression,
    Scene,
    Tune,
    check,
    find_soundfont,
    render,
)

FACTORS = ("melody", "rhythm", "timbre", "harmony")
CLIPS = 4
RATE = 22050
N_TUNES = 700
COLUMNS = ("path", "factor", "folder", "layout", "soundfont", "key", "tempo", "lead", "comp", "bass", "kit")

# General MIDI programs by role; what is listed twice is drawn twice as often.
VOICES = (52, 53, 54, 85)
LEADS = (*VOICES, *VOICES, *range(80, 88), 40, 40, 41, 42, 64, 65, 65, 66, 67, 73, 73, 75, 78, 79, 74, 68, 71,
         56, 56, 57, 60, 61, 59, 22, 21, 110, 0, 1, 4, 5, 11, 12, 16, 18, *range(24, 31), 104, 105, 48, 62)
COMPS = (0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 11, 12, 16, 17, 18, 19, 21, 24, 24, 25, 25, 26, 27, 27, 28, 29, 30,
         46, 48, 48, 49, 50, 51, 52, 53, 61, 62, 63, *range(88, 96), 105, 107, 15)
BASSES = (32, 32, 33, 33, 34, 35, 36, 37, 38, 38, 39, 39, 43, 58)
KITS = (0, 0, 8, 8, 16, 16, 24, 25, 32, 40)
# The drum pads of the Groove data that General MIDI writes otherwise.
PADS = {22: 42, 26: 46, 58: 43}

# Which parts sound, and how far the lead stands out (dB): a folder of the factor takes four of these in turn.
PARTS = {
    "lead": "l", "lead+bass": "lb", "lead+drone": "lc", "lead+comp": "lc", "sparse": "lcb", "dense": "lcbd",
    "full": "lcbd", "drums": "d", "drums+bass": "bd", "drums+lead": "ld", "band": "cbd",
    "comp": "c", "bass": "b", "comp+bass": "cb",
}
LAYOUTS = {
    "melody": (("lead", "lead+bass", "lead+drone"), ("lead+comp", "sparse"), ("full", "sparse"), ("dense",)),
    "rhythm": (("drums",), ("drums", "drums+bass", "drums+lead"), ("full", "band"), ("dense",)),
    "harmony": (("comp", "bass", "comp+bass"), ("lead+comp", "comp+bass"), ("full", "band"), ("dense",)),
    # Timbre belongs to the ensemble, so all four clips of a folder have the same parts.
    "timbre": (("lead", "comp", "bass", "drums", "comp+bass", "lead+comp", "full", "full", "dense", "dense"),),
}

# The chord grammar: degree (semitones, kind) -> what may follow, with weights.
MAJOR = {
    (0, "maj"): {(5, "maj"): 5, (7, "maj"): 5, (9, "min"): 4, (2, "min"): 2, (4, "min"): 2, (10, "maj"): 1},
    (2, "min"): {(7, "maj"): 6, (5, "maj"): 2, (0, "maj"): 1},
    (4, "min"): {(9, "min"): 3, (5, "maj"): 4, (2, "min"): 1},
    (5, "maj"): {(0, "maj"): 5, (7, "maj"): 5, (2, "min"): 2, (9, "min"): 2, (5, "min"): 1},
    (5, "min"): {(0, "maj"): 1},
    (7, "maj"): {(0, "maj"): 6, (9, "min"): 3, (5, "maj"): 3, (4, "min"): 1},
    (9, "min"): {(5, "maj"): 5, (2, "min"): 3, (7, "maj"): 3, (4, "min"): 2},
    (10, "maj"): {(5, "maj"): 3, (0, "maj"): 2},
}
MINOR = {
    (0, "min"): {(8, "maj"): 4, (10, "maj"): 5, (5, "min"): 4, (7, "maj"): 2, (7, "min"): 2, (3, "maj"): 3},
    (3, "maj"): {(10, "maj"): 4, (8, "maj"): 3, (5, "min"): 2, (0, "min"): 1},
    (5, "min"): {(0, "min"): 3, (7, "maj"): 3, (10, "maj"): 2, (8, "maj"): 1},
    (7, "maj"): {(0, "min"): 5, (8, "maj"): 2},
    (7, "min"): {(0, "min"): 3, (8, "maj"): 3, (5, "min"): 2},
    (8, "maj"): {(10, "maj"): 5, (3, "maj"): 3, (7, "maj"): 2, (0, "min"): 2, (5, "min"): 1},
    (10, "maj"): {(0, "min"): 4, (3, "maj"): 4, (8, "maj"): 3, (5, "min"): 1},
}


@dataclass(frozen=True, slots=True)
class Material:
    """What scenes are drawn from."""

    tunes: tuple[Tune, ...]
    grooves: tuple[tuple[float, Groove], ...]


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".mid"):
                handle = tar.extractfile(member)
                assert handle is not None  # isfile() holds
                yield member.name, handle.read()


def _notes(track: mido.MidiTrack, ticks: int) -> list[tuple[float, float, int, int]]:
    """(start, length, pitch, velocity) in beats."""
    now, open_, notes = 0, {}, []
    for message in track:
        now += message.time
        if message.type == "note_on" and message.velocity > 0:
            open_[message.note] = (now, message.velocity)
        elif message.type in ("note_off", "note_on") and message.note in open_:
            start, velocity = open_.pop(message.note)
            notes.append((start / ticks, (now - start) / ticks, message.note, velocity))
    return sorted(notes)


def _tonic(notes: list[tuple[float, float, int, int]]) -> tuple[int, str]:
    """Pitch class and mode: the Krumhansl profile that fits best, a finger on the scale for the last note."""
    profiles = {"major": [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
                "minor": [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17]}
    histogram = np.zeros(12)
    for _, length, pitch, _ in notes:
        histogram[pitch % 12] += length
    last = notes[-1][2] % 12
    scores = {(tonic, mode): np.corrcoef(np.roll(profile, tonic), histogram)[0, 1] + 0.15 * (tonic == last)
              for mode, profile in profiles.items() for tonic in range(12)}
    return max(scores, key=scores.__getitem__)


def _tune(name: str, data: bytes) -> Tune | None:
    """The whole tune from its first bar line on, or None if it is not in 4/4 or too short."""
    try:
        midi = mido.MidiFile(file=io.BytesIO(data))
    except (OSError, ValueError, EOFError, KeyError):
        return None  # a few files of the corpus are cut short
    meters = {(m.numerator, m.denominator) for t in midi.tracks for m in t if m.type == "time_signature"}
    notes = next((n for t in midi.tracks if (n := _notes(t, midi.ticks_per_beat))), [])
    # The corpus writes the first note of a bar at velocity 105: the commonest place of those is the bar line.
    accents = [start for start, _, _, velocity in notes if velocity >= 105]
    if not meters <= {(4, 4), (2, 2)} or not meters or not accents or len(notes) < 40:
        return None
    line = Counter(round(start * 2) / 2 % 4 for start in accents).most_common(1)[0][0]
    tonic, mode = _tonic(notes)
    tonic += 12 * round((float(np.median([n[2] for n in notes])) - tonic - 4) / 12)
    placed = [Note(round((start - line) * 12) / 12, max(round(length * 12) / 12, 1 / 12), pitch - tonic,
                   int(np.clip(velocity, 70, 110))) for start, length, pitch, velocity in notes]
    kept = tuple(note for note in placed if note.start >= 0)
    beats = 32 * int((kept[-1].start + kept[-1].length + 0.5) // 32)
    return Tune(name, mode, beats, kept) if beats else None


def _groove(name: str, data: bytes, rng: np.random.Generator) -> Groove | None:
    """Two or four bars of a performance, eased onto their grid so that they loop; None if little happens."""
    midi = mido.MidiFile(file=io.BytesIO(data))
    notes = sorted(n for t in midi.tracks for n in _notes(t, midi.ticks_per_beat))
    beats = float(rng.choice([8, 8, 16]))
    for bar in range(1, 12):
        window = [(s - 4 * bar, p, v) for s, _, p, v in notes if -0.1 <= s - 4 * bar < beats - 0.1 and v > 12]
        if len(window) >= 5 * beats / 4 and len({PADS.get(p, p) for _, p, _ in window}) >= 2:
            break
    else:
        return None
    starts = np.array([start for start, _, _ in window])
    error = {grid: np.abs(starts * grid - np.round(starts * grid)).mean() / grid for grid in (3, 4)}
    grid = 3 if error[3] < 0.7 * error[4] else 4
    hits: dict[tuple[float, int], int] = {}
    for start, pitch, velocity in window:
        at, drum = round((0.15 * start + 0.85 * round(start * grid) / grid) % beats, 3), PADS.get(pitch, pitch)
        if not any(other == drum and abs(when - at) < 0.08 for when, other in hits):
            hits[at, drum] = max(velocity, 30)
    strokes = tuple(Hit(start, drum, velocity) for (start, drum), velocity in sorted(hits.items()))
    return Groove(name, beats, strokes, swing=0.64 if grid == 3 else 0.5)


def material(data: Path, cache: Path, seed: int) -> Material:
    """The tunes and grooves to draw from, parsed once and then read from `cache`."""
    if not cache.is_file():
        rng = np.random.default_rng(seed)
        groups: dict[str, list[tuple[str, bytes]]] = {}
        for name, content in _members(data / "tunes" / "thesession-midi.tar.xz"):
            groups.setdefault(name.split("/")[0], []).append((name, content))
        tunes: list[Tune] = []
        for name in rng.permutation(sorted(groups)):
            settings = groups[name]
            tune = _tune(*settings[rng.integers(len(settings))])
            tunes += [tune] if tune else []
            if len(tunes) == N_TUNES:
                break
        with (data / "grooves" / "info.csv").open(newline="") as handle:
            tempi = {row["midi_filename"]: float(row["bpm"]) for row in csv.DictReader(handle)
                     if row["beat_type"] == "beat" and row["time_signature"] == "4-4"}
        parsed = [(tempi[name], groove) for name, content in _members(data / "grooves" / "groove-midi.tar.gz")
                  if name in tempi and (groove := _groove(name, content, rng))]
        notes = [[astuple(n) for n in t.notes] for t in tunes]
        raw = {"tunes": [[t.name, t.mode, t.beats, n] for t, n in zip(tunes, notes, strict=True)],
               "grooves": [[bpm, g.name, g.beats, g.swing, [astuple(h) for h in g.hits]] for bpm, g in parsed]}
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(raw))
    raw = json.loads(cache.read_text())
    return Material(
        tuple(Tune(name, mode, beats, tuple(Note(*n) for n in notes))
              for name, mode, beats, notes in raw["tunes"]),
        tuple((bpm, Groove(name, beats, tuple(Hit(*h) for h in hits), swing))
              for bpm, name, beats, swing, hits in raw["grooves"]))


def draw_tune(rng: np.random.Generator, tunes: tuple[Tune, ...]) -> Tune:
    """Four or eight bars of a tune; more often than not thinned to how fast people sing."""
    tune, beats, notes = tunes[rng.integers(len(tunes))], float(rng.choice([16, 32])), []
    while len(notes) < beats / 4:  # some tunes rest for bars
        first = 16 * rng.integers(int(tune.beats - beats) // 16 + 1)
        notes = [replace(n, start=n.start - first) for n in tune.notes if first <= n.start < first + beats]
    if rng.random() < 0.65:
        # Off-beats go first, then weak beats; what stays holds on into the gap, at most for two beats.
        drop = {0.0: rng.uniform(0, 0.1), 0.5: rng.uniform(0.3, 0.9)}
        kept = [n for n in notes if rng.random() >= drop.get(n.start % 1, 0.9) * (1 if n.start % 4 else 0.3)]
        notes = kept or notes[:1]  # off-beats alone could all be dropped
        ends = [n.start for n in notes[1:]] + [beats]
        hold = rng.uniform(0.75, 2.0)
        notes = [replace(n, length=min(end - n.start, max(n.length, hold)))
                 for n, end in zip(notes, ends, strict=True)]
    notes = [replace(n, length=min(n.length, beats - n.start)) for n in notes]
    return Tune(tune.name, tune.mode, beats, tuple(notes))


def draw_progression(rng: np.random.Generator, mode: str) -> Progression:
    """Four or eight bars: a walk through the grammar with one harmonic rhythm, some sevenths."""
    grammar = MAJOR if mode == "major" else MINOR
    lengths = [[4, 4, 4, 4], [4, 4, 4, 4], [4] * 8, [2] * 8, [8, 8], [8, 4, 4], [4, 4, 2, 2, 4], [6, 2, 6, 2],
               [4, 4, 8]][rng.integers(9)]
    degrees = list(grammar)
    at = degrees[0] if rng.random() < 0.6 else degrees[rng.integers(len(degrees))]
    seventh, chords, start = rng.random() < 0.35, [], 0.0
    for length in lengths:
        kind = at[1]
        if seventh and rng.random() < 0.8:
            kind = "min7" if kind == "min" else "7" if at[0] == 7 else "maj7"
        elif rng.random() < 0.06:
            kind = "sus4" if kind == "maj" else kind
        chords.append(Chord(start, length, at[0], kind))
        start += length
        followers = [f for f in grammar[at] if f in grammar]
        weights = np.array([grammar[at][f] for f in followers], float)
        at = followers[rng.choice(len(followers), p=weights / weights.sum())]
    return Progression("-".join(f"{c.root}{c.kind}/{c.length:g}" for c in chords), mode, start, tuple(chords))


def fit(tune: Tune, chords: Progression) -> float:
    """Share of the tune's sounding time that lies on a note of the chord under it, -1 if the modes differ."""
    if tune.mode != chords.mode:
        return -1.0
    held = [(n.length, (n.pitch - (c := chords.at(n.start)).root) % 12 in KINDS[c.kind]) for n in tune.notes]
    return sum(length for length, hit in held if hit) / sum(length for length, _ in held)


def draw_band(rng: np.random.Generator) -> Instrumentation:
    """A lead, a comping instrument, a bass and a kit, with the balance between them."""
    lead, comp = int(rng.choice(LEADS)), int(rng.choice(COMPS))
    return Instrumentation(
        "", lead, comp if comp != lead else 0, int(rng.choice(BASSES)), int(rng.choice(KITS)),
        bass_db=rng.uniform(-4, 3), drums_db=rng.uniform(-4, 4), lead_db=rng.uniform(0, 9))


def draw_scene(rng: np.random.Generator, stuff: Material, layout: str, *, tune: Tune | None = None,
               groove: Groove | None = None, chords: Progression | None = None,
               band: Instrumentation | None = None, tempo: float | None = None) -> Scene:
    """A scene with these parts; whatever is not given is drawn. The tune and the chords suit each other."""
    mode = tune.mode if tune else chords.mode if chords else ("major", "minor")[rng.integers(2)]
    if tune is None:
        pool = tuple(t for t in stuff.tunes if t.mode == mode)
        tunes = [draw_tune(rng, pool) for _ in range(4 if chords else 1)]
        tune = max(tunes, key=lambda t: fit(t, chords) if chords else 0.0)
    if chords is None:
        chords = max((draw_progression(rng, mode) for _ in range(4)), key=lambda c: fit(tune, c))
        if layout == "lead+drone":
            chords = Progression("drone", mode, 8.0, (Chord(0.0, 8.0, 0, "5"),))
    groove = groove or stuff.grooves[rng.integers(len(stuff.grooves))][1]
    band = band or draw_band(rng)
    lead_db = {"dense": rng.uniform(-3, 2), "drums+lead": rng.uniform(-3, 3)}.get(layout, band.lead_db)
    parts = PARTS[layout]
    band = replace(band, lead=band.lead if "l" in parts else None, comp=band.comp if "c" in parts else None,
                   bass=band.bass if "b" in parts else None, kit=band.kit if "d" in parts else None,
                   lead_db=lead_db)
    return Scene(
        band, tune, chords, groove, key=int(rng.integers(-5, 7)), tempo=tempo or rng.uniform(75, 150),
        offset=rng.uniform(0, 3), octave=int(rng.choice([-1, 0, 0, 0, 1])),
        comp_style="pad" if layout == "lead+drone" else str(rng.choice(list(COMP_STYLES))),
        bass_style=str(rng.choice(list(BASS_STYLES))), level=rng.uniform(-20, -6),
        reverb=float(rng.choice([0.0, 0.1, 0.25, 0.5])) * rng.uniform(0.5, 1.5), seed=int(rng.integers(2**31)))


def draw_folder(factor: str, rng: np.random.Generator, stuff: Material) -> list[tuple[Scene, str, str]]:
    """Four (scene, soundfont, layout) that share `factor`."""
    layouts = LAYOUTS[factor]
    picked = [str(rng.choice(options)) for options in layouts]
    picked = picked * CLIPS if factor == "timbre" else [picked[k] for k in rng.permutation(CLIPS)]
    fonts = [str(font) for font in rng.choice(list(SOUNDFONTS), CLIPS)]
    scenes = []
    if factor == "melody":
        tune = draw_tune(rng, stuff.tunes)
        dense = len(tune.notes) / tune.beats > 1.4
        base = rng.uniform(85, 120) if dense else rng.uniform(85, 150)
        scenes = [draw_scene(rng, stuff, p, tune=tune, tempo=base * rng.uniform(0.85, 1.15)) for p in picked]
    elif factor == "rhythm":
        bpm, groove = stuff.grooves[rng.integers(len(stuff.grooves))]
        bpm = bpm / 2 if bpm > 180 else bpm
        scenes = [draw_scene(rng, stuff, p, groove=groove, tempo=bpm * rng.uniform(0.96, 1.04)) for p in picked]
    elif factor == "harmony":
        chords = draw_progression(rng, ("major", "minor")[rng.integers(2)])
        base = rng.uniform(75, 150)
        scenes = [draw_scene(rng, stuff, p, chords=chords, tempo=base * rng.uniform(0.96, 1.04))
                  for p in picked]
    else:
        band = draw_band(rng)
        if rng.random() < 0.7:  # mostly the very same instruments, else their namesakes from other soundfonts
            fonts = [fonts[0]] * CLIPS
        for layout in picked:
            bass, drums, lead = (db + rng.uniform(-2, 2) for db in (band.bass_db, band.drums_db, band.lead_db))
            balanced = replace(band, bass_db=bass, drums_db=drums, lead_db=lead)
            scenes.append(draw_scene(rng, stuff, layout, band=balanced))
    return list(zip(scenes, fonts, picked, strict=True))


def _finish(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A light touch of what recordings differ by: tilt of the spectrum, bandwidth, hiss; same level."""
    level = np.sqrt(np.mean(np.square(samples)))
    low = signal.sosfilt(signal.butter(1, rng.uniform(300, 1200), fs=RATE, output="sos"), samples)
    out = low * 10 ** (rng.uniform(-2.5, 2.5) / 20) + (samples - low) * 10 ** (rng.uniform(-2.5, 2.5) / 20)
    if rng.random() < 0.25:
        out = signal.sosfilt(signal.butter(2, rng.uniform(5000, 9500), fs=RATE, output="sos"), out)
    if rng.random() < 0.5:
        hiss = signal.lfilter([1.0], [1.0, -0.85], rng.standard_normal(len(out)))
        out = out + hiss * level / np.std(hiss) * 10 ** (-rng.uniform(32, 55) / 20)
    return (out * min(level / np.sqrt(np.mean(np.square(out))), 0.9 / np.abs(out).max())).astype(np.float32)


def _share(stuff: Material) -> None:
    """Give a worker process the material once, rather than with every job."""
    global _stuff
    _stuff = stuff


def _folder(job: tuple[Path, str, int, float, int]) -> list[list[str]]:
    out, factor, index, seconds, seed = job
    rng = np.random.default_rng([seed, FACTORS.index(factor), index])
    rows = []
    for clip, (scene, font, layout) in enumerate(draw_folder(factor, rng, _stuff)):
        soundfont = find_soundfont(font)
        assert soundfont is not None  # check() came first
        samples = _finish(render(scene, soundfont, seconds, RATE), rng)
        path = Path(factor) / str(index) / f"{clip}.ogg"
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(out / path, samples, RATE, format="OGG", subtype="VORBIS")
        band = scene.instrumentation
        rows.append([path.as_posix(), factor, str(index), layout, font, f"{scene.key}", f"{scene.tempo:.1f}",
                     *("" if p is None else str(p) for p in (band.lead, band.comp, band.bass, band.kit))])
    return rows


def main() -> None:
    """Render every folder of every factor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folders", type=int, default=150, help="per factor")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--data", type=Path, default=os.environ.get("SOUNDALIKE_DATA"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if args.data is None:
        parser.error("say where the tunes and grooves are: --data DIR or $SOUNDALIKE_DATA")
    check()
    cache = args.out.with_name(f"{args.out.name}.material-{args.seed}.json")
    stuff = material(Path(args.data), cache, args.seed)
    jobs = [(args.out, factor, i, args.seconds, args.seed) for i in range(args.folders) for factor in FACTORS]
    args.out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(args.jobs, _share, (stuff,)) as pool, \
            (args.out / "index.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for rows in pool.imap(_folder, jobs):
            writer.writerows(rows)
    (args.out / "READY").write_text(f"{len(jobs) * CLIPS} clips\n")


if __name__ == "__main__":
    main()
