"""Play soundfonts with FluidSynth, with the same samples in every run."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import struct
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Played

__all__ = ["DRUM_BANK", "SYNTH_RATE", "Player", "load_fluidsynth", "read_presets"]

SYNTH_RATE = 44100
DRUM_BANK = 128  # the bank of drum kits in soundfonts; instruments are in bank 0

_BLOCK = 64  # samples per block; FluidSynth applies events between blocks
_GAIN = 0.3  # keeps a dense part well below full scale; parts are balanced later
_DRUM_CHANNEL = 9
_MODULATION, _DEPTH = 1, 40  # the MIDI controller of vibrato, and a moderate value
_LONGEST_TAIL = 6.0  # seconds after the end of a note in which its sound is kept
_TAIL_BLOCKS = 64  # after which the end of a sound is checked
_FADE = 2048  # samples

_Pointer, _Int = ctypes.c_void_p, ctypes.c_int


class Player:
    """A soundfont that is loaded once and played by a new synthesiser for every part.

    A synthesiser keeps state in its voices after playing. With a new one, a part does not depend on earlier parts.

    Args:
        path: The soundfont, .sf2 or .sf3.

    Attributes:
        path: The soundfont.
        presets: The (bank, program) pairs of the soundfont. Drum kits are in bank 128.

    Raises:
        UsageError: The file is missing, truncated or not a soundfont.

    Example:
        >>> player = Player(Path("FluidR3_GM.sf2"))
        >>> samples = player.play(73, [Played(0.0, 1.0, 72, 96)], seconds=2.0)
        >>> player.close()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # All samples are loaded at once. If loaded one by one, a sample may read beyond its end into other memory.
        self._owner = _new_synth()
        self._free = weakref.finalize(self, self._owner.delete)
        self._font = _load(self._owner, path)
        self.presets = _presets(self._font)

    def play(
        self, program: int, notes: Sequence[Played], seconds: float, drums: bool = False, vibrato: bool = False
    ) -> FloatArray:
        """Play a part without effects.

        Args:
            program: The program, or the drum kit if `drums`.
            notes: The notes. Starts and ends are rounded to a grid of 1.5 ms.
            seconds: The length of the result.
            drums: Whether the part is a drum part.
            vibrato: Whether to play with vibrato.

        Returns:
            (t,) float32 mono samples at SYNTH_RATE.

        Raises:
            UsageError: The soundfont has no such preset.
            ValueError: The player has been closed.
        """
        if not self._free.alive:
            raise ValueError(f"the player of {self.path} has been closed")
        out = np.zeros((-(-round(seconds * SYNTH_RATE) // _BLOCK) * _BLOCK, 2), np.float32)
        with self._synthesiser(program, drums, vibrato) as (synth, channel):
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
        return _to_mono(out)[: round(seconds * SYNTH_RATE)]

    def sounds(
        self, program: int, notes: Sequence[Played], drums: bool = False, vibrato: bool = False
    ) -> list[FloatArray]:
        """Play notes one by one, each until it has died away.

        The voices of a synthesiser do not depend on each other, so the sum of these sounds is the part. A sound that
        occurs often need not be synthesised again.

        Args:
            program: The program, or the drum kit if `drums`.
            notes: The notes. Only their lengths, pitches and velocities matter.
            drums: Whether the notes are strokes.
            vibrato: Whether to play with vibrato.

        Returns:
            The (t,) float32 mono samples of each note at SYNTH_RATE. A note ends at most six seconds after its length.

        Raises:
            UsageError: The soundfont has no such preset.

        Example:
            >>> [sound] = player.sounds(73, [Played(0.0, 1.0, 72, 96)])
        """
        voices = _call("fluid_synth_get_active_voice_count", _Int, _Pointer)
        found = []
        with self._synthesiser(program, drums, vibrato) as (synth, channel):
            for note in notes:
                held = max(round((note.end - note.start) * SYNTH_RATE / _BLOCK), 1) * _BLOCK
                pieces = [np.zeros((held, 2), np.float32)]
                synth.noteon(channel, note.note, note.velocity)
                _write(synth, pieces[0])
                synth.noteoff(channel, note.note)
                left = int(_LONGEST_TAIL * SYNTH_RATE)
                while voices(synth.synth) and left > 0:
                    pieces.append(np.zeros((_TAIL_BLOCKS * _BLOCK, 2), np.float32))
                    _write(synth, pieces[-1])
                    left -= len(pieces[-1])
                sound = _to_mono(np.concatenate(pieces))
                if voices(synth.synth):
                    synth.all_sounds_off(channel)
                    _write(synth, np.zeros((_TAIL_BLOCKS * _BLOCK, 2), np.float32))
                    sound[-_FADE:] *= np.linspace(1, 0, _FADE, dtype=np.float32)
                found.append(sound)
        return found

    @contextlib.contextmanager
    def _synthesiser(self, program: int, drums: bool, vibrato: bool) -> Iterator[tuple[Any, int]]:
        """Yield a new synthesiser that plays a preset, and the channel for its notes."""
        bank, channel = (DRUM_BANK, _DRUM_CHANNEL) if drums else (0, 0)
        if (bank, program) not in self.presets:  # FluidSynth would play another one
            kind = "drum kit" if drums else "program"
            raise UsageError(f"{self.path} has no {kind} {program}; choose an existing one")
        synth = _new_synth()
        try:
            number = _call("fluid_synth_add_sfont", _Int, _Pointer, _Pointer)(synth.synth, self._font)
            synth.program_select(channel, number, bank, program)
            if vibrato:
                synth.cc(channel, _MODULATION, _DEPTH)
            yield synth, channel
        finally:
            # Deleting the synthesiser would delete the soundfont if it were still attached.
            _call("fluid_synth_remove_sfont", _Int, _Pointer, _Pointer)(synth.synth, self._font)
            synth.delete()

    def close(self) -> None:
        """Free the memory of the soundfont. The player cannot be used afterwards."""
        self._free()


def read_presets(path: Path) -> frozenset[tuple[int, int]]:
    """Return the (bank, program) pairs of a soundfont without loading its samples. Drum kits are in bank 128.

    Raises:
        UsageError: The file is missing, truncated or not a soundfont.

    Example:
        >>> (0, 73) in read_presets(Path("FluidR3_GM.sf2"))
        True
    """
    synth = _new_synth(**{"synth.dynamic-sample-loading": 1})
    try:
        return _presets(_load(synth, path))
    finally:
        synth.delete()


def _actions(notes: Sequence[Played]) -> list[tuple[int, bool, int, int]]:
    """Return sorted (block, on, note, velocity) events. In a block, notes end before others start.

    This lets a repeated note start again.
    """
    actions = set()
    for note in notes:
        start, end = (round(time * SYNTH_RATE / _BLOCK) for time in (note.start, note.end))
        actions.add((start, True, note.note, note.velocity))
        actions.add((max(end, start + 1), False, note.note, 0))  # a note that ended before its start would never stop
    return sorted(actions)


def load_fluidsynth() -> Any:
    """Import and return the module `fluidsynth`.

    soundfile is always imported first. FluidSynth reads compressed soundfonts with the libsndfile that is already
    loaded, and different builds of libsndfile decode to samples that differ in the last bit.

    Raises:
        ImportError: The module is missing.
        OSError: The C library is missing.
    """
    import soundfile  # noqa: F401

    with contextlib.redirect_stdout(io.StringIO()):  # the module prints a line if $CI is set
        import fluidsynth
    return fluidsynth


@functools.cache
def _call(name: str, result: Any, *kinds: Any) -> Callable[..., Any]:
    """Return a function of the C library. pyfluidsynth wraps only some of them."""
    arguments = ((f"a{k}", kind, 1) for k, kind in enumerate(kinds))
    function: Callable[..., Any] = load_fluidsynth().cfunc(name, result, *arguments)
    return function


def _new_synth(**settings: int) -> Any:
    """Return a new `fluidsynth.Synth` without effects, at SYNTH_RATE."""
    # Errors are checked and raised here, so FluidSynth's messages on stderr are turned off.
    for level in (1, 2, 3):
        _call("fluid_set_log_function", _Pointer, _Int, _Pointer, _Pointer)(level, None, None)
    plain = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 256, "synth.lock-memory": 0}
    return load_fluidsynth().Synth(gain=_GAIN, samplerate=SYNTH_RATE, channels=16, **plain, **settings)


def _load(synth: Any, path: Path) -> int:
    """Load a soundfont into `synth`, which owns it, and return its C pointer. Raises UsageError."""
    try:
        with path.open("rb") as file:
            head, size = file.read(12), file.seek(0, os.SEEK_END)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; give a soundfont (.sf2 or .sf3)") from error
    # Checked here because FluidSynth would try other formats and report their errors.
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise UsageError(f"{path} is not a soundfont; give a .sf2 or .sf3 file")
    (rest,) = struct.unpack("<I", head[4:8])
    if size < rest + 8:
        raise UsageError(f"{path} is truncated: found {size} bytes, expected {rest + 8}; download it again")
    load = _call("fluid_synth_sfload", _Int, _Pointer, ctypes.c_char_p, _Int)
    number = load(synth.synth, os.fsencode(path), 0)
    if number < 0:
        raise UsageError(f"{path} is invalid, or FluidSynth cannot read this kind of soundfont; give another one")
    font: int = _call("fluid_synth_get_sfont_by_id", _Pointer, _Pointer, _Int)(synth.synth, number)
    return font


def _presets(font: int) -> frozenset[tuple[int, int]]:
    bank = _call("fluid_preset_get_banknum", _Int, _Pointer)
    program = _call("fluid_preset_get_num", _Int, _Pointer)
    _call("fluid_sfont_iteration_start", None, _Pointer)(font)
    following = functools.partial(_call("fluid_sfont_iteration_next", _Pointer, _Pointer), font)
    return frozenset((bank(preset), program(preset)) for preset in iter(following, None))


def _to_mono(stereo: FloatArray) -> FloatArray:
    """Return the mean of the sides of (t, 2) samples. A sum of columns is much faster than a mean over rows."""
    return (stereo[:, 0] + stereo[:, 1]) / np.float32(2)


def _write(synth: Any, out: FloatArray) -> None:
    """Let `synth` fill contiguous (t, 2) float32 samples.

    Floats are used because the dither of 16-bit output depends on earlier output.
    """
    if len(out):
        write = _call("fluid_synth_write_float", _Int, _Pointer, _Int, *(_Pointer, _Int, _Int) * 2)
        address = out.ctypes.data
        write(synth.synth, len(out), address, 0, 2, address, 1, 2)
