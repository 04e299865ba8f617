"""Backbones with the weights that models bring for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import ModelError
from soundalike.models.installed import installed_models
from soundalike.models.recipes import BackboneWeights, Recipe, load_recipe

__all__ = ["installed_weights", "load_backbone", "load_named_backbone"]


def load_backbone(recipe: Recipe, name: str) -> Backbone:
    """Create a backbone of a model, with the weights that the recipe names for it.

    Where the recipe names an installed model for them, any that brings weights of the same version will do.

    Args:
        recipe: The recipe.
        name: The backbone.

    Raises:
        UsageError: There is no such backbone, or it takes no weights but the recipe names some.
        ModelError: Its weights are missing or invalid, or no installed model brings them.

    Example:
        >>> load_backbone(load_recipe("dsp"), "dsp").rate
        22050
    """
    named = recipe.backbone_weights.get(name)
    if named is None or named.model is None:
        return _create(name, named.path if named else None)
    version = recipe.backbone_versions[name]
    found = list(_installed(name))
    weights = [one for one, its in found if its == version] or [one for one, _ in found if one.model == named.model]
    if not weights:
        raise ModelError(
            f"model {recipe.name} needs the weights of {name} that the model {named.model} brings"
            f"{f' ({named.credit})' if named.credit else ''}; install it with: soundalike models install {named.model}"
        )
    return _create(name, weights[0].path)


def installed_weights(backbone: str) -> BackboneWeights | None:
    """Return the weights of a backbone that an installed model brings; None if no installed model has any.

    Of several models, the one with the name of the backbone comes first, then the first in order of names.

    Example:
        >>> installed_weights("mert").path
        PosixPath('/home/ann/.local/share/soundalike/models/mert/mert')
    """
    return next((weights for weights, _ in _installed(backbone)), None)


def _installed(backbone: str) -> Iterator[tuple[BackboneWeights, int]]:
    """Yield the weights of a backbone that installed models bring, and the versions of the backbone with them."""
    for model in sorted(installed_models(), key=lambda name: (name != backbone, name)):
        try:
            recipe = load_recipe(model)
        except ModelError:  # a broken model must not stop what does not need it
            continue
        weights = recipe.backbone_weights.get(backbone)
        if weights and weights.path:
            licence, credit = weights.licence or recipe.licence, weights.credit or recipe.summary
            yield replace(weights, model=model, licence=licence, credit=credit), recipe.backbone_versions[backbone]


def load_named_backbone(name: str) -> Backbone:
    """Create a backbone by its name, with the weights of an installed model if it has any.

    Raises:
        UsageError: There is no such backbone.
        ModelError: It needs weights and no installed model has them, or they are invalid.

    Example:
        >>> load_named_backbone("dsp").rate
        22050
    """
    weights = installed_weights(name)
    return _create(name, weights.path if weights else None)


def _create(name: str, weights: Path | None) -> Backbone:
    backbone: Backbone = plugins.load("backbones", name, **({} if weights is None else {"weights": weights}))
    return backbone
