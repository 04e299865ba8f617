"""Export trained networks to ONNX: one graph from magnitudes to rows, or to masks.

The settings that are needed to run a file are in its metadata (`UnetSettings`). The same networks give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from soundalike.audio.separators import UNET_KEY, UnetSettings
from soundalike.train.common.onnx_files import Precision, Sizes, write_onnx
from soundalike.train.metric.presence import OPEN
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.unet import Direct, ExtractorBank, SeparatorBank

__all__ = ["Rows", "export_rows", "export_separators", "relative_levels"]

_FRAMES = 100  # of the example; any number of frames may follow


def relative_levels(separated: Tensor, spectrum: Tensor) -> Tensor:
    """Return the level of each separated instrument relative to the mix.

    Args:
        separated: Magnitudes (n, K, b, f) of the instruments.
        spectrum: Magnitudes (n, b, f) of the mix.

    Returns:
        (n, K) in dB, `presence.OPEN` or more.

    Example:
        >>> relative_levels(torch.ones(1, 1, 2, 3), 10 * torch.ones(1, 2, 3))
        tensor([[-20.0000]])
    """
    share = separated.square().sum(dim=(2, 3)) / spectrum.square().sum(dim=(1, 2)).clamp(min=1e-20)[:, None]
    return 10 * torch.log10(share.clamp(min=10 ** (OPEN / 10)))


class Rows(nn.Module):
    """The networks of one method, from the magnitudes (n, b, f) of a mix to rows (n, K, d) and perhaps levels (n, K).

    Args:
        describe: `ExtractorBank` (Clean, Cascade) or `Direct`.
        separate: The separators before the extractors of Cascade. None: the extractors see `spectrum` itself.
        levels: Whether to return `relative_levels` too; only with separators.

    Example:
        >>> network = Rows(Direct(SMALL.spectrum, SMALL.network))
        >>> network(torch.rand(1, SMALL.spectrum.bins, 100)).shape
        torch.Size([1, 6, 32])
    """

    def __init__(
        self, describe: ExtractorBank | Direct, separate: SeparatorBank | None = None, levels: bool = False
    ) -> None:
        super().__init__()
        self.describe, self.separate, self.levels = describe, separate, levels

    def forward(self, spectrum: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Compute rows, and levels if they are asked for."""
        if self.separate is None:
            rows: Tensor = self.describe(spectrum)
            return rows
        separated = self.separate(spectrum)
        rows = self.describe(separated)
        return (rows, relative_levels(separated, spectrum)) if self.levels else rows


class _Masks(nn.Module):
    def __init__(self, separate: SeparatorBank) -> None:
        super().__init__()
        self.separate = separate

    def forward(self, spectrum: Tensor) -> Tensor:
        return self.separate.masks(spectrum)


def export_rows(
    method: str,
    describe: ExtractorBank | Direct,
    settings: MetricSettings,
    out: Path,
    *,
    licence: str,
    separate: SeparatorBank | None = None,
    gates: Sequence[float] | None = None,
    precision: Precision = "float32",
) -> None:
    """Write the graph of a method for the backbone `unet`.

    Args:
        method: Its name, such as "cascade-ft".
        describe: The extractors, or the one of Direct.
        settings: What the networks were made with.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        separate: The separators of Cascade.
        gates: Level in dB relative to the mix from which each instrument counts as audible (`fit_gates`). None: always.
        precision: How weights are stored.

    Raises:
        UsageError: The file cannot be written.
        ValueError: Gates without separators, or not one per instrument.

    Example:
        >>> export_rows("direct", network, SMALL, Path("unet.onnx"), licence="Apache-2.0")
    """
    if gates is not None and (separate is None or len(gates) != len(settings.network.instruments)):
        raise ValueError("gates need separators, and one gate per instrument")
    about = UnetSettings(
        output="rows",
        method=method,
        rate=settings.spectrum.rate,
        size=settings.spectrum.size,
        hop=settings.spectrum.hop,
        instruments=settings.network.instruments,
        dim=settings.network.dim,
        gates=None if gates is None else tuple(float(gate) for gate in gates),
        licence=licence,
    )
    _write(Rows(describe, separate, gates is not None), about, out, precision)


def export_separators(
    separate: SeparatorBank, settings: MetricSettings, out: Path, *, licence: str, precision: Precision = "float32"
) -> None:
    """Write the graph of separators for the separator `unet`.

    Args:
        separate: The separators.
        settings: What they were made with.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        precision: How weights are stored.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> export_separators(separators, SMALL, Path("separators.onnx"), licence="Apache-2.0")
    """
    about = UnetSettings(
        output="masks",
        method="separators",
        rate=settings.spectrum.rate,
        size=settings.spectrum.size,
        hop=settings.spectrum.hop,
        instruments=settings.network.instruments,
        dim=None,
        gates=None,
        licence=licence,
    )
    _write(_Masks(separate), about, out, precision)


def _write(network: nn.Module, about: UnetSettings, out: Path, precision: Precision) -> None:
    bins, count = about.size // 2, len(about.instruments)
    sizes: Sizes = {
        "rows": ("n", count, about.dim or 0),
        "masks": ("n", count, bins, "frames"),
        "level": ("n", count),
    }
    write_onnx(
        network,
        {"spectrum": torch.rand(2, bins, _FRAMES, device=next(network.parameters()).device)},
        out,
        inputs={"spectrum": ("n", bins, "frames")},
        outputs={name: sizes[name] for name in about.outputs},
        metadata={UNET_KEY: about.to_json()},
        precision=precision,
    )
