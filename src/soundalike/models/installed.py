"""Find models: those that are bundled with this package, and those that `soundalike models install` has added."""

from __future__ import annotations

from pathlib import Path

from soundalike.core.names import check_name
from soundalike.core.settings import data_folder

__all__ = ["find_model", "installed_folder", "installed_models", "is_installed", "replaced_folder"]

_BUNDLED = Path(__file__).parent / "bundled"
_REPLACED = ".replaced"  # no model can have this name


def installed_models() -> tuple[str, ...]:
    """Return the sorted names of the models that are bundled or installed. No weights are read.

    Example:
        >>> installed_models()
        ('compact', 'dsp')
    """
    folders = [path.parent for parent in _places() for path in parent.glob("*/recipe.json")]
    return tuple(sorted({folder.name for folder in folders if _is_name(folder.name)}))


def installed_folder(name: str) -> Path:
    """Return the folder in which a model of this name is installed. It need not exist.

    Args:
        name: Name of the model.

    Raises:
        ValueError: `name` breaks the rule for names, or a bundled model has it, which nothing replaces.

    Example:
        >>> installed_folder("mert")
        PosixPath('/home/ann/.local/share/soundalike/models/mert')
    """
    check_name("model", name)
    if (_BUNDLED / name / "recipe.json").is_file():
        raise ValueError(f"{name!r} is the name of a bundled model; give the model another name")
    return _installed() / name


def replaced_folder(folder: Path) -> Path:
    """Return where the model in an installed folder stays until the model that replaces it is there.

    Models are found there too, so a process that is killed between the two renames leaves one.

    Example:
        >>> replaced_folder(installed_folder("mert"))
        PosixPath('/home/ann/.local/share/soundalike/models/.replaced/mert')
    """
    return folder.parent / _REPLACED / folder.name


def is_installed(name: str) -> bool:
    """Return whether a model of this name is installed, even if it cannot be read.

    Raises:
        ValueError: As for `installed_folder`.

    Example:
        >>> is_installed("mert")
        False
    """
    folder = installed_folder(name)
    return folder.exists() or replaced_folder(folder).exists()


def find_model(model: str) -> Path:
    """Return the folder of a model: a bundled one of this name, else an installed one, else the path `model`.

    Args:
        model: Name of a bundled or installed model, or path of a model folder.

    Returns:
        The folder. It need not exist.

    Example:
        >>> find_model("dsp").name
        'dsp'
    """
    if _is_name(model):
        for parent in _places():
            if (parent / model / "recipe.json").is_file():
                return parent / model
    return Path(model)


def _places() -> tuple[Path, ...]:
    """Return the folders that hold one folder per model, in the order in which names are looked up."""
    return _BUNDLED, _installed(), _installed() / _REPLACED


def _installed() -> Path:
    """Return the folder that holds one folder per installed model."""
    return data_folder() / "models"


def _is_name(text: str) -> bool:
    """Return whether a model may have this name. Folders with other names are left out of listings."""
    try:
        return bool(check_name("model", text))
    except ValueError:
        return False
