"""Load the models whose rows a library holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from soundalike.core.errors import LibraryError, ModelError, UsageError
from soundalike.library.catalog.held import HeldModel, HeldSpace
from soundalike.models import DEFAULT_MODEL, Model, find_model, load_once

__all__ = ["check_backbones", "find_held", "load_held", "spaces_of_models"]


def find_held(library: Path, name: str | None, held: Mapping[str, HeldModel]) -> Model:
    """Load the model to search with.

    Args:
        library: Folder of the library, for messages.
        name: The name or folder of a model; None takes the default model if the library holds it, else the one
            that was added first.
        held: The models that the library holds, by name.

    Raises:
        LibraryError: The library is empty.
        ModelError: The library does not hold the model or holds another version of it, or the model was removed.

    Example:
        >>> find_held(Path("library"), None, {"dsp": HeldModel(digest, "dsp")}).name
        'dsp'
    """
    if not held:
        raise LibraryError(f"the library at {library} is empty; fill it with: soundalike index DIR")
    chosen = name if name is not None else (DEFAULT_MODEL if DEFAULT_MODEL in held else next(iter(held)))
    # A model that was given by its folder is held under the name in its recipe.
    model = load_held(library, chosen, held[chosen]) if chosen in held else load_once(chosen)
    if model.name not in held:
        raise ModelError(
            f"the library at {library} holds {', '.join(held)}, not {model.name}; "
            f"ask with --model {next(iter(held))}, or add it with: soundalike index --model {chosen} DIR"
        )
    if held[model.name].digest != model.recipe.digest:
        raise ModelError(
            f"the library at {library} was encoded by another version of {model.name}; "
            "encode it again with: soundalike index DIR"
        )
    return model


def spaces_of_models(models: Iterable[str], spaces: Iterable[HeldSpace]) -> dict[str, list[str]]:
    """Return the names of the spaces of every model that a library holds.

    Example:
        >>> spaces_of_models(["dsp"], [HeldSpace("dsp", "melody", "track", 128, 0)])
        {'dsp': ['melody']}
    """
    found: dict[str, list[str]] = {name: [] for name in models}
    for space in spaces:
        if space.level == "track":
            found[space.model].append(space.name)
    return found


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
