"""From a scene to its sound: every part is played on its own, balanced by ear, put in a room, mixed and treated."""

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
    """A scene that cannot be heard as it should be: a part is mute, or too weak for its level; draw another."""


@dataclass(slots=True)
class Stopwatch:
    """Core-seconds spent in synthesis and in all else, over the clips that were timed with it."""

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
    """Render a scene: `seconds` of sound at `rate` Hz, with the parts of the mix where `stems` asks for them.

    Raises DraftError if a part cannot be heard as it should, UsageError if a soundfont lacks an instrument.
    """
    began = time.process_time()
    band, length = scene.band, round(seconds * rate)
    home, plucked = 72, False
    if band.lead is not None:
        home, plucked = orchestra.range(band.lead, "lead") or home, orchestra.plucked(band.lead)
    performance = perform(scene, seconds, home=home, plucked=plucked)
    performed = time.process_time()
    dry = {}
    for role in band.layout:
        sound = band.sound(role)
        assert sound is not None  # what a layout is
        dry[role] = orchestra.play(sound, role, performance.parts[role], seconds)
        if mixing.is_mute(dry[role], SYNTH_RATE):
            raise DraftError(f"the {role} cannot be heard: {orchestra.describe(sound, role)}")
    played = time.process_time()
    try:
        balanced, levels = mixing.balance(dry, band, SYNTH_RATE)
    except ValueError as error:
        raise DraftError(str(error)) from error
    parts = {}
    if stems:
        wet = mixing.room(np.stack(list(balanced.values())), SYNTH_RATE, band.room, scene.seed)
        parts = dict(zip(balanced, mixing.resample(wet, SYNTH_RATE, rate, length=length), strict=True))
    # The mix is made from the sum even so: with or without stems, the same samples.
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
