"""Put the trained networks of a method together, with the levels from which its instruments count as audible.

n segments, K instruments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from soundalike.train.common.onnx_files import Precision
from soundalike.train.metric.batches import draw_sources
from soundalike.train.metric.cascade import Cascade
from soundalike.train.metric.export import export_rows, export_separators, relative_levels
from soundalike.train.metric.methods import METHODS
from soundalike.train.metric.paft import Paft, load_paft, paft_path
from soundalike.train.metric.presence import fit_gates
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.stages import STAGES, StageSpec, Workspace
from soundalike.train.metric.unet import Direct, ExtractorBank, SeparatorBank

__all__ = ["Assembled", "assemble", "export_method", "export_stems", "measure_gates"]

_SEED = 3
"""Distinguishes the draws of segments for gates from those for training and validation."""
_SEGMENTS = 256
_BATCH = 8


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """The networks of a method.

    Attributes:
        describe: The extractors, or the one network of Direct.
        separate: The separators of Cascade; None for other methods.
    """

    describe: ExtractorBank | Direct
    separate: SeparatorBank | None = None


def assemble(workspace: Workspace, method: str, paft: Paft | None = None) -> Assembled:
    """Load the networks of a method.

    Args:
        workspace: Where they are.
        method: One of `METHODS`.
        paft: How they were tuned on judgements, with the seed of the settings. Instruments without judgements have the
            networks from before that; with None, all have.

    Raises:
        UsageError: A network is missing or has other settings.

    Example:
        >>> assemble(workspace, "direct").separate is None
        True
    """
    stage, settings = STAGES[METHODS[method]], workspace.settings
    networks = [_load(workspace, stage, paft, one) for one in workspace.instruments(stage)]
    if isinstance(networks[0], Direct):
        return Assembled(networks[0])
    describe = ExtractorBank(settings.spectrum, settings.network)
    if not isinstance(networks[0], Cascade):
        _fill(describe, networks)
        return Assembled(describe)
    _fill(describe, [network.get_submodule("extractor") for network in networks])
    separate = SeparatorBank(settings.network)
    _fill(separate, [network.get_submodule("separator") for network in networks])
    return Assembled(describe, separate)


def _load(workspace: Workspace, stage: StageSpec, paft: Paft | None, instrument: int | None) -> nn.Module:
    settings = workspace.settings
    if paft and paft_path(workspace.folder, paft, settings, settings.seed, instrument).exists():
        return load_paft(workspace, paft, settings.seed, instrument)
    return workspace.network(stage.name, instrument)


def _fill(bank: ExtractorBank | SeparatorBank, networks: list[nn.Module]) -> None:
    bank.networks = nn.ModuleList(networks)
    bank.eval()


def measure_gates(workspace: Workspace, separate: SeparatorBank) -> tuple[float, ...]:
    """Measure from which level of its separated sound each instrument is present, on validation songs.

    Args:
        workspace: The songs and the settings.
        separate: The separators.

    Returns:
        The K gates in dB relative to the mix, as `fit_gates` finds them on random combinations of stems.

    Example:
        >>> measure_gates(workspace, assembled.separate)
        (-21.3, -18.0, -24.2, -20.9, -19.5, -22.7)
    """
    settings = workspace.settings
    random = np.random.default_rng([settings.seed, _SEED])
    levels, present = [], []
    with torch.inference_mode():
        for _ in range(_SEGMENTS // _BATCH):
            batch = draw_sources(workspace.segments[1], _BATCH, random)
            spectrum = magnitudes(batch.mixes(), settings.spectrum)
            levels.append(relative_levels(separate(spectrum), spectrum).numpy())
            present.append(batch.present.numpy())
    return fit_gates(np.concatenate(levels), np.concatenate(present))


def export_method(
    workspace: Workspace,
    method: str,
    out: Path,
    *,
    licence: str,
    paft: Paft | None = None,
    precision: Precision = "float32",
) -> tuple[float, ...] | None:
    """Write the graph of a method for the backbone `unet`.

    Args:
        workspace: The networks, songs and settings.
        method: One of `METHODS`.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        paft: How the networks were tuned on judgements; None takes those before that.
        precision: How weights are stored.

    Returns:
        The gates of Cascade; None for other methods.

    Raises:
        UsageError: A network is missing, or the file cannot be written.

    Example:
        >>> export_method(workspace, "cascade-ft", Path("unet.onnx"), licence="Apache-2.0")
        (-21.3, -18.0, -24.2, -20.9, -19.5, -22.7)
    """
    found = assemble(workspace, method, paft)
    gates = measure_gates(workspace, found.separate) if found.separate else None
    settings: MetricSettings = workspace.settings
    export_rows(
        method,
        found.describe,
        settings,
        out,
        licence=licence,
        separate=found.separate,
        gates=gates,
        precision=precision,
    )
    return gates


def export_stems(workspace: Workspace, out: Path, *, licence: str, precision: Precision = "float32") -> None:
    """Write the graph of the separators, as they were trained for separation alone, for the separator `unet`.

    Args:
        workspace: The networks and settings.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        precision: How weights are stored.

    Raises:
        UsageError: A network is missing, or the file cannot be written.

    Example:
        >>> export_stems(workspace, Path("separators.onnx"), licence="Apache-2.0")
    """
    stage = STAGES["separators"]
    separate = SeparatorBank(workspace.settings.network)
    _fill(separate, [workspace.network(stage.name, number) for number in workspace.instruments(stage)])
    export_separators(separate, workspace.settings, out, licence=licence, precision=precision)
