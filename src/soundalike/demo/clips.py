"""The bundled demo collection: four tunes, each with three grooves on three instrumentations.

`tools/render_demo.py` makes the clips; `clips.json` beside this file lists them with credits and licences.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Clip", "load_clips"]

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: its file and what is played in it; `tempo` in beats per minute, `key` such as "Eb minor"."""

    path: Path
    title: str
    tune: str
    groove: str
    instruments: str
    key: str
    tempo: float


def load_clips() -> tuple[Clip, ...]:
    """Every clip of the collection, in the order of `clips.json`: by tune, then groove, then instruments."""
    rows = json.loads((_HERE / "clips.json").read_text(encoding="utf-8"))["clips"]
    return tuple(Clip(path=_HERE / row.pop("file"), **row) for row in rows)
