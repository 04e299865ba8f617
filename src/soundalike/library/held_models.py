"""Load the models whose rows a library holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from soundalike.core.errors import ModelError, UsageError
from soundalike.library.catalog.held import HeldModel
from soundalike.models import Model, find_model, load_once

__all__ = ["check_backbones", "load_held"]


def load_held(library: Path, name: str, held: HeldModel) -> Model:
    """Load a model that a library holds.

    Args:
        library: Folder of the library, for messages.
        name: Name of the model in the library.
        held: Where to load it from.

    Raises:
        ModelError: The model has been removed since, or it is invalid.

    Example:
        >>> load_held(Path("library"), "dsp", HeldModel(digest, "dsp")).name
        'dsp'
    """
    folder = find_model(held.source)
    if not (folder / "recipe.json").is_file():
        if os.path.isabs(held.source):  # noqa: PTH117 - the source of an installed model is its name
            remedy = f"expected its folder at {folder}: put it back"
        else:
            remedy = f"it is no longer installed: install it again with: soundalike models install {held.source}"
        raise ModelError(
            f"the library at {library} was encoded by {name}, but {remedy}, or encode into another library with: "
            "soundalike index --library NEW DIR"
        )
    return load_once(held.source)


def check_backbones(models: Iterable[Model]) -> None:
    """Check that models can be encoded together: their features are extracted once per backbone name.

    Raises:
        UsageError: Two of the models use other weights of the same backbone.
    """
    first: dict[str, Model] = {}
    for model in models:
        for name, backbone in model.backbones.items():
            other = first.setdefault(name, model)
            if other.backbones[name].version != backbone.version:
                raise UsageError(
                    f"{other.name} and {model.name} use different weights of the backbone {name}; "
                    f"encode with {model.name} into another library with: soundalike index --library NEW DIR"
                )
