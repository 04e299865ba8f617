"""The work of the study on concepts, stage by stage: recordings, inputs, and the networks of the ablation.

Everything is kept in one folder and used again, so that a killed run goes on where it was, with the same result:

    WORK/clips/                 recordings, if they are rendered
    WORK/inputs-*/              inputs of their segments
    WORK/<network>.safetensors  networks
    WORK/rows/                  embeddings of songs and segments
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from soundalike.audio import CONCEPTS
from soundalike.core.errors import UsageError
from soundalike.reproduce.concept_judgements import JudgedSongs, dim_sim_judgements, simulated_judgements
from soundalike.reproduce.concept_rows import ConceptEncoder, Network
from soundalike.reproduce.networks import train_networks
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.side_by_side import NetworkTask
from soundalike.train.concepts.labels import find_unusable
from soundalike.train.concepts.material import SEGMENTS, ConceptMaterial, ConceptTrack, load_material
from soundalike.train.concepts.rendered import RenderedSettings, render_tracks
from soundalike.train.concepts.settings import ConceptSettings
from soundalike.train.concepts.stage import load_concepts, train_concepts_on

__all__ = ["ABLATION", "BASELINE", "BEST", "ConceptRun", "ConceptSources", "NetworkRow"]

_Progress: TypeAlias = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A network of the ablation.

    Attributes:
        name: Its name in tables; that of the printed row, if there is one.
        slug: The name of its folder.
        concepts: How many of the concepts it has, in the order of the paper.
        inputs: Its inputs.
        dim: Dims of a slice.
    """

    name: str
    slug: str
    concepts: int
    inputs: tuple[str, ...]
    dim: int

    def settings(self, base: ConceptSettings) -> ConceptSettings:
        """Return how to train it: like `base`, but with its concepts, inputs and size."""
        inputs = replace(base.inputs, names=self.inputs)
        return replace(base, inputs=inputs, concepts=CONCEPTS[: self.concepts], dim=self.dim)


_ALL_INPUTS = ("mel", "tempogram", "chroma")
BASELINE: Final = NetworkRow("4 dimensions, single input, 256 (baseline)", "four-single-256", 4, ("mel",), 64)
BEST: Final = NetworkRow("6 dimensions, multi-input, 384", "six-multi-384", 6, _ALL_INPUTS, 64)
ABLATION: Final = (
    BASELINE,
    NetworkRow("4 dimensions, multi-input, 256", "four-multi-256", 4, _ALL_INPUTS, 64),
    NetworkRow("6 dimensions, single input, 258", "six-single-258", 6, ("mel",), 43),
    NetworkRow("6 dimensions, single input, 384", "six-single-384", 6, ("mel",), 64),
    BEST,
    NetworkRow("6 dimensions, mel and tempogram, 384", "six-tempogram-384", 6, ("mel", "tempogram"), 64),
    NetworkRow("6 dimensions, mel and chroma, 384", "six-chroma-384", 6, ("mel", "chroma"), 64),
)
"""The five networks of table 1, and two with one further input each, which show the effect of every input."""


@dataclass(frozen=True, slots=True)
class ConceptSources:
    """What the study works on.

    Attributes:
        tracks: Labelled recordings; None renders clips.
        clips: Clips to render.
        rendered: How to render them. The seed is that of the run.
        segments: Segments of a recording at most.
        dim_sim: The folder of Dim-sim; None asks simulated listeners about the test recordings.
        table: The judgements of Dim-sim; None is the file in its folder.
        agreement: Listeners who agree on a triplet at least, 0 to 1.
    """

    tracks: tuple[ConceptTrack, ...] | None = None
    clips: int = 2000
    rendered: RenderedSettings = field(default_factory=RenderedSettings)
    segments: int = SEGMENTS
    dim_sim: Path | None = None
    table: Path | None = None
    agreement: float = 0.9


@dataclass(slots=True)
class ConceptRun:
    """Runs all stages and remembers their curves.

    Attributes:
        folder: The folder of all files, WORK.
        settings: How to train the best network; the others differ in concepts, inputs and size.
        sources: Recordings and judgements.
        jobs: Worker processes that render, read and train; None is one per core.
        announce: Called with one line before and after every stage.
        progress: Called as recordings are rendered and read, with the number done, the total, and seconds of audio.
        curves: The learning curves of all networks, by the names of their files.
    """

    folder: Path
    settings: ConceptSettings
    sources: ConceptSources
    jobs: int | None = None
    announce: Callable[[str], None] = lambda _: None
    progress: _Progress | None = None
    curves: dict[str, tuple[Epoch, ...]] = field(default_factory=dict)
    _material: ConceptMaterial | None = None
    _judged: JudgedSongs | None = None

    @property
    def material(self) -> ConceptMaterial:
        """The segments of all recordings, which are rendered and read first. Raises UsageError."""
        if self._material is None:
            tracks = self._tracks()
            training = [track.labels for track in tracks if track.subset == "train"]
            for concept, reason in find_unusable(CONCEPTS, training).items():
                raise UsageError(
                    f"{concept} cannot be learned from the training recordings: {reason}; the networks of the paper "
                    "need all six concepts"
                )
            self._material = load_material(
                tracks,
                self.settings.inputs,
                self.folder,
                segments=self.sources.segments,
                jobs=self.jobs,
                announce=self.announce,
                progress=self.progress,
            )
            for file, problem in self._material.failed:
                self.announce(f"left out: {file}: {problem}")
        return self._material

    @property
    def judged(self) -> JudgedSongs:
        """The judged songs. Raises UsageError if there are none."""
        if self._judged is None:
            if self.sources.dim_sim:
                self._judged = dim_sim_judgements(self.sources.dim_sim, self.sources.table, self.sources.agreement)
            else:
                test = [track for track in self.material.tracks if track.subset == "test"]
                self._judged = simulated_judgements(test, self.settings.seed)
        return self._judged

    @property
    def encoder(self) -> ConceptEncoder:
        """Computes embeddings."""
        return ConceptEncoder(
            self.folder / "rows", self.settings.inputs, self.settings.device, self.jobs, self.progress
        )

    @property
    def labels_note(self) -> tuple[str, ...]:
        """What labels of rendered clips stand for."""
        return (
            ("Rendered: tempo, key and instrument are exact; genre is the style of the grammar, mood is mode and tempo "
             "class, era is the sound chain.",)
            if self.sources.tracks is None
            else ()
        )  # fmt: skip

    def train(self) -> None:
        """Train all networks that are missing.

        Raises:
            UsageError: A concept has too few labels, or files in WORK are of another run.
            KeyboardInterrupt: The run was interrupted; the next one continues.
        """
        _ = self.judged  # what is missing there must not cost a training
        read = partial(
            load_material,
            self.material.tracks,
            self.settings.inputs,
            self.folder,
            segments=self.sources.segments,
            jobs=1,
        )
        digest = self.material.digest
        tasks = [
            NetworkTask(
                row.slug,
                partial(train_concepts_on, row.settings(self.settings), read, digest, self.folder, row.slug),
            )
            for row in ABLATION
        ]
        self.curves |= train_networks(tasks, self.jobs, self.settings.device, self.announce)

    def network(self, row: NetworkRow) -> Network:
        """Return the file of a trained network, and what loads it."""
        path = self.folder / f"{row.slug}.safetensors"
        return path, lambda: load_concepts(path, row.settings(self.settings))

    def _tracks(self) -> Sequence[ConceptTrack]:
        """The labelled recordings, rendered if asked for."""
        if self.sources.tracks is not None:
            return self.sources.tracks
        began = time.monotonic()
        found = render_tracks(
            self.folder / "clips",
            self.sources.clips,
            replace(self.sources.rendered, seed=self.settings.seed),
            jobs=self.jobs,
            progress=self.progress,
            preparing=self.announce,
        )
        if found.failed:
            raise UsageError(f"{found.failed[0][0]} could not be rendered: {found.failed[0][1]}")
        self.announce(
            f"clips: {found.made} rendered in {time.monotonic() - began:.0f} s, {len(found.tracks) - found.made} found"
        )
        return found.tracks
