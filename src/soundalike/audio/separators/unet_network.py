"""Networks for instruments that `soundalike train instruments` wrote, as ONNX files that onnxruntime runs.

A file takes the magnitudes `spectrum` (n, bins, frames) of any number of frames, and gives either `rows` (n, K, d), or
`masks` (n, K, bins, frames), for K instruments. What it needs to be run is a JSON text in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from soundalike.core.errors import ModelError
from soundalike.core.names import check_name, check_unique
from soundalike.core.onnx_files import check_sizes, open_onnx, read_settings
from soundalike.core.types import FloatArray

__all__ = ["UNET_KEY", "UnetNetwork", "UnetOutput", "UnetSettings"]

UNET_KEY = "soundalike"
"""The key of the settings in the metadata of a file."""
UnetOutput: TypeAlias = Literal["rows", "masks"]
_FORMAT = 1
_REMEDY = "give a file that `soundalike train instruments` wrote"


@dataclass(frozen=True, slots=True)
class UnetSettings:
    """What a file says about itself.

    Attributes:
        output: What it gives: "rows" or "masks".
        method: How it was trained, such as "cascade-ft".
        rate: Sample rate in Hz.
        size: Samples per frame of the spectra.
        hop: Samples between frames.
        instruments: The K instruments, in order.
        dim: Dims d of a row; None for masks.
        gates: Level in dB relative to the mix from which each instrument counts as audible, in which case the output
            `level` (n, K) follows `rows`. None: every instrument is always audible.
        licence: Licence of the weights, an SPDX expression.
    """

    output: UnetOutput
    method: str
    rate: int
    size: int
    hop: int
    instruments: tuple[str, ...]
    dim: int | None
    gates: tuple[float, ...] | None
    licence: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs of the network, in order."""
        return (self.output,) if self.gates is None else (self.output, "level")

    def to_json(self) -> str:
        """Return the settings as the text in the metadata of a file."""
        table = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": _FORMAT, **table})

    @classmethod
    def from_json(cls, text: str) -> UnetSettings:
        """Read the text in the metadata of a file.

        Raises:
            ValueError: It has another format, or a value is missing or out of range.

        Example:
            >>> UnetSettings.from_json(settings.to_json()) == settings
            True
        """
        return read_settings(text, _FORMAT, cls._checked)

    @classmethod
    def _checked(cls, table: Mapping[str, Any]) -> UnetSettings:
        instruments, gates = tuple(table["instruments"]), table["gates"]
        for one in instruments:
            check_name("instrument", one)
        check_unique("instrument", instruments)
        size, hop, dim = int(table["size"]), int(table["hop"]), table["dim"]
        if not instruments or table["output"] not in ("rows", "masks") or (dim is None) != (table["output"] == "masks"):
            raise ValueError("its settings contradict each other")
        if int(table["rate"]) < 1 or hop < 1 or size < 2 or size % hop or size % 2:
            raise ValueError(f"frames of {size} samples every {hop} are not possible")
        if gates is not None and len(gates) != len(instruments):
            raise ValueError(f"it has {len(gates)} gates for {len(instruments)} instruments")
        return cls(
            output=table["output"],
            method=str(table["method"]),
            rate=int(table["rate"]),
            size=size,
            hop=hop,
            instruments=instruments,
            dim=None if dim is None else int(dim),
            gates=None if gates is None else tuple(float(gate) for gate in gates),
            licence=str(table["licence"]),
        )


class UnetNetwork:
    """The network of a file.

    Args:
        path: The file.
        output: What it has to give.
        code: Version of the code that uses it.

    Attributes:
        settings: What the file says about itself.
        version: A digest of the file and of `code`.

    Raises:
        ModelError: The file is missing, damaged, or of another kind.

    Example:
        >>> network = UnetNetwork(Path("instruments/unet.onnx"), "rows", code=1)
        >>> network(np.zeros((1, 512, 313), np.float32))[0].shape
        (1, 6, 32)
    """

    def __init__(self, path: Path, output: UnetOutput, *, code: int) -> None:
        self._session, self.version = open_onnx(path, code=code, remedy=_REMEDY)
        self.settings = _read_settings(path, self._session, output)

    def __call__(self, spectrum: FloatArray) -> list[FloatArray]:
        """Return the outputs for magnitudes (n, bins, frames) float32, in the order of `settings.outputs`."""
        found: list[FloatArray] = self._session.run(None, {"spectrum": spectrum})
        return found


def _read_settings(path: Path, session: Any, output: UnetOutput) -> UnetSettings:
    """Return the settings of a network. Raises ModelError if it is of another kind."""
    text = session.get_modelmeta().custom_metadata_map.get(UNET_KEY)
    if text is None:
        raise ModelError(f"{path} is a network of another kind: it has no settings of soundalike; {_REMEDY}")
    try:
        settings = UnetSettings.from_json(text)
    except ValueError as error:
        raise ModelError(f"{path} is a network of another kind: {error}; {_REMEDY}") from error
    if settings.output != output:
        kinds = {"rows": "rows of instruments, for the backbone unet", "masks": "masks, for the separator unet"}
        raise ModelError(f"{path} gives {kinds[settings.output]}; expected {kinds[output]}")
    count, bins = len(settings.instruments), settings.size // 2
    wanted = {"rows": [None, count, settings.dim], "masks": [None, count, bins, None], "level": [None, count]}
    outputs = {name: wanted[name] for name in settings.outputs}
    check_sizes(path, session, {"spectrum": [None, bins, None]}, outputs, _REMEDY)
    return settings
