"""Render a scene to audio: synthesise each part, balance and mix the parts, and add reverberation and effects."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.render.score.music import Clip, Scene
from soundalike.render.score.perform import perform
from soundalike.render.sound import mixing
from soundalike.render.sound.effects import apply
from soundalike.render.sound.fluid import SYNTH_RATE
from soundalike.render.sound.orchestra import Orchestra

__all__ = ["DraftError", "Stopwatch", "play"]


class DraftError(SoundalikeError):
    """A scene cannot be rendered as specified: a part is silent, or its level cannot be reached. Draw another scene."""


@dataclass(slots=True)
class Stopwatch:
    """CPU time of some clips.

    Attributes:
        synthesis: CPU seconds of synthesis.
        rest: CPU seconds of everything else.
        clips: Number of clips.
    """

    synthesis: float = 0.0
    rest: float = 0.0
    clips: int = 0


def play(
    scene: Scene,
    orchestra: Orchestra,
    seconds: float,
    rate: int,
    *,
    stems: bool = False,
    watch: Stopwatch | None = None,
) -> Clip:
    """Render a scene to audio.

    Args:
        scene: The scene.
        orchestra: The sounds.
        seconds: The length of the clip.
        rate: Sample rate in Hz.
        stems: Whether to return the parts of the mix too. They do not change the mix.
        watch: The CPU time is added to it.

    Returns:
        The clip. `samples` is (t,) float32 with t = `seconds` * `rate`.

    Raises:
        DraftError: A part is silent, or the levels of the band cannot be reached.
        UsageError: A bank or program of the band does not exist.

    Example:
        >>> clip = play(scene, orchestra_of(()), seconds=10.0, rate=32000)
        >>> clip.samples.shape
        (320000,)
    """
    began = time.process_time()
    band, length = scene.band, round(seconds * rate)
    centre_note, plucked = 72, False
    if band.lead is not None:
        centre_note = orchestra.centre_note(band.lead, "lead") or centre_note
        plucked = orchestra.plucked(band.lead)
    performance = perform(scene, seconds, centre_note=centre_note, plucked=plucked)
    performed = time.process_time()
    dry = {}
    for role in band.layout:
        sound = band.sound(role)
        assert sound is not None  # by the definition of a layout
        dry[role] = orchestra.play(sound, role, performance.parts[role], seconds)
        if mixing.is_mute(dry[role], SYNTH_RATE):
            raise DraftError(f"the {role} is silent: {orchestra.describe(sound, role)}")
    played = time.process_time()
    try:
        balanced, levels = mixing.balance(dry, band, SYNTH_RATE)
    except ValueError as error:
        raise DraftError(str(error)) from error
    parts = {}
    if stems:
        wet = mixing.room(np.stack(list(balanced.values())), SYNTH_RATE, band.room, scene.seed)
        parts = dict(zip(balanced, mixing.resample(wet, SYNTH_RATE, rate, length=length), strict=True))
    # The mix is computed from the sum in any case, so that its samples do not depend on `stems`.
    mix = mixing.room(np.sum(list(balanced.values()), axis=0), SYNTH_RATE, band.room, scene.seed)
    try:
        samples = apply(
            mixing.resample(mix, SYNTH_RATE, rate, length=length), scene.effects, scene.level, rate, scene.seed
        )
    except AudioError as error:
        raise DraftError(str(error)) from error
    if watch:
        watch.synthesis += played - performed
        watch.rest += time.process_time() - played + performed - began
        watch.clips += 1
    return Clip(samples, rate, parts, levels, performance)
