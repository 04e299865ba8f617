"""The networks of EfficientAT: MobileNetV3 of any width on log-mel frames, from a state dict of its authors.

Howard et al., "Searching for MobileNetV3", 2019, Table 1 (large), with one input channel, ReLU and hard swish as there,
and a sigmoid in squeeze-and-excitation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.core.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["MobileNet"]

_EPSILON = 1e-3  # of batch normalisation
# (expands, stride, squeezes, hard swish) of the 15 blocks. Kernels and channels follow from the tensors.
_BLOCKS = (
    (False, 1, False, False),
    (True, 2, False, False),
    (True, 1, False, False),
    (True, 2, True, False),
    (True, 1, True, False),
    (True, 1, True, False),
    (True, 2, False, True),
    (True, 1, False, True),
    (True, 1, False, True),
    (True, 1, False, True),
    (True, 1, True, True),
    (True, 1, True, True),
    (True, 2, True, True),
    (True, 1, True, True),
    (True, 1, True, True),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Convolution:
    """A convolution with its batch normalisation folded in, and its activation."""

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    groups: int
    activation: Callable[[torch.Tensor], torch.Tensor] | None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import conv2d

        half = self.weight.shape[-1] // 2
        out: torch.Tensor = conv2d(x, self.weight, self.bias, self.stride, half, groups=self.groups)
        return self.activation(out) if self.activation else out


@dataclass(frozen=True, slots=True, eq=False)
class _Squeeze:
    """Squeeze-and-excitation: scale each channel by a function of the means of all channels."""

    first_weight: torch.Tensor
    first_bias: torch.Tensor
    second_weight: torch.Tensor
    second_bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import linear

        hidden = linear(x.mean(dim=(2, 3)), self.first_weight, self.first_bias).relu()
        scale = linear(hidden, self.second_weight, self.second_bias).sigmoid()
        return x * scale[:, :, None, None]


class MobileNet:
    """A network from input to embedding; the classifier is left out.

    Args:
        tensors: A state dict of EfficientAT's `mn` networks of any width, strides 2 2 2 2.
        path: Its file, for messages.

    Attributes:
        dim: Size D of the embedding: 384 for width 0.4.

    Raises:
        ModelError: A tensor is missing, not finite, or does not fit the others.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
        import torch

        try:
            self._layers = _build(tensors)
            self.dim = len(tensors["features.16.0.weight"])
            shape = tuple(self.embed(torch.zeros(1, 1, 128, 32)).shape)
        except KeyError as error:
            raise ModelError(
                f"{path} is not a state dict of EfficientAT: it has no tensor {error.args[0]}; give a file such as "
                "mn04_as_mAP_432.pt"
            ) from error
        except (RuntimeError, TypeError, IndexError) as error:  # of torch, where shapes do not fit
            raise ModelError(
                f"{path} is not a state dict of EfficientAT: its tensors do not fit together; give a file such as "
                "mn04_as_mAP_432.pt"
            ) from error
        if shape != (1, self.dim) or not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise ModelError(f"{path} contains NaN or infinite weights; download it again")

    def embed(self, spectra: torch.Tensor) -> torch.Tensor:
        """Embed log-mel spectra (n, 1, 128, f), f at least 1, as (n, D): the mean over both axes of the last map."""
        import torch

        with torch.inference_mode():
            x = spectra
            for block in self._layers:
                out = x
                for layer in block:
                    out = layer(out)
                x = x + out if len(block) > 1 and out.shape == x.shape else out
            return x.mean(dim=(2, 3))


def _build(tensors: Mapping[str, torch.Tensor]) -> list[list[Callable[[torch.Tensor], torch.Tensor]]]:
    """Return the layers of each block. A block of several layers has a residual connection where shapes permit it."""
    from torch.nn.functional import hardswish, relu

    blocks: list[list[Callable[[torch.Tensor], torch.Tensor]]] = [
        [_convolution(tensors, "features.0", stride=2, activation=hardswish)]
    ]
    for number, (expands, stride, squeezes, swish) in enumerate(_BLOCKS, 1):
        activation = hardswish if swish else relu
        names = iter(f"features.{number}.block.{layer}" for layer in range(4))
        layers: list[Callable[[torch.Tensor], torch.Tensor]] = []
        if expands:
            layers.append(_convolution(tensors, next(names), activation=activation))
        layers.append(_convolution(tensors, next(names), stride=stride, depthwise=True, activation=activation))
        if squeezes:
            layers.append(_squeeze(tensors, f"{next(names)}.conc_se_layers.0"))
        layers.append(_convolution(tensors, next(names)))
        blocks.append(layers)
    blocks.append([_convolution(tensors, "features.16", activation=hardswish)])
    return blocks


def _convolution(
    tensors: Mapping[str, torch.Tensor],
    name: str,
    *,
    stride: int = 1,
    depthwise: bool = False,
    activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> _Convolution:
    """Return the convolution `name`.0 with the batch normalisation `name`.1 folded in."""
    weight = tensors[f"{name}.0.weight"].double()
    scale = tensors[f"{name}.1.weight"].double() / (tensors[f"{name}.1.running_var"].double() + _EPSILON).sqrt()
    bias = tensors[f"{name}.1.bias"].double() - tensors[f"{name}.1.running_mean"].double() * scale
    folded = (weight * scale[:, None, None, None]).float()
    return _Convolution(folded, bias.float(), stride, len(weight) if depthwise else 1, activation)


def _squeeze(tensors: Mapping[str, torch.Tensor], name: str) -> _Squeeze:
    """Return the squeeze-and-excitation `name`."""
    return _Squeeze(*(tensors[f"{name}.{layer}.{part}"] for layer in ("fc1", "fc2") for part in ("weight", "bias")))
