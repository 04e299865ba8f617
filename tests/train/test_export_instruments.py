"""Exported networks equal torch, with every method; front ends agree; gates are those of an exhaustive search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("onnx", reason="torch writes networks with onnx")

import torch

from soundalike.audio.separators import UnetNetwork, magnitudes
from soundalike.train.metric import spectra
from soundalike.train.metric.export import Rows, export_rows, export_separators, relative_levels
from soundalike.train.metric.presence import OPEN, balanced_accuracy, fit_gates
from soundalike.train.metric.settings import SMALL, SpectrumSettings
from soundalike.train.metric.unet import Direct, DirectReconst, ExtractorBank, SeparatorBank
from tiny_unet import tiny_settings, write_tiny_rows

SETTINGS = tiny_settings()


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    """Random networks with the running statistics of some batches."""
    torch.manual_seed(0)
    network, spectrum = SETTINGS.network, SETTINGS.spectrum
    made = {
        "separators": SeparatorBank(network),
        "extractors": ExtractorBank(spectrum, network),
        "direct": Direct(spectrum, network),
        "direct-reconst": DirectReconst(spectrum, network),
    }
    with torch.no_grad():
        for one in made.values():
            for _ in range(3):
                one(10 * torch.rand(4, 256, 70))
    return made


def exported(method: str, networks: dict[str, torch.nn.Module], out: Path) -> torch.nn.Module:
    """Export a method; returns the module that the file has to equal."""
    separators, extractors = networks["separators"], networks["extractors"]
    if method == "separators":
        export_separators(separators, SETTINGS, out, licence="CC0-1.0")
        return separators
    cascade = method.startswith("cascade")
    describe = (
        extractors if cascade or method == "clean" else networks["direct-reconst" if "rec" in method else "direct"]
    )
    options = {"separate": separators, "gates": [-20.0, -25.5]} if cascade else {}
    export_rows(method, describe, SETTINGS, out, licence="CC0-1.0", **options)
    return Rows(describe, separators if cascade else None, cascade)


def expected(module: torch.nn.Module, spectrum: torch.Tensor) -> list[np.ndarray]:
    module.eval()
    with torch.no_grad():
        found = module.masks(spectrum) if isinstance(module, SeparatorBank) else module(spectrum)
    return [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("method", ["clean", "cascade", "direct", "direct-reconst", "separators"])
def test_a_file_equals_torch(method: str, networks, tmp_path: Path) -> None:
    for network in networks.values():
        network.train()
    module = exported(method, networks, tmp_path / "a.onnx")
    assert all(network.training for network in networks.values())
    output = "masks" if method == "separators" else "rows"
    network = UnetNetwork(tmp_path / "a.onnx", output, code=1)
    generator = torch.Generator().manual_seed(1)
    for segments, frames in ((1, 1), (3, 40), (2, 157)):
        spectrum = 10 * torch.rand(segments, 256, frames, generator=generator)
        wanted = expected(module, spectrum)
        for found, right in zip(network(spectrum.numpy()), wanted, strict=True):
            assert found.shape == right.shape
            assert np.abs(found - right).max() <= 1e-5


def test_rounded_weights_take_less_space_and_change_rows_by_little(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Direct(SMALL.spectrum, SMALL.network)
    with torch.no_grad():
        network(10 * torch.rand(4, SMALL.spectrum.bins, 70))
    spectrum = 10 * torch.rand(3, SMALL.spectrum.bins, 70)
    right = expected(network, spectrum)[0]
    sizes = {}
    for precision, least in (("float32", 1.0), ("float16", 0.9999), ("int8", 0.999)):
        path = tmp_path / precision
        export_rows("direct", network, SMALL, path, licence="CC0-1.0", precision=precision)
        found = UnetNetwork(path, "rows", code=1)(spectrum.numpy())[0]
        cosines = (found * right).sum(axis=2) / np.linalg.norm(found, axis=2) / np.linalg.norm(right, axis=2)
        assert cosines.min() >= least - 1e-6
        assert (np.abs(found - right).max() > 1e-5) == (precision != "float32")
        sizes[precision] = path.stat().st_size
    assert sizes["float16"] < 0.52 * sizes["float32"] and sizes["int8"] < 0.27 * sizes["float32"]


def test_the_same_networks_give_the_same_bytes(networks, tmp_path: Path) -> None:
    for name in ("a", "b"):
        exported("direct", networks, tmp_path / f"{name}.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_settings_are_inside(tmp_path: Path) -> None:
    found = UnetNetwork(write_tiny_rows(tmp_path / "a"), "rows", code=1).settings
    assert (found.method, found.rate, found.size, found.hop, found.dim) == ("cascade", 16_000, 512, 256, 6)
    assert (found.instruments, found.gates, found.licence) == (("drums", "other"), (-20.0, -20.0), "CC0-1.0")
    assert found.outputs == ("rows", "level")


def test_gates_need_separators_and_one_per_instrument(networks, tmp_path: Path) -> None:
    for describe, options in (("direct", {"gates": [-20, -20]}), ("extractors", {"gates": [-20], "separate": 1})):
        with pytest.raises(ValueError, match="gates need separators, and one gate per instrument"):
            export_rows("any", networks[describe], SETTINGS, tmp_path / "a.onnx", licence="", **options)


@pytest.mark.parametrize("settings", [SpectrumSettings(), SpectrumSettings(16_000, 1024, 512)])
def test_the_front_end_equals_that_of_the_training(settings: SpectrumSettings) -> None:
    for samples in (1, 511, 4096, 30_001):
        clips = np.random.default_rng(samples).uniform(-1, 1, (2, samples)).astype(np.float32)
        wanted = spectra.magnitudes(torch.from_numpy(clips), settings).numpy()
        found = magnitudes(clips, settings.size, settings.hop)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_levels_are_those_of_a_loop() -> None:
    random = np.random.default_rng(0)
    spectrum = random.uniform(0, 3, (2, 4, 5))
    separated = spectrum[:, None] * random.uniform(0, 1, (2, 3, 4, 5))
    separated[1, 2] = 0
    found = relative_levels(torch.from_numpy(separated), torch.from_numpy(spectrum)).numpy()
    for segment in range(2):
        for instrument in range(3):
            energy = sum(value**2 for value in separated[segment, instrument].ravel())
            whole = sum(value**2 for value in spectrum[segment].ravel())
            level = 10 * np.log10(energy / whole) if energy else OPEN
            assert found[segment, instrument] == pytest.approx(level, abs=1e-6)


def test_gates_have_the_highest_balanced_accuracy() -> None:
    random = np.random.default_rng(0)
    present = random.random((60, 3)) < 0.6
    present[:, 2] = True
    levels = np.where(present, -12.0, -20.0) + random.normal(0, 5, (60, 3))
    gates = fit_gates(levels.astype(np.float32), present)
    assert gates[2] == OPEN
    for instrument in range(2):
        level, plays = levels[:, instrument], present[:, instrument]

        def accuracy(gate: float, level=level, plays=plays) -> float:
            right = [np.mean([one >= gate for one in level[plays]]), np.mean([one < gate for one in level[~plays]])]
            return sum(right) / 2

        best = max(accuracy(gate) for gate in [OPEN, *(level + 1e-3)])
        assert accuracy(gates[instrument]) == pytest.approx(best)
        assert balanced_accuracy(level >= gates[instrument], plays) == pytest.approx(best)
        assert 0.5 < best < 1
