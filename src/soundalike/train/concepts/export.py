"""Export trained concept networks to ONNX: one graph from the inputs to the embedding, for the backbone `concepts`.

The settings that are needed to run a file are in its metadata (`ConceptGraph`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from soundalike.backbones.analysis import CONCEPT_KEY, ConceptGraph
from soundalike.train.common.onnx_files import Precision, write_onnx
from soundalike.train.concepts.networks import AnyNetwork
from soundalike.train.concepts.settings import ConceptSettings

__all__ = ["export_concepts"]


class _Positional(nn.Module):
    """A network with an argument per input, in order: the exporter knows no mappings."""

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        embedding: Tensor = self.network(dict(zip(self.network.names, inputs, strict=True)))
        return embedding


def export_concepts(
    network: AnyNetwork,
    settings: ConceptSettings,
    out: Path,
    *,
    licence: str,
    precision: Precision = "float32",
) -> None:
    """Write the graph of a network for the backbone `concepts`.

    It takes segments of the length of the settings, each input as (n, bins, frames), and gives `embedding` (n, D).

    Args:
        network: The network, or several of one concept each.
        settings: What it was made with; those of several together.
        out: The file to write.
        licence: Licence of the weights, an SPDX expression.
        precision: How weights are stored.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> export_concepts(load_concepts(path, SMALL), SMALL, Path("concepts.onnx"), licence="CC0-1.0")
    """
    inputs, device = settings.inputs, next(network.parameters()).device
    sizes = {name: ("n", inputs.bins(name), inputs.frames) for name in inputs.names}
    write_onnx(
        _Positional(network),
        {name: torch.rand(2, bins, frames, device=device) for name, (_, bins, frames) in sizes.items()},
        out,
        inputs=sizes,
        outputs={"embedding": ("n", settings.size)},
        metadata={CONCEPT_KEY: ConceptGraph(settings.concepts, settings.dim, licence, inputs).to_json()},
        precision=precision,
    )
