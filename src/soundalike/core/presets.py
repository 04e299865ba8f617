"""Names that stand for weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Named weights, and what they look for."""

    weights: str
    summary: str = ""


PRESETS: Mapping[str, Preset] = {
    "everything": Preset("melody=1,rhythm=1,timbre=1,harmony=1", "all four spaces alike"),
    "tune": Preset("melody=2,harmony=1", "the same tune over similar chords, whoever plays it"),
    "groove": Preset("rhythm=2,timbre=1", "the same groove in a similar sound"),
    "sound": Preset("timbre=1", "the same instruments and production"),
    "chords": Preset("harmony=1", "the same chords"),
    "cover": Preset("melody=2,harmony=1,timbre=-1", "the same tune in another sound"),
    "flip": Preset("rhythm=1,timbre=-1", "the same groove in another sound"),
}
"""Presets that always exist."""
