"""Convert checkpoints of LAION-CLAP, such as 630k-audioset-best.pt, to a folder in the layout of the Hugging Face hub.

Only the audio branch is converted: HTSAT, a Swin transformer on mel spectra, and the projection after it. transformers
stores query, key and value apart, and has other names for the layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.backbones.weight_files import read_torch_tensors
from soundalike.core.errors import ModelError
from soundalike.core.files import make_folder, write_atomic, write_json

if TYPE_CHECKING:
    import torch

__all__ = ["convert"]

_RENAMED = (
    (r"^audio_branch\.bn0\.", "audio_model.audio_encoder.batch_norm."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^audio_projection\.0\.", "audio_projection.linear1."),
    (r"^audio_projection\.2\.", "audio_projection.linear2."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"(\.blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(\.blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
)
# The spectra are computed here, the masks by transformers, and tags are not used.
_DROPPED = re.compile(r"spectrogram_extractor|logmel_extractor|attn_mask|tscam_conv|\.head\.")
_EXTRACTOR = {
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 64,
    "sampling_rate": 48_000,
    "hop_length": 480,
    "fft_window_size": 1024,
    "frequency_min": 50,
    "frequency_max": 14_000,
    "max_length_s": 10,
    "padding": "repeatpad",
    "truncation": "rand_trunc",
}


def convert(source: Path, out: Path) -> None:
    """Write the audio branch of a checkpoint as a folder that transformers and the backbone `clap` read.

    Args:
        source: A checkpoint of LAION-CLAP with an HTSAT audio branch without fusion.
        out: The folder to write: config.json, preprocessor_config.json and model.safetensors.

    Raises:
        ModelError: torch is missing, or the file is no such checkpoint.

    Example:
        >>> convert(Path("630k-audioset-best.pt"), Path("clap"))
    """
    from safetensors.torch import save

    tensors = {
        name.removeprefix("module."): tensor for name, tensor in read_torch_tensors(source, "soundalike[mert]").items()
    }
    try:
        config = _config(tensors)
    except (KeyError, IndexError) as error:
        raise ModelError(
            f"{source} is no checkpoint of LAION-CLAP with HTSAT: {error.args[0]!r} is missing; give a file such as "
            "630k-audioset-best.pt"
        ) from error
    if any(".fusion_model." in name or "mel_conv2d" in name for name in tensors):
        raise ModelError(
            f"{source} is a checkpoint with fusion, expected one without; give a file such as 630k-audioset-best.pt"
        )
    content = save(dict(_renamed(tensors)))
    make_folder(out, "the folder of the weights")
    write_atomic(out / "model.safetensors", lambda file: file.write(content))
    write_json(out / "config.json", config)
    write_json(out / "preprocessor_config.json", _EXTRACTOR)


def _renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the audio branch by their names in transformers."""
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(("audio_branch.", "audio_projection.")) or _DROPPED.search(name):
            continue
        for pattern, better in _RENAMED:
            name = re.sub(pattern, better, name)
        if ".qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace(".qkv.", f".{part}.")] = piece.contiguous()
        else:
            renamed[name] = tensor.contiguous()
    return renamed


def _config(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return config.json for the sizes of the tensors. Raises KeyError if one of them is missing."""
    size = tensors["audio_branch.patch_embed.proj.weight"].shape[0]
    depths: list[int] = []
    heads = []
    while f"audio_branch.layers.{len(depths)}.blocks.0.norm1.weight" in tensors:
        prefix = f"audio_branch.layers.{len(depths)}.blocks"
        heads.append(tensors[f"{prefix}.0.attn.relative_position_bias_table"].shape[1])
        depths.append(sum(f"{prefix}.{number}.norm1.weight" in tensors for number in range(100)))
    projection = tensors["audio_projection.2.weight"].shape[0]
    audio = {
        "model_type": "clap_audio_model",
        "patch_embeds_hidden_size": size,
        "hidden_size": tensors["audio_projection.0.weight"].shape[1],
        "depths": depths,
        "num_attention_heads": heads,
        "projection_dim": projection,
        "enable_fusion": False,
    }
    return {"model_type": "clap", "projection_dim": projection, "audio_config": audio}
