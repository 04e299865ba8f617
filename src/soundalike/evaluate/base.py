"""Plug-in folder: how good is it? One protocol a file; `registry.load("protocols", name)` finds it.

What protocols share is here: every clip is encoded once, in worker processes, and triplets are judged by one rule.
Importing a protocol loads nothing heavy, so that `soundalike evaluate --help` is quick.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeAlias
from typing import Protocol as Structure

import numpy as np

from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Report, Space, Span, Triplet, Weights
from soundalike.evaluate.fusion import SCORE_FUSIONS, VECTOR_FUSIONS, concatenate_vectors, mean_scores, mean_vectors
from soundalike.evaluate.reports import Estimate, make_report
from soundalike.models import DEFAULT_MODEL, load_recipe, parse_weights, presence, resolve_weights

__all__ = [
    "EncodedClips",
    "Margins",
    "Progress",
    "Protocol",
    "add_fusion_options",
    "check_folder",
    "check_fusion",
    "encode_clips",
    "full_span",
    "in_order",
    "margins",
    "margins_with_fusions",
    "model_report",
    "triplet_outcome",
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
class EncodedClips:
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


def full_span(path: Path) -> Span:
    """All of a recording, however long."""
    return Span(str(path), 0.0, math.inf)


def _encode(task: tuple[str, Span]) -> tuple[dict[str, FloatArray], float]:
    """Runs in a worker. Returns a (d,) row a space, and the clip's seconds."""
    from soundalike.models import load_once

    name, clip = task
    encoding = load_once(name).encode(Path(clip.track), start=clip.start, end=clip.end)
    return {space: rows[0] for space, rows in encoding.track.rows.items()}, encoding.info.duration


def encode_clips(
    clips: Iterable[Span], model: str | None = None, *, jobs: int | None = None, progress: Progress | None = None
) -> EncodedClips:
    """Encode every clip once, in `jobs` processes (default: one a core); nothing is kept on disk.

    Raises ModelError, or AudioError naming the clip that cannot be heard: a number from part of the data would not
    be the number asked for.
    """
    from soundalike.core.executors.processes import run_tasks
    from soundalike.models import Model

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
    return EncodedClips(chosen.name, chosen.recipe.digest, chosen.spaces, place, rows)


def margins(heard: EncodedClips, triplets: Sequence[Triplet]) -> FloatArray:
    """cos(anchor, positive) - cos(anchor, negative) of m triplets in every space: (m, spaces) float64."""
    near, far = _cosines(heard, triplets)
    return near - far


def _places(heard: EncodedClips, triplets: Sequence[Triplet]) -> tuple[IntArray, IntArray, IntArray]:
    """The rows of the anchors, positives and negatives of m triplets: (m,) each."""
    return (
        heard.positions(one.anchor for one in triplets),
        heard.positions(one.positive for one in triplets),
        heard.positions(one.negative for one in triplets),
    )


def _cosines(heard: EncodedClips, triplets: Sequence[Triplet]) -> tuple[FloatArray, FloatArray]:
    """The cosines of m anchors with their positives and with their negatives, in every space: (m, spaces) each."""
    anchor, positive, negative = _places(heard, triplets)
    near = [heard.similarity(space, anchor, positive) for space in heard.spaces]
    far = [heard.similarity(space, anchor, negative) for space in heard.spaces]
    return np.stack(near, axis=1), np.stack(far, axis=1)


def triplet_outcome(margin: FloatArray) -> FloatArray:
    """1 where a margin is positive (right), 0 where negative, 1/2 for a tie: also what is inaudible ties."""
    return np.heaviside(margin, 0.5)


def check_folder(path: Path, what: str) -> None:
    """Raises UsageError unless `path` is a folder; `what` says what it should hold."""
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise UsageError(f"{path} {found}; give a folder with {what}")


def model_report(
    heard: EncodedClips,
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


def in_order(names: Iterable[str], heard: EncodedClips) -> list[str]:
    """Distinct names: those that are also a space's in the order of the spaces, so that a table has a diagonal."""
    found = dict.fromkeys(names)
    spaces = [space.name for space in heard.spaces if space.name in found]
    return spaces + [name for name in found if name not in spaces]


# All spaces of a model as one ---------------------------------------------------------------------------------------


def add_fusion_options(parser: argparse.ArgumentParser) -> None:
    """Add `--fusion` and `--weights`, for `check_fusion` and `margins_with_fusions`."""
    parser.add_argument(
        "--fusion", action="store_true", help="also a row for each way to use all spaces of the model as one"
    )
    parser.add_argument(
        "--weights",
        metavar="SPACE=W,...",
        help="for weighted means among them, such as melody=.4,rhythm=.4,timbre=.2 (default: no weighted means)",
    )


def check_fusion(args: argparse.Namespace, model: str | None) -> None:
    """Check what is asked of a model's spaces, before any clip is heard.

    Raises UsageError for weights without a fusion or of other spaces, or a model of one space; ModelError.
    """
    if args.weights is not None and not args.fusion:
        raise UsageError("--weights are those of --fusion; add --fusion, or leave them out")
    if args.fusion:
        recipe = load_recipe(model or DEFAULT_MODEL)
        if len(recipe.spaces) < 2:
            raise UsageError(f"--fusion needs two spaces or more; {recipe.name} has {recipe.spaces[0].name} only")
        _weights(recipe.spaces, args)


def _weights(spaces: Sequence[Space], args: argparse.Namespace) -> Weights | None:
    return resolve_weights(parse_weights(args.weights), spaces) if args.weights is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class Margins:
    """Margins (m, r) float64 of m triplets in r rows of a report: the spaces, then the fusions that were asked for.

    `options` ask for the same fusions again, `notes` are what their reader should know; both empty without a fusion.
    """

    rows: tuple[str, ...]
    values: FloatArray
    options: str = ""
    notes: tuple[str, ...] = ()


def margins_with_fusions(heard: EncodedClips, triplets: Sequence[Triplet], args: argparse.Namespace) -> Margins:
    """`margins`, and with `--fusion` those of every fusion of all spaces (`soundalike.evaluate.fusion`).

    Fused scores take what is inaudible at chance, as the spaces do. Fused vectors know no chance: a triplet ties where
    one of its clips has none. Spaces of different dims have no fused vectors but the concatenation.
    """
    near, far = _cosines(heard, triplets)
    found = {space.name: margin for space, margin in zip(heard.spaces, (near - far).T, strict=True)}
    if not args.fusion:
        return Margins(tuple(found), near - far)
    scores, vectors = dict(SCORE_FUSIONS), dict(VECTOR_FUSIONS)
    options = "--fusion"
    notes = [f"Fused: {', '.join(found)} as one; the product of scores is that of (1 + cos) / 2."]
    weights = _weights(heard.spaces, args)
    if weights is not None:
        order = [weights[space.name] for space in heard.spaces]
        scores["weighted mean"] = partial(mean_scores, weights=order)
        vectors["weighted mean"] = partial(mean_vectors, weights=order)
        options += " --weights " + ",".join(f"{name}={weight:g}" for name, weight in weights.items() if weight)
    if len({space.dim for space in heard.spaces}) > 1:
        vectors = {"concatenation": concatenate_vectors}
        dims = ", ".join(f"{space.name} {space.dim}" for space in heard.spaces)
        notes.append(f"Vectors of different dims ({dims}) have a concatenation, but no mean, product or max.")
    for name, fuse in scores.items():
        found[f"fused scores: {name}"] = fuse(near) - fuse(far)
    for name, join in vectors.items():
        rows = join([heard.rows[space.name] for space in heard.spaces]).astype(np.float64)
        anchor, positive, negative = (rows[place] for place in _places(heard, triplets))
        margin = np.einsum("md,md->m", anchor, positive) - np.einsum("md,md->m", anchor, negative)
        present = presence(anchor) & presence(positive) & presence(negative)
        found[f"fused vectors: {name}"] = np.where(present, margin, 0.0)
    return Margins(tuple(found), np.column_stack(list(found.values())), options, tuple(notes))
