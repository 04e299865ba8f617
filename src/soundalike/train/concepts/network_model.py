"""Write the model of an exported concept network: a folder with a recipe, one space per concept, and a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.backbones import Backbone
from soundalike.backbones.analysis import ConceptGraph
from soundalike.core import plugins
from soundalike.core.files import make_folder, write_atomic
from soundalike.core.types import FloatArray
from soundalike.models import Head, extract, load_recipe
from soundalike.train.common.null_distributions import CalibrationClip, Progress, measure_null_distributions
from soundalike.train.common.recipe import space_entry, write_model

__all__ = ["About", "write_network_model"]

_BACKBONE = "concepts"
_NETWORK_FILE, _CARD_FILE = "concepts.onnx", "card.md"


@dataclass(frozen=True, slots=True)
class About:
    """What a model says about itself.

    Attributes:
        name: Its name.
        trained_on: The sources of the training data, each with its `name`, `licence` and number `n`.
        seed: The seed of the training.
        results: What was measured, as Markdown for the card.
    """

    name: str
    trained_on: Sequence[Mapping[str, object]]
    seed: int
    results: str


def write_network_model(
    network: Path,
    graph: ConceptGraph,
    out: Path,
    about: About,
    clips: Sequence[CalibrationClip],
    *,
    progress: Progress | None = None,
) -> None:
    """Write a model on an exported network. The same arguments give the same bytes.

    The rows of a space are those of its concept at unit length, so that their similarity is the cosine that the network
    was trained with.

    Args:
        network: A file of `export_concepts`.
        graph: What the file says about itself.
        out: The folder of the model.
        about: What the model says about itself.
        clips: The clips to calibrate with.
        progress: Called with clips done, all clips, and seconds of audio.

    Raises:
        UsageError: The folder cannot be written to.
        ModelError: The file is not one of `export_concepts`, or the rows of all clips are equal.

    Example:
        >>> write_network_model(Path("work/concepts.onnx"), graph, Path("concepts"), about, clips)
    """
    make_folder(out, "--out")
    content = network.read_bytes()
    write_atomic(out / _NETWORK_FILE, lambda file: file.write(content))
    backbone: Backbone = plugins.load("backbones", _BACKBONE, weights=out / _NETWORK_FILE)
    head = Head()

    def encode(path: Path) -> tuple[Mapping[str, FloatArray], float]:
        found = extract({_BACKBONE: backbone}, path)
        features = found.features[_BACKBONE]
        return {one: head(features.rows[one], features.audible[one]) for one in backbone.dims}, found.info.duration

    measured = measure_null_distributions(encode, clips, progress)
    write_model(
        out,
        name=about.name,
        summary=f"The concepts of a mix: {', '.join(backbone.dims)}.",
        licence=graph.licence,
        spaces=[space_entry(one, backbone, one, "identity", dim, measured[one]) for one, dim in backbone.dims.items()],
        tensors={},
        trained_on=about.trained_on,
        seed=about.seed,
        backbones={_BACKBONE: {"weights": _NETWORK_FILE, "licence": graph.licence, "credit": about.name}},
    )
    load_recipe(str(out))  # what was written can be read
    card = _card(graph, about, len(content))
    write_atomic(out / _CARD_FILE, lambda file: file.write(card.encode()))


def _card(graph: ConceptGraph, about: About, size: int) -> str:
    """Return the card of a model as Markdown."""
    inputs = graph.inputs
    sizes = ", ".join(f"{name} ({inputs.bins(name)} x {inputs.frames})" for name in inputs.names)
    lines = [
        f"# `{about.name}`",
        "",
        f"The concepts of a mix: {', '.join(graph.concepts)}.",
        "",
        "| | |",
        "|---|---|",
        f"| spaces | {', '.join(f'`{one}`' for one in graph.concepts)}; {graph.dim} dimensions each, unit rows |",
        f"| segments | {inputs.seconds:g} s, mono, {inputs.rate:,} Hz; frames of {inputs.window} samples every "
        f"{inputs.hop} |",
        f"| inputs | {sizes} |",
        *([f"| tempogram | {inputs.tempogram} |"] if "tempogram" in inputs.names else []),
        f"| size of the network | {size / 1e6:.1f} MB |",
        f"| licence of the weights | {graph.licence} |",
        f"| seed | {about.seed} |",
        "",
        "## Training data",
        "",
        "| data | licence | number |",
        "|---|---|---|",
        *(f"| {one['name']} | {one['licence']} | {one['n']} |" for one in about.trained_on),
        "",
        "## Results",
        "",
        about.results.strip(),
    ]
    return "\n".join(lines) + "\n"
