"""The clips that models are calibrated with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundalike.train.common import CalibrationClip

__all__ = ["calibration_clips"]


def calibration_clips() -> list[CalibrationClip]:
    """Return the bundled demo clips; those of a random pair differ in tune, groove and instruments."""
    from soundalike.demo import load_clips
    from soundalike.train.common import CalibrationClip

    return [CalibrationClip(clip.path, (clip.tune, clip.groove, clip.instruments)) for clip in load_clips()]
