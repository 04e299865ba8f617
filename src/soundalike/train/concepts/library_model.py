"""Write the concepts of a library as a model: a recipe, the weights, `concepts.json` and a card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from soundalike.backbones import Backbone
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.files import read_json, write_atomic, write_json
from soundalike.core.types import Calibration, FloatArray, Level, SpaceInput
from soundalike.models import MIX, Recipe, at_levels, load_recipe
from soundalike.train.common.calibration import calibrate_random_pairs
from soundalike.train.common.recipe import space_entry, write_model
from soundalike.train.concepts.labels import Concept
from soundalike.train.concepts.library_tracks import LibraryTracks
from soundalike.train.concepts.library_training import LearnedConcept, LearnedConcepts
from soundalike.train.concepts.suggestions import TagCalibration

__all__ = ["CONCEPTS_FILE", "ConceptInput", "read_calibrations", "write_concepts"]

CONCEPTS_FILE = "concepts.json"
"""What was measured, and the calibrations of suggestions, in the folder of a model."""


@dataclass(frozen=True, slots=True, eq=False)
class ConceptInput:
    """What the projections take as their input: features of the backbone of a model, or the rows of the model.

    Attributes:
        model: The model.
        backbone: Its backbone.
        feature: Features of the backbone, joined by "+".
        stacked: Whether the input are rows.

    Raises:
        UsageError: The spaces of the model are not all of the mix and of one backbone, or it stands on rows itself.
    """

    model: Recipe
    backbone: Backbone
    feature: str
    stacked: bool

    def __post_init__(self) -> None:
        recipe = self.model
        if recipe.rows_of or {one.source for one in recipe.spaces} != {MIX} or len(recipe.backbone_versions) != 1:
            raise UsageError(
                f"concepts cannot be learned from {recipe.name}; expected a model whose spaces are of the mix and of "
                "one backbone, such as compact"
            )

    def entries(self) -> list[dict[str, Any]]:
        """Return the inputs of a space for its entry in a recipe; none if the features are the input."""
        spaces = self.model.spaces if self.stacked else ()
        return [asdict(SpaceInput(one.name, one.feature, one.head, one.dim, one.tensors or one.name)) for one in spaces]

    def tensors(self) -> dict[str, FloatArray]:
        """Return the weights of the heads whose rows are the input."""
        return dict(load_file(self.model.weights)) if self.stacked else {}

    def backbone_weights(self) -> dict[str, dict[str, str]]:
        """Return where the weights of the backbone are, if it comes without them."""
        weights = self.model.backbone_weights.get(self.backbone.name)
        if weights is None:
            return {}
        where = {"weights": str(weights.path)} if weights.path else {"model": weights.model or self.model.name}
        about = {"licence": weights.licence, "credit": weights.credit}
        return {self.backbone.name: where | {key: value for key, value in about.items() if value}}


def write_concepts(
    out: Path,
    name: str,
    licence: str,
    learned: LearnedConcepts,
    tracks: LibraryTracks,
    source: ConceptInput,
    seed: int,
) -> None:
    """Write a model with one space per concept. The same arguments give the same bytes.

    Args:
        out: The folder of the model.
        name: The name of the model.
        licence: The licence of its weights.
        learned: What was learned.
        tracks: The tracks that it was learned from; pairs of them calibrate the spaces until a library does.
        source: What the input is.
        seed: The seed of the training.

    Raises:
        UsageError: The folder cannot be written to.
        ModelError: The rows of a concept are all equal.
    """
    tensors, spaces = source.tensors(), []
    for concept, one in learned.concepts.items():
        key = f"concept.{concept}"
        weight = np.asarray(one.head.weight)
        tensors |= {f"{key}.mean": np.asarray(one.head.mean), f"{key}.weight": weight}
        calibration = _calibrate(concept, one, tracks, seed)
        entry = space_entry(concept, source.backbone, source.feature, "linear", len(weight), calibration)
        entry["tensors"] = key
        if inputs := source.entries():
            entry["inputs"] = inputs
        spaces.append(entry)
    write_model(
        out,
        name=name,
        summary="Concepts learned from the tags of a library: " + ", ".join(learned.concepts) + ".",
        licence=licence,
        spaces=spaces,
        tensors=tensors,
        trained_on=[{"name": "the tags of a library", "licence": "", "n": len(tracks.labels)}],
        seed=seed,
        backbones=source.backbone_weights(),
        rows_of={"model": source.model.name, "digest": source.model.digest} if source.stacked else None,
    )
    write_json(out / CONCEPTS_FILE, {"concepts": _facts(learned), "lacking": dict(learned.lacking)})
    card = _card(name, licence, learned, source)
    write_atomic(out / "card.md", lambda file: file.write(card.encode()))
    load_recipe(str(out))  # what was written can be read


def read_calibrations(folder: Path) -> dict[Concept, TagCalibration]:
    """Return what turns votes into probabilities, for the concepts of a model that have tags.

    Args:
        folder: The folder of a model that `write_concepts` wrote.

    Raises:
        ModelError: It has no `concepts.json`, or that is invalid.

    Example:
        >>> read_calibrations(Path("concepts"))["genre"].slope > 0
        True
    """
    file = folder / CONCEPTS_FILE
    if not file.is_file():
        raise ModelError(
            f"{folder} has no {CONCEPTS_FILE}: the model was not learned from the tags of a library; "
            "make one with: soundalike train concepts --library LIB -o DIR"
        )
    try:
        found = read_json(file)["concepts"]
        return {
            concept: TagCalibration(
                float(one["calibration"]["slope"]),
                float(one["calibration"]["intercept"]),
                int(one["calibration"]["pairs"]),
                float("nan") if one["calibration"]["error"] is None else float(one["calibration"]["error"]),
            )
            for concept, one in found.items()
            if one["calibration"]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{file} cannot be read ({error!r}); train the model again") from error


def _calibrate(concept: Concept, one: LearnedConcept, tracks: LibraryTracks, seed: int) -> dict[Level, Calibration]:
    """Return the null distributions of a concept: pairs of passages, and of tracks, of different groups."""
    passages = one.head(tracks.passages, np.ones(len(tracks.passages), np.bool_))
    numbers = np.unique(tracks.track_of)
    rows = [at_levels({concept: passages[tracks.track_of == n]})["track"][concept] for n in numbers]
    levels: dict[Level, tuple[FloatArray, Any]] = {
        "track": (np.vstack(rows), tracks.group_of[numbers]),
        "passage": (passages, tracks.group_of[tracks.track_of]),
    }
    try:
        return {
            level: calibrate_random_pairs(of_level, groups, np.random.default_rng(seed))
            for level, (of_level, groups) in levels.items()
        }
    except ValueError as error:
        raise ModelError(f"the concept {concept} cannot be used: {error}") from error


def _facts(learned: LearnedConcepts) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for concept, one in learned.concepts.items():
        calibration = asdict(one.calibration) if one.calibration else None
        if calibration and math.isnan(calibration["error"]):
            calibration["error"] = None
        facts[concept] = {
            "labelled": one.labelled,
            "judged": len(one.held_out.accuracy),
            "accuracy": float(one.held_out.accuracy.mean()) if len(one.held_out.accuracy) else None,
            "calibration": calibration,
        }
    return facts


def _card(name: str, licence: str, learned: LearnedConcepts, source: ConceptInput) -> str:
    """Return the card of a model as Markdown."""
    origin = f"the rows of `{source.model.name}`" if source.stacked else f"the features of `{source.backbone.name}`"
    rows: Sequence[str] = [
        f"| {concept} | {one.labelled:,} | {len(one.held_out.accuracy):,} | {one.held_out.accuracy.mean():.3f} |"
        for concept, one in learned.concepts.items()
    ]
    lines = [
        f"# `{name}`", "", f"Concepts learned from the tags of a library, on {origin}.", "",
        f"Licence of the weights: {licence}", "",
        "Held-out triplet accuracy: projections that had not seen a group (an artist, for example) compare its tracks.",
        "Chance is 0.5.", "",
        "| concept | labelled tracks | judged | accuracy |", "|---|---|---|---|", *rows,
        *(f"| {concept} | n/a: {reason} | | |" for concept, reason in learned.lacking.items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
