"""`soundalike train weights`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    argument,
    jobs_option,
    json_option,
    model_option,
    option,
    ray_option,
    seed_option,
)
from soundalike.cli.commands import command
from soundalike.cli.output import Progress, print_json
from soundalike.cli.table import print_table
from soundalike.core.errors import UsageError, one_line
from soundalike.evaluate.judgement_options import judgement_options
from soundalike.models import METHODS

if TYPE_CHECKING:
    from soundalike.evaluate.learned_preset import LearnedWeights

__all__ = ["weights"]


@dataclass(frozen=True, slots=True)
class TermRecord:
    """The weight of a space: as a search has it, and of cosines with its 95 % interval (null if unknown)."""

    space: str
    weight: float
    cosine: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LearnedPresetRecord:
    """A preset that was learned, and the file that it was written to; `agreement` and `baseline` are 0 to 1."""

    name: str
    weights: str
    summary: str
    config: str
    triplets: int
    agreement: float | None
    baseline: float | None
    spaces: Sequence[TermRecord]


@command("weights")
@argument("name", metavar="NAME", help="The name of the preset.")
@option("--question", default="total", metavar="NAME", help="The question of the labels (default: total).")
@option("--method", type=click.Choice(METHODS), default="ridge", help="How weights are fitted (default: ridge).")
@option("--stem-model", metavar="MODEL", help="The stem model that the preset weighs, if --true-stems taught it.")
@option("--replace", is_flag=True, help="Replace a preset of this name.")
@option("--config", type=GIVEN_PATH, metavar="FILE", help="The file to write to (default: that of your settings).")
@model_option()
@seed_option()
@jobs_option()
@ray_option()
@json_option()
def weights(name: str, config: Path | None, as_json: bool, **values: Any) -> int:
    """Learn weights from what listeners find alike, and save them as a preset for searches.

    Labels are CSV files with the columns x, a, b and answer: does A or B sound more like x? Ten triplets are the least;
    a hundred or more give weights that mean something. `soundalike evaluate weights --help` describes labels, terms and
    fits, and the command measures how good the weights are.

    \b
      soundalike train weights ours --labels labels.csv --audio clips
      soundalike search song.mp3 -w ours
    """
    from soundalike.core.presets import check_preset_name, read_presets, save_preset
    from soundalike.core.settings import config_file
    from soundalike.evaluate.judgement_options import judgements_of, terms_of
    from soundalike.evaluate.learned_preset import learn_weights
    from soundalike.evaluate.protocols.weights import usable_questions

    args = SimpleNamespace(**values)
    target = config or config_file()
    check_preset_name(name)
    if name in read_presets(target) and not args.replace:  # before any work, which would be lost
        raise UsageError(f"{target} has a preset {name}; choose another name, or give --replace")
    judgements = judgements_of(args)
    if args.question not in judgements.votes:
        raise UsageError(f"the labels have no question {args.question}; known: {', '.join(judgements.votes)}")
    if args.question not in usable_questions(judgements, args):
        raise UsageError(f"the votes agree on too few triplets for {args.question}; collect more, or lower --majority")
    with Progress("clip", enabled=not as_json) as progress:
        terms = terms_of(judgements, args, progress)
    chosen, answers = judgements.majority(args.question, args.majority, strict=not args.at_least)
    learned = learn_weights(
        judgements,
        terms,
        chosen,
        answers,
        args.method,
        penalty=args.penalty,
        seed=args.seed,
        source=", ".join(path.name for path in args.labels),
        stem_model=args.stem_model,
    )
    save_preset(target, name, learned.preset, replace=args.replace)
    if as_json:
        print_json(_record(name, target, learned))
        return 0
    rows = [
        [
            one.space,
            f"{one.weight:.3f}",
            f"{one.cosine:.2f}",
            "-" if math.isnan(one.low) else f"{one.low:.2f} to {one.high:.2f}",
        ]
        for one in learned.weights
    ]
    print_table(["space", "weight", "of cosines", "95 % interval"], rows, left=[0])
    print(one_line(learned.preset.summary))
    print(f"written: preset {one_line(name)} in {one_line(str(target))}")
    return 0


weights.params = [*weights.params[:1], *judgement_options(), *weights.params[1:]]


def _record(name: str, target: Path, learned: LearnedWeights) -> LearnedPresetRecord:
    terms = [
        TermRecord(one.space, one.weight, one.cosine, _finite(one.low), _finite(one.high)) for one in learned.weights
    ]
    return LearnedPresetRecord(
        name,
        learned.preset.weights,
        learned.preset.summary,
        str(target),
        learned.triplets,
        _finite(learned.agreement),
        _finite(learned.baseline),
        terms,
    )


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
