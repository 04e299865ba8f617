"""The audio tower of MuQ-MuLan: its settings, its weights, and the joint embeddings of a batch of clips.

Zhu et al., "MuQ: Self-Supervised Music Representation Learning with Mel Residual Vector Quantization", 2025. Mel frames
go through two residual convolutions (25 frames per second), a conformer with rotary positions, a linear layer, the mean
over time, and a second linear layer. The tower of texts and the quantiser, which only training uses, are not loaded.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.backbones.analysis.mel_frames import htk_mel_matrix
from soundalike.backbones.mert_network import DEVICE_VARIABLE, WEIGHTS_FILES, chosen_device
from soundalike.backbones.weight_files import read_torch_tensors
from soundalike.core.errors import ModelError, UsageError, one_line
from soundalike.core.types import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["RATE", "SHORTEST", "MuqNetwork", "MuqSettings"]

RATE = 24_000
"""Sample rate in Hz."""
_SIZE, _HOP, _BANDS = 2048, 240, 128
SHORTEST = _SIZE // 2 + 1
"""Fewest samples of a clip: a shorter one cannot be reflected at its ends."""
_MEAN, _DEVIATION = 6.768444971712967, 18.417922652295623  # of the mel frames in decibels, of MuQ-large-msd-iter
_FLOOR = 1e-10  # power of -100 dB
_HEAD = 64  # units per attention head
_MULAN, _MUQ = "mulan.", "mulan.audio.model.model."
_EXTRA = "the backbone muq needs torch and transformers; install them with: pip install 'soundalike[mert]'"


@dataclass(frozen=True, slots=True)
class MuqSettings:
    """What the config.json of a MuQ-MuLan says about it.

    Attributes:
        folder: Folder in the layout of the hub.
        weights: The file of the weights in it.
        seconds: Length of a clip in seconds.
        layer: Which hidden state of the conformer is projected; from the end if negative.
        sizes: The sizes of a hidden state, of its projection, and of the embedding.
    """

    folder: Path
    weights: Path
    seconds: int
    layer: int
    sizes: tuple[int, int, int]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that decide what is computed."""
        return self.folder / "config.json", self.weights

    @classmethod
    def read(cls, folder: Path) -> MuqSettings:
        """Read the settings of the model in a folder.

        Args:
            folder: Has config.json, and model.safetensors or pytorch_model.bin.

        Raises:
            ModelError: A file is missing or invalid, or it is not a MuQ-MuLan of the supported kind.

        Example:
            >>> MuqSettings.read(Path("MuQ-MuLan-large")).sizes
            (1024, 768, 512)
        """
        path = folder / "config.json"
        try:
            config = json.loads(path.read_bytes())
            mulan, model, projection = config["mulan"], config["audio_model"], config["audio_transformer"]
            found = cls(
                folder,
                next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), folder / WEIGHTS_FILES[0]),
                int(mulan["clip_secs"]),
                int(model["use_layer_idx"]),
                (int(model["model_dim"]), int(projection["dim"]), int(mulan["dim_latent"])),
            )
            rate, depth = int(mulan["sr"]), int(projection["tf_depth"])
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}); copy all files of the model there") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"{path} is not that of a MuQ-MuLan ({one_line(repr(error))}); give a copy of OpenMuQ/MuQ-MuLan-large"
            ) from error
        if not found.weights.is_file():
            raise ModelError(f"{folder} has no {' or '.join(WEIGHTS_FILES)}; copy all files of the model there")
        if (rate, depth) != (RATE, 0) or found.seconds < 1 or found.sizes[0] % _HEAD:
            raise ModelError(
                f"{path} has a rate of {rate} Hz, {depth} layers after the projection, clips of {found.seconds} s and "
                f"hidden states of {found.sizes[0]}; expected {RATE} Hz, 0 layers, 1 s or more and a multiple of "
                f"{_HEAD}; give a copy of OpenMuQ/MuQ-MuLan-large"
            )
        return found


class MuqNetwork:
    """A loaded audio tower. It computes in 32 bits on every device.

    Args:
        settings: What to load.
        device: Where to run: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        ModelError: The weights are invalid or do not fit the settings, or an extra is not installed.
        UsageError: There is no such device.

    Example:
        >>> network = MuqNetwork(MuqSettings.read(Path("MuQ-MuLan-large")), "cpu")
        >>> network(np.zeros((2, 240_000), np.float32)).shape
        (2, 512)
    """

    def __init__(self, settings: MuqSettings, device: str) -> None:
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError as error:
            raise ModelError(f"{_EXTRA} ({error})") from error

        device = chosen_device(device)
        self.batch_size = 2 if device == "cpu" else 16
        self._device = device
        self._lock = threading.Lock()
        found = read_torch_tensors(settings.weights, "soundalike[mert]")
        audio = _Tensors(settings.weights, {name: tensor for name, tensor in found.items() if _is_used(name)})
        self._conformer = _conformer(audio, settings)
        self._tensors = _front(audio, settings)
        self._tensors["window"] = torch.hann_window(_SIZE)
        self._tensors["mel"] = torch.from_numpy(htk_mel_matrix(_SIZE, RATE, _BANDS)).float()
        try:
            self._conformer.to(device)
            self._tensors = {name: tensor.to(device) for name, tensor in self._tensors.items()}
        except (RuntimeError, AssertionError) as error:
            why = one_line(str(error)).partition("\\n")[0]
            raise UsageError(f"the device {device} cannot be used ({why}); set {DEVICE_VARIABLE}=cpu") from error

    def __call__(self, clips: FloatArray) -> FloatArray:
        """Return the embeddings of clips.

        Args:
            clips: (b, t) float32 at 24 kHz, t at least `SHORTEST`.

        Returns:
            (b, D) float32 unit rows.
        """
        import torch
        from torch.nn.functional import normalize

        # The conformer caches the positions of the last length, which threads share.
        with self._lock, torch.inference_mode():
            frames = self.mel(torch.from_numpy(clips).to(self._device))[:, None]
            hidden = self._residual(self._residual(frames, "conv.conv.0"), "conv.conv.1")
            hidden = self._linear(hidden.permute(0, 3, 1, 2).flatten(2), "conv.linear")
            states = self._conformer(hidden).last_hidden_state
            rows = self._linear(self._linear(states, "audio.proj").mean(dim=1), "audio_to_latents")
            embedded: FloatArray = normalize(rows, dim=1).cpu().numpy()
        return embedded

    def mel(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the normalised mel frames (b, 128, t // 240) of clips (b, t)."""
        import torch

        spectra = torch.stft(clips, _SIZE, _HOP, window=self._tensors["window"], return_complex=True)
        power = spectra.abs().square()[..., :-1].transpose(1, 2) @ self._tensors["mel"]
        return ((10.0 * power.clamp(min=_FLOOR).log10() - _MEAN) / _DEVIATION).transpose(1, 2)

    def _residual(self, maps: torch.Tensor, name: str) -> torch.Tensor:
        """Return maps (b, c, m, t) after a residual convolution, at half the bands and half the frames."""
        inner = self._convolve(maps, f"{name}.conv1", f"{name}.bn1", 2).relu()
        return (
            self._convolve(maps, f"{name}.conv3", f"{name}.bn3", 2)
            + self._convolve(inner, f"{name}.conv2", f"{name}.bn2", 1)
        ).relu()

    def _convolve(self, maps: torch.Tensor, name: str, norm: str, stride: int) -> torch.Tensor:
        from torch.nn.functional import batch_norm, conv2d

        tensors = self._tensors
        found = conv2d(maps, tensors[f"{name}.weight"], tensors[f"{name}.bias"], stride=stride, padding=1)
        statistics = (tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(found, *statistics)

    def _linear(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        from torch.nn.functional import linear

        return linear(rows, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])


def _is_used(name: str) -> bool:
    return name.startswith((f"{_MUQ}conv.", f"{_MUQ}conformer.", f"{_MULAN}audio.proj.", f"{_MULAN}audio_to_latents."))


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The tensors of the audio tower, by their names in the file."""

    path: Path
    found: Mapping[str, torch.Tensor]

    def take(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return a tensor in 32 bits. Raises ModelError if it is missing or of another shape."""
        if (tensor := self.found.get(name)) is None:
            raise ModelError(f"{self.path} has no tensor {name}; give a copy of OpenMuQ/MuQ-MuLan-large")
        if tuple(tensor.shape) != shape:
            raise ModelError(
                f"{self.path}: {name} has shape {tuple(tensor.shape)}, expected {shape} as config.json and the other "
                "tensors say; use files of one model"
            )
        return tensor.float()

    def size(self, name: str, axis: int = 0) -> int:
        """Return a size of a tensor. Raises ModelError if it is missing or has no such axis."""
        tensor = self.found.get(name)
        if tensor is None or tensor.ndim <= axis:
            raise ModelError(f"{self.path} has no tensor {name}; give a copy of OpenMuQ/MuQ-MuLan-large")
        return int(tensor.shape[axis])


def _front(audio: _Tensors, settings: MuqSettings) -> dict[str, torch.Tensor]:
    """Return the tensors before and after the conformer, by short names."""
    hidden, projected, embedding = settings.sizes
    maps = audio.size(f"{_MUQ}conv.conv.0.conv1.weight")
    shapes: dict[str, tuple[int, ...]] = {}
    for block, inputs in enumerate((1, maps)):
        for number in (1, 2, 3):
            name = f"{_MUQ}conv.conv.{block}"
            shapes[f"{name}.conv{number}.weight"] = (maps, maps if number == 2 else inputs, 3, 3)
            shapes[f"{name}.conv{number}.bias"] = (maps,)
            for part in ("running_mean", "running_var", "weight", "bias"):
                shapes[f"{name}.bn{number}.{part}"] = (maps,)
    linear = {
        f"{_MUQ}conv.linear": (hidden, maps * _BANDS // 4),
        f"{_MULAN}audio.proj": (projected, hidden),
        f"{_MULAN}audio_to_latents": (embedding, projected),
    }
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {name.removeprefix(_MUQ).removeprefix(_MULAN): audio.take(name, shape) for name, shape in shapes.items()}


def _conformer(audio: _Tensors, settings: MuqSettings) -> Any:
    """Return transformers' conformer up to the hidden state that is projected, for inference."""
    import torch
    from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
        Wav2Vec2ConformerConfig,
        Wav2Vec2ConformerEncoder,
    )

    prefix, hidden = f"{_MUQ}conformer.", settings.sizes[0]
    numbers = {int(found[1]) for name in audio.found if (found := re.match(rf"{prefix}layers\.(\d+)\.", name))}
    depth = len(numbers)
    layer = settings.layer + depth + 1 if settings.layer < 0 else settings.layer
    if not 1 <= layer <= depth:
        raise ModelError(
            f"{settings.folder / 'config.json'} names the hidden state {settings.layer} of a conformer of {depth} "
            "layers; use files of one model"
        )
    # As facebook/wav2vec2-conformer-rope-large-960h-ft, from which MuQ takes its settings.
    config = Wav2Vec2ConformerConfig(
        hidden_size=hidden,
        num_hidden_layers=layer,
        num_attention_heads=hidden // _HEAD,
        intermediate_size=audio.size(f"{prefix}layers.0.ffn1.intermediate_dense.weight"),
        conv_depthwise_kernel_size=audio.size(f"{prefix}layers.0.conv_module.depthwise_conv.weight", 2),
        position_embeddings_type="rotary",
        hidden_act="swish",
    )
    config._attn_implementation = "sdpa"
    try:
        with torch.device("meta"):
            encoder = Wav2Vec2ConformerEncoder(config)  # type: ignore[no-untyped-call, unused-ignore]
    except ValueError as error:
        raise ModelError(f"{audio.path} is of no MuQ-MuLan ({one_line(str(error))}); use files of one model") from error
    encoder.pos_conv_embed = torch.nn.Identity()  # transformers makes it, and never calls it
    if layer < depth:
        encoder.layer_norm = torch.nn.Identity()  # only the last hidden state is normalised
    positions = encoder.embed_positions
    positions.inv_freq = 1.0 / 10_000.0 ** (torch.arange(0, _HEAD, 2).float() / _HEAD)
    wanted = {name: tensor for name, tensor in encoder.state_dict().items() if not name.endswith("num_batches_tracked")}
    wanted.pop("embed_positions.inv_freq", None)
    state = {name: audio.take(prefix + name, tuple(tensor.shape)) for name, tensor in wanted.items()}
    encoder.load_state_dict(state, strict=False, assign=True)
    for norm in (layer.conv_module.batch_norm for layer in encoder.layers):
        norm.num_batches_tracked = None
    return encoder.eval().requires_grad_(False)
