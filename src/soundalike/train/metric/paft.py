"""Perception-aware fine-tuning (PAFT): trained extractors learn from judgements of listeners.

Source: Imamura et al., 2025, sections 3.3 and 4.4.3. The loss is the triplet loss on segments of 5 s, for a fixed
number of epochs, after which the last weights are kept. Only extractors are trained, and all other parts frozen.
Cascade-PAFT trains all parts of Cascade, with the separation loss of end-to-end fine-tuning, in the place of it. An
epoch is all judgements once, in random order. The pseudo-pieces of a run are drawn once; other seeds have others.

A frozen separator always makes the same of the same mix, so its output is computed once per run.

n triplets, t samples, K instruments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.train.common.checkpoints import Epoch, digest_arrays
from soundalike.train.common.fit import Schedule, Stage, fit
from soundalike.train.common.network_files import digest_network, load_network, save_network
from soundalike.train.metric.batches import TripletBatch, Triplets
from soundalike.train.metric.cascade import Cascade, CascadeStage, CleanStage
from soundalike.train.metric.direct import DirectStage
from soundalike.train.metric.preferences import Inputs, JudgedSegments, Preference
from soundalike.train.metric.segments import Segments
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.stages import STAGES, Trained, Workspace, shared_identity
from soundalike.train.metric.triplet_stage import TripletStage
from soundalike.train.metric.triplets import Triplet, render
from soundalike.train.metric.unet import Direct, DirectReconst, Extractor

__all__ = ["PAFTS", "JudgedTriplets", "Paft", "load_paft", "paft_path", "train_paft"]

_RUN = 3
"""Distinguishes the draws of pseudo-pieces from those of the stages."""
_SEPARATED = 8
"""Triplets that a separator sees at the same time, for the memory."""


@dataclass(frozen=True, slots=True)
class Paft:
    """One way of fine-tuning.

    Attributes:
        name: The name, and the first part of the names of its files.
        start: The stage whose networks are tuned.
        inputs: What the networks get.
        everything: Whether the separator is trained too.
    """

    name: str
    start: str
    inputs: Inputs
    everything: bool = False

    @property
    def joint(self) -> bool:
        """Whether one network serves all instruments."""
        return STAGES[self.start].joint


PAFTS: Mapping[str, Paft] = {
    one.name: one
    for one in [
        Paft("clean", "clean", "stem"),
        Paft("cascade", "cascade", "pseudo"),
        Paft("cascade-normal", "cascade", "normal"),
        Paft("cascade-paft", "cascade", "pseudo", everything=True),
        Paft("cascade-ft", "cascade_ft", "pseudo"),
        Paft("cascade-ft-normal", "cascade_ft", "normal"),
        Paft("direct", "direct_da", "pseudo"),
        Paft("direct-reconst", "direct_reconst", "pseudo"),
    ]
}
"""The rows of table 5 by name. `direct` there is Direct with data augmentation, the stage `direct_da`."""


class JudgedTriplets(Triplets):
    """Triplets of judgements, the same in every epoch, in random order.

    Args:
        triplets: n triplets.
        segments: What they were cut from.
        batch: Triplets per batch.
        stem: Whether the inputs are the clean stems of the targets, and not the mixtures.
        clean: Whether the stems are given beside the mixtures.
    """

    def __init__(
        self, triplets: Sequence[Triplet], segments: Segments, batch: int, *, stem: bool = False, clean: bool = False
    ) -> None:
        self.triplets, self.segments = tuple(triplets), segments
        self._batch, self._stem, self._clean = batch, stem, clean

    def batches(self, random: np.random.Generator, steps: int) -> Iterator[TripletBatch]:
        """Return all triplets once. The number of steps follows from their number."""
        order = random.permutation(len(self.triplets)).tolist()
        yield from (self.take(order[at : at + self._batch]) for at in range(0, len(order), self._batch))

    def validation(self) -> Iterator[TripletBatch]:
        """Return the first triplets. Nothing is chosen by them: the last weights are kept."""
        yield self.take(range(min(self._batch, len(self.triplets))))

    def take(self, numbers: Sequence[int]) -> TripletBatch:
        """Return some of the triplets."""
        chosen = [self.triplets[number] for number in numbers]
        mixtures, stems = (torch.from_numpy(array).transpose(0, 1) for array in render(chosen, self.segments))
        return TripletBatch(stems if self._stem else mixtures, _targets(chosen), stems if self._clean else None)


class _SeparatedTriplets(JudgedTriplets):
    """Triplets of judgements as a frozen separator gives them: magnitudes (3, n, b, f)."""

    def __init__(
        self, triplets: Sequence[Triplet], module: Cascade, settings: MetricSettings, judged: Segments
    ) -> None:
        super().__init__(triplets, judged, settings.batch)
        separator = module.separator.eval().to(settings.device)
        parts = []
        with torch.no_grad():
            for at in range(0, len(triplets), _SEPARATED):
                heard = super().take(range(at, min(at + _SEPARATED, len(triplets)))).inputs.to(settings.device)
                spectra = separator(magnitudes(heard.flatten(0, 1), settings.spectrum))
                parts.append(spectra.unflatten(0, (3, -1)).cpu())
        self._spectra = torch.cat(parts, dim=1)

    def take(self, numbers: Sequence[int]) -> TripletBatch:
        """Return some of the triplets."""
        return TripletBatch(self._spectra[:, list(numbers)], _targets([self.triplets[number] for number in numbers]))


def _targets(triplets: Sequence[Triplet]) -> Tensor:
    return torch.tensor([triplet.target for triplet in triplets])


class _SpectrumStage(TripletStage[nn.Module]):
    """Triplets of spectra that a frozen separator has made."""

    def outputs(self, inputs: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor | None]:
        """Return the rows; there is no other loss."""
        return self.module(inputs), None


def paft_path(
    folder: Path, paft: Paft, settings: MetricSettings, seed: int, instrument: int | None, place: str = "paft"
) -> Path:
    """Return the file of a fine-tuned network; the instrument is None if there is one network for all.

    `place` is the folder below WORK: judgements that are split in another way need another one.

    Example:
        >>> paft_path(Path("work"), PAFTS["clean"], SMALL, 2, 0).as_posix()
        'work/paft/clean.2.drums.safetensors'
    """
    part = "" if instrument is None else f".{settings.network.instruments[instrument]}"
    return folder / place / f"{paft.name}.{seed}{part}.safetensors"


def load_paft(space: Workspace, paft: Paft, seed: int, instrument: int | None, place: str = "paft") -> nn.Module:
    """Return a fine-tuned network, in evaluation mode. Raises UsageError if it is missing or has other settings.

    Example:
        >>> extractor = load_paft(space, PAFTS["clean"], 0, 0)
    """
    network = STAGES[paft.start].network(space.settings)
    path = paft_path(space.folder, paft, space.settings, seed, instrument, place)
    load_network(path, network, shared_identity(replace(space.settings, seed=seed)))
    return network


def train_paft(
    paft: Paft,
    instrument: int | None,
    seed: int,
    space: Workspace,
    judged: JudgedSegments,
    preferences: Sequence[Preference],
    place: str = "paft",
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Fine-tune one network, unless that was done already.

    Args:
        paft: How.
        instrument: The number of its instrument; None for one network for all.
        seed: The seed of the run.
        space: The trained networks and the settings.
        judged: The segments that the judgements are about.
        preferences: The judgements to train on; those on other instruments are left out.
        place: The folder of the result below that of the networks.
        progress: Called after every epoch.

    Returns:
        What was trained or found. An interrupted run continues, with the same result.

    Raises:
        UsageError: The network to start from is missing, there are no judgements on the instrument, what is there has
            other settings or judgements, or training diverges.

    Example:
        >>> train_paft(PAFTS["clean"], 0, 0, space, judged, trained).path.name
        'clean.0.drums.safetensors'
    """
    settings = replace(space.settings, seed=seed)
    path = paft_path(space.folder, paft, settings, seed, instrument, place)
    names = settings.network.instruments if instrument is None else (settings.network.instruments[instrument],)
    own = [one for one in preferences if one.instrument in names]
    if not own:
        raise UsageError(f"no judgements on {', '.join(names)} to train on; give labels of that instrument")
    start = space.path(paft.start, instrument)
    identity = shared_identity(settings) | {
        "epochs": settings.paft_epochs,
        "segment": settings.paft_segment,
        "rate": settings.lr_paft,
        "judgements": digest_arrays([np.array([str(one) for one in own])]),
        "songs": digest_arrays([np.array([f"{piece.name} {piece.frames}" for piece in judged.segments.pieces])]),
        f"weights of {start.stem}": digest_network(start),
    }
    if path.exists():
        return Trained(path, load_network(path, STAGES[paft.start].network(settings), identity), found=True)
    make_folder(path.parent, "--work")
    unfinished = path.with_suffix(".unfinished")
    module = space.network(paft.start, instrument)
    stage = _stage(paft, path.stem, module, settings, judged, own)
    curve = fit(stage, settings, checkpoint=unfinished, identity=identity, progress=progress)
    save_network(path, module, identity, curve)
    unfinished.unlink(missing_ok=True)
    return Trained(path, curve, found=False)


def _stage(
    paft: Paft,
    name: str,
    module: nn.Module,
    settings: MetricSettings,
    judged: JudgedSegments,
    preferences: Sequence[Preference],
) -> Stage[Any]:
    """What is trained; `module` holds the trained weights afterwards."""
    triplets = judged.triplets(preferences, paft.inputs, np.random.default_rng([settings.seed, _RUN]))
    schedule = Schedule(settings.lr_paft, settings.paft_epochs, last=True)
    segments = judged.segments
    if isinstance(module, Cascade) and paft.everything:
        source = JudgedTriplets(triplets, segments, settings.batch, clean=True)
        return CascadeStage(name, module, schedule, source, settings, tune_separator=True)
    if isinstance(module, Cascade):
        source = _SeparatedTriplets(triplets, module, settings, segments)
        return _SpectrumStage(name, module.extractor, schedule, source, settings)
    source = JudgedTriplets(triplets, segments, settings.batch, stem=paft.inputs == "stem")
    if isinstance(module, Direct):
        frozen = ["decoders"] if isinstance(module, DirectReconst) else []
        return DirectStage(name, module, schedule, source, settings, frozen)
    return CleanStage(name, cast("Extractor", module), schedule, source, settings)
