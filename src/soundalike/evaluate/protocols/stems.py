"""Stem retrieval: given a mix, is the true stem found among the stems of all songs?

    soundalike evaluate stems --data MUSDB18HQ --model compact

The folder is MUSDB18-HQ, {train,test}/<artist - title>/{vocals,drums,bass,other}.wav, or holds a table stems.csv with
the columns song, path and stem_class; stems of one class are then summed. The mix is the sum of the stems of a song.

Every song is cut into two halves. A query is one half of a song, and asks for one stem class:

- mix: the mix, without separation: the baseline.
- spleeter, demucs: the stem of this class that a separator makes of the mix.
- given: the true stem. In the other passage this is what a perfect separator reaches.

Candidates are the true stems of all songs, of the same half (same passage) or of the other one (other passage). They
are of all classes, or only of the class that is asked for. The accompaniment is everything but the vocals, and its
candidates of all classes are vocals and accompaniments. A stem more than 50 dB below its mix is left out.

The result is recall@1, the share of queries that rank their stem first, and the mean reciprocal rank (MRR); among all
stems also the share whose first stem is of the class that is asked for, of whatever song (class). Equally similar
candidates count as in a random order. Further tables give the paired difference to the mix, and core-seconds.

A model may have spaces that are named after stem classes, which it finds in the mix, such as drums. The row "own space"
compares every class in the space of its name. With --by-instrument, guitars and pianos that stems.csv lists in a column
"instrument" are classes of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.audio.separators import Separator
from soundalike.core import plugins
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.files import make_folder
from soundalike.core.types import BoolArray, FloatArray, IntArray, Report
from soundalike.evaluate.base import EncodedClips, Progress, Protocol, encode_clips, model_report
from soundalike.evaluate.estimates import Estimate, bootstrap
from soundalike.evaluate.ranking import chance_of_one, first_is_right, scores_of_one
from soundalike.evaluate.stem_clips import ACCOMPANIMENT, GIVEN, SongClips, prepare_song, read_stem_files
from soundalike.evaluate.stem_costs import COST_COLUMNS, core_seconds

__all__ = ["StemRetrieval", "create"]

_MIX = "mix"
_MEASURES = ("R@1", "MRR", "class")
_PASSAGES = {"other passage": 1, "same passage": 0}
_POOLS = ("among all stems", "among stems of the class")
_ALL = "all spaces"
_OWN = "own space"


@dataclass(frozen=True, slots=True)
class _Queries:
    """Queries for one class: their songs and halves, and which candidates are right and allowed, (m, candidates)."""

    songs: tuple[str, ...]
    halves: tuple[int, ...]
    right: IntArray
    allowed: BoolArray


class StemRetrieval:
    """Recall@1 and MRR of the true stem per source of the query and space (rows) and per stem class (columns)."""

    name: ClassVar[str] = "stems"
    summary: ClassVar[str] = "the stems of a mix among the stems of all songs, with and without separation"

    def options(self) -> Sequence[click.Parameter]:
        """Return `--data`, `--song`, `--with` and `--seconds`."""
        names = [name for name in plugins.names("separators") if name != GIVEN]
        return [
            click.Option(
                ["--data"],
                type=click.Path(path_type=Path),
                required=True,
                multiple=True,
                metavar="DIR",
                help="MUSDB18-HQ, or a folder with stems.csv. May be repeated.",
            ),
            click.Option(["--song", "songs"], multiple=True, metavar="NAME", help="Only this song. May be repeated."),
            click.Option(
                ["--with", "separators"],
                type=click.Choice(names),
                multiple=True,
                default=("spleeter", "demucs"),
                show_default=True,
                help="A separator. May be repeated.",
            ),
            click.Option(
                ["--seconds"],
                type=click.FloatRange(min=4.0),
                default=80.0,
                show_default=True,
                help="The longest part of a song to use: the one in which the most stems sound.",
            ),
            click.Option(["--by-instrument"], is_flag=True, help="Guitars and pianos are classes of their own."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return tables of recall@1 and MRR, and of their paired differences to the mix.

        Raises UsageError, AudioError or ModelError.
        """
        found = _chosen([read_stem_files(root, by_instrument=args.by_instrument) for root in args.data], args.songs)
        separators, absent = _load_separators(args.separators)
        with TemporaryDirectory() as folder:
            songs: list[SongClips] = []
            for song, stems in found.items():
                place = Path(folder) / str(len(songs))
                make_folder(place, "the temporary folder")
                songs.append(prepare_song(song, stems, place, args.seconds, separators))
            clips = {
                song.span(source, kind, half)
                for song in songs
                for source, kinds in song.files.items()
                for kind in kinds
                for half in (0, 1)
            }
            encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
            sources = [_MIX, *separators, GIVEN]
            longest = max(songs, key=lambda song: song.seconds)
            costs = core_seconds(args.model, longest, sources, separators)
        tables = _Tables(args, encoded, songs, sources, absent)
        return *tables.reports(), tables.costs(costs, longest)


def create() -> Protocol:
    """Create the protocol."""
    return StemRetrieval()


def _chosen(
    folders: Sequence[Mapping[str, Mapping[str, tuple[Path, ...]]]], wanted: Sequence[str]
) -> dict[str, Mapping[str, tuple[Path, ...]]]:
    """The songs of all folders, or the wanted ones. Raises UsageError if one is not there, or there are two of it."""
    songs: dict[str, Mapping[str, tuple[Path, ...]]] = {}
    for folder in folders:
        if twice := sorted(songs.keys() & folder.keys()):
            raise UsageError(f"the song {twice[0]} is in two folders; give each --data once")
        songs.update(folder)
    if unknown := [song for song in wanted if song not in songs]:
        raise UsageError(f"there is no song {unknown[0]}; --data has {', '.join(songs)}")
    chosen = {song: stems for song, stems in songs.items() if not wanted or song in wanted}
    if len(chosen) < 2:
        raise UsageError(f"only the song {next(iter(chosen))}; expected two songs at least, to tell them apart")
    return chosen


def _load_separators(names: Sequence[str]) -> tuple[dict[str, Separator], dict[str, str]]:
    """The separators that can be loaded, and why the others cannot."""
    loaded: dict[str, Separator] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            loaded[name] = plugins.load("separators", name)
        except ModelError as error:
            absent[name] = str(error)
    return loaded, absent


class _Tables:
    """The reports of one run."""

    def __init__(
        self,
        args: SimpleNamespace,
        encoded: EncodedClips,
        songs: Sequence[SongClips],
        sources: Sequence[str],
        absent: Mapping[str, str],
    ) -> None:
        self._args, self._encoded, self._songs = args, encoded, songs
        self._sources, self._absent = sources, absent
        self._spaces = [space.name for space in encoded.spaces] + ([_ALL] if len(encoded.spaces) > 1 else [])
        kinds = sorted({kind for song in songs for kind in song.files[GIVEN]} - {ACCOMPANIMENT})
        self._spaces += [_OWN] if set(kinds) & set(self._spaces) else []
        self._kinds = [*kinds, ACCOMPANIMENT] if any(ACCOMPANIMENT in one.files[GIVEN] for one in songs) else kinds
        self._candidates = [(song, kind) for song in songs for kind in self._kinds if kind in song.files[GIVEN]]

    def reports(self) -> tuple[Report, ...]:
        """All tables: the measures, then the differences to the mix."""
        values, differences = [], []
        for passage, shift in _PASSAGES.items():
            for pool in _POOLS:
                measured, chance = self._measure(shift, pool)
                values.append(self._values(measured, chance, f"{passage}, {pool}"))
                differences.append(self._differences(measured, f"{passage}, {pool}"))
        return *values, *differences

    def _queries(self, kind: str, shift: int, pool: str) -> _Queries:
        """The queries for a class whose stem sounds in the half of the query and in that of the candidates."""
        songs, halves, right, allowed = [], [], [], []
        beside = {kind} if pool == _POOLS[1] else {"vocals", kind} if kind == ACCOMPANIMENT else set(self._kinds)
        beside -= {ACCOMPANIMENT} - {kind}
        for number, (song, own) in enumerate(self._candidates):
            for half in (0, 1):
                if own == kind and song.sounding[kind][half] and song.sounding[kind][(half + shift) % 2]:
                    songs.append(song.song)
                    halves.append(half)
                    right.append(number)
                    allowed.append(
                        [other in beside and one.sounding[other][(half + shift) % 2] for one, other in self._candidates]
                    )
        shape = (len(songs), len(self._candidates))
        return _Queries(
            tuple(songs), tuple(halves), np.array(right, np.int64), np.array(allowed, np.bool_).reshape(shape)
        )

    def _measure(
        self, shift: int, pool: str
    ) -> tuple[dict[str, tuple[tuple[str, ...], dict[str, FloatArray]]], dict[str, FloatArray]]:
        """Per class: the songs of the queries and (m, spaces, 3) scores by source; and the (3,) chance levels."""
        measured, chance = {}, {}
        for kind in self._kinds:
            queries = self._queries(kind, shift, pool)
            if not queries.songs:
                continue
            by_class = (queries.allowed & self._of_class(kind)).sum(axis=1) / queries.allowed.sum(axis=1)
            chance[kind] = np.append(chance_of_one(queries.allowed).mean(axis=0), by_class.mean())
            by_source = {}
            for source in self._sources:
                if all(kind in song.files.get(source, {}) for song, own in self._candidates if own == kind):
                    by_source[source] = self._scores(queries, source, kind, shift)
            measured[kind] = queries.songs, by_source
        return measured, chance

    def _scores(self, queries: _Queries, source: str, kind: str, shift: int) -> FloatArray:
        """The three measures of every query in every space: (m, spaces, 3)."""
        encoded, songs = self._encoded, {song.song: song for song in self._songs}
        asked = encoded.positions(
            songs[song].span(source, kind, half) for song, half in zip(queries.songs, queries.halves, strict=True)
        )
        targets = np.stack(
            [encoded.positions(one.span(GIVEN, own, half) for one, own in self._candidates) for half in (0, 1)]
        )[(np.array(queries.halves) + shift) % 2]
        by_space: dict[str, FloatArray] = {}
        for space in encoded.spaces:
            calibration = space.calibration["track"]
            left = np.repeat(asked, targets.shape[1])
            similar = encoded.similarity(space, left, targets.ravel()).reshape(targets.shape)
            by_space[space.name] = (similar - calibration.mu) / calibration.sigma
        by_space[_ALL] = np.sum(list(by_space.values()), axis=0)
        by_space[_OWN] = by_space.get(kind, np.full(targets.shape, np.nan))
        right_class = np.broadcast_to(self._of_class(kind), targets.shape)
        columns = []
        for name in self._spaces:
            z = by_space[name]
            if np.isnan(z).any():
                columns.append(np.full((len(z), len(_MEASURES)), np.nan))
                continue
            hit = first_is_right(z, right_class, queries.allowed)
            columns.append(np.column_stack([scores_of_one(z, queries.right, queries.allowed), hit]))
        return np.stack(columns, axis=1)

    def _of_class(self, kind: str) -> BoolArray:
        """Which candidates are of a class, (candidates,)."""
        return np.array([own == kind for _, own in self._candidates])

    @staticmethod
    def _measures(setting: str) -> Sequence[str]:
        """The measures of a setting: among stems of one class, the class is no question."""
        return _MEASURES if setting.endswith(_POOLS[0]) else _MEASURES[:2]

    def _values(
        self,
        measured: Mapping[str, tuple[tuple[str, ...], Mapping[str, FloatArray]]],
        chance: Mapping[str, FloatArray],
        setting: str,
    ) -> Report:
        columns = {
            f"{kind} {name}": self._column(songs, [by_source.get(one) for one in self._sources], at, len(self._absent))
            for kind, (songs, by_source) in measured.items()
            for at, name in enumerate(self._measures(setting))
        }
        levels = [100 * float(chance[kind][at]) for kind in measured for at in range(len(self._measures(setting)))]
        absent = [f"{name}: weights absent" for name in self._absent]
        return self._report(columns, setting, self._sources, levels, "Intervals: bootstrap over the songs.", absent)

    def _differences(
        self, measured: Mapping[str, tuple[tuple[str, ...], Mapping[str, FloatArray]]], setting: str
    ) -> Report:
        columns: dict[str, Estimate] = {}
        for kind, (songs, by_source) in measured.items():
            gains = [by_source[one] - by_source[_MIX] if one in by_source else None for one in self._sources[1:]]
            columns |= {
                f"{kind} {name}": self._column(songs, gains, at) for at, name in enumerate(self._measures(setting))
            }
        rows = [f"{source} minus mix" for source in self._sources[1:]]
        note = "Percentage points. Intervals: paired bootstrap over the songs."
        return self._report(columns, f"{setting}, minus the mix", rows, [0.0] * len(columns), note)

    def _column(
        self, songs: Sequence[str], parts: Sequence[FloatArray | None], measure: int, empty: int = 0
    ) -> Estimate:
        """One measure in all rows, from (m, spaces, 3) per source, then empty rows.

        A source that does not make the class has no values, and n = 0.
        """
        missing = np.full((len(songs), len(self._spaces)), np.nan)
        known_parts = [missing if part is None else part[:, :, measure] for part in parts]
        values = np.hstack([*known_parts, missing[:, [0] * empty]])
        known = ~np.isnan(values).any(axis=0)
        found = bootstrap(np.where(known, values, 0.0), songs, self._args.seed)
        value, low, high = (np.where(known, one, np.nan) for one in (found.value, found.low, found.high))
        return Estimate(value, low, high, np.where(known, found.n, 0))

    def _report(
        self,
        columns: Mapping[str, Estimate],
        setting: str,
        sources: Sequence[str],
        chance: Sequence[float],
        note: str,
        empty: Sequence[str] = (),
    ) -> Report:
        args = self._args
        stems = sum(kind != ACCOMPANIMENT for _, kind in self._candidates)
        minutes = sum(song.seconds for song in self._songs) / 60
        notes = [
            f"{note} n: queries, two per song and class, or fewer where the stem is silent in a half.",
            f"The songs are cut to the {args.seconds:g} s in which the most stems sound: {minutes:.1f} minutes in all.",
            *(f"{name}: {why}." for name, why in self._absent.items()),
        ]
        if _OWN in self._spaces:
            notes.append(f"{_OWN.capitalize()}: the space that is named after the class.")
        if _ALL in self._spaces:
            notes.append(f"{_ALL.capitalize()}: the mean of z over the spaces of the model.")
        return model_report(
            self._encoded,
            args,
            columns,
            f"Stem retrieval, {setting}: {stems} stems of {len(self._songs)} songs"
            + (", guitar and piano apart" if args.by_instrument else ""),
            protocol=StemRetrieval.name,
            options=self._options,
            chance=chance,
            rows=[*(f"{source}: {space}" for source in sources for space in self._spaces), *empty],
            notes=notes,
        )

    @property
    def _options(self) -> str:
        """The options that reproduce the run."""
        args = self._args
        return " ".join(
            [*(["--data DIR"] * len(args.data)), *(f"--song {song}" for song in args.songs)]
            + [f"--with {name}" for name in args.separators]
            + [f"--seconds {args.seconds:g}"]
            + (["--by-instrument"] if args.by_instrument else [])
        )

    def costs(self, values: FloatArray, song: SongClips) -> Report:
        """Core-seconds per minute of music, by source."""
        unknown, count = np.full(len(values), np.nan), np.ones(len(values), np.int64)
        columns = {
            f"{name} (s)": Estimate(values[:, at], unknown, unknown, count) for at, name in enumerate(COST_COLUMNS)
        }
        return model_report(
            self._encoded,
            self._args,
            columns,
            f"Stem retrieval, core-seconds per minute of music: {song.song}",
            protocol=StemRetrieval.name,
            options=self._options,
            chance=[np.nan] * len(columns),
            unit="",
            rows=self._sources,
            notes=[
                f"Measured once, on {song.seconds:.0f} s of one song. A separator pays for its stems and for the "
                "encoding of all of them; without a separator, only the mix is encoded."
            ],
        )
