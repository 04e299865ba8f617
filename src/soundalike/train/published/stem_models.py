"""Install stem models: a base model on the stems of a separator, calibrated on separated clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.core.files import write_json
from soundalike.core.types import FloatArray
from soundalike.models import (
    MIX,
    Model,
    Recipe,
    SeparatorVersion,
    installed_folder,
    joined_recipe,
    load_recipe,
    stem_recipe,
)
from soundalike.train.common.null_distributions import CalibrationClip, Progress, measure_null_distributions
from soundalike.train.published.model_folder import making, put_in_place
from soundalike.train.published.sources import link_or_copy

if TYPE_CHECKING:
    from soundalike.audio.separators import Separator

__all__ = ["StemJob", "install_stems", "is_current", "plan_joined", "plan_stems"]

_VOICES = "spleeter"
"""The separator of models that join mixes and vocals: it needs no download."""

_FEWEST = 12
"""Clips in which a space must be audible, of the 36 demo clips. With fewer, the calibration of the base stays."""


@dataclass(frozen=True, slots=True)
class StemJob:
    """A stem model to install: its base, the separator, its recipe, and the folder where it will be."""

    base: Recipe
    separator: Separator
    body: Mapping[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """The name of the stem model."""
        return self.folder.name


def plan_stems(base: str, separator: str) -> StemJob:
    """Check what can be checked before anything is made.

    Args:
        base: The name or folder of the base model.
        separator: The name of a separator.

    Raises:
        UsageError: There is no such separator or it lacks its extra or weights, or the name cannot be that of a model.
        ModelError: There is no such base model.

    Example:
        >>> plan_stems("compact", "spleeter").name
        'compact-spleeter'
    """
    recipe, found = load_recipe(base), plugins.load("separators", separator)
    body = stem_recipe(recipe, SeparatorVersion(found.name, found.version), found.stems, found.licence)
    return _job(recipe, found, body)


def plan_joined(base: str, separator: str = _VOICES) -> StemJob:
    """Check what can be checked before a model is made that joins its base with `vocals.melody`.

    Args:
        base: The name or folder of the base model.
        separator: The name of a separator that makes vocals.

    Raises:
        UsageError: As for `plan_stems`, or the base has no space `melody`.
        ModelError: There is no such base model, or the separator lacks its weights.

    Example:
        >>> plan_joined("compact").name
        'compact-stems'
    """
    recipe, found = load_recipe(base), plugins.load("separators", separator)
    return _job(recipe, found, joined_recipe(recipe, SeparatorVersion(found.name, found.version), found.licence))


def _job(base: Recipe, separator: Separator, body: Mapping[str, Any]) -> StemJob:
    try:
        folder = installed_folder(body["name"])
    except ValueError as error:
        raise UsageError(str(error)) from error
    return StemJob(base, separator, body, folder)


def is_current(job: StemJob) -> bool:
    """Whether the model is installed, and made of the present versions of its base and its separator.

    Example:
        >>> is_current(plan_stems("compact", "spleeter"))
        False
    """
    try:
        recipe = load_recipe(job.name)
    except ModelError:
        return False
    wanted = SeparatorVersion(job.separator.name, job.separator.version)
    return (recipe.base, recipe.separator) == (job.base.digest, wanted)


def install_stems(
    job: StemJob, clips: Sequence[CalibrationClip], *, progress: Progress | None = None
) -> tuple[str, ...]:
    """Install a stem model, in the place of an older one. After an error or an interruption, nothing of it is left.

    Args:
        job: What to install.
        clips: The clips to calibrate with. They are separated and encoded.
        progress: Called with clips done, all clips, and seconds of audio.

    Returns:
        The spaces that are audible in too few of the clips, or in none, as those of stems that lie beside the files
        only. They have the calibration of the base on mixes; a library of 200 recordings calibrates them itself.

    Raises:
        UsageError: The folder cannot be written to.
        ModelError: The model does not fit its backbones.

    Example:
        >>> install_stems(plan_stems("compact", "spleeter"), clips)
        ()
    """
    body = deepcopy(dict(job.body))
    with making(job.folder) as made:
        _link_weights(job.base, body.get("backbones", {}), made)
        write_json(made / "recipe.json", body)
        recipe = load_recipe(str(made))
        model = Model(recipe)

        def encode(path: Path) -> tuple[Mapping[str, FloatArray], float]:
            try:
                encoding = model.encode(path)
            except AudioError:  # the separator finds no stems of the clip
                return {space.name: np.zeros((1, space.dim), np.float32) for space in model.spaces}, 0.0
            return encoding.passages.rows, encoding.info.duration

        measured = measure_null_distributions(encode, clips, progress, fewest=_FEWEST)
        on_stems = [entry for entry in body["spaces"] if entry["source"] != MIX]
        for entry in on_stems:  # the base has better ones of mixes
            if calibration := measured.get(entry["name"]):
                entry["calibration"] = {level: asdict(one) for level, one in calibration.items()}
        write_json(made / "recipe.json", body)
        load_recipe(str(made))  # what was written can be read
        put_in_place(made, job.folder)
    return tuple(entry["name"] for entry in on_stems if entry["name"] not in measured)


def _link_weights(base: Recipe, backbones: Mapping[str, dict[str, str]], made: Path) -> None:
    """Link the weights of the heads and of the backbones into a new model folder, and say so in `backbones`."""
    link_or_copy(base.weights, made / base.weights.name)
    for name, entry in backbones.items():
        source = base.backbone_weights[name].path
        if source is None:  # an installed model brings them
            continue
        for file in source.rglob("*") if source.is_dir() else [source]:
            if file.is_file():
                link_or_copy(file, made / name / file.relative_to(source) if source.is_dir() else made / source.name)
        entry["weights"] = name if source.is_dir() else source.name
