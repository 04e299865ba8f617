"""Audit of rendered triplets by their audio: is the controlled factor shared, and nothing else?

    soundalike evaluate render DIR --page page

The protocol renders folders of `soundalike render` again from their seeds. This must reproduce every clip bit for bit,
and it also gives the audio of each part (stem). It analyses the stems: the pitch contour of the lead, the drum onsets
in three frequency bands, the chords of comping and bass, and the spectra of all parts. The anchor is compared with the
other clips of its folder and, as a reference, with clips of random folders of the same factor, meter and mode. The
specification of a clip is used only to align two clips in time and key.

Further tables compare the analysis with the ground truth of the render, check levels and silent parts, and test whether
a small classifier can tell positives from negatives by trivial cues (loudness, noise floor, bandwidth, key, codec ...).
It should not: an AUC of 0.5 is the chance level. 95 % intervals are bootstrapped over folders.

--page DIR writes a page with audio players, piano rolls and spectrograms of the clips.

Reference: Raffel et al., mir_eval: A Transparent Implementation of Common MIR Metrics, ISMIR 2014 (the measures).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import click
import numpy as np

from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder, read_json
from soundalike.core.options import Argument
from soundalike.core.types import FloatArray, Report
from soundalike.evaluate.audit.analysis import ClipAnalysis, analyse
from soundalike.evaluate.audit.comparison import PairScores, TranscriptionScores, compare_clips, score_transcription
from soundalike.evaluate.audit.cues import CUES, Separability, clip_cues, separability
from soundalike.evaluate.audit.page import ClipFigure, draw_clip, write_page
from soundalike.evaluate.base import Progress, Protocol, check_folder
from soundalike.evaluate.estimates import bootstrap
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
_OFFSET = 2.0  # beats: the largest offset between a clip and the anchor of its folder
_LEVELS = (-3.5, 9.5)  # dB: the specified range, -3 to +9, with half a dB of tolerance for the measurement
_SIMILARITY_NOTE = (
    "Scores from 0 to 1, measured on audio. Melody: raw chroma accuracy of the lead's pitch. Rhythm: F-measure of "
    "onsets in three bands. Timbre: similarity of the spectra of the parts. Harmony: share of time with the same triad."
)
_GROUND_TRUTH_NOTE = (
    "Scores from 0 to 1. Raw chroma accuracy of the lead in its stem and in the mix, F-measure of drum strokes, share "
    "of time with the right triad (major and minor), share of leads and drums within -3 to +9 dB of the other parts, "
    "share of silent parts, and share of clips that are bit-identical when rendered again from their seed."
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
class _FolderAudit:
    """The analysis of one folder; mappings are by the names of its clips."""

    meter: str
    mode: str
    analyses: Mapping[str, ClipAnalysis]
    from_stems: Mapping[str, TranscriptionScores]
    from_mix: Mapping[str, TranscriptionScores]
    identical: Mapping[str, bool]
    levels: Mapping[str, tuple[tuple[str, float], ...]]
    folder: Folder
    figures: tuple[ClipFigure, ...]


def _audit(task: _AuditTask) -> _FolderAudit:
    """Render a folder again, compare it with its files, and analyse it; runs in a worker process."""
    import soundfile

    settings, place = task.settings, folder_path(task.out, task.factor, task.number)
    meta = read_json(place / "triplet" / META)
    folder = draw_again(settings, task.factor, task.number, int(meta["attempt"]))
    orchestra = orchestra_of(settings.soundfonts)
    clips = {n: play(s, orchestra, settings.seconds, settings.rate, stems=True) for n, s in folder.scenes.items()}
    analyses = {name: analyse(clip, folder.scenes[name]) for name, clip in clips.items()}
    identical, figures = {}, []
    for name, clip in clips.items():
        path = place / "triplet" / f"{name}.{settings.suffix}"
        on_disk = soundfile.read(path, dtype="int16")[0]
        identical[name] = bool(np.array_equal(on_disk, _as_file(clip, settings.suffix)))
        if task.page:
            instruments = orchestra.describe_band(folder.scenes[name].band)
            from_disk = replace(clip, samples=on_disk / np.float32(2**15))
            figures.append(draw_clip(folder, name, from_disk, path, task.page, instruments))
    return _FolderAudit(
        meta["meter"],
        meta["mode"],
        analyses,
        {name: score_transcription(clip, analyses[name]) for name, clip in clips.items()},
        {name: score_transcription(clip, analyses[name], "mix") for name, clip in clips.items()},
        identical,
        {name: tuple(clip.levels.items()) for name, clip in clips.items()},
        folder,
        tuple(figures),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _FolderCues:
    """Trivial cues of the clips of one folder: `cues` of the audio, and `nuisances`, the parameters of the draw."""

    cues: Mapping[str, FloatArray]
    nuisances: Mapping[str, FloatArray]


def _measure_cues(task: _AuditTask) -> _FolderCues:
    """Measure the files of a folder and read their parameters; runs in a worker process."""
    import soundfile

    triplet = folder_path(task.out, task.factor, task.number) / "triplet"
    facts = read_json(triplet / META)["clips"]
    return _FolderCues(
        {name: clip_cues(*soundfile.read(triplet / f"{name}.{task.settings.suffix}")) for name in CLIPS},
        {name: _nuisances(facts[name]) for name in CLIPS},
    )


def _nuisances(facts: Mapping[str, Any]) -> FloatArray:
    """The parameters of a clip, relative to its anchor. Effects are absolute: all clips draw them in the same way."""
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
    """The samples of a clip after writing to a 16-bit file. WAV and FLAC round differently."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, clip.samples, clip.rate, "PCM_16", format=suffix.upper())
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="int16")[0])


class RenderAudit:
    """Similarity of clips by measure (columns) and kind of pair (rows), accuracy of the analysis, and trivial cues."""

    name: ClassVar[str] = "render"
    summary: ClassVar[str] = "audit of rendered triplets: is the factor shared, and nothing else?"

    def options(self) -> Sequence[click.Parameter]:
        """Return the rendered set, `--folders`, `--page` and `--shown`."""
        return [
            Argument(
                ["data"], type=click.Path(path_type=Path), metavar="DIR", help="Output folder of soundalike render."
            ),
            click.Option(
                ["--folders"], type=int, default=40, metavar="N", help="Folders to analyse per factor (default: 40)."
            ),
            click.Option(
                ["--page"],
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="Write a page with audio players and pictures.",
            ),
            click.Option(
                ["--shown"], type=int, default=20, metavar="N", help="Folders per factor on the page (default: 20)."
            ),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return one similarity table per factor, the comparison with the ground truth, and the trivial cues.

        Raises UsageError.
        """
        check_folder(args.data, "the output of soundalike render")
        if args.folders < 2:
            raise UsageError(f"--folders {args.folders}: expected at least 2, for random pairs")
        if args.shown < 0:
            raise UsageError(f"--shown {args.shown}: expected at least 0")
        settings, rendered = open_render(args.data)
        if args.page:
            make_folder(args.page, "--page")
        tasks = []
        for factor in FACTORS:
            analysed = [number for name, number in rendered if name == factor][: args.folders]
            shown = analysed[: args.shown] if args.page else []
            tasks += [_AuditTask(args.data, settings, factor, n, args.page if n in shown else None) for n in analysed]
        cues: dict[str, dict[str, _FolderCues]] = {factor: {} for factor in FACTORS}
        all_tasks = [_AuditTask(args.data, settings, factor, number, None) for factor, number in rendered]
        for task, measured in zip(all_tasks, _run_all(_measure_cues, all_tasks, args.jobs, None), strict=True):
            cues[task.factor][str(task.number)] = measured
        factors = [factor for factor in FACTORS if cues[factor]]
        # Before the analysis, which takes much longer: it fails quickly if there are too few folders.
        cue_report = self._cue_report(factors, cues, args)
        audits = _run_all(_audit, tasks, args.jobs, progress)
        if args.page:
            write_page(args.page, [(audit.folder, audit.figures) for audit in audits if audit.figures])
        return (
            *(
                self._similarity_report(factor, [audit for audit in audits if audit.folder.factor == factor], args)
                for factor in factors
            ),
            self._ground_truth_report(factors, audits, args),
            cue_report,
        )

    def _similarity_report(self, factor: str, audits: Sequence[_FolderAudit], args: SimpleNamespace) -> Report:
        rng = np.random.default_rng([args.seed, FACTORS.index(factor)])
        scores: dict[str, list[tuple[str, PairScores]]] = {kind: [] for kind in (*_KINDS, _RANDOM)}
        for audit in audits:
            anchor = audit.analyses["anchor"]
            for kind, names in _KINDS.items():
                scores[kind] += [(audit.folder.name, compare_clips(anchor, audit.analyses[name])) for name in names]
            alternatives = [o for o in audits if o is not audit and (o.meter, o.mode) == (audit.meter, audit.mode)]
            for name in POSITIVES if alternatives else ():
                other = alternatives[rng.integers(len(alternatives))].analyses[name]
                # Shifted by whole bars, so that its offset from the anchor is as small as within a folder.
                bar = BAR[audit.meter]
                bars = round((anchor.offset + rng.uniform(-_OFFSET, _OFFSET) - other.offset) / bar)
                shifted = replace(other, offset=other.offset + bars * bar)
                scores[_RANDOM].append((audit.folder.name, compare_clips(anchor, shifted)))
        return _table(
            {kind: [(name, _by_measure(score)) for name, score in pairs] for kind, pairs in scores.items()},
            f"Rendered {factor} folders: similarity of the anchor to other clips",
            _MEASURES,
            args,
            [f"{len(audits)} folders. {_SIMILARITY_NOTE}"],
        )

    def _ground_truth_report(
        self, factors: Sequence[str], audits: Sequence[_FolderAudit], args: SimpleNamespace
    ) -> Report:
        columns = (
            "lead chroma",
            "lead chroma in mix",
            "drum onsets",
            "chords",
            "levels in range",
            "silent parts",
            "bit-identical",
        )
        rows: dict[str, list[tuple[str, dict[str, float]]]] = {factor: [] for factor in factors}
        for audit in audits:
            for name in CLIPS:
                levels = [
                    level for role, level in audit.levels[name] if role in ("lead", "drums") and np.isfinite(level)
                ]
                in_range = [_LEVELS[0] <= level <= _LEVELS[1] for level in levels]
                values = (
                    audit.from_stems[name].chroma,
                    audit.from_mix[name].chroma,
                    audit.from_stems[name].onsets,
                    audit.from_stems[name].chords,
                    float(np.mean(in_range)) if in_range else np.nan,
                    float(np.mean([level < -40 for _, level in audit.levels[name]])),
                    float(audit.identical[name]),
                )
                rows[audit.folder.factor].append((audit.folder.name, dict(zip(columns, values, strict=True))))
        return _table(rows, "Rendered clips compared with their ground truth", columns, args, [_GROUND_TRUTH_NOTE])

    def _cue_report(
        self, factors: Sequence[str], cues: Mapping[str, Mapping[str, _FolderCues]], args: SimpleNamespace
    ) -> Report:
        """Uses all folders of the set, not only those that are analysed."""
        values: dict[str, list[Separability]] = {}
        for kind, negative in (("negative", "negative"), ("adversarial negative", "negative_adversarial")):
            names = [*POSITIVES, negative]
            by_audio, by_nuisances = [], []
            for factor in factors:
                folders = cues[factor]
                labels = np.array([name in POSITIVES for _ in folders for name in names])
                groups = [number for number in folders for _ in names]
                audio_cues = np.stack([folder.cues[name] for folder in folders.values() for name in names])
                nuisances = np.stack([folder.nuisances[name] for folder in folders.values() for name in names])
                by_audio.append(separability(audio_cues, labels, groups, args.seed))
                by_nuisances.append(separability(nuisances, labels, groups, args.seed))
            values[f"{kind}, by audio"] = by_audio
            values[f"{kind}, by nuisances"] = by_nuisances
        cells = [[(s.auc, s.low, s.high) for s in row] for row in values.values()]
        table = np.array(cells, dtype=np.float64)
        return Report(
            protocol=self.name,
            title="Rendered triplets: can trivial cues tell positives from negatives? (AUC)",
            model="render",
            rows=tuple(values),
            columns=tuple(factors),
            values=table[..., 0],
            low=table[..., 1],
            high=table[..., 2],
            n=np.tile([len(cues[factor]) * (len(POSITIVES) + 1) for factor in factors], (len(values), 1)),
            chance=np.full(len(factors), 0.5),
            unit="",
            command=_command(args),
            notes=(
                "Logistic regression on the cues and their squares, cross-validated by folder. n: clips. "
                f"Cues of the audio: {', '.join(CUES)}. Nuisances: {', '.join(_NUISANCES)}, effects.",
            ),
        )


def _by_measure(scores: PairScores) -> dict[str, float]:
    return {measure: getattr(scores, measure) for measure in _MEASURES}


def _run_all(
    function: Callable[[_AuditTask], Outcome], tasks: Sequence[_AuditTask], jobs: int | None, progress: Progress | None
) -> list[Outcome]:
    """Run all tasks and return the outcomes in the order of the tasks. Raises the first error of a worker."""
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
    args: SimpleNamespace,
    notes: Sequence[str],
) -> Report:
    """Build a table of means without NaN, from (folder, scores) pairs per row, with intervals over folders."""
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
    no_chance = np.full(len(columns), np.nan)
    return Report(
        "render", title, "render", tuple(rows), tuple(columns), values, low, high, n, no_chance, "", _command(args),
        tuple(notes),
    )  # fmt: skip


def _command(args: SimpleNamespace) -> str:
    seed = f" --seed {args.seed}" if args.seed else ""
    return f"soundalike evaluate render DIR --folders {args.folders}{seed}"


def create() -> Protocol:
    """Create the protocol."""
    return RenderAudit()
