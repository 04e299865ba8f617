"""Networks of a method put together: the order of instruments, and the levels from which they count as present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_songs import RANGES, TINY, toy_material

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="instruments are trained with torch")
import torch
from torch import Tensor, nn

from soundalike.train.common.network_files import identity_of, save_network
from soundalike.train.metric.assemble import assemble, measure_gates
from soundalike.train.metric.methods import METHODS
from soundalike.train.metric.presence import balanced_accuracy
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.stages import STAGES, Workspace
from soundalike.train.metric.unet import SeparatorBank


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Random networks of all methods, all different."""
    folder = tmp_path_factory.mktemp("work")
    space = Workspace(folder, TINY, toy_material(folder))
    for name in METHODS.values():
        for number in space.instruments(STAGES[name]):
            torch.manual_seed(1 + (number or 0))
            save_network(space.path(name, number), STAGES[name].network(TINY), identity_of(TINY), ())
    return space


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_those_of_the_networks_in_the_order_of_the_instruments(workspace: Workspace, method: str) -> None:
    found = assemble(workspace, method)
    spectrum = 5 * torch.rand(2, TINY.spectrum.bins, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = found.describe(found.separate(spectrum) if found.separate else spectrum)
        stage = STAGES[METHODS[method]]
        parts = [workspace.network(stage.name, number)(spectrum) for number in workspace.instruments(stage)]
    expected = parts[0] if stage.joint else torch.stack(parts, dim=1)
    torch.testing.assert_close(rows, expected)
    assert rows.shape == (2, len(RANGES), TINY.network.dim)
    assert (found.separate is not None) == method.startswith("cascade")


def test_a_missing_network_is_named(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=r"clean.bass.safetensors cannot be read: .*; train it first"):
        assemble(Workspace(tmp_path, TINY, workspace.material), "clean")


class Ideal(nn.Module):  # type: ignore[misc]
    """Keep the bins of one instrument's range of pitches."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = (round(edge * TINY.spectrum.size / TINY.spectrum.rate) for edge in (low, high))

    def forward(self, spectrum: Tensor) -> Tensor:
        kept = torch.zeros_like(spectrum)
        kept[:, self.low : self.high + 1] = spectrum[:, self.low : self.high + 1]
        return kept


def test_gates_tell_segments_with_an_instrument_from_those_without(workspace: Workspace) -> None:
    bank = SeparatorBank(TINY.network)
    bank.networks = nn.ModuleList(Ideal(*edges) for edges in RANGES.values())
    gates = measure_gates(workspace, bank)
    assert gates == measure_gates(workspace, bank)
    stems = np.stack([workspace.material.songs["train"][0].cut(number, 0, 1600) for number in range(len(RANGES))])
    for present in (np.array([True, True, False]), np.array([False, True, True]), np.array([True, False, False])):
        spectrum = magnitudes(torch.from_numpy(stems[present].sum(axis=0))[None], TINY.spectrum)
        share = bank(spectrum).square().sum(dim=(2, 3)) / spectrum.square().sum(dim=(1, 2))
        passed = 10 * torch.log10(share)[0].numpy() >= gates
        assert balanced_accuracy(passed, present) == 1.0
