"""Versions that follow from tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from soundalike.core.types import AnyArray

__all__ = ["tensors_version"]


def tensors_version(code: int, tensors: Mapping[str, AnyArray]) -> int:
    """Return a version of what tensors and code make: a digest of both, whatever the file of the tensors.

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
