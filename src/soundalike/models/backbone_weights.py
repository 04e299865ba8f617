"""Backbones with the weights that models bring for them."""

from __future__ import annotations

from pathlib import Path

from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import ModelError
from soundalike.models.installed import installed_models
from soundalike.models.recipes import Recipe, load_recipe

__all__ = ["installed_weights", "load_backbone", "load_named_backbone"]


def load_backbone(recipe: Recipe, name: str) -> Backbone:
    """Create a backbone of a model, with the weights that the recipe names for it.

    Args:
        recipe: The recipe.
        name: The backbone.

    Raises:
        UsageError: There is no such backbone, or it takes no weights but the recipe names some.
        ModelError: Its weights are missing or invalid.

    Example:
        >>> load_backbone(load_recipe("dsp"), "dsp").rate
        22050
    """
    return _create(name, recipe.backbone_weights.get(name))


def installed_weights(backbone: str) -> Path | None:
    """Return the weights of a backbone that an installed model brings; None if no installed model has any.

    Of several models, the one with the name of the backbone comes first, then the first in order of names.

    Example:
        >>> installed_weights("mert")
        PosixPath('/home/ann/.local/share/soundalike/models/mert/mert')
    """
    for model in sorted(installed_models(), key=lambda name: (name != backbone, name)):
        try:
            weights = load_recipe(model).backbone_weights.get(backbone)
        except ModelError:  # a broken model must not stop what does not need it
            continue
        if weights is not None:
            return weights
    return None


def load_named_backbone(name: str) -> Backbone:
    """Create a backbone by its name, with the weights of an installed model if it has any.

    Raises:
        UsageError: There is no such backbone.
        ModelError: It needs weights and no installed model has them, or they are invalid.

    Example:
        >>> load_named_backbone("dsp").rate
        22050
    """
    return _create(name, installed_weights(name))


def _create(name: str, weights: Path | None) -> Backbone:
    backbone: Backbone = plugins.load("backbones", name, **({} if weights is None else {"weights": weights}))
    return backbone
