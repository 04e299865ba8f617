"""`soundalike presets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundalike.cli.arguments import json_option
from soundalike.cli.commands import command
from soundalike.cli.config import read_config
from soundalike.cli.output import print_json
from soundalike.cli.table import print_facts, print_table
from soundalike.core.errors import one_line
from soundalike.core.presets import PRESETS

__all__ = ["presets"]


@dataclass(frozen=True, slots=True)
class PresetRecord:
    """Named weights; `built_in` is false if they are those of the settings."""

    name: str
    weights: str
    summary: str
    built_in: bool


@dataclass(frozen=True, slots=True)
class PresetsRecord:
    """All presets, and the file with those of the user."""

    config: str
    presets: Sequence[PresetRecord]


@command("presets")
@json_option()
def presets(as_json: bool) -> int:
    """List the names that stand for weights, as in -w groove.

    A preset of your own is a line in the file of settings, which the command names:

    \b
      [presets]
      drums = "rhythm=3,timbre=1"
      quiet = { weights = "timbre=1", summary = "the same sound" }

    `soundalike train weights` writes one that is learned from listeners.

    \b
      soundalike presets
      soundalike search song.mp3 -w groove
    """
    config = read_config()
    found = [
        PresetRecord(name, one.weights, one.summary, one is PRESETS.get(name)) for name, one in config.presets.items()
    ]
    if as_json:
        print_json(PresetsRecord(str(config.path), found))
        return 0
    rows = [[one.name, one.weights, one.summary or "yours"] for one in found]
    print_table(["name", "weights", "what it looks for"], rows, left=[0, 1, 2])
    print_facts(f"your own presets: [presets] in {one_line(str(config.path))}")
    return 0
