"""Plug-in folder: how good is it? One protocol a file; `registry.load("protocols", name)` finds it.

What protocols share is here: every clip is encoded once, in worker processes, and triplets are judged by one rule.
Importing a protocol loads nothing heavy, so that `soundalike evaluate --help` is quick.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias
from typing import Protocol as Structure

import numpy as np

from soundalike.errors import AudioError, SoundalikeError, UsageError
from soundalike.reports import Estimate, make_report
from soundalike.score import presence
from soundalike.types import BoolArray, FloatArray, IntArray, Report, Space, Span, Triplet

__all__ = [
    "Heard",
    "Progress",
    "Protocol",
    "account",
    "check_folder",
    "in_order",
    "judge",
    "listen",
    "margins",
    "whole",
]

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called with clips done, clips in all, and the seconds of sound in those done."""


class Protocol(Structure):
    """One way to measure a model. Stateless: all that a run depends on is in its arguments."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for a list of protocols."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of its own; `--model`, `--seed` and `--jobs` are there already."""
        ...

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Measure. `args` holds the own options and `model` (a name, or None for the default), `seed` and `jobs`.

        The same arguments give the same numbers. Raises UsageError, AudioError, ModelError or LibraryError.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Clips as a model hears them: `rows` maps a space to (n, d) unit rows (zero: nothing to hear), a row a clip.

    `model` and `digest` name the model; `place` finds the row of a clip.
    """

    model: str
    digest: str
    spaces: tuple[Space, ...]
    place: Mapping[Span, int]
    rows: Mapping[str, FloatArray]

    def positions(self, clips: Iterable[Span]) -> IntArray:
        """The rows of `clips`: (m,) int64."""
        return np.array([self.place[clip] for clip in clips], dtype=np.int64)

    def audible(self, space: Space) -> BoolArray:
        """Which clips (n,) have something to hear in a space."""
        return presence(self.rows[space.name])

    def similarity(self, space: Space, left: IntArray, right: IntArray) -> FloatArray:
        """The cosines (m,) float64 of the clips at `left` and `right` (m,).

        Where one is inaudible it is what chance gives, mu: neutral, as in a search (z = 0).
        """
        rows, heard = self.rows[space.name].astype(np.float64), self.audible(space)
        cosine = np.einsum("md,md->m", rows[left], rows[right])
        return np.where(heard[left] & heard[right], cosine, space.calibration["track"].mu)

    def similarities(self, space: Space) -> FloatArray:
        """The cosines (n, n) float64 of all clips with all, with the same rule for what is inaudible."""
        rows, heard = self.rows[space.name].astype(np.float64), self.audible(space)
        return np.where(heard[:, None] & heard, rows @ rows.T, space.calibration["track"].mu)


def whole(path: Path) -> Span:
    """All of a recording, however long."""
    return Span(str(path), 0.0, math.inf)


def _encode(task: tuple[str, Span]) -> tuple[dict[str, FloatArray], float]:
    """Runs in a worker. Returns a (d,) row a space, and the clip's seconds."""
    from soundalike.model import load_once

    name, clip = task
    encoding = load_once(name).encode(Path(clip.track), start=clip.start, end=clip.end)
    return {space: rows[0] for space, rows in encoding.track.rows.items()}, encoding.info.duration


def listen(
    clips: Iterable[Span], model: str | None = None, *, jobs: int | None = None, progress: Progress | None = None
) -> Heard:
    """Encode every clip once, in `jobs` processes (default: one a core); nothing is kept on disk.

    Raises ModelError, or AudioError naming the clip that cannot be heard: a number from part of the data would not
    be the number asked for.
    """
    from soundalike.model import Model
    from soundalike.spaces import DEFAULT_MODEL
    from soundalike.workers import run_tasks

    name = model or DEFAULT_MODEL
    chosen = Model.load(name)
    place = {clip: row for row, clip in enumerate(sorted(set(clips)))}
    rows = {space.name: np.zeros((len(place), space.dim), np.float32) for space in chosen.spaces}
    outcomes = run_tasks(_encode, [(name, clip) for clip in place], jobs)
    seconds = 0.0
    try:
        for done, ((_, clip), outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):
                raise AudioError(f"{clip.track}: {outcome}") if isinstance(outcome, AudioError) else outcome
            found, lasted = outcome
            for space, row in found.items():
                rows[space][place[clip]] = row
            seconds += lasted
            if progress:
                progress(done, len(place), seconds)
    finally:
        outcomes.close()
    return Heard(chosen.name, chosen.recipe.digest, chosen.spaces, place, rows)


def margins(heard: Heard, triplets: Sequence[Triplet]) -> FloatArray:
    """cos(anchor, positive) - cos(anchor, negative) of m triplets in every space: (m, spaces) float64."""
    anchor = heard.positions(one.anchor for one in triplets)
    positive = heard.positions(one.positive for one in triplets)
    negative = heard.positions(one.negative for one in triplets)
    columns = [
        heard.similarity(space, anchor, positive) - heard.similarity(space, anchor, negative) for space in heard.spaces
    ]
    return np.stack(columns, axis=1)


def judge(margin: FloatArray) -> FloatArray:
    """1 where a margin is positive (right), 0 where negative, 1/2 for a tie: also what is inaudible ties."""
    return np.heaviside(margin, 0.5)


def check_folder(path: Path, what: str) -> None:
    """Raises UsageError unless `path` is a folder; `what` says what it should hold."""
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise UsageError(f"{path} {found}; give a folder with {what}")


def account(
    heard: Heard,
    args: argparse.Namespace,
    columns: Mapping[str, Estimate],
    title: str,
    *,
    protocol: str,
    options: str,
    chance: float | Sequence[float],
    unit: str = "%",
    rows: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """A report on what was heard; `rows` are the spaces unless given, and one `chance` may hold for all columns.

    `options` are those of the command that makes it again, with folders by what they are (DIR): they differ between
    machines. A note names the model's digest, for a model of the same name may be fitted anew.
    """
    seed = f"--seed {args.seed}" if args.seed else ""
    return make_report(
        columns,
        rows=[space.name for space in heard.spaces] if rows is None else rows,
        chance=[chance] * len(columns) if isinstance(chance, float) else chance,
        protocol=protocol,
        title=title,
        model=heard.model,
        unit=unit,
        command=" ".join(f"soundalike evaluate {protocol} {options} --model {heard.model} {seed}".split()),
        notes=[*notes, f"Model digest {heard.digest[:12]}."],
    )


def in_order(names: Iterable[str], heard: Heard) -> list[str]:
    """Distinct names: those that are also a space's in the order of the spaces, so that a table has a diagonal."""
    found = dict.fromkeys(names)
    spaces = [space.name for space in heard.spaces if space.name in found]
    return spaces + [name for name in found if name not in spaces]
