"""Backbone `clap`: audio embeddings of LAION-CLAP, through transformers, from a folder in the layout of the hub.

Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption augmentation",
ICASSP 2023. `laion/clap-htsat-unfused` holds the weights of `630k-audioset-best.pt`; `clap_checkpoint.convert` turns
the original file into such a folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from soundalike.backbones.analysis.mel_frames import MelSettings, embed_windows, mel_frames, slaney_mel_matrix
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid
from soundalike.core.errors import ModelError, one_line
from soundalike.core.tensors import tensors_version
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["ClapBackbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_SECONDS = 10
_FLOOR = -100.0  # decibels of silence
# The extractor of laion/clap-htsat-unfused, where the folder does not say otherwise.
_EXTRACTOR = MappingProxyType(
    {
        "sampling_rate": 48_000,
        "fft_window_size": 1024,
        "hop_length": 480,
        "feature_size": 64,
        "frequency_min": 50,
        "frequency_max": 14_000,
        "max_length_s": _SECONDS,
    }
)


class ClapBackbone:
    """The projected audio embedding of CLAP, in windows of mono audio at 48 kHz.

    Args:
        weights: A folder with config.json, model.safetensors or pytorch_model.bin, and preprocessor_config.json.

    Raises:
        ModelError: transformers is missing, or the folder holds no CLAP model without fusion.
    """

    name: ClassVar[str] = "clap"

    def __init__(self, weights: Path) -> None:
        settings = _extractor(weights)
        self.rate = int(settings["sampling_rate"])
        self._network = _load(weights)
        size = int(settings["fft_window_size"])
        self._patch = _SECONDS * self.rate // int(settings["hop_length"]) + 1
        self._settings = MelSettings(
            rate=self.rate,
            window=0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size),
            hop=int(settings["hop_length"]),
            matrix=slaney_mel_matrix(
                size,
                self.rate,
                int(settings["feature_size"]),
                float(settings["frequency_min"]),
                float(settings["frequency_max"]),
            ),
            store=lambda power: (10.0 * np.log10(np.maximum(power, 10.0 ** (_FLOOR / 10.0)))).astype(np.float32),
        )
        tensors = {name: tensor.numpy() for name, tensor in self._network.state_dict().items()}
        self.version = tensors_version(_CODE, {**tensors, "extractor": np.array(json.dumps(settings, sort_keys=True))})
        self.dims: Mapping[str, int] = MappingProxyType({"embedding": int(self._network.config.projection_dim)})

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 48 kHz, in each window of `grid`.

        A window below 10 s is repeated as often as it fits and completed with silence ("repeatpad"). The row of a
        longer window is the mean over parts of 10 s that cover it; the authors' code embeds a random part of 10 s.
        """
        frames = mel_frames(blocks, self._settings)
        return embed_windows(frames, grid, "embedding", self.dims["embedding"], self._patches, self._embed, batch=4)

    def _patches(self, frames: AnyArray) -> list[AnyArray]:
        """Return the frames (f, m) of a window as patches of 10 s."""
        spare = len(frames) - self._patch
        if spare >= 0:
            count = -(-len(frames) // self._patch)
            starts = np.linspace(0, spare, count).round().astype(int) if spare else [0]
            return [frames[start : start + self._patch] for start in starts]
        repeated = np.tile(frames, (self._patch // len(frames), 1))
        return [np.pad(repeated, ((0, self._patch - len(repeated)), (0, 0)), constant_values=_FLOOR)]

    def _embed(self, patches: AnyArray) -> FloatArray:
        """Embed patches (n, p, m) in decibels as (n, D) unit rows."""
        import torch

        with torch.inference_mode():
            features = torch.from_numpy(patches)[:, None]
            out = self._network(input_features=features, is_longer=torch.zeros(len(patches), 1, dtype=torch.bool))
            return np.asarray(torch.nn.functional.normalize(out.audio_embeds, dim=-1).float().numpy())


def _extractor(folder: Path) -> dict[str, Any]:
    """Return the settings of the feature extractor, those of the folder where it has a file of them."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        path = folder / "preprocessor_config.json"
        own = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} is no folder of a CLAP model ({one_line(str(error))}); give a copy of laion/clap-htsat-unfused"
        ) from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in ("clap", "clap_audio_model"):
        raise ModelError(f"{folder} holds a model of type {kind!r}, expected 'clap'; give laion/clap-htsat-unfused")
    settings = {name: own.get(name, value) for name, value in _EXTRACTOR.items()}
    if config.get("audio_config", config).get("enable_fusion"):
        raise ModelError(
            f"{folder} holds a CLAP model with fusion, expected one without; give laion/clap-htsat-unfused"
        )
    if settings["max_length_s"] != _SECONDS:
        raise ModelError(
            f"{folder} holds a CLAP model for {settings['max_length_s']} s, expected {_SECONDS} s; "
            "give laion/clap-htsat-unfused"
        )
    return settings


def _load(folder: Path) -> Any:
    """Return transformers' network with the weights of a folder."""
    try:
        transformers: Any = import_module("transformers")
        model = transformers.ClapAudioModelWithProjection  # an error without torch
        logging: Any = import_module("transformers.utils.logging")
    except ImportError as error:
        raise ModelError("the backbone clap needs transformers and torch; install soundalike[mert]") from error
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, report = model.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # damaged files fail in many ways
        why = one_line(str(error))[:160]
        raise ModelError(f"{folder} holds no weights of a CLAP model ({why}); download it again") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:  # where the environment has turned them off, turning them on is a warning
            logging.enable_progress_bar()
    # Only training uses the count of batches.
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("num_batches_tracked"))
    if missing:
        raise ModelError(
            f"{folder} lacks {len(missing)} tensors of a CLAP model, such as {missing[0]}; download it again"
        )
    return network.eval()


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone. Raises ModelError without weights, or if they are not of a CLAP model."""
    if weights is None:
        raise ModelError("the backbone clap needs its weights; install them with `soundalike models install clap`")
    return ClapBackbone(weights)
