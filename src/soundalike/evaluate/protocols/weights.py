"""Weights from people: how much does each space or stem count for listeners?

    soundalike evaluate weights --labels labels.csv --audio clips
    soundalike evaluate weights --labels Inst-Sim-ABX-Dataset --slakh slakh

Labels are CSV files with the columns x, a, b and answer (A or B: which one sounds more like x), and optionally votes,
question, song_x, song_a and song_b; or the folder of Inst-Sim-ABX, of which the judgements on mixes are used.

For a triplet, a term is f = cos(X, A) - cos(X, B) in one space, and the answer is y = 1 for A and -1 for B. Weights of
the terms are fitted by least squares without an intercept (OLS), by ridge regression, and with weights of at least 0.

- Terms are the spaces of --model, and of further models given with --with, such as stem models, which separate the
  mix. With --true-stems, --model also encodes the stems that lie beside the clips: vocals, drums, bass and other, or
  with 6 also guitar and piano.
- A triplet is used if strictly more than 75 % of its votes agree (--majority; --at-least: this share or more).
- 100 random splits, 70 % to fit and 30 % to test, keep the share of the answers. Both parts share songs, so a second
  test leaves songs out: it fits where no song of the tested triplets occurs.
- Baselines are the cosines of the spaces on the mix, and all of them with weight 1, on the same test parts.
- Every question of the labels, such as timbre, rhythm and melody, has its own tables.

The paper does not print its penalty; the default, 1, is that of scikit-learn.

Reference: Vohra and Akama, Interpretable and Perceptually-Aligned Music Similarity with Pretrained Embeddings, 2026,
sections 3.4 and 3.5, tables 2 to 4. Songs left out, intervals, weights of at least 0 and questions are additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import ClassVar

import click

from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.evaluate.base import Progress, Protocol
from soundalike.evaluate.judgement_options import SHARE, judgement_options, judgements_of, terms_of
from soundalike.evaluate.judgements import Judgements
from soundalike.evaluate.terms import TermSet
from soundalike.evaluate.weight_trials import agreement_reports, baselines, run_trials, weight_report

__all__ = ["FittedWeights", "create", "usable_questions", "weight_reports"]

_FEWEST = 10


class FittedWeights:
    """Agreement of fitted weights with listeners, their gain over the baselines, and the weights, per question."""

    name: ClassVar[str] = "weights"
    summary: ClassVar[str] = "weights of spaces and stems that predict what listeners find alike"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options for labels, clips, terms and fits."""
        return [
            *judgement_options(),
            click.Option(
                ["--splits"],
                type=click.IntRange(2, 10_000),
                default=100,
                help="Number of random splits (default: 100).",
            ),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return three reports per question. Raises UsageError, AudioError or ModelError."""
        judgements = judgements_of(args)
        usable_questions(judgements, args)
        terms = terms_of(judgements, args, progress)
        where = "--slakh DIR" if args.slakh else "--audio DIR" if args.audio else ""
        return weight_reports(judgements, terms, args, self.name, f"--labels FILE {where}")


def weight_reports(
    judgements: Judgements, terms: TermSet, args: SimpleNamespace, protocol: str, options: str
) -> tuple[Report, ...]:
    """Return agreement, gain and weights for every question with at least 10 triplets on which votes agree.

    Args:
        judgements: The votes.
        terms: The features of the triplets.
        args: The options of `judgement_options`, `splits` and `seed`.
        protocol: The name of the protocol.
        options: The options that name the data, for the command of the reports.

    Raises:
        UsageError: As for `usable_questions`.
    """
    strict = not args.at_least
    share = f"{float(args.majority):g}"
    command = " ".join(
        f"soundalike evaluate {protocol} {options} {_term_options(args)} "
        f"{'' if args.majority == SHARE else f'--majority {share}'} {'' if strict else '--at-least'} "
        f"{'' if args.penalty == 1 else f'--penalty {args.penalty:g}'} "
        f"{f'--seed {args.seed}' if args.seed else ''}".split()
    )
    model = ", ".join(terms.digests)
    fixed = baselines(terms.terms)
    reports: list[Report] = []
    for question in usable_questions(judgements, args):
        chosen, answers = judgements.majority(question, args.majority, strict=strict)
        features = terms.features[chosen]
        every = judgements.songs()
        songs = [every[n] for n in chosen]
        tests = [judgements.tests[n] for n in chosen]
        title = f"question {question}: {len(chosen):,} triplets, {len(terms.names)} terms"
        notes = [
            f"Triplets on which {'more than' if strict else 'at least'} {share} of the votes agree. Penalty of ridge: "
            f"{args.penalty:g}.",
            f"Model digests: {', '.join(f'{name} {digest[:12]}' for name, digest in terms.digests.items())}.",
        ]
        trials = run_trials(
            features, answers, songs, tests, fixed, penalty=args.penalty, seed=args.seed, splits=args.splits
        )
        reports += agreement_reports(trials, title, model, command, args.seed, notes)
        references = [one[0] for one in songs]
        reports.append(
            weight_report(
                terms, features, answers, references, title, model, command,
                penalty=args.penalty, seed=args.seed, notes=notes,
            )
        )  # fmt: skip
    return tuple(reports)


def usable_questions(judgements: Judgements, args: SimpleNamespace) -> list[str]:
    """Return the questions with at least 10 triplets on which votes agree.

    Raises:
        UsageError: There is none. The message has the numbers of triplets.
    """
    counts = {
        question: len(judgements.majority(question, args.majority, strict=not args.at_least)[0])
        for question in judgements.votes
    }
    found = [question for question, count in counts.items() if count >= _FEWEST]
    if not found:
        listed = ", ".join(f"{count} for {question}" for question, count in counts.items())
        raise UsageError(
            f"the votes agree on too few triplets ({listed}; at least {_FEWEST} are needed); collect more answers, or "
            "give a lower --majority"
        )
    return found


def _term_options(args: SimpleNamespace) -> str:
    parts = [f"--model {args.model}" if args.model else ""]
    parts += [f"--with {name}" for name in args.with_models]
    parts += [f"--true-stems {args.true_stems}" if args.true_stems else ""]
    parts += [f"--space {name}" for name in args.space]
    return " ".join(part for part in parts if part)


def create() -> Protocol:
    """Create the protocol."""
    return FittedWeights()
