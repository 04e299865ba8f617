"""Plug-in folder of evaluation protocols: the contract, and what the protocols share.

One protocol per file in `protocols/`; `plugins.load("protocols", name)` finds it by name. Every clip is encoded once,
in worker processes, and all protocols score triplets by the same rule. Importing a protocol loads nothing heavy, so
`soundalike evaluate --help` is fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, TypeAlias
from typing import Protocol as Structure

import click
import numpy as np

from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Report, Space, Span, Triplet
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.reports import make_report
from soundalike.models import DEFAULT_MODEL, presence

__all__ = [
    "EncodedClips",
    "Progress",
    "Protocol",
    "check_folder",
    "encode_clips",
    "full_span",
    "margins",
    "model_report",
    "order_columns",
    "triplet_cosines",
    "triplet_outcome",
    "triplet_rows",
]

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called with the number of clips done, the total number of clips, and the seconds of audio processed so far."""


class Protocol(Structure):
    """One way to measure a model.

    A protocol is stateless: everything that a run depends on is in its arguments.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for a list of protocols."""

    def options(self) -> Sequence[click.Parameter]:
        """Return the protocol's own options; every command also has `--model`, `--seed` and `--jobs`."""
        ...

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Measure a model. The same arguments give the same numbers.

        Args:
            args: The protocol's own options, and `model` (a name, or None for the default), `seed` and `jobs`.
            progress: Called after every clip.

        Returns:
            One or more reports.

        Raises:
            UsageError: An option is invalid, or the data does not have the expected layout.
            AudioError: A clip cannot be decoded.
            ModelError: The model is unknown or invalid.
            LibraryError: The library cannot be opened.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EncodedClips:
    """Clips encoded by one model.

    Attributes:
        model: The name of the model.
        digest: The digest of the model.
        spaces: The spaces of the model.
        index: Maps each clip to its row.
        rows: Maps each space to (n, d) float32, one unit row per clip; the row is zero if the clip is inaudible.
    """

    model: str
    digest: str
    spaces: tuple[Space, ...]
    index: Mapping[Span, int]
    rows: Mapping[str, FloatArray]

    def positions(self, clips: Iterable[Span]) -> IntArray:
        """Return the row numbers of m clips as (m,) int64."""
        return np.array([self.index[clip] for clip in clips], dtype=np.int64)

    def audible(self, space: Space) -> BoolArray:
        """Return which clips are audible in a space as (n,) bool."""
        return presence(self.rows[space.name])

    def similarity(self, space: Space, left: IntArray, right: IntArray) -> FloatArray:
        """Return the cosines of pairs of clips.

        A pair with an inaudible clip gets the mean similarity of random pairs, mu. It is neutral (z = 0), as in a
        search.

        Args:
            space: One of `spaces`.
            left: Row numbers of the first clips, (m,).
            right: Row numbers of the second clips, (m,).

        Returns:
            (m,) float64.
        """
        rows, audible = self.rows[space.name].astype(np.float64), self.audible(space)
        cosine = np.einsum("md,md->m", rows[left], rows[right])
        return np.where(audible[left] & audible[right], cosine, space.calibration["track"].mu)

    def similarities(self, space: Space) -> FloatArray:
        """Return the cosines of all pairs of clips as (n, n) float64, with the same rule for inaudible clips."""
        rows, audible = self.rows[space.name].astype(np.float64), self.audible(space)
        return np.where(audible[:, None] & audible, rows @ rows.T, space.calibration["track"].mu)


def full_span(path: Path) -> Span:
    """Return the span of a complete recording, whatever its length."""
    return Span(str(path), 0.0, math.inf)


def _encode(task: tuple[str, Span]) -> tuple[dict[str, FloatArray], float]:
    """Encode one clip in a worker process. Returns one (d,) row per space and the clip's duration in seconds."""
    from soundalike.models import load_once

    name, clip = task
    encoding = load_once(name).encode(Path(clip.track), start=clip.start, end=clip.end)
    return {space: rows[0] for space, rows in encoding.track.rows.items()}, encoding.info.duration


def encode_clips(
    clips: Iterable[Span],
    model: str | None = None,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    encode: Callable[[tuple[str, Span]], tuple[dict[str, FloatArray], float]] = _encode,
) -> EncodedClips:
    """Encode every distinct clip once. Nothing is written to disk.

    Args:
        clips: The clips; duplicates are encoded once.
        model: A model's name or folder; None for the default model.
        jobs: The number of worker processes; by default one per core.
        progress: Called after every clip.
        encode: Encodes one clip in a worker process. It takes the model's name and the clip, and returns one (d,) row
            per space and the clip's duration in seconds. The default encodes the file that the clip names.

    Returns:
        The rows of all clips.

    Raises:
        AudioError: A clip cannot be decoded; the message names it. One such clip stops the run, because a result on
            part of the data would not be the requested result.
        ModelError: The model is unknown or invalid.

    Example:
        >>> encoded = encode_clips([full_span(Path("a.wav")), full_span(Path("b.wav"))], "compact")
        >>> len(encoded.rows["melody"])
        2
    """
    from soundalike.core.executors.base import run_tasks
    from soundalike.models import Model

    name = model or DEFAULT_MODEL
    loaded = Model.load(name)
    index = {clip: row for row, clip in enumerate(sorted(set(clips)))}
    rows = {space.name: np.zeros((len(index), space.dim), np.float32) for space in loaded.spaces}
    outcomes = run_tasks(encode, [(name, clip) for clip in index], jobs)
    seconds = 0.0
    try:
        for done, ((_, clip), outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):
                raise AudioError(f"{clip.track}: {outcome}") if isinstance(outcome, AudioError) else outcome
            clip_rows, duration = outcome
            for space, row in clip_rows.items():
                rows[space][index[clip]] = row
            seconds += duration
            if progress:
                progress(done, len(index), seconds)
    finally:
        outcomes.close()
    return EncodedClips(loaded.name, loaded.recipe.digest, loaded.spaces, index, rows)


def margins(encoded: EncodedClips, triplets: Sequence[Triplet]) -> FloatArray:
    """Return cos(anchor, positive) - cos(anchor, negative) of m triplets in every space: (m, spaces) float64.

    Example:
        >>> encoded = encode_clips(clip for t in triplets for clip in (t.anchor, t.positive, t.negative))
        >>> accuracy = triplet_outcome(margins(encoded, triplets)).mean(axis=0)
    """
    positive, negative = triplet_cosines(encoded, triplets)
    return positive - negative


def triplet_rows(encoded: EncodedClips, triplets: Sequence[Triplet]) -> tuple[IntArray, IntArray, IntArray]:
    """Return the row numbers of the anchors, positives and negatives of m triplets: (m,) each."""
    return (
        encoded.positions(triplet.anchor for triplet in triplets),
        encoded.positions(triplet.positive for triplet in triplets),
        encoded.positions(triplet.negative for triplet in triplets),
    )


def triplet_cosines(encoded: EncodedClips, triplets: Sequence[Triplet]) -> tuple[FloatArray, FloatArray]:
    """Return the cosines of m anchors with their positives and negatives in every space: (m, spaces) each."""
    anchor, positive, negative = triplet_rows(encoded, triplets)
    with_positive = [encoded.similarity(space, anchor, positive) for space in encoded.spaces]
    with_negative = [encoded.similarity(space, anchor, negative) for space in encoded.spaces]
    return np.stack(with_positive, axis=1), np.stack(with_negative, axis=1)


def triplet_outcome(margin: FloatArray) -> FloatArray:
    """Score margins of any shape: 1 if positive (right), 0 if negative (wrong), 1/2 for a tie.

    Two inaudible pairs tie.

    Example:
        >>> triplet_outcome(np.array([0.2, -0.1, 0.0])).tolist()
        [1.0, 0.0, 0.5]
    """
    return np.heaviside(margin, 0.5)


def check_folder(path: Path, content: str) -> None:
    """Raise UsageError unless `path` is a folder. `content` says in the message what the folder should hold."""
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise UsageError(f"{path} {found}; give a folder with {content}")


def model_report(
    encoded: EncodedClips,
    args: SimpleNamespace,
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
    """Build the report of one protocol on one model.

    A note names the model's digest, because a model can be refitted under the same name.

    Args:
        encoded: The clips and the model that encoded them.
        args: The arguments of the run; only `seed` is read.
        columns: One estimate per column.
        title: The title. It should describe the data, because tables with equal titles are merged.
        protocol: The protocol's name.
        options: The options of the command that reproduces the report. Folders are written as placeholders (DIR),
            because paths differ between machines.
        chance: The chance level of each column, or one for all columns, in `unit`.
        unit: "%" for estimates of shares, which are scaled to per cent; otherwise the unit of the estimates.
        rows: The names of the rows; by default the spaces.
        notes: Remarks below the table.
    """
    seed = f"--seed {args.seed}" if args.seed else ""
    return make_report(
        columns,
        rows=[space.name for space in encoded.spaces] if rows is None else rows,
        chance=[chance] * len(columns) if isinstance(chance, float) else chance,
        protocol=protocol,
        title=title,
        model=encoded.model,
        unit=unit,
        command=" ".join(f"soundalike evaluate {protocol} {options} --model {encoded.model} {seed}".split()),
        notes=[*notes, f"Model digest {encoded.digest[:12]}."],
    )


def order_columns(names: Iterable[str], encoded: EncodedClips) -> list[str]:
    """Return the distinct names, those of spaces first and in the order of the spaces.

    In a table of spaces by factors, each space's own factor is then on the diagonal.

    Example:
        >>> order_columns(["mood", "rhythm", "melody", "mood"], encode_clips(clips))
        ['melody', 'rhythm', 'mood']
    """
    distinct = dict.fromkeys(names)
    spaces = [space.name for space in encoded.spaces if space.name in distinct]
    return spaces + [name for name in distinct if name not in spaces]
