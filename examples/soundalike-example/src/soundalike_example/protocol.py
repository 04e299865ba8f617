"""The protocol `continuation`: does the beginning of a recording find what follows among all that follows?

    soundalike evaluate continuation DIR --seconds 4

Every recording in DIR gives two clips of `--seconds`, one after the other. For each first clip the second clips of all
recordings are ranked. The value is the share of recordings whose own second clip comes first; several that tie share
the place. Intervals are exact binomial ones. With n recordings, chance is 1 / n.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.audio import AUDIO_SUFFIXES, is_system_file
from soundalike.core.errors import UsageError
from soundalike.core.options import Argument
from soundalike.core.types import FloatArray, Report, Span
from soundalike.evaluate.base import Progress, Protocol, check_folder, encode_clips, model_report
from soundalike.evaluate.estimates import clopper_pearson

__all__ = ["Continuation", "create", "own_comes_first"]


def own_comes_first(similarity: FloatArray) -> FloatArray:
    """Return for each row i of (n, n) similarities whether column i is the largest: 1, 0, or 1 / k of k that tie.

    Example:
        >>> own_comes_first(np.array([[0.9, 0.1], [0.5, 0.5]])).tolist()
        [1.0, 0.5]
    """
    largest = similarity == similarity.max(axis=1, keepdims=True)
    return np.asarray(np.diagonal(largest) / largest.sum(axis=1))


class Continuation:
    """The share of recordings whose continuation comes first, in every space."""

    name: ClassVar[str] = "continuation"
    summary: ClassVar[str] = "a folder of recordings: does the beginning find what follows?"

    def options(self) -> Sequence[click.Parameter]:
        """Return the folder and `--seconds`."""
        return [
            Argument(
                ["data"], type=click.Path(path_type=Path), metavar="DIR", help="Folder of recordings, at any depth."
            ),
            click.Option(["--seconds"], type=float, default=10.0, metavar="S", help="Length of a clip (default: 10)."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return one report. Raises UsageError, AudioError or ModelError."""
        check_folder(args.data, "recordings")
        if not args.seconds >= 1:
            raise UsageError(f"--seconds {args.seconds:g}: expected at least 1")
        files = [
            file
            for file in sorted(args.data.rglob("*"))
            if file.suffix.lower() in AUDIO_SUFFIXES and not is_system_file(file.name) and file.is_file()
        ]
        if len(files) < 2:
            raise UsageError(f"{args.data} holds {len(files)} recordings; expected at least 2")
        first = [Span(str(file), 0.0, args.seconds) for file in files]
        second = [Span(str(file), args.seconds, 2 * args.seconds) for file in files]
        encoded = encode_clips([*first, *second], args.model, jobs=args.jobs, progress=progress)
        pairs = np.ix_(encoded.positions(first), encoded.positions(second))
        right = [own_comes_first(encoded.similarities(space)[pairs]).sum() for space in encoded.spaces]
        return (
            model_report(
                encoded,
                args,
                {"found first": clopper_pearson(np.array(right), np.full(len(right), len(files)))},
                f"Continuation: {len(files):,} recordings, clips of {args.seconds:g} s",
                protocol=self.name,
                options=f"DIR --seconds {args.seconds:g}",
                chance=100.0 / len(files),
                notes=["n: recordings. Intervals: exact binomial. Chance: one in n."],
            ),
        )


def create() -> Protocol:
    """Return the protocol."""
    return Continuation()
