"""Random or formula weights for each backbone that comes without its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
from formulas import formula_tensor
from safetensors.numpy import save_file
from tiny_mert import write_tiny_mert
from tiny_muq import write_tiny_muq

from tiny_concepts import write_tiny_concepts
from tiny_unet import write_tiny_rows


def write_tiny_clap(folder: Path) -> Path:
    """Save a small random CLAP in the layout of the hub."""
    import torch
    import transformers

    torch.manual_seed(0)
    audio = {
        "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2],
        "projection_dim": 16,
    }  # fmt: skip
    text = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "projection_dim": 16}
    config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=16)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc").save_pretrained(folder)
    return folder


def write_random_openl3(folder: Path) -> Path:
    """Save a random OpenL3 of the published size."""
    import torch
    from torchopenl3.models import PytorchOpenl3

    torch.manual_seed(0)
    network = PytorchOpenl3(input_repr="mel256", content_type="music", embedding_size=512)
    path = folder.with_suffix(".pth.tar")
    torch.save(network.state_dict(), path)
    return path


def write_formula_weights(name: str, path: Path) -> Path:
    """Save weights of the shapes in the recorded reference of a backbone."""
    shapes = json.loads((Path(__file__).parent / f"{name}_reference.json").read_text())["shapes"]
    path = path.with_suffix(".safetensors")
    save_file({key: formula_tensor(key, shape) for key, shape in shapes.items()}, path)
    return path


_WRITERS: Mapping[str, tuple[tuple[str, ...], Callable[[Path], Path]]] = {
    "clap": (("torch", "transformers"), write_tiny_clap),
    "concepts": (("onnx",), write_tiny_concepts),
    "efficientat": (("torch",), partial(write_formula_weights, "efficientat")),
    "mert": (("torch", "transformers"), write_tiny_mert),
    "muq": (("torch", "transformers"), write_tiny_muq),
    "musicnn": ((), partial(write_formula_weights, "musicnn")),
    "openl3": (("torch", "torchopenl3"), write_random_openl3),
    "unet": (("torch", "onnx"), write_tiny_rows),
}
WITHOUT_WEIGHTS = tuple(_WRITERS)
"""The backbones that come without weights."""


def weights_for(name: str, folder: Path) -> dict[str, Path]:
    """Return the options with which a backbone loads: its weights, written to a folder, if it has none of its own.

    Skips the test if the backbone needs a module that is not installed.
    """
    if name not in _WRITERS:
        return {}
    modules, write = _WRITERS[name]
    for module in modules:
        needed = f"{name} runs in {module}: pip install 'soundalike[mert]'"
        pytest.importorskip(module, reason="torchopenl3 is not installed" if module == "torchopenl3" else needed)
    return {"weights": write(folder / "weights")}
