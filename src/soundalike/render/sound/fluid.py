"""Soundfonts through FluidSynth: one part, one preset, the same samples every time."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import struct
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Played

__all__ = ["DRUM_BANK", "SYNTH_RATE", "Player", "load_fluidsynth", "read_presets"]

SYNTH_RATE = 44100
DRUM_BANK = 128  # where soundfonts keep drum kits; instruments are in bank 0

_BLOCK = 64  # samples between which FluidSynth changes anything
_GAIN = 0.3  # leaves a dense part well below full scale; parts are balanced by measurement anyway
_DRUM_CHANNEL = 9
_MODULATION, _DEPTH = 1, 40  # the MIDI controller that means vibrato, and a player's moderate use of it

_Pointer, _Int = ctypes.c_void_p, ctypes.c_int


class Player:
    """One soundfont, loaded once, and a fresh FluidSynth round it for every part.

    Fresh, because a synth that has played keeps traces in its voices, and the next part would differ by what came
    before. `presets` are the (bank, program) that the soundfont has; drum kits are in bank 128. Raises UsageError if
    the file is no whole soundfont.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # All samples at once: read one by one, a sample's end runs on into whatever lies behind it in memory.
        self._owner = _new_synth()
        self._free = weakref.finalize(self, self._owner.delete)
        self._font = _load(self._owner, path)
        self.presets = _presets(self._font)

    def play(
        self, program: int, notes: Sequence[Played], seconds: float, drums: bool = False, vibrato: bool = False
    ) -> FloatArray:
        """(t,) float32 mono at SYNTH_RATE, `seconds` long: one part, dry.

        `program` is a drum kit if `drums`. Notes start and end on a grid of 1.5 ms. Raises UsageError if the soundfont
        has no such preset.
        """
        if not self._free.alive:
            raise ValueError(f"the player of {self.path} has been closed")
        bank, channel = (DRUM_BANK, _DRUM_CHANNEL) if drums else (0, 0)
        if (bank, program) not in self.presets:  # FluidSynth would play another one
            raise UsageError(f"{self.path} has no {'drum kit' if drums else 'program'} {program}; choose one it has")
        out = np.zeros((-(-round(seconds * SYNTH_RATE) // _BLOCK) * _BLOCK, 2), np.float32)
        synth = _new_synth()
        try:
            number = _call("fluid_synth_add_sfont", _Int, _Pointer, _Pointer)(synth.synth, self._font)
            synth.program_select(channel, number, bank, program)
            if vibrato:
                synth.cc(channel, _MODULATION, _DEPTH)
            done = 0
            for block, on, note, velocity in _actions(notes):
                until = min(max(block * _BLOCK, done), len(out))
                _write(synth, out[done:until])
                done = until
                if on:
                    synth.noteon(channel, note, velocity)
                else:
                    synth.noteoff(channel, note)
            _write(synth, out[done:])
        finally:
            # What is not taken out of the synth is deleted with it.
            _call("fluid_synth_remove_sfont", _Int, _Pointer, _Pointer)(synth.synth, self._font)
            synth.delete()
        return out.mean(axis=1)[: round(seconds * SYNTH_RATE)]

    def close(self) -> None:
        """Give the soundfont's memory back; nothing can be played after that."""
        self._free()


def read_presets(path: Path) -> frozenset[tuple[int, int]]:
    """The (bank, program) that a soundfont has, without loading its samples; drum kits are in bank 128.

    Raises UsageError if the file is no whole soundfont.
    """
    synth = _new_synth(**{"synth.dynamic-sample-loading": 1})
    try:
        return _presets(_load(synth, path))
    finally:
        synth.delete()


def _actions(notes: Sequence[Played]) -> list[tuple[int, bool, int, int]]:
    """(block, on, note, velocity) in order; at one moment offs before ons, so that a repeated note speaks again."""
    actions = set()
    for note in notes:
        start, end = (round(time * SYNTH_RATE / _BLOCK) for time in (note.start, note.end))
        actions.add((start, True, note.note, note.velocity))
        actions.add((max(end, start + 1), False, note.note, 0))  # never off before it is on: that would ring on
    return sorted(actions)


def load_fluidsynth() -> Any:
    """The module `fluidsynth`. Raises ImportError or OSError if it or the C library is missing.

    After soundfile, always: FluidSynth reads compressed soundfonts through libsndfile, and takes the one that is in the
    process already. Two of them decode to samples that differ in the last bit.
    """
    import soundfile  # noqa: F401

    with contextlib.redirect_stdout(io.StringIO()):  # where $CI is set, it greets
        import fluidsynth
    return fluidsynth


@functools.cache
def _call(name: str, result: Any, *kinds: Any) -> Callable[..., Any]:
    """A function of the C library, of which pyfluidsynth wraps only some."""
    arguments = ((f"a{k}", kind, 1) for k, kind in enumerate(kinds))
    function: Callable[..., Any] = load_fluidsynth().cfunc(name, result, *arguments)
    return function


def _new_synth(**settings: int) -> Any:
    """A `fluidsynth.Synth` without effects, at SYNTH_RATE."""
    # What can go wrong is checked and raised; errors, warnings and notices on stderr would only repeat it.
    for level in (1, 2, 3):
        _call("fluid_set_log_function", _Pointer, _Int, _Pointer, _Pointer)(level, None, None)
    plain = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 256, "synth.lock-memory": 0}
    return load_fluidsynth().Synth(gain=_GAIN, samplerate=SYNTH_RATE, channels=16, **plain, **settings)


def _load(synth: Any, path: Path) -> int:
    """The C pointer of a soundfont loaded into `synth`, which owns it."""
    try:
        with path.open("rb") as file:
            head, size = file.read(12), file.seek(0, os.SEEK_END)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; give a soundfont (.sf2 or .sf3)") from error
    # Checked here, because FluidSynth would try other formats and complain on stderr in their names.
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise UsageError(f"{path} is not a soundfont; give a .sf2 or .sf3 file")
    (rest,) = struct.unpack("<I", head[4:8])
    if size < rest + 8:
        raise UsageError(f"{path} is cut short: {size} of {rest + 8} bytes; get it again")
    load = _call("fluid_synth_sfload", _Int, _Pointer, ctypes.c_char_p, _Int)
    number = load(synth.synth, os.fsencode(path), 0)
    if number < 0:
        raise UsageError(f"{path} is damaged, or a soundfont that this FluidSynth cannot read; give another")
    font: int = _call("fluid_synth_get_sfont_by_id", _Pointer, _Pointer, _Int)(synth.synth, number)
    return font


def _presets(font: int) -> frozenset[tuple[int, int]]:
    bank = _call("fluid_preset_get_banknum", _Int, _Pointer)
    program = _call("fluid_preset_get_num", _Int, _Pointer)
    _call("fluid_sfont_iteration_start", None, _Pointer)(font)
    following = functools.partial(_call("fluid_sfont_iteration_next", _Pointer, _Pointer), font)
    return frozenset((bank(preset), program(preset)) for preset in iter(following, None))


def _write(synth: Any, out: FloatArray) -> None:
    """Let `synth` fill (t, 2) contiguous float32, as floats: its 16-bit writer adds dither that depends on the past."""
    if len(out):
        write = _call("fluid_synth_write_float", _Int, _Pointer, _Int, *(_Pointer, _Int, _Int) * 2)
        at = out.ctypes.data
        write(synth.synth, len(out), at, 0, 2, at, 1, 2)
