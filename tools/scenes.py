"""Render short musical scenes through FluidSynth: the band of `render_fit.py`. New work uses `soundalike render`.

A scene is a tune over a chord progression over a groove, played by an instrumentation, plus what should not matter to a
listener: key, tempo, where it starts, how loud, how wet. Every part is rendered on its own and mixed by measured
loudness, so a melody asked for at +3 dB against the rest is there whatever the soundfont.

Times inside musical material are beats (quarter notes, 4/4 throughout), pitches are semitones above the tonic; `Scene`
turns them into seconds and MIDI notes. The same scene and soundfont give the same samples.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import signal

# All permissive: MIT, MIT, public domain. Each with the Debian package that brings it.
SOUNDFONTS = {
    "fluidr3": ("FluidR3_GM.sf2", "fluid-soundfont-gm"),
    "musescore": ("MuseScore_General_Lite.sf3", "musescore-general-soundfont-small"),
    "csound": ("sf_GMbank.sf2", "csound-soundfont"),
}
_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts")

_SYNTH_RATE, _BLOCK = 44100, 64  # FluidSynth renders in blocks of 64 samples
_DRUM_CHANNEL, _DRUM_BANK = 9, 128

KINDS = {
    "maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6), "sus4": (0, 5, 7), "5": (0, 7),
    "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "min7": (0, 3, 7, 10), "m7b5": (0, 3, 6, 10),
}
# Comping: when in a 4-beat bar the chord is struck, for how long. "pad" and the arpeggios are made in _comp.
COMP_STYLES: dict[str, tuple[tuple[float, float], ...]] = {
    "pad": (), "arpeggio": (), "broken": (),
    "quarters": ((0, 0.8), (1, 0.8), (2, 0.8), (3, 0.8)),
    "offbeats": ((0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3.5, 0.3)), "backbeats": ((1, 0.4), (3, 0.4)),
    "eighths": tuple((k / 2, 0.4) for k in range(8)),
    "charleston": ((0, 1.2), (1.5, 0.4)), "push": ((0, 1.4), (1.5, 1.4), (3.5, 0.5)),
    "bossa": ((0, 0.9), (1.5, 0.4), (2.5, 1.0), (3.5, 0.4)),
    "strum": ((0, 0.9), (1, 0.4), (1.5, 0.4), (2.5, 0.4), (3, 0.4), (3.5, 0.4)),
}
# Bass: (when, how long, semitones above the root). "walking" is made in _bass.
BASS_STYLES: dict[str, tuple[tuple[float, float, int], ...]] = {
    "whole": ((0, 3.8, 0),), "halves": ((0, 1.8, 0), (2, 1.8, 0)), "root-fifth": ((0, 1.6, 0), (2, 1.6, 7)),
    "eighths": tuple((k / 2, 0.45, 0) for k in range(8)),
    "octaves": tuple((k / 2, 0.4, 12 * (k % 2)) for k in range(8)),
    "tresillo": ((0, 1.4, 0), (1.5, 1.4, 7), (3, 0.9, 12)),
    "bossa": ((0, 1.4, 0), (1.5, 0.4, 7), (2, 1.4, 7), (3.5, 0.4, 0)),
    "rock": ((0, 0.9, 0), (1.5, 0.4, 0), (2, 0.9, 0), (3.5, 0.4, 7)), "walking": (),
}
# Where a lead is at home (the MIDI note its tunes centre on, else 72), who uses vibrato, whose notes ring on.
_HOMES = ((range(24, 32), 66), ((40,), 74), ((41,), 66), (range(42, 44), 55), (range(52, 55), 67),
          ((57, 58), 56), ((60,), 62), (range(64, 68), 64), ((70,), 54), (range(72, 80), 79))
_VIBRATO = {*range(40, 44), *range(52, 55), *range(64, 69), *range(71, 76), 80, 81, 85}
_PLUCKED = {*range(0, 16), *range(24, 32), 45, 46, *range(104, 109), 112, 114}


@dataclass(frozen=True, slots=True)
class Note:
    """One melody note: `start` and `length` in beats, `pitch` in semitones above the tonic, MIDI velocity."""

    start: float
    length: float
    pitch: int
    velocity: int = 96


@dataclass(frozen=True, slots=True)
class Tune:
    """A melody of `beats` beats that loops; `mode` is "major" or "minor"."""

    name: str
    mode: str
    beats: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord from beat `start` for `length` beats; `root` in semitones above the tonic, `kind` of KINDS."""

    start: float
    length: float
    root: int
    kind: str


@dataclass(frozen=True, slots=True)
class Progression:
    """Chords that fill `beats` beats and loop."""

    name: str
    mode: str
    beats: float
    chords: tuple[Chord, ...]

    def at(self, beat: float) -> Chord:
        """The chord that sounds at `beat`, which may lie beyond the loop."""
        return max((c for c in self.chords if c.start <= beat % self.beats + 1e-6), key=lambda c: c.start)


@dataclass(frozen=True, slots=True)
class Hit:
    """One stroke: `start` in beats, `drum` a General MIDI drum note, MIDI velocity."""

    start: float
    drum: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Groove:
    """A drum pattern that loops.

    `swing` says where the other players put their off-beat eighth: 0.5 straight, 0.667 triplet. The hits
    themselves stand where they are written.
    """

    name: str
    beats: float
    hits: tuple[Hit, ...]
    swing: float = 0.5


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """Who plays: General MIDI programs (0-127) and a drum kit, None for a player who stays silent.

    Levels in dB: the bass against the comping, the drums against both, the lead against all the rest.
    """

    name: str
    lead: int | None = None
    comp: int | None = None
    bass: int | None = None
    kit: int | None = None
    bass_db: float = 0.0
    drums_db: float = 0.0
    lead_db: float = 3.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played and how. A part sounds if both its music and its player are there.

    `key` is the tonic in semitones from C (-5..+6), `tempo` in beats per minute, `offset` the seconds of
    music skipped at the start, `octave` shifts the lead, `level` is dBFS RMS (less where it would clip),
    `reverb` is 0 (dry) to 1, `seed` draws the players' small inaccuracies.
    """

    instrumentation: Instrumentation
    tune: Tune | None = None
    progression: Progression | None = None
    groove: Groove | None = None
    key: int = 0
    tempo: float = 120.0
    offset: float = 0.0
    octave: int = 0
    comp_style: str = "pad"
    bass_style: str = "halves"
    level: float = -16.0
    reverb: float = 0.15
    seed: int = 0


class _Event(NamedTuple):
    """A note to play: `start` and `length` in beats, MIDI note and velocity."""

    start: float
    length: float
    note: int
    velocity: int


def check(names: Iterable[str] = tuple(SOUNDFONTS)) -> None:
    """Exit, saying what to install, if FluidSynth or one of these soundfonts is missing."""
    packages = [SOUNDFONTS[name][1] for name in names if find_soundfont(name) is None]
    try:
        import fluidsynth  # noqa: F401
    except ImportError:  # pyfluidsynth raises it too when the shared library is absent
        packages.insert(0, "fluidsynth")
    if packages:
        raise SystemExit(f"missing: apt install {' '.join(packages)} (and pip install 'soundalike[render]')")


def find_soundfont(name: str) -> Path | None:
    """The file of a soundfont, from $SOUNDALIKE_SOUNDFONTS or the system's folders; None if absent."""
    own = os.environ.get("SOUNDALIKE_SOUNDFONTS", "")
    folders = [Path(folder) for folder in (*own.split(os.pathsep), *_FOLDERS) if folder]
    return next((path for folder in folders if (path := folder / SOUNDFONTS[name][0]).is_file()), None)


class _Player:
    """One soundfont, loaded once, and a fresh FluidSynth round it for every part.

    Fresh, because a synth that has played keeps traces in its voices, and the next part would differ by what
    came before. Of the C library it takes three calls that pyfluidsynth does not wrap.
    """

    def __init__(self, soundfont: Path) -> None:
        import fluidsynth

        def call(name: str, *kinds: object) -> ctypes._CFuncPtr:
            return fluidsynth.cfunc(name, ctypes.c_int, *((f"a{k}", kind, 1) for k, kind in enumerate(kinds)))

        pointer, number = ctypes.c_void_p, ctypes.c_int
        self._add = call("fluid_synth_add_sfont", pointer, pointer)
        self._remove = call("fluid_synth_remove_sfont", pointer, pointer)
        # Floats, because the 16-bit writer adds dither that goes on from one call to the next.
        self._write = call("fluid_synth_write_float", pointer, number, *(pointer, number, number) * 2)
        # Taking a soundfont out of a synth warns once a channel; what can go wrong is checked below.
        call("fluid_set_log_function", number, pointer, pointer)(2, None, None)
        dry = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 256}
        self._new = functools.partial(fluidsynth.Synth, gain=0.3, samplerate=_SYNTH_RATE, channels=16, **dry)
        self._owner = self._new()
        identity = self._owner.sfload(str(soundfont))
        if identity < 0:
            raise SystemExit(f"{soundfont} is not a soundfont that this FluidSynth can read")
        get = fluidsynth.cfunc("fluid_synth_get_sfont_by_id", pointer, ("a0", pointer, 1), ("a1", number, 1))
        self._font = get(self._owner.synth, identity)

    def play(self, program: int, events: Sequence[tuple[float, float, int, int]], seconds: float,
             drums: bool = False) -> np.ndarray:
        """(t,) float32 at 44.1 kHz from (start, end, note, velocity) with times in seconds."""
        synth, channel = self._new(), _DRUM_CHANNEL if drums else 0
        try:
            font = self._add(synth.synth, self._font)
            if synth.program_select(channel, font, _DRUM_BANK if drums else 0, program) != 0:
                raise SystemExit(f"the soundfont has no {'drum kit' if drums else 'program'} {program}")
            if program in _VIBRATO and not drums:
                synth.cc(channel, 1, 40)
            # Offs before ons at the same moment, so that a repeated note speaks again.
            actions = sorted({(round(t * _SYNTH_RATE / _BLOCK), on, note, velocity if on else 0)
                              for start, end, note, velocity in events for t, on in ((start, 1), (end, 0))})
            out = np.zeros((int(np.ceil(seconds * _SYNTH_RATE / _BLOCK)) * _BLOCK, 2), np.float32)
            done = 0
            for block, on, note, velocity in [*actions, (len(out), 0, 0, 0)]:
                until = min(block * _BLOCK, len(out))
                if until > done:
                    at = out[done:].ctypes.data
                    self._write(synth.synth, until - done, at, 0, 2, at, 1, 2)
                    done = until
                synth.noteon(channel, note, velocity) if on else synth.noteoff(channel, note)
        finally:
            self._remove(synth.synth, self._font)
            synth.delete()
        return out.mean(axis=1)[: round(seconds * _SYNTH_RATE)]


_player = functools.lru_cache(maxsize=len(SOUNDFONTS))(_Player)


def _lead(scene: Scene, tune: Tune, program: int) -> list[_Event]:
    home = next((h for programs, h in _HOMES if program in programs), 72) + 12 * scene.octave
    tonic, held = 60 + scene.key, 1.0 if program in _PLUCKED else 0.93
    shift = tonic + 12 * round((home - tonic - float(np.median([n.pitch for n in tune.notes]))) / 12)
    return [_Event(n.start, n.length * held, n.pitch + shift, n.velocity) for n in tune.notes]


def _comp(scene: Scene, chords: Progression) -> list[_Event]:
    events: list[_Event] = []
    centre, style = 60.0, scene.comp_style
    for chord in chords.chords:
        tones = [60 + (scene.key + chord.root) % 12 + i for i in KINDS[chord.kind]]
        # Of all inversions near middle C take the one that moves least: how hands move.
        voicings = [sorted(t + 12 * (octave + (k < turn)) for k, t in enumerate(tones))
                    for turn in range(len(tones)) for octave in (-2, -1, 0)]
        voicing = min(voicings, key=lambda v: abs(np.mean(v) - centre) + 0.5 * abs(np.mean(v) - 60))
        centre, end = float(np.mean(voicing)), chord.start + chord.length
        if style == "pad":
            strokes = [(chord.start, chord.length * 0.98, voicing)]
        elif style in ("arpeggio", "broken"):
            step, order = 0.5, [*voicing, *voicing[-2:0:-1]]
            if style == "broken":
                step, order = 0.25, [voicing[0], voicing[-1], *voicing[1:]]
            times = np.arange(chord.start, end, step)
            strokes = [(t, min(1.0, end - t), [order[k % len(order)]]) for k, t in enumerate(times)]
        else:
            strokes = [(bar + at, min(length, end - bar - at), voicing)
                       for bar in np.arange(0.0, chords.beats, 4.0)
                       for at, length in COMP_STYLES[style] if chord.start <= bar + at < end]
            if not any(start == chord.start for start, _, _ in strokes) and style in ("charleston", "push"):
                strokes.append((chord.start, min(0.5, chord.length), voicing))  # or a short chord is missed
        events += [_Event(t, length, note, 80 if t % 1 == 0 else 72)
                   for t, length, notes in strokes for note in notes]
    return events


def _bass(scene: Scene, chords: Progression) -> list[_Event]:
    def low(root: int) -> int:
        return 28 + (scene.key + root - 4) % 12  # from E1, the open string, to D#2

    events = []
    for chord in chords.chords:
        root, end = low(chord.root), chord.start + chord.length
        if scene.bass_style == "walking":  # up the chord, the last step beside where the next one begins
            after, steps = low(chords.at(end).root), [root + i for i in KINDS[chord.kind]]
            line = [steps[k % len(steps)] for k in range(int(chord.length))]
            if len(line) > 1:
                line[-1] = after + (1 if after <= steps[-1] else -1)
            events += [_Event(chord.start + k, 0.95, note, 92) for k, note in enumerate(line)]
            continue
        strokes = [(bar + at, length, rise) for bar in np.arange(0.0, chords.beats, 4.0)
                   for at, length, rise in BASS_STYLES[scene.bass_style] if chord.start <= bar + at < end]
        if not any(start == chord.start for start, _, _ in strokes):
            strokes.append((chord.start, 0.9, 0))
        fifth = 6 if chord.kind in ("dim", "m7b5") else 7
        events += [_Event(start, min(length, end - start), root + (fifth if rise == 7 else rise), 92)
                   for start, length, rise in strokes]
    return events


def _timed(scene: Scene, events: Sequence[_Event], beats: float, seconds: float,
           rng: np.random.Generator, swing: float | None) -> list[tuple[float, float, int, int]]:
    """Loop, swing, humanise: (start, end, note, velocity), seconds from the clip's start, none overlapping.

    `swing` None: strokes, which stand where they are and are not caught half-way through.
    """
    beat = 60.0 / scene.tempo
    first = int(scene.offset / beat // beats)
    last, timed = int((scene.offset + seconds) / beat // beats), []
    for loop in range(first, last + 1):
        for event in events:
            whole, part = divmod(event.start, 1.0)
            if swing is not None:
                part = part * swing / 0.5 if part < 0.5 else swing + (part - 0.5) * (1 - swing) / 0.5
            start = (loop * beats + whole + part) * beat - scene.offset + rng.normal(0, 0.004)
            end = start + max(event.length * beat, 0.05)
            if start < seconds and (start > -0.02 or (end > 0.12 and swing is not None)):
                velocity = int(np.clip(event.velocity + rng.normal(0, 4), 1, 127))
                timed.append((max(start, 0.0), end, event.note, velocity))
    # A note must be off before it sounds again, or its end would silence its successor.
    again: dict[int, float] = {}
    for k, (start, end, note, velocity) in sorted(enumerate(timed), key=lambda item: -item[1][0]):
        timed[k] = (start, min(end, again.get(note, end)), note, velocity)
        again[note] = start
    return timed


def loudness(samples: np.ndarray, rate: int) -> float:
    """Level in dB of (t,) samples: RMS of the frames that sound, the low end turned down as the ear does."""
    sos = signal.butter(1, 200.0, "highpass", fs=rate, output="sos")
    frame = int(0.1 * rate)
    heard = signal.sosfilt(sos, samples)[: len(samples) // frame * frame].reshape(-1, frame)
    power = np.mean(np.square(heard), axis=1)
    if len(power) == 0 or power.max() < 1e-12:
        return -120.0
    return float(10 * np.log10(power[power > 1e-3 * power.max()].mean()))


def _room(samples: np.ndarray, rate: int, amount: float) -> np.ndarray:
    """A plain room: exponentially decaying, darkened noise after 12 ms, 0.25 to 1.6 s long."""
    length = 0.25 + 1.35 * amount
    decay = 10 ** (-3 * np.arange(int(length * rate)) / (length * rate))
    tail = np.random.default_rng(7).standard_normal(len(decay)) * decay
    tail = signal.sosfilt(signal.butter(1, 3500.0, fs=rate, output="sos"), tail)
    tail /= np.sqrt(np.sum(np.square(tail)))
    wet = signal.fftconvolve(samples, tail)[: len(samples)]
    delay = int(0.012 * rate)
    return samples + 0.6 * amount * np.concatenate([np.zeros(delay), wet[:-delay]])


def render(scene: Scene, soundfont: Path, seconds: float, rate: int = 22050) -> np.ndarray:
    """(t,) float32 mono, `seconds` long, at 22,050 or 44,100 Hz."""
    if rate not in (22050, 44100):
        raise ValueError(f"rate is {rate}, expected 22050 or 44100")
    player, band, rng = _player(soundfont), scene.instrumentation, np.random.default_rng(scene.seed)
    swing = scene.groove.swing if scene.groove else 0.5
    mix = np.zeros(round(seconds * _SYNTH_RATE))

    def add(program: int, events: list[_Event], beats: float, level: float, drums: bool = False) -> None:
        nonlocal mix
        timed = _timed(scene, events, beats, seconds, rng, None if drums else swing)
        part = player.play(program, timed, seconds, drums)
        below = loudness(mix, _SYNTH_RATE)
        gain = (below + level if below > -100 else -20.0) - max(loudness(part, _SYNTH_RATE), -90.0)
        mix = mix + part * 10 ** (gain / 20)

    if scene.progression and band.comp is not None:
        add(band.comp, _comp(scene, scene.progression), scene.progression.beats, 0.0)
    if scene.progression and band.bass is not None:
        add(band.bass, _bass(scene, scene.progression), scene.progression.beats, band.bass_db)
    if scene.groove and band.kit is not None:
        strokes = [_Event(h.start, 0.4, h.drum, h.velocity) for h in scene.groove.hits]
        add(band.kit, strokes, scene.groove.beats, band.drums_db, drums=True)
    if scene.tune and band.lead is not None:
        add(band.lead, _lead(scene, scene.tune, band.lead), scene.tune.beats, band.lead_db)
    mix = mix if rate == _SYNTH_RATE else signal.resample_poly(mix, 1, 2)
    mix = _room(mix, rate, scene.reverb) if scene.reverb > 0 else mix
    rms, peak = np.sqrt(np.mean(np.square(mix))), np.abs(mix).max()
    if peak > 0:  # nothing is asked to play: silence stays silence
        mix = mix * min(10 ** (scene.level / 20) / rms, 0.9 / peak)
    return mix.astype(np.float32)
