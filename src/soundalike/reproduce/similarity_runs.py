"""The work of the study on similarity of instruments, stage by stage: songs, networks, judgements, fine-tuning.

Everything is kept in one folder and used again, so that a killed run goes on where it was, with the same result:

    WORK/rendered/<part>/       songs, if they are rendered
    WORK/samples/               their samples
    WORK/<stage>*.safetensors   networks, and paft/ those that judgements have tuned
    WORK/rows/                  rows of segments
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from torch import nn

from soundalike.audio.datasets import SUBSETS, find_songs
from soundalike.core.errors import UsageError
from soundalike.render.songs import SongSettings, render_songs
from soundalike.reproduce.networks import train_networks
from soundalike.reproduce.similarity_rows import Encoder
from soundalike.reproduce.simulated_listeners import simulate_judgements
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.side_by_side import NetworkTask
from soundalike.train.metric.material import Material, load_material, read_songs
from soundalike.train.metric.paft import PAFTS, Paft, load_paft, paft_path, train_paft
from soundalike.train.metric.preferences import (
    JudgedSegments,
    Judgement,
    Preference,
    SplitBy,
    find_preferences,
    read_listeners,
    split_preferences,
)
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.stages import STAGES, StageSpec, Trained, Workspace, stage_tasks

__all__ = ["SEEDS", "Judged", "RenderedSongs", "SimilarityRun", "SimilaritySources"]

SEEDS: Final = (0, 1, 2)
"""The seeds of the three runs of fine-tuning."""
_Progress = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class RenderedSongs:
    """Songs to render.

    Attributes:
        counts: How many of each part: train, validation, test.
        settings: Lengths and sources. The part is set for each part, and the seed is that of the run.
    """

    counts: tuple[int, int, int] = (120, 20, 45)
    settings: SongSettings = field(default_factory=lambda: SongSettings(seconds=(60.0, 60.0)))


@dataclass(frozen=True, slots=True)
class SimilaritySources:
    """What the study works on.

    Attributes:
        songs: A folder in the layout of Slakh2100, or how to render songs.
        labels: The folder of Inst-Sim-ABX; None asks simulated listeners.
        redux: The file redux.json of slakh-utils.
        judgements: Judgements of simulated listeners per instrument and test.
        split: How judgements are divided into those to train on and those to test with.
    """

    songs: Path | RenderedSongs
    labels: Path | None = None
    redux: Path | None = None
    judgements: int = 240
    split: SplitBy = "triplet"


@dataclass(frozen=True, slots=True)
class Judged:
    """Judgements: all, those with a majority about songs at hand, their two parts, and whose they are."""

    judgements: tuple[Judgement, ...]
    preferences: tuple[Preference, ...]
    trained: tuple[Preference, ...]
    tested: tuple[Preference, ...]
    source: str


@dataclass(slots=True)
class SimilarityRun:
    """Runs all stages and remembers their curves.

    Attributes:
        folder: The folder of all files, WORK.
        settings: How to train.
        sources: Songs and labels.
        jobs: Worker processes that render, read and train; None is one per core.
        announce: Called with one line before and after every stage.
        progress: Called as songs are rendered and read, with the number done, the total, and seconds of audio.
        curves: The learning curves of all networks, by the names of their files.
    """

    folder: Path
    settings: MetricSettings
    sources: SimilaritySources
    jobs: int | None = None
    announce: Callable[[str], None] = lambda _: None
    progress: _Progress | None = None
    curves: dict[str, tuple[Epoch, ...]] = field(default_factory=dict)
    _space: Workspace | None = None
    _judged: Judged | None = None
    _segments: JudgedSegments | None = None

    @property
    def space(self) -> Workspace:
        """The songs, settings and networks. Songs are rendered and read first."""
        if self._space is None:
            self._space = Workspace(self.folder, self.settings, self._material())
        return self._space

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the instruments."""
        return self.settings.network.instruments

    @property
    def encoder(self) -> Encoder:
        """Encodes segments."""
        return Encoder(self.folder / "rows", self.settings)

    def train(self) -> None:
        """Train all stages that are missing.

        Raises:
            UsageError: There are too few songs, or files in WORK are of another run.
            KeyboardInterrupt: The run was interrupted; the next one continues.
        """
        # Those that others wait for come first, and then networks for all instruments, which take longest.
        stages = sorted(STAGES.values(), key=lambda stage: (_depth(stage), not stage.joint))
        self._train(task for stage in stages for task in stage_tasks(stage, self.space))

    def tune(self) -> None:
        """Fine-tune on judgements, three times. Raises UsageError as `train`, and without judgements."""
        judged, segments = self.judged, self.segments
        space = Workspace(self.folder, self.settings, self.space.material)  # without what it has computed
        self._train(
            NetworkTask(
                f"PAFT {self._path(paft, seed, instrument).stem}",
                partial(_train_paft, space, paft.name, instrument, seed, segments, judged.trained, self._tuned),
            )
            for paft in PAFTS.values()
            for seed in SEEDS
            for instrument in self._members(joint=paft.joint)
        )

    @property
    def judged(self) -> Judged:
        """The judgements. Raises UsageError if there are none on these songs."""
        if self._judged is None:
            judgements, source = self._judgements()
            pieces, seconds = self.space.material.songs["test"], self.settings.paft_segment
            preferences = find_preferences(judgements, pieces, seconds, self.instruments)
            parts = split_preferences(preferences, self.settings.seed, self.sources.split)
            self._judged = Judged(judgements, preferences, *parts, source)
        return self._judged

    @property
    def segments(self) -> JudgedSegments:
        """The segments that judgements are about."""
        if self._segments is None:
            songs = self.space.material.songs
            self._segments = JudgedSegments(songs["test"], songs["train"], self.instruments, self.settings.paft_segment)
        return self._segments

    def network(self, stage: str, instrument: int) -> tuple[Path, Callable[[], nn.Module]]:
        """Return the file of a network of a stage, and what loads it."""
        one = None if STAGES[stage].joint else instrument
        return self.space.path(stage, one), lambda: self.space.network(stage, one)

    def tuned_network(self, paft: str, seed: int, instrument: int) -> tuple[Path, Callable[[], nn.Module]]:
        """Return the file of a fine-tuned network, and what loads it."""
        how = PAFTS[paft]
        one = None if how.joint else instrument
        return self._path(how, seed, one), lambda: load_paft(self.space, how, seed, one, self._tuned)

    @property
    def _tuned(self) -> str:
        """The folder of tuned networks below WORK."""
        return "paft" if self.sources.split == "triplet" else f"paft-by-{self.sources.split}"

    def _path(self, paft: Paft, seed: int, instrument: int | None) -> Path:
        return paft_path(self.folder, paft, self.settings, seed, instrument, self._tuned)

    def _members(self, *, joint: bool) -> Sequence[int | None]:
        return [None] if joint else range(len(self.instruments))

    def _train(self, tasks: Iterable[NetworkTask]) -> None:
        self.curves |= train_networks(tasks, self.jobs, self.settings.device, self.announce)

    def _judgements(self) -> tuple[tuple[Judgement, ...], str]:
        if self.sources.labels:
            return read_listeners(self.sources.labels, self.instruments), "listeners of Inst-Sim-ABX"
        folder = (
            self.folder / "rendered" / "test" if isinstance(self.sources.songs, RenderedSongs) else self.sources.songs
        )
        count, seconds, seed = self.sources.judgements, self.settings.paft_segment, self.settings.seed
        pieces = self.space.material.songs["test"]
        levels = not self.settings.equal_loudness
        found = simulate_judgements(folder, pieces, self.instruments, count, seconds, seed, levels=levels)
        compared = "programs, patterns, registers and levels" if levels else "programs, patterns and registers"
        return found, f"simulated listeners, who compare {compared}"

    def _material(self) -> Material:
        """The songs, rendered if asked for."""
        cache = self.folder / "samples"
        options: dict[str, Any] = {"jobs": self.jobs, "announce": self.announce, "progress": self.progress}
        if isinstance(self.sources.songs, Path):
            material = load_material(self.sources.songs, self.settings, cache, redux=self.sources.redux, **options)
        else:
            songs = [
                song
                for part in SUBSETS
                for song in find_songs(self._render(part, self.sources.songs), self.instruments)
            ]
            material = read_songs(songs, self.settings, cache, **options)
        if empty := [part for part in SUBSETS if not material.songs[part]]:
            raise UsageError(f"there are no songs of the part {empty[0]}; expected songs of {', '.join(SUBSETS)}")
        return material

    def _render(self, part: Any, songs: RenderedSongs) -> Path:
        """Render the songs of one part, as far as they are missing."""
        out = self.folder / "rendered" / part
        count = songs.counts[SUBSETS.index(part)]
        began = time.monotonic()
        settings = replace(songs.settings, seed=self.settings.seed, part=part)
        report = render_songs(out, count, settings, jobs=self.jobs, progress=self.progress)
        if report.interrupted:
            raise KeyboardInterrupt
        if report.failed:
            raise UsageError(f"{report.failed[0][0]} could not be rendered: {report.failed[0][1]}")
        for problem in report.problems:
            self.announce(problem)
        self.announce(
            f"songs of {part}: {report.made} rendered in {time.monotonic() - began:.0f} s, {report.kept} found"
        )
        return out


def _depth(stage: StageSpec) -> int:
    """How many stages come before a stage, one after another."""
    return max((1 + _depth(STAGES[need]) for need in stage.needs), default=0)


def _train_paft(
    space: Workspace,
    paft: str,
    instrument: int | None,
    seed: int,
    segments: JudgedSegments,
    preferences: Sequence[Preference],
    place: str,
    progress: Callable[[Epoch], None],
) -> Trained:
    return train_paft(PAFTS[paft], instrument, seed, space, segments, preferences, place, progress)
