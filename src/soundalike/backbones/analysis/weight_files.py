"""Read the weights of networks from files of others, and derive versions of backbones from them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundalike.core.errors import ModelError, one_line
from soundalike.core.types import AnyArray

if TYPE_CHECKING:
    import torch

__all__ = ["read_torch_tensors", "tensors_version"]


def tensors_version(code: int, tensors: Mapping[str, AnyArray]) -> int:
    """Return the version of a backbone: a digest of the version of its code and of its tensors, whatever their file.

    Args:
        code: Version of the code.
        tensors: The tensors by name.

    Returns:
        An integer from 0 to 2**31 - 1.

    Example:
        >>> tensors_version(1, {"w": np.zeros(3)}) == tensors_version(1, {"w": np.ones(3)})
        False
    """
    digest = hashlib.blake2b(str(code).encode(), digest_size=4)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return int.from_bytes(digest.digest()) >> 1


def read_torch_tensors(path: Path, extra: str) -> dict[str, torch.Tensor]:
    """Read a dict of tensors that `torch.save` wrote, or a safetensors file. No code in the file is run.

    A dict of tensors under the key "state_dict" of another dict, as training programs write it, is read too.

    Args:
        path: The file.
        extra: What to install if torch is missing, such as "soundalike[train]".

    Returns:
        The tensors by name, on the CPU.

    Raises:
        ModelError: torch is missing, or the file cannot be read or holds no dict of tensors.

    Example:
        >>> read_torch_tensors(Path("mn04_as_mAP_432.pt"), "soundalike[mert]")["classifier.5.bias"].shape
        torch.Size([527])
    """
    try:
        import torch
    except ImportError as error:
        raise ModelError(f"these weights need torch, which is not installed; install {extra}") from error
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); give the path of the weights") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than tensors, or is no file of torch.save; download it again from its authors"
        ) from error
    except Exception as error:  # a damaged archive fails in many ways
        why = one_line(f"{type(error).__name__}: {error}").split("\\n")[0][:120]
        raise ModelError(f"{path} is damaged or no file of weights ({why}); download it again") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ModelError(f"{path} holds no plain dict of tensors; give a state dict")
    return content
