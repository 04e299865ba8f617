"""An audit of rendered triplets that listens: is what should be shared shared, and nothing else?

Folders of `soundalike render` are drawn and played again from their seed, which must give every clip bit for bit; that
also gives each part by itself. From the sound of the parts: the lead's pitch contour, the drums' onsets in three bands,
the chords of comping and bass, the spectrum of every part. The anchor is compared with the other clips of its folder
and, beside them, with clips of random folders of the same factor, meter and mode. Scenes serve only to put two clips on
one clock and in one key.

Also: what is heard against the truth that was written beside it; levels, and parts that are mute; and whether a small
classifier on trivial cues (loudness, noise floor, bandwidth, key, codec ...) can tell positives from negatives, which
it should not: AUC 0.5.

Measures: Raffel et al., mir_eval: A Transparent Implementation of Common MIR Metrics, ISMIR 2014.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.processes import run_tasks
from soundalike.core.files import make_folder, read_json
from soundalike.core.types import FloatArray, Report
from soundalike.evaluate.audit.cues import CUES, Separability, clip_cues, separability
from soundalike.evaluate.audit.listening import ClipAnalysis, PairScores, TruthScores, alike, analyse, check_truth
from soundalike.evaluate.audit.page import Shown, draw_clip, write_page
from soundalike.evaluate.base import Progress, Protocol, check_folder
from soundalike.evaluate.reports import bootstrap
from soundalike.render.folders import (
    CLIPS,
    META,
    POSITIVES,
    Folder,
    Settings,
    draw_again,
    folder_path,
    open_render,
    orchestra_of,
)
from soundalike.render.score import BAR, FACTORS, Clip
from soundalike.render.sound import play

__all__ = ["RenderAudit", "create"]

Outcome = TypeVar("Outcome")

_MEASURES = ("melody", "rhythm", "timbre", "harmony")
_KINDS = {"positive": POSITIVES, "negative": ("negative",), "adversarial negative": ("negative_adversarial",)}
_RANDOM = "random pair"
_OFFSET = 2.0  # beats: as far as a clip of a folder may start from the anchor
_LEVELS = (-3.5, 9.5)  # dB: what is asked for, and half a dB for measuring
_MEASURED = (
    "0 to 1; melody: raw chroma accuracy of the lead's pitch; rhythm: F-measure of onsets in three bands; timbre: "
    "spectra of the parts; harmony: time with the same triad. All from sound."
)
_TRUTH = (
    "0 to 1. Raw chroma accuracy of the lead by itself and in the mix, F-measure of drum strokes, time with the right "
    "triad (major and minor); share of leads and drums within -3 to +9 dB of the rest, of parts that are mute, and of "
    "clips that come out bit for bit when played again from their seed."
)
_NUISANCES = ("key_shift", "tempo_ratio", "offset_beats", "octave_shift", "level_db")


@dataclass(frozen=True, slots=True)
class _AuditTask:
    out: Path
    settings: Settings
    factor: str
    number: int
    page: Path | None


@dataclass(frozen=True, slots=True, eq=False)
class _Audited:
    """A folder as it was heard: clips by name."""

    meter: str
    mode: str
    heard: Mapping[str, ClipAnalysis]
    truth: Mapping[str, TruthScores]
    in_mix: Mapping[str, TruthScores]
    identical: Mapping[str, bool]
    levels: Mapping[str, tuple[tuple[str, float], ...]]
    folder: Folder
    shown: tuple[Shown, ...]


def _audit(task: _AuditTask) -> _Audited:
    """Runs in a worker: play a folder again, compare it with its files, listen."""
    import soundfile

    settings, place = task.settings, folder_path(task.out, task.factor, task.number)
    meta = read_json(place / "triplet" / META)
    folder = draw_again(settings, task.factor, task.number, int(meta["attempt"]))
    orchestra = orchestra_of(settings.soundfonts)
    clips = {n: play(s, orchestra, settings.seconds, settings.rate, stems=True) for n, s in folder.scenes.items()}
    heard = {name: analyse(clip, folder.scenes[name]) for name, clip in clips.items()}
    identical, shown = {}, []
    for name, clip in clips.items():
        path = place / "triplet" / f"{name}.{settings.suffix}"
        on_disk = soundfile.read(path, dtype="int16")[0]
        identical[name] = bool(np.array_equal(on_disk, _as_file(clip, settings.suffix)))
        if task.page:
            names = orchestra.players(folder.scenes[name].band)
            shown.append(
                draw_clip(folder, name, replace(clip, samples=on_disk / np.float32(2**15)), path, task.page, names)
            )
    return _Audited(
        meta["meter"],
        meta["mode"],
        heard,
        {name: check_truth(clip, heard[name]) for name, clip in clips.items()},
        {name: check_truth(clip, heard[name], "mix") for name, clip in clips.items()},
        identical,
        {name: tuple(clip.levels.items()) for name, clip in clips.items()},
        folder,
        tuple(shown),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trivia:
    """What might tell clips of a folder apart by accident: by clip, cues of its sound, and how it was drawn."""

    cues: Mapping[str, FloatArray]
    nuisances: Mapping[str, FloatArray]


def _trivia(task: _AuditTask) -> _Trivia:
    """Runs in a worker: measure the files of a folder, and read what is written beside them."""
    import soundfile

    triplet = folder_path(task.out, task.factor, task.number) / "triplet"
    facts = read_json(triplet / META)["clips"]
    return _Trivia(
        {name: clip_cues(*soundfile.read(triplet / f"{name}.{task.settings.suffix}")) for name in CLIPS},
        {name: _nuisances(facts[name]) for name in CLIPS},
    )


def _nuisances(facts: Mapping[str, Any]) -> FloatArray:
    """What a clip was drawn with: relative to its anchor, but for the effects, which are drawn alike for all."""
    effects = facts["effects"]
    return np.array(
        [
            *(facts[key] for key in _NUISANCES),
            effects["tilt_db"],
            effects.get("highpass", 20.0),
            effects.get("lowpass", 16000.0),
            effects.get("hiss_db", -90.0),
            effects["squash"],
            effects.get("codec") == "mp3",
            effects.get("codec") == "ogg",
        ],
        dtype=np.float64,
    )


def _as_file(clip: Clip, suffix: str) -> FloatArray:
    """The samples of a clip as they are in a file of 16 bits; WAV and FLAC are not rounded alike."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, clip.samples, clip.rate, "PCM_16", format=suffix.upper())
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="int16")[0])


class RenderAudit:
    """How alike clips are by each measure (columns), by what they should share (rows); truth, levels, cues."""

    name: ClassVar[str] = "render"
    summary: ClassVar[str] = "rendered triplets, heard: is the factor shared, and nothing else?"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The rendered set, how much of it to hear, and the page."""
        parser.add_argument("data", type=Path, metavar="DIR", help="the output of soundalike render")
        parser.add_argument(
            "--folders", type=int, default=40, metavar="N", help="how many of each factor to hear (default: 40)"
        )
        parser.add_argument("--page", type=Path, metavar="DIR", help="write a page with players and pictures there")
        parser.add_argument(
            "--shown", type=int, default=20, metavar="N", help="folders of each factor on the page (default: 20)"
        )

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """A table a factor, the truth, the cues. Raises UsageError."""
        check_folder(args.data, "the output of soundalike render")
        if args.folders < 2:
            raise UsageError(f"--folders {args.folders}: expected at least 2, for random pairs")
        if args.shown < 0:
            raise UsageError(f"--shown {args.shown}: expected at least 0")
        settings, found = open_render(args.data)
        if args.page:
            make_folder(args.page, "--page")
        tasks = []
        for factor in FACTORS:
            mine = [number for one, number in found if one == factor][: args.folders]
            shown = mine[: args.shown] if args.page else []
            tasks += [_AuditTask(args.data, settings, factor, n, args.page if n in shown else None) for n in mine]
        trivia: dict[str, dict[str, _Trivia]] = {factor: {} for factor in FACTORS}
        every = [_AuditTask(args.data, settings, factor, number, None) for factor, number in found]
        for task, one in zip(every, _all(_trivia, every, args.jobs, None), strict=True):
            trivia[task.factor][str(task.number)] = one
        used = [factor for factor in FACTORS if trivia[factor]]
        cues = self._cues(used, trivia, args)  # first, for it takes seconds to find folders too few, and listening long
        audited = _all(_audit, tasks, args.jobs, progress)
        if args.page:
            write_page(args.page, [(one.folder, one.shown) for one in audited if one.shown])
        return (
            *(self._likeness(factor, [a for a in audited if a.folder.factor == factor], args) for factor in used),
            self._truth(used, audited, args),
            cues,
        )

    def _likeness(self, factor: str, folders: Sequence[_Audited], args: argparse.Namespace) -> Report:
        rng = np.random.default_rng([args.seed, FACTORS.index(factor)])
        scores: dict[str, list[tuple[str, PairScores]]] = {kind: [] for kind in (*_KINDS, _RANDOM)}
        for one in folders:
            anchor = one.heard["anchor"]
            for kind, names in _KINDS.items():
                scores[kind] += [(one.folder.name, alike(anchor, one.heard[name])) for name in names]
            others = [o for o in folders if o is not one and (o.meter, o.mode) == (one.meter, one.mode)]
            for name in POSITIVES if others else ():
                other = others[rng.integers(len(others))].heard[name]
                # Moved by whole bars, so that it is as near on the clock as the clips of a folder are.
                bar = BAR[one.meter]
                bars = round((anchor.offset + rng.uniform(-_OFFSET, _OFFSET) - other.offset) / bar)
                placed = replace(other, offset=other.offset + bars * bar)
                scores[_RANDOM].append((one.folder.name, alike(anchor, placed)))
        return _table(
            {kind: [(name, _named(score)) for name, score in pairs] for kind, pairs in scores.items()},
            f"Rendered {factor} folders, heard: how alike the anchor and ...",
            _MEASURES,
            args,
            [f"{len(folders)} folders. {_MEASURED}"],
        )

    def _truth(self, used: Sequence[str], audited: Sequence[_Audited], args: argparse.Namespace) -> Report:
        columns = ("lead's chroma", "in the mix", "drum onsets", "chords", "level kept", "mute parts", "same bits")
        rows: dict[str, list[tuple[str, dict[str, float]]]] = {factor: [] for factor in used}
        for one in audited:
            for name in CLIPS:
                levels = [level for role, level in one.levels[name] if role in ("lead", "drums") and np.isfinite(level)]
                kept = [_LEVELS[0] <= level <= _LEVELS[1] for level in levels]
                values = (
                    one.truth[name].chroma,
                    one.in_mix[name].chroma,
                    one.truth[name].onsets,
                    one.truth[name].chords,
                    float(np.mean(kept)) if kept else np.nan,
                    float(np.mean([level < -40 for _, level in one.levels[name]])),
                    float(one.identical[name]),
                )
                rows[one.folder.factor].append((one.folder.name, dict(zip(columns, values, strict=True))))
        return _table(
            rows,
            "Rendered clips against the truth beside them",
            columns,
            args,
            [_TRUTH],
        )

    def _cues(
        self, used: Sequence[str], trivia: Mapping[str, Mapping[str, _Trivia]], args: argparse.Namespace
    ) -> Report:
        """Every folder of the set counts here, not only those that are listened to."""
        values: dict[str, list[Separability]] = {}
        for kind, negative in (("negative", "negative"), ("adversarial negative", "negative_adversarial")):
            names = [*POSITIVES, negative]
            sound, drawn = [], []
            for factor in used:
                mine = trivia[factor]
                labels = np.array([name in POSITIVES for _ in mine for name in names])
                groups = [number for number in mine for _ in names]
                cues = np.stack([one.cues[name] for one in mine.values() for name in names])
                nuisances = np.stack([one.nuisances[name] for one in mine.values() for name in names])
                sound.append(separability(cues, labels, groups, args.seed))
                drawn.append(separability(nuisances, labels, groups, args.seed))
            values[f"{kind}, by its sound"] = sound
            values[f"{kind}, by its nuisances"] = drawn
        cells = [[(s.auc, s.low, s.high) for s in row] for row in values.values()]
        table = np.array(cells, dtype=np.float64)
        return Report(
            protocol=self.name,
            title="Rendered triplets: can trivial cues tell positives from negatives? (AUC)",
            model="render",
            rows=tuple(values),
            columns=tuple(used),
            values=table[..., 0],
            low=table[..., 1],
            high=table[..., 2],
            n=np.tile([len(trivia[factor]) * (len(POSITIVES) + 1) for factor in used], (len(values), 1)),
            chance=np.full(len(used), 0.5),
            unit="",
            command=_command(args),
            notes=(
                f"Logistic regression with squares, cross-validated by folder. Cues: {', '.join(CUES)}; nuisances: "
                f"{', '.join(_NUISANCES)}, effects.",
            ),
        )


def _named(scores: PairScores) -> dict[str, float]:
    return {measure: getattr(scores, measure) for measure in _MEASURES}


def _all(
    function: Callable[[_AuditTask], Outcome], tasks: Sequence[_AuditTask], jobs: int | None, progress: Progress | None
) -> list[Outcome]:
    """What came of every task, in the order asked for. Raises the first error that a worker met."""
    done: dict[_AuditTask, Outcome] = {}
    outcomes = run_tasks(function, tasks, jobs)
    try:
        for count, (task, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):
                raise outcome
            done[task] = outcome
            if progress:
                clips = count * len(CLIPS)
                progress(clips, len(tasks) * len(CLIPS), clips * task.settings.seconds)
    finally:
        outcomes.close()
    return [done[task] for task in tasks]


def _table(
    rows: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]],
    title: str,
    columns: Sequence[str],
    args: argparse.Namespace,
    notes: Sequence[str],
) -> Report:
    """Means and intervals of what is not NaN; the groups are folders."""
    shape = (len(rows), len(columns))
    values, low, high = (np.full(shape, np.nan) for _ in range(3))
    n = np.zeros(shape, dtype=np.int64)
    for r, pairs in enumerate(rows.values()):
        for c, column in enumerate(columns):
            known = [(group, scores[column]) for group, scores in pairs if not np.isnan(scores[column])]
            if known:
                estimate = bootstrap(np.array([[v] for _, v in known]), [group for group, _ in known], args.seed)
                values[r, c], low[r, c], high[r, c] = estimate.value[0], estimate.low[0], estimate.high[0]
                n[r, c] = len(known)
    notes = [*notes, "Intervals: bootstrap over folders."]
    nothing = np.full(len(columns), np.nan)
    return Report(
        "render", title, "render", tuple(rows), tuple(columns), values, low, high, n, nothing, "", _command(args),
        tuple(notes),
    )  # fmt: skip


def _command(args: argparse.Namespace) -> str:
    seed = f" --seed {args.seed}" if args.seed else ""
    return f"soundalike evaluate render DIR --folders {args.folders}{seed}"


def create() -> Protocol:
    """The protocol."""
    return RenderAudit()
