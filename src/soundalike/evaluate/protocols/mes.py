"""Music estimation scores: does the space of an instrument find the piece that the instrument is from, in a mix?

    soundalike evaluate mes --songs SONGS --model instruments --hop 2
    soundalike evaluate mes --songs SONGS --map drums=rhythm --map bass=timbre
    soundalike evaluate mes --songs SONGS --map timbre --tsne a.png

SONGS is Slakh2100, what `soundalike render songs` writes, or recordings that stems.csv lists. Of the first two, the
test part is used, without a second track from the same MIDI file. Spaces of the model that are named after instruments
(drums, bass, guitar, piano, vocals, other) are measured; --map names others: INSTRUMENT=SPACE, or SPACE for all.
Without a space for vocals, they are part of other.

- MES-Normal: segments of 10 s. The five nearest of all other segments vote for the piece of each. With --hop below
  --seconds, segments that overlap the query do not vote.
- MES-Pseudo: 30 mixes of the target of ten pieces with the rest of three other pieces each, and the ten pieces. The
  vote is for the piece of the target; segments of the same mix do not vote. --draws repeats the construction.
- Pictures: all 100 pairs of ten pieces, ten segments each. The vote for the target should be high, and that for the
  rest low. --tsne draws these 1,000 segments.

Distances are Euclidean (--distance l2), as published, between the unit rows of the model. With --true-stems, the stem
of the instrument itself is encoded too: what a perfect separator would reach. The rows "mel spectrum" are a baseline
without any model: mean and deviation of 40 log-mel bands. Chance is the vote of random segments.

Reference: Imamura, Hashizume, Huang and Toda, Music Similarity Representation Learning Focusing on Individual
Instruments with Source Separation and Human Preference, 2025, sections 4.2 and 4.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray, Report, Span
from soundalike.evaluate.base import EncodedClips, Progress, Protocol, model_report
from soundalike.evaluate.estimates import Estimate, bootstrap
from soundalike.evaluate.mel_rows import mel_rows
from soundalike.evaluate.mes import METRICS
from soundalike.evaluate.mes_pieces import FIVE, SIX, Cutting, StemPiece, read_pieces
from soundalike.evaluate.mes_sets import MesSet, normal_set, picture_set, pseudo_set
from soundalike.evaluate.terms import Source, encode_mixes
from soundalike.evaluate.tsne import Panel, check_tsne, draw_tsne
from soundalike.models import DEFAULT_MODEL, Recipe, load_recipe, presence

__all__ = ["MusicEstimation", "create"]

_SCORES = ("MES-Normal", "MES-Pseudo", "Target", "Non-target")
_MIX, _STEM, _MEL = "mix", "true stem", "mel spectrum"


class MusicEstimation:
    """Music estimation scores of the mix, of true stems and of a baseline (rows) per instrument (columns)."""

    name: ClassVar[str] = "mes"
    summary: ClassVar[str] = "does the space of an instrument find the piece that it is from, whatever else plays?"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options for songs, spaces, sets and pictures."""
        path = click.Path(path_type=Path)
        return [
            click.Option(["--songs"], type=path, required=True, metavar="DIR", help="Songs with stems."),
            click.Option(
                ["--map", "mapped"],
                multiple=True,
                metavar="[INSTRUMENT=]SPACE",
                help="Measure this space for an instrument, or for all. May be repeated.",
            ),
            click.Option(
                ["--distance"], type=click.Choice(METRICS), default="l2", show_default=True, help="Between rows."
            ),
            click.Option(["--true-stems"], is_flag=True, help="Encode the stem of the instrument alone, too."),
            click.Option(
                ["--part"],
                type=click.Choice(["train", "validation", "test", "all"]),
                default="test",
                show_default=True,
                help="The part of the songs.",
            ),
            click.Option(["--redux"], type=path, metavar="FILE", help="The redux.json of slakh-utils: tracks to use."),
            click.Option(
                ["--seconds"], type=click.FloatRange(0.5), default=10.0, show_default=True, help="Length of a segment."
            ),
            click.Option(
                ["--hop"],
                type=click.FloatRange(0.1),
                metavar="NUMBER",
                help="Seconds between the starts of segments (default: their length).",
            ),
            click.Option(
                ["--targets"], type=click.IntRange(2), default=10, show_default=True, help="Pieces of the target."
            ),
            click.Option(
                ["--rests"], type=click.IntRange(1), default=3, show_default=True, help="Pieces of the rest per target."
            ),
            click.Option(
                ["--each"], type=click.IntRange(1), default=10, show_default=True, help="Segments per pair in pictures."
            ),
            click.Option(
                ["--draws"],
                type=click.IntRange(1),
                default=1,
                show_default=True,
                help="Constructions of pseudo-pieces.",
            ),
            click.Option(["--tsne"], type=path, metavar="FILE", help="Draw the rows (needs soundalike[map,plot])."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return MES-Normal, MES-Pseudo, and the scores of target and rest in pictures.

        Raises UsageError, AudioError or ModelError.
        """
        if args.tsne:
            check_tsne(args.tsne)
        spaces = _spaces(load_recipe(args.model or DEFAULT_MODEL), args.mapped)
        instruments = SIX if "vocals" in spaces else FIVE
        cutting = Cutting(args.seconds, args.hop or args.seconds)
        pieces = read_pieces(
            args.songs, instruments, args.part, cutting, redux=args.redux, jobs=args.jobs, progress=progress
        )
        sets = _Sets(pieces, instruments, {name: spaces[name] for name in instruments if name in spaces}, args)
        return _Measurement(sets, args, progress).reports()


def create() -> Protocol:
    """Create the protocol."""
    return MusicEstimation()


def _spaces(recipe: Recipe, mapped: Sequence[str]) -> dict[str, str]:
    """The space of each instrument. Raises UsageError if there are none, or --map is invalid."""
    names = [space.name for space in recipe.spaces]
    found = {} if mapped else {name: name for name in SIX if name in names}
    for text in mapped:
        instrument, equals, space = text.rpartition("=")
        if space not in names:
            raise UsageError(f"--map {text}: {recipe.name} has no space {space}; it has {', '.join(names)}")
        if equals and instrument not in SIX:
            raise UsageError(f"--map {text}: {instrument!r} is no instrument; expected one of {', '.join(SIX)}")
        found |= {instrument: space} if equals else dict.fromkeys(FIVE, space)
    if not found:
        raise UsageError(
            f"{recipe.name} has no space named after an instrument; it has {', '.join(names)}; name one for each with "
            f"--map, such as --map drums={names[0]}"
        )
    return found


@dataclass(slots=True)
class _Sets:
    """The sets of every instrument and score, and why some are missing."""

    pieces: Sequence[StemPiece]
    instruments: Sequence[str]
    spaces: Mapping[str, str]
    args: SimpleNamespace
    made: dict[tuple[str, str], list[MesSet]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        args = self.args
        for instrument in self.spaces:
            number = SIX.index(instrument)
            for score in _SCORES[:3]:
                try:
                    if score == "MES-Normal":
                        found = [normal_set(self.pieces, instrument)]
                    elif score == "MES-Pseudo":
                        draws = (np.random.default_rng([args.seed, number, draw]) for draw in range(args.draws))
                        found = [
                            pseudo_set(self.pieces, instrument, rng, targets=args.targets, rests=args.rests)
                            for rng in draws
                        ]
                    else:
                        rng = np.random.default_rng([args.seed, number])
                        found = [picture_set(self.pieces, instrument, rng, count=args.targets, each=args.each)]
                except UsageError as error:
                    self.problems.append(f"{instrument}, {score}: {error}.")
                    continue
                self.made[instrument, score] = found
            if (instrument, "Target") in self.made:
                self.made[instrument, "Non-target"] = self.made[instrument, "Target"]
        if not self.made:
            raise UsageError(f"there is nothing to measure: {self.problems[0]}")

    def sources(self, *, stems: bool) -> dict[Span, tuple[Source, ...]]:
        """What has to be encoded: every mix once, or every stem once."""
        segments = {one for sets in self.made.values() for of_set in sets for one in of_set.segments}
        if stems:
            return dict(one.stem(self.pieces) for one in segments)
        return dict(one.mix(self.pieces, self.instruments) for one in segments)

    def spans(self, of_set: MesSet, *, stems: bool) -> list[Span]:
        """The names of the segments of a set."""
        if stems:
            return [one.stem(self.pieces)[0] for one in of_set.segments]
        return [one.mix(self.pieces, self.instruments)[0] for one in of_set.segments]


@dataclass(slots=True)
class _Measurement:
    """The rows of all segments, and the reports on them."""

    sets: _Sets
    args: SimpleNamespace
    progress: Progress | None
    encoded: dict[str, EncodedClips] = field(default_factory=dict)
    baseline: dict[str, dict[Span, FloatArray]] = field(default_factory=dict)

    def reports(self) -> tuple[Report, ...]:
        """Encode everything, draw, and return one report per score."""
        args = self.args
        for kind in (_MIX, _STEM) if args.true_stems else (_MIX,):
            sources = self.sets.sources(stems=kind == _STEM)
            self.encoded[kind] = encode_mixes(sources, args.model, jobs=args.jobs, progress=self.progress)
            self.baseline[kind] = mel_rows(sources, jobs=args.jobs, progress=self.progress)
        if args.tsne:
            self._draw()
        return tuple(self._report(score) for score in _SCORES)

    def _rows(self, kind: str, instrument: str, of_set: MesSet) -> Iterator[tuple[FloatArray, BoolArray]]:
        """The rows of a set, and which are audible: those of the model, then those of the baseline."""
        spans = self.sets.spans(of_set, stems=kind == _STEM)
        encoded = self.encoded[kind]
        rows = encoded.rows[self.sets.spaces[instrument]][encoded.positions(spans)]
        yield rows, presence(rows)
        yield np.stack([self.baseline[kind][span] for span in spans]), np.ones(len(spans), np.bool_)

    def _report(self, score: str) -> Report:
        args, pieces = self.args, self.sets.pieces
        names = [name for kind in self.encoded for name in (kind, f"{kind}, {_MEL}")]
        columns, chance, silent = {}, [], []
        for instrument in self.sets.spaces:
            column, level, inaudible = self._column(instrument, score, len(names))
            columns[instrument] = column
            chance.append(100 * level)
            silent += [f"{instrument} {inaudible:,} of {int(column.n[0]):,}"] if inaudible else []
        hop = f", every {args.hop:g} s" if args.hop else ""
        title = {"Target": "MES of target in pictures", "Non-target": "MES of rest in pictures"}.get(score, score)
        measured = ", ".join(f"{instrument} {space}" for instrument, space in self.sets.spaces.items())
        notes = [
            f"Spaces: {measured}. Distance: {args.distance}. n: segments. Intervals: bootstrap over the pieces to "
            "find. Chance: the vote of random segments.",
            *(one for one in self.sets.problems if f", {'Target' if score == 'Non-target' else score}:" in one),
        ]
        if silent:
            notes.append(f"Segments of the mix without an audible row, which count as not found: {', '.join(silent)}.")
        return model_report(
            self.encoded[_MIX],
            args,
            columns,
            f"{title}: {len(pieces)} songs, segments of {args.seconds:g} s{hop}",
            protocol=MusicEstimation.name,
            options=_options(args),
            chance=chance,
            rows=names,
            notes=notes,
        )

    def _column(self, instrument: str, score: str, rows: int) -> tuple[Estimate, float, int]:
        """The estimate of an instrument, its level of chance, and the number of segments of the mix without a row."""
        sets, rest = self.sets.made.get((instrument, score), []), score == "Non-target"
        if not sets:
            unknown = np.full(rows, np.nan)
            return Estimate(unknown, unknown, unknown, np.zeros(rows, np.int64)), np.nan, 0
        values, groups, inaudible = [], list[str](), 0
        for of_set in sets:
            found = [
                of_set.outcomes(part, audible, self.args.distance, rest=rest)
                for kind in self.encoded
                for part, audible in self._rows(kind, instrument, of_set)
            ]
            inaudible += int((~next(self._rows(_MIX, instrument, of_set))[1]).sum())
            values.append(np.stack(found, axis=1))
            groups += of_set.rests if rest else of_set.targets
        chance = float(np.mean([of_set.chance(self.args.seed, rest=rest) for of_set in sets]))
        return bootstrap(np.concatenate(values).astype(np.float64), groups, self.args.seed), chance, inaudible

    def _draw(self) -> None:
        panels = []
        for instrument in self.sets.spaces:
            for of_set in self.sets.made.get((instrument, "Target"), []):
                rows, audible = next(self._rows(_MIX, instrument, of_set))
                chosen = np.flatnonzero(audible).tolist()
                targets, rests = ([names[n] for n in chosen] for names in (of_set.targets, of_set.rests))
                panels.append(Panel(instrument, rows[chosen], targets, rests))
        if not panels:
            raise UsageError(f"--tsne has nothing to draw: {self.sets.problems[-1]}")
        draw_tsne(panels, self.args.tsne, f"{self.encoded[_MIX].model}: pseudo-pieces by t-SNE", self.args.seed)


def _options(args: SimpleNamespace) -> str:
    """The options that reproduce a run."""
    chosen = ["--songs DIR", *(f"--map {one}" for one in args.mapped)]
    chosen += ["--true-stems"] if args.true_stems else []
    chosen += ["--redux FILE"] if args.redux else []
    defaults = {"distance": "l2", "part": "test", "seconds": 10.0, "hop": None, "targets": 10, "rests": 3, "each": 10,
                "draws": 1}  # fmt: skip
    for name, default in defaults.items():
        value = getattr(args, name)
        chosen += (
            [f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}"] if value != default else []
        )
    return " ".join(chosen)
