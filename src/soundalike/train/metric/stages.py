"""The stages of training of Imamura et al., 2025: what each needs, its network, its batches and its loss.

A stage trains one network per instrument, or one for all. Its networks are WORK/<stage>.<instrument>.safetensors or
WORK/<stage>.safetensors, each with all its parts, frozen ones included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.train.common.checkpoints import Epoch, digest_arrays, seeded
from soundalike.train.common.fit import Schedule, Stage, fit, initial_weights
from soundalike.train.common.network_files import (
    Trained,
    digest_network,
    identity_of,
    load_network,
    save_network,
)
from soundalike.train.common.side_by_side import NetworkTask
from soundalike.train.metric.batches import DrawnTriplets, Kind, Sources, StemMixes
from soundalike.train.metric.cascade import Cascade, CascadeStage, CleanStage
from soundalike.train.metric.direct import DirectStage, PretrainStage, ReconstStage
from soundalike.train.metric.material import Material
from soundalike.train.metric.methods import METHODS
from soundalike.train.metric.segments import Segments
from soundalike.train.metric.separation import SeparatorStage
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.unet import Direct, DirectReconst, Extractor, ExtractorBank, Separator

__all__ = [
    "STAGES",
    "StageSpec",
    "Trained",
    "Workspace",
    "find_stages",
    "load_stage",
    "shared_identity",
    "stage_tasks",
    "train_stage",
]

Build: TypeAlias = "Callable[[Workspace, str, int], Stage[Any]]"


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage of training.

    Attributes:
        name: The name, and the first part of the names of its files.
        needs: Names of stages that come before. One network per instrument needs those of the same instrument; one for
            all needs all of them.
        network: Makes its network with new weights.
        build: Makes what is trained, from the workspace, the name of the run and the number of the instrument.
        joint: Whether one network serves all instruments.
        identity: What else must be equal for its files to be used again; JSON values.
    """

    name: str
    needs: tuple[str, ...]
    network: Callable[[MetricSettings], nn.Module]
    build: Build
    joint: bool = False
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Workspace:
    """Where stages train, and from what.

    Attributes:
        folder: The folder of networks and unfinished runs.
        settings: How to train.
        material: The songs.
    """

    folder: Path
    settings: MetricSettings
    material: Material

    @cached_property
    def segments(self) -> tuple[Segments, Segments]:
        """Where segments can be cut from the training songs, and longer ones from the validation songs."""
        songs, names = self.material.songs, self.material.instruments
        return (
            Segments(songs["train"], names, self.settings.segment),
            Segments(songs["validation"], names, self.settings.test_segment),
        )

    def instruments(self, stage: StageSpec) -> tuple[int | None, ...]:
        """Return the numbers of the instruments that have a network each; None alone if one network serves all."""
        return (None,) if stage.joint else tuple(range(len(self.settings.network.instruments)))

    def path(self, stage: str, instrument: int | None) -> Path:
        """Return the file of a network; the instrument is None if there is one network for all."""
        part = "" if instrument is None else f".{self.settings.network.instruments[instrument]}"
        return self.folder / f"{stage}{part}.safetensors"

    def network(self, stage: str, instrument: int | None) -> nn.Module:
        """Return a trained network. Raises UsageError if it is missing or has other settings."""
        return load_stage(self.folder, self.settings, STAGES[stage], instrument)


def find_stages(method: str) -> tuple[StageSpec, ...]:
    """Return the stages that a method needs, in the order of training; the last one is that of the method.

    Raises:
        UsageError: The method is unknown.

    Example:
        >>> [stage.name for stage in find_stages("cascade-ft")]
        ['separators', 'cascade', 'cascade_ft']
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method}; known: {', '.join(METHODS)}")
    found: dict[str, StageSpec] = {}

    def add(name: str) -> None:
        for need in STAGES[name].needs:
            add(need)
        found.setdefault(name, STAGES[name])

    add(METHODS[method])
    return tuple(found.values())


def load_stage(folder: Path, settings: MetricSettings, stage: StageSpec, instrument: int | None) -> nn.Module:
    """Return a trained network, in evaluation mode.

    Args:
        folder: The folder of the networks.
        settings: What it was trained with.
        stage: Its stage.
        instrument: The number of its instrument; None if there is one network for all.

    Raises:
        UsageError: The file is missing or unreadable, or was trained with other settings.

    Example:
        >>> separator = load_stage(Path("work"), SMALL, STAGES["separators"], 0)
    """
    network = stage.network(settings)
    part = "" if instrument is None else f".{settings.network.instruments[instrument]}"
    load_network(folder / f"{stage.name}{part}.safetensors", network, shared_identity(settings))
    return network


def train_stage(
    stage: StageSpec,
    instrument: int | None,
    workspace: Workspace,
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train one network, unless it is there already.

    Args:
        stage: Its stage.
        instrument: The number of its instrument; None for a stage with one network for all.
        workspace: Where, from what, and how.
        progress: Called after every epoch.

    Returns:
        What was trained or found. An interrupted run continues, with the same result.

    Raises:
        UsageError: A network that it needs is missing, what is there has other settings or songs, or training diverges.

    Example:
        >>> train_stage(STAGES["separators"], 0, workspace).path.name
        'separators.drums.safetensors'
    """
    path = workspace.path(stage.name, instrument)
    name = path.stem
    identity = _identity(stage, instrument, workspace)
    if path.exists():
        return Trained(path, load_network(path, stage.network(workspace.settings), identity), found=True)
    make_folder(workspace.folder, "--work")
    unfinished = workspace.folder / f"{name}.unfinished"
    with seeded("cpu", initial_weights(workspace.settings, name)):
        built = stage.build(workspace, name, instrument or 0)
    curve = fit(built, workspace.settings, checkpoint=unfinished, identity=identity, progress=progress)
    save_network(path, built.module, identity, curve)
    unfinished.unlink(missing_ok=True)
    return Trained(path, curve, found=False)


def shared_identity(settings: MetricSettings) -> dict[str, Any]:
    """Return the settings that all networks depend on: without those of fine-tuning, and the numbers of epochs."""
    return identity_of(settings, ("epochs", "stage_epochs", "paft_epochs", "paft_segment", "lr_paft"))


def stage_tasks(stage: StageSpec, workspace: Workspace) -> list[NetworkTask]:
    """Return the networks of a stage as tasks for `train_side_by_side`.

    Args:
        stage: The stage.
        workspace: Where, from what, and how.

    Example:
        >>> [task.name for task in stage_tasks(STAGES["direct"], workspace)]
        ['direct']
    """
    fresh = Workspace(workspace.folder, workspace.settings, workspace.material)  # without what it has computed
    return [
        NetworkTask(
            workspace.path(stage.name, instrument).stem,
            partial(_train_stage, stage.name, instrument, fresh),
            _needed(stage, instrument, workspace),
        )
        for instrument in workspace.instruments(stage)
    ]


def _train_stage(stage: str, instrument: int | None, space: Workspace, progress: Callable[[Epoch], None]) -> Trained:
    """Train a network of the stage of a name: stages themselves cannot be pickled."""
    return train_stage(STAGES[stage], instrument, space, progress)


def _needed(stage: StageSpec, instrument: int | None, workspace: Workspace) -> tuple[Path, ...]:
    """The files of the networks that a network of a stage starts from."""
    paths: list[Path] = []
    for need in stage.needs:
        several = stage.joint and not STAGES[need].joint
        each = None if STAGES[need].joint else instrument
        numbers = workspace.instruments(STAGES[need]) if several else [each]
        paths += [workspace.path(need, number) for number in numbers]
    return tuple(paths)


def _identity(stage: StageSpec, instrument: int | None, workspace: Workspace) -> dict[str, Any]:
    """What must be equal for a network to be used again."""
    needed = {f"weights of {path.stem}": digest_network(path) for path in _needed(stage, instrument, workspace)}
    settings = workspace.settings
    own = {"epochs": _epochs(settings, stage.name), "songs": _digest_songs(workspace.material)}
    return shared_identity(settings) | own | needed | dict(stage.identity)


def _digest_songs(material: Material) -> str:
    pieces = [piece for subset in ("train", "validation") for piece in material.songs[subset]]
    names = digest_arrays([piece.active for piece in pieces])
    return digest_arrays([np.array([names, *(f"{piece.name} {piece.frames} {piece.scale}" for piece in pieces)])])


def _schedule(settings: MetricSettings, name: str, rate: float, *, joint: bool = False) -> Schedule:
    """The schedule of a run, such as "cascade.drums"."""
    instruments = len(settings.network.instruments) if joint else 1
    return Schedule(rate, _epochs(settings, name.partition(".")[0]), settings.patience, repeats=instruments)


def _epochs(settings: MetricSettings, stage: str) -> int:
    return settings.stage_epochs.get(stage, settings.epochs)


def _separator(settings: MetricSettings) -> Separator:
    return Separator(settings.network)


def _extractor(settings: MetricSettings) -> Extractor:
    return Extractor(settings.spectrum, settings.network)


def _cascade(settings: MetricSettings) -> Cascade:
    return Cascade(_separator(settings), _extractor(settings))


def _direct(settings: MetricSettings) -> Direct:
    return Direct(settings.spectrum, settings.network)


def _direct_reconst(settings: MetricSettings) -> DirectReconst:
    return DirectReconst(settings.spectrum, settings.network)


def _build_separators(space: Workspace, name: str, instrument: int) -> Stage[Any]:
    settings = space.settings
    mixes = StemMixes(*space.segments, settings, instrument)
    schedule = _schedule(settings, name, settings.lr_separators)
    return SeparatorStage(name, _separator(settings), schedule, mixes, settings)


def _build_clean(space: Workspace, name: str, instrument: int) -> Stage[Any]:
    settings = space.settings
    triplets = DrawnTriplets(*space.segments, settings, "normal", instrument, inputs="stem")
    return CleanStage(name, _extractor(settings), _schedule(settings, name, settings.lr_extractors), triplets, settings)


def _build_cascade(kind: Kind) -> Build:
    """Extractors on what frozen separators make of mixes."""

    def build(space: Workspace, name: str, instrument: int) -> Stage[Any]:
        settings = space.settings
        module = Cascade(space.network("separators", instrument), _extractor(settings))
        triplets = DrawnTriplets(*space.segments, settings, kind, instrument)
        return CascadeStage(name, module, _schedule(settings, name, settings.lr_extractors), triplets, settings)

    return build


def _build_cascade_ft(kind: Kind, start: str) -> Build:
    """Separators and extractors together, from those of the stage `start`."""

    def build(space: Workspace, name: str, instrument: int) -> Stage[Any]:
        settings = space.settings
        module = space.network(start, instrument)
        triplets = DrawnTriplets(*space.segments, settings, kind, instrument, clean=True)
        schedule = _schedule(settings, name, settings.lr_tuning)
        return CascadeStage(name, module, schedule, triplets, settings, tune_separator=True)

    return build


def _build_pretrain(space: Workspace, name: str, instrument: int) -> Stage[Any]:
    settings = space.settings
    clean = ExtractorBank(settings.spectrum, settings.network)
    for index, network in enumerate(clean.networks):
        network.load_state_dict(space.network("clean", index).state_dict())
    sources = Sources(*space.segments, settings)
    return PretrainStage(
        name, _direct(settings), clean, _schedule(settings, name, settings.lr_direct, joint=True), sources, settings
    )


def _build_direct(kind: Kind) -> Build:
    def build(space: Workspace, name: str, instrument: int) -> Stage[Any]:
        settings = space.settings
        module = space.network("direct_pretrain", None)
        triplets = DrawnTriplets(*space.segments, settings, kind, None)
        return DirectStage(name, module, _schedule(settings, name, settings.lr_direct, joint=True), triplets, settings)

    return build


def _build_direct_reconst(space: Workspace, name: str, instrument: int) -> Stage[Any]:
    settings = space.settings
    module = _direct_reconst(settings)
    module.load_state_dict(space.network("direct_pretrain", None).state_dict(), strict=False)  # decoders are new
    triplets = DrawnTriplets(*space.segments, settings, "pseudo", None, clean=True)
    return ReconstStage(name, module, _schedule(settings, name, settings.lr_direct, joint=True), triplets, settings)


STAGES: Mapping[str, StageSpec] = {
    stage.name: stage
    for stage in [
        StageSpec("separators", (), _separator, _build_separators),
        StageSpec("clean", (), _extractor, _build_clean),
        StageSpec("cascade", ("separators",), _cascade, _build_cascade("pseudo")),
        StageSpec("cascade_ft", ("cascade",), _cascade, _build_cascade_ft("pseudo", "cascade")),
        StageSpec("direct_pretrain", ("clean",), _direct, _build_pretrain, joint=True),
        StageSpec("direct", ("direct_pretrain",), _direct, _build_direct("fixed"), joint=True),
        StageSpec("direct_da", ("direct_pretrain",), _direct, _build_direct("pseudo"), joint=True),
        StageSpec("direct_reconst", ("direct_pretrain",), _direct_reconst, _build_direct_reconst, joint=True),
        StageSpec("cascade_normal", ("separators",), _cascade, _build_cascade("normal")),
        StageSpec("cascade_ft_normal", ("cascade_normal",), _cascade, _build_cascade_ft("normal", "cascade_normal")),
    ]
}
"""All stages by name. `cascade_normal` and `cascade_ft_normal` are the ablations without pseudo-pieces."""
