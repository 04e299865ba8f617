"""Small random networks for instruments, as ONNX files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundalike.train.metric.settings import MetricSettings


def tiny_settings(*instruments: str) -> MetricSettings:
    """Networks of six layers with few channels, at 16 kHz; for drums and the rest unless instruments are given."""
    from soundalike.train.metric.settings import MetricSettings, NetworkSettings, SpectrumSettings

    network = NetworkSettings(
        instruments=instruments or ("drums", "other"), channels=(2, 2, 3, 3, 4, 4), dim=6, bands=24
    )
    return MetricSettings(spectrum=SpectrumSettings(rate=16_000, size=512, hop=256), network=network)


def write_tiny_masks(path: Path) -> Path:
    """Write random separators for the separator `unet`."""
    return _write(path.with_suffix(".onnx"), _export_masks())


def write_tiny_rows(path: Path) -> Path:
    """Write the graph of a random Cascade, with gates, for the backbone `unet`."""
    return _write(path.with_suffix(".onnx"), _export_rows())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@cache
def _export_masks() -> bytes:
    import torch

    from soundalike.train.metric.export import export_separators
    from soundalike.train.metric.unet import SeparatorBank

    torch.manual_seed(0)
    settings = tiny_settings()
    with TemporaryDirectory() as folder:
        export_separators(SeparatorBank(settings.network), settings, Path(folder) / "a", licence="CC0-1.0")
        return (Path(folder) / "a").read_bytes()


@cache
def _export_rows() -> bytes:
    import torch

    from soundalike.train.metric.export import export_rows
    from soundalike.train.metric.unet import ExtractorBank, SeparatorBank

    torch.manual_seed(0)
    settings = tiny_settings()
    extractors = ExtractorBank(settings.spectrum, settings.network)
    with TemporaryDirectory() as folder:
        export_rows(
            "cascade",
            extractors,
            settings,
            Path(folder) / "a",
            licence="CC0-1.0",
            separate=SeparatorBank(settings.network),
            gates=[-20.0, -20.0],
        )
        return (Path(folder) / "a").read_bytes()
