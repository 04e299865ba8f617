"""Inception blocks: a naive module, a module with dimension reduction, and pooling.

After Szegedy et al., "Going deeper with convolutions", 2015, figure 2, as Ribecky et al., 2021, stack them. All
convolutions keep the size of a map and are followed by batch normalisation and a ReLU; neither is printed. n maps of C
channels, b bins and f frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["InceptionBlock", "NaiveModule", "ReducedModule", "convolution"]


def convolution(inputs: int, outputs: int, kernel: int, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """Return a convolution with batch normalisation and a ReLU, padded so that stride 1 keeps the size of a map.

    Args:
        inputs: Channels before.
        outputs: Channels after.
        kernel: Side of the square kernel, odd.
        stride: Of bins and frames.

    Example:
        >>> convolution(1, 8, 5, (2, 2))(torch.rand(1, 1, 128, 259)).shape
        torch.Size([1, 8, 64, 130])
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class NaiveModule(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 5 x 5 and a pooling of 3 x 3 side by side: C to C + 3 `width` channels.

    Example:
        >>> NaiveModule(16, 8)(torch.rand(1, 16, 32, 32)).shape
        torch.Size([1, 40, 32, 32])
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.channels = inputs + 3 * width
        self.convolutions = nn.ModuleList(convolution(inputs, width, kernel) for kernel in (1, 3, 5))
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, C, b, f) to (n, C + 3 `width`, b, f)."""
        return torch.cat([*(path(x) for path in self.convolutions), self.pool(x)], dim=1)


class ReducedModule(nn.Module):
    """The same with convolutions of 1 x 1 before the larger ones and after the pooling: C to 4 `width` channels.

    Example:
        >>> ReducedModule(40, 8, 4)(torch.rand(1, 40, 32, 32)).shape
        torch.Size([1, 32, 32, 32])
    """

    def __init__(self, inputs: int, width: int, reduced: int) -> None:
        super().__init__()
        self.channels = 4 * width
        self.paths = nn.ModuleList(
            [
                convolution(inputs, width, 1),
                nn.Sequential(convolution(inputs, reduced, 1), convolution(reduced, width, 3)),
                nn.Sequential(convolution(inputs, reduced, 1), convolution(reduced, width, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), convolution(inputs, width, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, C, b, f) to (n, 4 `width`, b, f)."""
        return torch.cat([path(x) for path in self.paths], dim=1)


class InceptionBlock(nn.Sequential):
    """A naive module, a module with dimension reduction, and a max pooling: C to 4 `width` channels.

    Args:
        inputs: Channels before, C.
        width: Channels of each path of a module.
        reduced: Channels after the 1 x 1 convolutions before larger ones.
        pool: What bins and frames are divided by, rounded down. Not printed.

    Example:
        >>> InceptionBlock(16, 8, 4, pool=(1, 2))(torch.rand(1, 16, 16, 32)).shape
        torch.Size([1, 32, 16, 16])
    """

    def __init__(self, inputs: int, width: int, reduced: int, pool: tuple[int, int]) -> None:
        naive = NaiveModule(inputs, width)
        module = ReducedModule(naive.channels, width, reduced)
        super().__init__(naive, module, nn.MaxPool2d(pool) if max(pool) > 1 else nn.Identity())
        self.channels = module.channels
