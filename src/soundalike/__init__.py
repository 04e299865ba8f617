"""Find music that sounds alike, and hear why.

The names below are the public Python interface; they are loaded on first use, so that
``import soundalike`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Audio": "types",
    "Library": "library",
    "Match": "types",
    "Model": "model",
    "SoundalikeError": "errors",
    "Span": "types",
    "Vectors": "types",
    "Weights": "types",
}

__all__ = ["Audio", "Library", "Match", "Model", "SoundalikeError", "Span", "Vectors", "Weights", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"soundalike.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'soundalike' has no attribute {name!r}")
