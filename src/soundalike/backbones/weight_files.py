"""Read weights that do not come with this package, and derive the versions of backbones from them."""

from __future__ import annotations

import errno
import hashlib
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from soundalike.core.errors import AudioError, ModelError, UsageError, one_line
from soundalike.core.files import content_hash, write_atomic
from soundalike.core.settings import cache_folder

if TYPE_CHECKING:
    import torch

__all__ = ["read_torch_tensors", "weights_version"]

_ALLOWING = threading.Lock()
"""Held while torch accepts more types in pickles: it keeps one list of them for all threads."""


def weights_version(code: int, files: Sequence[Path]) -> int:
    """Return a version that changes with the code of a backbone and with the bytes of its weights.

    The digest of a file is cached by its path, size and time of change, because reading a gigabyte takes seconds.

    Args:
        code: Version of the code.
        files: The files of the weights, in a fixed order.

    Returns:
        A number of at most 48 bits.

    Raises:
        ModelError: A file cannot be read.

    Example:
        >>> weights_version(1, [Path("mert/config.json"), Path("mert/pytorch_model.bin")])
        152735512113437
    """
    digests = [_digest(file) for file in files]
    return int(hashlib.blake2b(f"{code} {' '.join(digests)}".encode(), digest_size=6).hexdigest(), 16)


def _digest(file: Path) -> str:
    """Return the digest of a file, from the cache if the file has not changed."""
    try:
        status = file.stat()
        key = f"{file.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        entry = cache_folder() / "weights" / hashlib.blake2b(key.encode(errors="replace"), digest_size=16).hexdigest()
        if entry.is_file():
            return entry.read_text(encoding="ascii")
        digest = content_hash(file)
    except (OSError, AudioError) as error:
        raise ModelError(f"{file} cannot be read ({error}); install the model again") from error
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(entry, lambda out: out.write(digest.encode()))
    except (OSError, UsageError):
        pass  # the cache only saves time
    return digest


def read_torch_tensors(path: Path, extra: str) -> dict[str, torch.Tensor]:
    """Read a dict of tensors that `torch.save` wrote, or a safetensors file. No code in the file is run.

    A dict of tensors under the key "state_dict" of another dict, as training programs write it, is read too. The other
    entries, such as an accuracy as a number of numpy, are ignored.

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
    if not path.exists():
        raise ModelError(f"{path} cannot be read (it does not exist); give the path of the weights")
    try:
        import torch
    except ImportError as error:
        raise ModelError(f"these weights need torch, which is not installed; install {extra}") from error
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        numbers = [
            (_Ignored, f"numpy.{name}") for name in ("dtype", "core.multiarray.scalar", "_core.multiarray.scalar")
        ]
        with _ALLOWING, torch.serialization.safe_globals(numbers), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that were not made by torch, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch seeks before the start of an archive that is too short
            raise ModelError(f"{path} is damaged or truncated; download it again") from error
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); give the path of the weights") from error
    except UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than tensors, or is no file of torch.save; download it again from its authors"
        ) from error
    except Exception as error:  # a damaged archive fails in many ways
        why = one_line(f"{type(error).__name__}: {error}").split("\\n")[0].split(". ")[0][:120]
        raise ModelError(f"{path} is damaged or no file of weights ({why}); download it again") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ModelError(f"{path} holds no plain dict of tensors; give a state dict")
    return content


class _Ignored:
    """Stands for a number of numpy, and for its type, in a pickle. numpy's own would run on whatever the file holds."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass
