"""ONNX files that soundalike writes and runs: opened with onnxruntime, with a version and checked sizes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from soundalike.core.errors import ModelError, UsageError
from soundalike.core.executors.cores import usable_cores

__all__ = ["check_sizes", "open_onnx", "read_settings"]

Settings = TypeVar("Settings")


def read_settings(text: str, version: int, create: Callable[[Mapping[str, Any]], Settings]) -> Settings:
    """Read the settings in the metadata of a file.

    Args:
        text: A JSON table with the member `format`.
        version: The format that is expected.
        create: Makes the settings from the table, and checks them.

    Returns:
        What `create` returns.

    Raises:
        ValueError: The text has another format, or a value is missing or out of range.

    Example:
        >>> read_settings('{"format": 1, "dim": 32}', 1, lambda table: table["dim"])
        32
    """
    table = json.loads(text)
    if not isinstance(table, Mapping):
        raise ValueError("its settings are not a table")
    if table.get("format") != version:
        raise ValueError(f"it has format {table.get('format')!r}, this version reads {version}")
    try:
        return create(table)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its settings are incomplete ({error!r})") from error
    except UsageError as error:
        raise ValueError(str(error)) from error


def open_onnx(path: Path, *, code: int, remedy: str) -> tuple[Any, int]:
    """Open a file, without loading it into memory twice.

    Args:
        path: The file.
        code: Version of the code that uses it.
        remedy: How an error message ends, such as "give a file that `soundalike train concepts` wrote".

    Returns:
        The `onnxruntime.InferenceSession`, and a digest of the file and of `code`, 0 to 2**31 - 1.

    Raises:
        ModelError: The file is missing or damaged.

    Example:
        >>> session, version = open_onnx(Path("unet.onnx"), code=1, remedy="train it again")
    """
    import onnxruntime

    digest = hashlib.blake2b(str(code).encode(), digest_size=4)
    try:
        with path.open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or usable_cores())
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # which would keep the most that it ever needed
    try:
        # From the path, not from bytes: the published networks of five instruments would be in memory twice.
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises exception types that it does not export
        raise ModelError(f"{path} is damaged or no network ({type(error).__name__}); {remedy}") from error
    return session, int.from_bytes(digest.digest()) >> 1


def check_sizes(
    path: Path,
    session: Any,
    inputs: Mapping[str, Sequence[int | None]],
    outputs: Mapping[str, Sequence[int | None]],
    remedy: str,
) -> None:
    """Check the tensors of a network against those that its settings promise; None is a size that may vary.

    Raises:
        ModelError: A tensor is missing, has another size, or is one too many.

    Example:
        >>> check_sizes(path, session, {"spectrum": [None, 512, None]}, {"rows": [None, 6, 32]}, "train it again")
    """
    taken = {node.name: _sizes(node.shape) for node in session.get_inputs()}
    given = {node.name: _sizes(node.shape) for node in session.get_outputs()}
    expected = {name: list(sizes) for name, sizes in (*inputs.items(), *outputs.items())}
    if taken.keys() != inputs.keys() or given.keys() != outputs.keys() or taken | given != expected:
        raise ModelError(
            f"{path} has the sizes {_describe(taken | given)}, and its settings say {_describe(expected)}; {remedy}"
        )


def _sizes(shape: Sequence[int | str | None]) -> list[int | None]:
    """Return the sizes of a tensor; None for those that may vary."""
    return [size if isinstance(size, int) else None for size in shape]


def _describe(tensors: Mapping[str, Sequence[int | None]]) -> str:
    return ", ".join(f"{name} {' x '.join(str(size or 'any') for size in sizes)}" for name, sizes in tensors.items())
