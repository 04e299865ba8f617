"""Simulated listeners: does fitting find the weights that listeners have, and what does separation cost?

    soundalike evaluate listeners --songs SONGS --model compact
    soundalike evaluate listeners --songs musicdelta --listener dsp

SONGS is a folder in the layout of Slakh2100, as `soundalike render songs` writes it, MUSDB18-HQ, or recordings that
stems.csv lists. Triplets of segments are drawn, half of three songs (XAB), half with X and one sample from one song
(XYC). Listeners compare the stems of the clips, weigh them (--stem-weights), and answer with noise; three to nine of
them vote on a triplet, as in Inst-Sim-ABX.

- They compare what the stems are made of: program, pattern, register and level, from MIDI files and metadata. With
  --listener MODEL they compare true stems through that model instead. It must not be the model under test.
- Recovery: shares of the listeners' weights beside those that fits find, from what the listeners compare and from the
  features of --model on the mix and on true stems. The share of a stem is the spread of its part in decisions.
- Agreement: with the mix alone, with true stems, and with the stem models given with --with, on the same splits.

A fit on what the listeners compare should find their weights: a hundred more groups of listeners tell how often its
intervals contain them. Least squares on answers of ±1 do so for roughly normal differences; a stem that is often silent
gets too little. A fit on features finds less of a stem that the features describe badly, and gives some of it to the
mix.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic
from soundalike.core.options import TextType
from soundalike.core.types import FloatArray, Report
from soundalike.evaluate.base import Progress, Protocol
from soundalike.evaluate.estimates import Estimate, bootstrap, paired
from soundalike.evaluate.judgement_options import term_options
from soundalike.evaluate.judgements import MIX, Judgements
from soundalike.evaluate.listeners import Opinions, compare_parameters, compare_terms, draw_triplets, listen
from soundalike.evaluate.multitracks import Multitrack, read_multitracks
from soundalike.evaluate.reports import make_report
from soundalike.evaluate.stem_shares import shares, shares_with_intervals
from soundalike.evaluate.terms import SIX_STEMS, TermSet, measure_terms
from soundalike.evaluate.weight_trials import Trials, baselines, run_trials
from soundalike.models import DEFAULT_MODEL, METHODS, load_recipe, parse_weights

__all__ = ["SimulatedListeners", "create"]

_WEIGHTS = "vocals=1,drums=1,bass=0.5,guitar=0.75,piano=0.5,other=0.25"
_PARAMETERS = "parameters"
_NOISE = 0.3
_FEWEST = 30
_GROUPS = 100
_COVERAGE_RESAMPLES = 100


class SimulatedListeners:
    """Recovery of the weights of simulated listeners, and agreement with and without stems."""

    name: ClassVar[str] = "listeners"
    summary: ClassVar[str] = "simulated listeners: are their weights found, and what does separation cost?"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options for songs, listeners and fits."""
        return [
            click.Option(
                ["--songs"],
                type=click.Path(path_type=Path),
                required=True,
                metavar="DIR",
                help="Songs with stems: layout of Slakh2100, MUSDB18-HQ, or stems.csv.",
            ),
            click.Option(
                ["--listener"],
                default=_PARAMETERS,
                metavar="NAME",
                help="What listeners compare: parameters (default), or true stems through this model.",
            ),
            click.Option(
                ["--stem-weights"],
                type=TextType("WEIGHTS", parse_weights),
                default=_WEIGHTS,
                metavar="WEIGHTS",
                help=f"The weights of the listeners (default: {_WEIGHTS}).",
            ),
            click.Option(
                ["--noise"],
                type=click.FloatRange(0),
                default=_NOISE,
                metavar="NUMBER",
                help="Noise of an answer, in standard deviations of what decides (default: 0.3).",
            ),
            click.Option(["--triplets"], type=click.IntRange(10), default=600, help="How many (default: 600)."),
            click.Option(["--segments"], type=click.IntRange(1), default=5, help="Segments per song (default: 5)."),
            click.Option(
                ["--seconds"],
                type=click.FloatRange(0.5),
                default=5.0,
                metavar="NUMBER",
                help="Length of a segment (default: 5).",
            ),
            click.Option(
                ["--save-labels"],
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Write the answers as a CSV file for `evaluate weights`.",
            ),
            *term_options(),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return recovery, agreement and differences. Raises UsageError, AudioError or ModelError."""
        args.model, args.true_stems = args.model or DEFAULT_MODEL, args.true_stems or 6
        tested = [load_recipe(name) for name in (args.model, *args.with_models)]
        if args.listener != _PARAMETERS:
            backbones = {name for recipe in tested for name in recipe.backbone_versions}
            if shared := backbones & set(load_recipe(args.listener).backbone_versions):
                raise UsageError(
                    f"the listener {args.listener} uses the backbone {', '.join(sorted(shared))} of the model under "
                    "test; give a model on another backbone"
                )
        songs = read_multitracks(args.songs)
        drawn = draw_triplets(songs, args.triplets, args.segments, args.seconds, args.seed)
        opinions = self._opinions(drawn, songs, args, progress)
        votes = listen(opinions, args.stem_weights, args.noise, args.seed)
        judgements = replace(drawn, votes={"total": votes})
        if args.save_labels:
            _save(judgements, args.save_labels)
        chosen, answers = judgements.majority("total", args.majority, strict=not args.at_least)
        if len(chosen) < _FEWEST:
            raise UsageError(f"the votes agree on {len(chosen)} triplets; expected {_FEWEST}; give more --triplets")
        measure = partial(measure_terms, judgements, jobs=args.jobs, progress=progress)
        true = measure([args.model], true_stems=args.true_stems, spaces=args.space)
        separated = measure([args.model, *args.with_models], spaces=args.space) if args.with_models else None
        every = judgements.songs()
        picked = _Picked(
            chosen, answers, [every[n] for n in chosen.tolist()], [judgements.tests[n] for n in chosen.tolist()]
        )
        notes = [
            f"Listeners compare {args.listener}; noise {args.noise:g}; {len(chosen):,} of {args.triplets:,} triplets "
            f"on which more than {float(args.majority):g} of the votes agree; {len(songs)} songs, "
            f"{len(judgements.clips):,} segments of {args.seconds:g} s.",
            f"Model digests: {', '.join(f'{name} {digest[:12]}' for name, digest in true.digests.items())}.",
        ]
        make = partial(self._report, args, notes)
        return (
            make(*self._recovery(opinions, true, picked, args)),
            make(*self._coverage(opinions, drawn, args)),
            *(make(*one) for one in self._agreement(opinions, true, separated, picked, args)),
        )

    @staticmethod
    def _opinions(
        drawn: Judgements, songs: Sequence[Multitrack], args: SimpleNamespace, progress: Progress | None
    ) -> Opinions:
        if args.listener == _PARAMETERS:
            found = [stem for stem in SIX_STEMS if any(stem in song.files for song in songs)]
            return compare_parameters(drawn, songs, found)
        terms = measure_terms(drawn, [args.listener], true_stems=6, jobs=args.jobs, progress=progress)
        return compare_terms(terms)

    @staticmethod
    def _recovery(
        opinions: Opinions, true: TermSet, picked: _Picked, args: SimpleNamespace
    ) -> tuple[str, list[str], dict[str, Estimate], float, list[str], str]:
        """Shares of the listeners' weights, and of what fits find."""
        sources = [term.source for term in true.terms]
        stems = list(opinions.stems)
        rows = [*stems, MIX]
        own = opinions.differences[picked.chosen]
        weights = np.array([args.stem_weights.get(stem, 0.0) for stem in stems])
        known = np.append(shares(own, weights, stems, stems), np.nan)
        unknown = np.full(len(rows), np.nan)
        n = np.full(len(rows), len(picked.answers))
        columns = {"listeners": Estimate(known, unknown, unknown, n)}
        groups = [one[0] for one in picked.songs]
        fit = partial(shares_with_intervals, groups=groups, penalty=args.penalty, seed=args.seed)
        for method in METHODS[:2]:
            found = fit(own, picked.answers, sources=stems, stems=stems, method=method)
            value, low, high = (np.append(values, np.nan) for values in (found.value, found.low, found.high))
            columns[f"{method}, what they compare"] = Estimate(value, low, high, n)
        for method in METHODS[:2]:
            columns[f"{method}, {args.model}"] = fit(
                true.features[picked.chosen], picked.answers, sources=sources, stems=rows, method=method
            )
        about = [
            "Shares of decisions; the magnitudes of a column sum to 100. Intervals: bootstrap over the songs of X.",
            f"The fit on {args.model} has the mix and true stems.",
        ]
        return "Weights found", rows, columns, float("nan"), about, "%"

    @staticmethod
    def _coverage(
        opinions: Opinions, drawn: Judgements, args: SimpleNamespace
    ) -> tuple[str, list[str], dict[str, Estimate], float, list[str], str]:
        """How often the intervals of fits contain the weights, over many groups of listeners."""
        stems = list(opinions.stems)
        weights = np.array([args.stem_weights.get(stem, 0.0) for stem in stems])
        songs = drawn.songs()
        known: list[FloatArray] = []
        found: dict[str, list[FloatArray]] = {method: [] for method in METHODS[:2]}
        inside: dict[str, list[FloatArray]] = {method: [] for method in METHODS[:2]}
        for group in range(_GROUPS):
            votes = listen(opinions, args.stem_weights, args.noise, args.seed + 1 + group)
            judged = replace(drawn, votes={"total": votes})
            chosen, answers = judged.majority("total", args.majority, strict=not args.at_least)
            own = opinions.differences[chosen]
            known.append(shares(own, weights, stems, stems))
            groups = [songs[n][0] for n in chosen.tolist()]
            for method in METHODS[:2]:
                fit = shares_with_intervals(
                    own, answers, groups, stems, stems, method,
                    penalty=args.penalty, seed=args.seed, resamples=_COVERAGE_RESAMPLES,
                )  # fmt: skip
                found[method].append(fit.value)
                inside[method].append(((fit.low <= known[-1]) & (known[-1] <= fit.high)).astype(np.float64))
        unknown, n = np.full(len(stems), np.nan), np.full(len(stems), _GROUPS)

        def mean(values: Sequence[FloatArray]) -> Estimate:
            return Estimate(np.mean(values, axis=0), unknown, unknown, n)

        columns = {"listeners": mean(known)}
        columns |= {f"{method}, mean": mean(values) for method, values in found.items()}
        columns |= {f"{method}, inside": mean(values) for method, values in inside.items()}
        about = [
            f"{_GROUPS} groups of listeners with the same weights answer anew. Mean shares, and how often the 95 % "
            "interval of a fit on what they compare contains their share.",
        ]
        return "Weights found, many groups", stems, columns, float("nan"), about, "%"

    @staticmethod
    def _agreement(
        opinions: Opinions, true: TermSet, separated: TermSet | None, picked: _Picked, args: SimpleNamespace
    ) -> list[tuple[str, list[str], dict[str, Estimate], float, list[str], str]]:
        """Agreement per set of terms, and differences between the sets."""
        mix = [n for n, term in enumerate(true.terms) if not term.true]
        sets: dict[str, FloatArray] = {"mix": true.features[:, mix]}
        sets["mix and true stems"] = true.features
        if separated:
            sets["mix and separated stems"] = separated.features
        sets["what they compare"] = opinions.differences
        fixed = baselines([true.terms[n] for n in mix])
        outcomes: dict[str, FloatArray] = {}
        splits: dict[str, FloatArray] = {}
        trials: Trials | None = None
        for name, features in sets.items():
            base = fixed if name == "mix" else {}
            trials = run_trials(
                features[picked.chosen], picked.answers, picked.songs, picked.tests, base,
                penalty=args.penalty, seed=args.seed, methods=METHODS[:2],
            )  # fmt: skip
            for row, label in enumerate(trials.rows):
                full = label if label in fixed else f"{name}, {label}"
                outcomes[full], splits[full] = trials.left_out[:, row], trials.splits[:, row]
        if trials is None or not len(trials.left_out):
            raise UsageError("every triplet shares a song with all others; give more songs")
        rows = list(outcomes)
        left_out, right = np.stack(list(outcomes.values()), axis=1), np.stack(list(splits.values()), axis=1)
        unknown, n = np.full(len(rows), np.nan), np.full(len(rows), len(right))
        columns = {
            f"{len(right)} random splits": Estimate(right.mean(axis=0), unknown, unknown, n),
            "their sd": Estimate(right.std(axis=0, ddof=1), unknown, unknown, n),
            "songs left out": bootstrap(left_out, trials.left_out_songs, args.seed),
        }
        about = [
            "Songs left out: fitted without any song of the tested triplets. Intervals: bootstrap over songs of X."
        ]
        pairs = [("mix and true stems, ridge", "mix, ridge")]
        if separated:
            pairs += [("mix and separated stems, ridge", "mix, ridge"),
                      ("mix and separated stems, ridge", "mix and true stems, ridge")]  # fmt: skip
        differences = [
            paired(outcomes[one][:, None], outcomes[other][:, None], trials.left_out_songs, args.seed)
            for one, other in pairs
        ]
        joined = Estimate(
            np.concatenate([one.value for one in differences]),
            np.concatenate([one.low for one in differences]),
            np.concatenate([one.high for one in differences]),
            np.concatenate([one.n for one in differences]),
        )
        names = [f"{one} - {other}" for one, other in pairs]
        return [
            ("Agreement with simulated listeners", rows, columns, 50.0, about, "%"),
            ("What stems add, and what separation costs", names, {"songs left out": joined}, 0.0,
             ["Paired bootstrap over the songs of X."], "%"),
        ]  # fmt: skip

    def _report(
        self,
        args: SimpleNamespace,
        notes: Sequence[str],
        title: str,
        rows: Sequence[str],
        columns: dict[str, Estimate],
        chance: float,
        about: Sequence[str],
        unit: str,
    ) -> Report:
        others = "".join(f" --with {name}" for name in args.with_models)
        others += "".join(f" --space {name}" for name in args.space)
        others += "" if args.true_stems == 6 else f" --true-stems {args.true_stems}"
        others += f" --triplets {args.triplets} --segments {args.segments} --seconds {args.seconds:g}"
        if dict(args.stem_weights) != dict(parse_weights(_WEIGHTS)):
            listed = ",".join(f"{stem}={weight:g}" for stem, weight in args.stem_weights.items())
            others += f" --stem-weights {listed}"
        others += "" if args.noise == _NOISE else f" --noise {args.noise:g}"
        others += f" --seed {args.seed}" if args.seed else ""
        listener = "" if args.listener == _PARAMETERS else f" --listener {args.listener}"
        return make_report(
            columns,
            rows=rows,
            chance=[float("nan") if name == "their sd" else chance for name in columns],
            protocol=self.name,
            title=f"{title}: listeners by {args.listener}",
            model=", ".join([args.model, *args.with_models]),
            unit=unit,
            command=f"soundalike evaluate {self.name} --songs DIR{listener} --model {args.model}{others}",
            notes=[*about, *notes],
        )


class _Picked:
    """The triplets on which votes agree: positions, answers, songs and tests."""

    def __init__(
        self,
        chosen: np.ndarray,
        answers: FloatArray,
        songs: Sequence[tuple[str, str, str]],
        tests: Sequence[str],
    ) -> None:
        self.chosen, self.answers, self.songs, self.tests = chosen, answers, songs, tests


def _save(judgements: Judgements, path: Path) -> None:
    """Write the votes as labels that `read_judgements` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["x", "a", "b", "answer", "votes"])
    names = [clip.name for clip in judgements.clips]
    for triplet, votes in zip(judgements.triplets.tolist(), judgements.votes["total"].tolist(), strict=True):
        for answer, count in zip("AB", votes, strict=True):
            if count:
                writer.writerow([*(names[n] for n in triplet), answer, count])
    try:
        write_atomic(path, lambda file: file.write(text.getvalue().encode()))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def create() -> Protocol:
    """Create the protocol."""
    return SimulatedListeners()
