"""The options of commands that learn from judgements: labels, clips, terms and fits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import click

from soundalike.core.options import ManyOption, TextType
from soundalike.evaluate.base import Progress
from soundalike.evaluate.judgements import Judgements, read_judgements
from soundalike.evaluate.terms import TermSet, measure_terms
from soundalike.models import DEFAULT_MODEL

__all__ = [
    "SHARE",
    "judgement_options",
    "judgements_of",
    "label_files",
    "majority_option",
    "read_share",
    "term_options",
    "terms_of",
]

SHARE = Fraction(3, 4)
"""The share of votes of which strictly more must agree, as in the studies on Inst-Sim-ABX."""


def judgement_options() -> list[click.Parameter]:
    """Return the options for labels and clips, and those of `term_options`."""
    return [
        ManyOption(
            ["--labels"],
            required=True,
            callback=label_files,
            metavar="FILE...",
            help="CSV files with the columns x, a, b, answer; or the folder of Inst-Sim-ABX.",
        ),
        click.Option(
            ["--audio"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder that the names of the clips start from: files, or folders with one file per stem.",
        ),
        click.Option(
            ["--slakh"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder in the layout of Slakh2100, in which clips are TRACK or TRACK@START-END.",
        ),
        *term_options(),
    ]


def term_options() -> list[click.Parameter]:
    """Return the options for terms, majorities and fits."""
    return [
        click.Option(
            ["--with", "with_models"],
            multiple=True,
            metavar="MODEL",
            help="Another model with spaces to weigh, such as a stem model. May be repeated.",
        ),
        click.Option(
            ["--true-stems"],
            type=click.Choice(["4", "6"]),
            callback=lambda _, __, value: value and int(value),
            help="Encode the stems that lie beside the clips, too: 4, or 6 with guitar and piano apart.",
        ),
        click.Option(
            ["--space"], multiple=True, metavar="NAME", help="Use only this space of --model. May be repeated."
        ),
        majority_option(),
        click.Option(["--at-least"], is_flag=True, help="This share of the votes, or more, must agree."),
        click.Option(
            ["--penalty"],
            type=click.FloatRange(0),
            default=1.0,
            metavar="NUMBER",
            help="Penalty of ridge regression (default: 1).",
        ),
    ]


def majority_option() -> click.Option:
    """Return `--majority`."""
    return click.Option(
        ["--majority"],
        type=TextType("SHARE", read_share),
        default=SHARE,
        metavar="SHARE",
        help="Use triplets in which strictly more than this share of the votes agree (default: 0.75).",
    )


def judgements_of(args: SimpleNamespace) -> Judgements:
    """Return the judgements that the options name. Raises UsageError."""
    return read_judgements(args.labels, args.audio, args.slakh)


def terms_of(judgements: Judgements, args: SimpleNamespace, progress: Progress | None = None) -> TermSet:
    """Return the terms that the options name. Raises UsageError, AudioError or ModelError."""
    models = [args.model or DEFAULT_MODEL, *args.with_models]
    return measure_terms(
        judgements, models, true_stems=args.true_stems, spaces=args.space, jobs=args.jobs, progress=progress
    )


def read_share(text: str) -> Fraction:
    """Return a share of votes. Raises ValueError unless it is at least 0.5 and below 1."""
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if not Fraction(1, 2) <= share < 1:
        raise ValueError(f"expected a number of at least 0.5 and below 1, found {text!r}")
    return share


def label_files(_: click.Context, __: click.Parameter, given: Sequence[Sequence[str]]) -> list[Path]:
    """Return the files of every use of `--labels`."""
    return [Path(name) for names in given for name in names]
