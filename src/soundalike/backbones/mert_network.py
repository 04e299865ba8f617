"""The network of MERT: its settings, its weights, and the mean hidden states of a batch of clips.

MERT-v1 is a HuBERT (Hsu et al., 2021) that was trained on music (Li et al., "MERT: Acoustic Music Understanding Model
with Large-Scale Self-supervised Training", 2024). Its own code adds options that neither published v1 model uses, so
`transformers.HubertModel` computes the same, and no code from a hub is run.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.backbones.weight_files import read_torch_tensors
from soundalike.core.errors import ModelError, UsageError, one_line
from soundalike.core.types import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["DEVICE_VARIABLE", "MertNetwork", "MertSettings", "chosen_device", "named_device", "processor_flags"]

DEVICE_VARIABLE = "SOUNDALIKE_DEVICE"
"""Environment variable with the device to run on: auto, cpu, cuda, cuda:1 or mps; or onnx or int8, which compute with
ONNX Runtime on the processor. The default, auto, is cuda if there is a GPU, else cpu."""
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
_EXTRA = "the backbone mert needs torch and transformers; install them with: pip install 'soundalike[mert]'"
# What MERT's own code would compute differently. The published v1 models have neither.
_UNSUPPORTED = ("feature_extractor_cqt", "deepnorm")
_CONFIG_KEYS = (
    "hidden_size", "num_attention_heads", "intermediate_size", "hidden_act", "layer_norm_eps", "feat_extract_norm",
    "feat_extract_activation", "conv_dim", "conv_stride", "conv_kernel", "conv_bias", "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups", "do_stable_layer_norm", "feat_proj_layer_norm",
)  # fmt: skip
_SHALLOW = (3, 4, 5, 6)  # layers of MERIT (section 3.2) besides the last but one


@dataclass(frozen=True, slots=True)
class MertSettings:
    """What the files of a MERT say about it.

    Attributes:
        folder: Folder in the layout of the hub.
        weights: The file of the weights in it.
        layers: The hidden states to use: the outputs of these transformer layers, counted from 1.
        hidden_size: Size of a hidden state.
        rate: Sample rate in Hz.
        normalise: Whether a clip is normalised to mean 0 and variance 1.
        network: Arguments of `HubertConfig`.
    """

    folder: Path
    weights: Path
    layers: tuple[int, ...]
    hidden_size: int
    rate: int
    normalise: bool
    network: Mapping[str, Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that decide what is computed."""
        return self.folder / "config.json", self.folder / "preprocessor_config.json", self.weights

    @classmethod
    def read(cls, folder: Path) -> MertSettings:
        """Read the settings of the model in a folder.

        Args:
            folder: Has config.json, preprocessor_config.json, and model.safetensors or pytorch_model.bin.

        Raises:
            ModelError: A file is missing or invalid, or it is not a MERT of a supported kind.

        Example:
            >>> MertSettings.read(Path("MERT-v1-330M")).layers
            (3, 4, 5, 6, 23)
        """
        config, processor = _read(folder / "config.json"), _read(folder / "preprocessor_config.json")
        weights = next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)
        if weights is None:
            raise ModelError(f"{folder} has no {' or '.join(WEIGHTS_FILES)}; copy all files of the model there")
        if config.get("model_type") not in ("mert_model", "hubert"):
            raise ModelError(
                f"{folder / 'config.json'} is of a model of type {config.get('model_type')!r}; expected 'mert_model'"
            )
        if used := [key for key in _UNSUPPORTED if config.get(key)]:
            raise ModelError(
                f"{folder / 'config.json'} has {used[0]}; expected MERT-v1-330M or MERT-v1-95M, without it"
            )
        try:
            count, size = int(config["num_hidden_layers"]), int(config["hidden_size"])
            rate, normalise = int(processor["sampling_rate"]), bool(processor["do_normalize"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the settings in {folder} are incomplete ({error!r}); copy the model again") from error
        if count < _SHALLOW[-1] + 2:
            raise ModelError(f"the model in {folder} has {count} layers; expected 24 (330M) or 12 (95M)")
        network = {key: config[key] for key in _CONFIG_KEYS if key in config}
        return cls(folder, weights, (*_SHALLOW, count - 1), size, rate, normalise, network)


def _read(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a model. Raises ModelError if there is none."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); copy all files of the model there") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); copy the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} has a {type(found).__name__}; expected an object")
    return found


class MertNetwork:
    """A loaded MERT. It computes no layer above the deepest that is needed, and keeps no hidden state.

    Args:
        settings: What to load.
        device: Where to run: cpu, cuda, cuda:1 or mps.

    Raises:
        ModelError: The weights are invalid or do not fit the settings, or an extra is not installed.
        UsageError: There is no such device.

    Example:
        >>> network = MertNetwork(MertSettings.read(Path("MERT-v1-330M")), "cpu")
        >>> network(np.zeros((2, 240_000), np.float32)).shape
        (2, 5120)
    """

    def __init__(self, settings: MertSettings, device: str) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self.model = load_model(settings)
        self.device = device
        self.dtype = _dtype(self.device)
        try:
            self.model.to(self.device)
        except (RuntimeError, AssertionError) as error:
            why = one_line(str(error)).partition("\\n")[0]
            raise UsageError(f"the device {self.device} cannot be used ({why}); set {DEVICE_VARIABLE}=cpu") from error

    @property
    def batch_size(self) -> int:
        """How many clips to compute at a time. On a processor, larger batches only fill its caches."""
        return 2 if self.device == "cpu" else 16

    def __call__(self, clips: FloatArray) -> FloatArray:
        """Return the hidden states of clips, their mean over time, one layer after the other.

        Args:
            clips: (b, t) float32 at the rate of the settings, already normalised.

        Returns:
            (b, D) float32, D = layers x hidden size.
        """
        import torch

        # The hooks of `means` hang on the layers, which threads share.
        with self._lock, torch.inference_mode(), self._precision():
            means = self.means(torch.from_numpy(clips).to(self.device))
        joined: FloatArray = torch.cat(means, dim=1).cpu().numpy()
        return joined

    def means(self, clips: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the mean over time of each of the layers, (b, hidden size) float32, of clips (b, t)."""
        means: dict[int, torch.Tensor] = {}

        def hook(number: int) -> Any:
            def keep(_: object, __: object, output: Any) -> None:
                states = output[0] if isinstance(output, tuple) else output
                means[number] = states.float().mean(dim=1)

            return keep

        # The output of layer k is `hidden_states[k]` of transformers, up to the last but one layer. Above the last,
        # the versions of transformers differ in whether the final norm is applied.
        layers = self.model.encoder.layers
        handles = [layers[number - 1].register_forward_hook(hook(number)) for number in self.settings.layers]
        try:
            self.model(clips)
        finally:
            for handle in handles:
                handle.remove()
        return tuple(means[number] for number in self.settings.layers)

    def _precision(self) -> AbstractContextManager[Any]:
        """Return a context in which matrix products are computed in 16 bits, where the device is made for that."""
        import torch

        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=self.dtype)


def load_model(settings: MertSettings) -> Any:
    """Load the network in float32 on the processor, up to the deepest layer that is needed.

    Returns:
        A `transformers.HubertModel` for inference.

    Raises:
        ModelError: The weights are invalid or do not fit the settings, or an extra is not installed.
    """
    try:
        import torch
        from transformers import AutoModel, HubertConfig
    except ImportError as error:
        raise ModelError(f"{_EXTRA} ({error})") from error

    state = _renamed(read_torch_tensors(settings.weights, "soundalike[mert]"))
    # Masking and layer drop belong to training.
    config = HubertConfig(
        **settings.network,
        num_hidden_layers=settings.layers[-1],
        mask_time_prob=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(config, attn_implementation="sdpa")  # type: ignore[no-untyped-call, unused-ignore]
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{settings.folder / 'config.json'} is invalid ({one_line(str(error))})") from error
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise ModelError(
                f"{settings.weights} has no tensor {name}; expected the weights of the model in config.json"
            )
        if state[name].shape != tensor.shape:
            raise ModelError(
                f"{settings.weights}: {name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)} as "
                "config.json says; use files of one model"
            )
    model.load_state_dict({name: state[name].float() for name in wanted}, assign=True)
    # The weights of the positional convolution are a direction and a length, which each call would multiply again.
    torch.nn.utils.parametrize.remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")
    return model.eval().requires_grad_(False)


_OLD_NAMES = (
    (re.compile(r"\.weight_g$"), ".parametrizations.weight.original0"),
    (re.compile(r"\.weight_v$"), ".parametrizations.weight.original1"),
)


def _renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors under the names that the present version of torch gives to normed weights."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_NAMES:
            name = old.sub(new, name)
        renamed[name.removeprefix("mert_model.").removeprefix("hubert.")] = tensor
    return renamed


def named_device() -> str:
    """Return the value of the environment variable SOUNDALIKE_DEVICE, or auto.

    Raises:
        UsageError: The variable has another value than auto, cpu, onnx, int8, cuda, cuda:N or mps.

    Example:
        >>> named_device()
        'auto'
    """
    named = os.environ.get(DEVICE_VARIABLE) or "auto"
    if not re.fullmatch(r"auto|cpu|onnx|int8|cuda(:\d+)?|mps", named):
        raise UsageError(f"{DEVICE_VARIABLE} is {named!r}; expected auto, cpu, onnx, int8, cuda, cuda:N or mps")
    return named


def chosen_device(named: str) -> str:
    """Return the device to run on: the named one, or for auto, cuda if there is a GPU, else cpu.

    Raises:
        ModelError: torch, which knows about GPUs, is not installed.

    Example:
        >>> chosen_device("auto")
        'cpu'
    """
    if named != "auto":
        return named
    try:
        import torch
    except ImportError as error:
        raise ModelError(f"{_EXTRA} ({error})") from error
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype(device: str) -> torch.dtype:
    """Return the type in which a device multiplies matrices fastest without losing the precision of rows."""
    import torch

    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float16
    if device == "cpu" and processor_flags() & {"amx_bf16", "avx512_bf16"}:
        return torch.bfloat16
    return torch.float32


def processor_flags() -> frozenset[str]:
    """Return the names of the processor's instruction sets; empty where the system does not list them.

    Example:
        >>> sorted(processor_flags() & {"avx2", "avx512f", "amx_bf16"})
        ['avx2']
    """
    if platform.system() != "Linux":
        return frozenset()
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
