"""Settings of the inputs for concepts, and what a file with a concept network says about itself.

Source: Ribecky, Abeßer and Lukashevich, "Multi-input architecture and disentangled representation learning for
multi-dimensional modeling of music similarity", 2021.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from soundalike.backbones.analysis.cens import LOWEST_RATE
from soundalike.core.errors import UsageError
from soundalike.core.names import check_name, check_unique
from soundalike.core.onnx_files import read_settings

__all__ = ["CONCEPT_INPUTS", "CONCEPT_KEY", "ConceptGraph", "InputSettings", "TempogramKind"]

CONCEPT_INPUTS: tuple[str, ...] = ("mel", "tempogram", "chroma")
"""The inputs of the networks, in order."""
CONCEPT_KEY = "soundalike"
"""The key of `ConceptGraph` in the metadata of a file."""
TempogramKind: TypeAlias = Literal["autocorrelation", "cyclic"]
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class InputSettings:
    """The inputs of a network. The defaults are those of the paper.

    Attributes:
        names: Which inputs the network has, of `CONCEPT_INPUTS` and in their order.
        rate: Sampling rate in Hz.
        window: Samples of a window, even: 23 ms.
        hop: Samples from one frame to the next.
        seconds: Length of a segment.
        bands: Mel bands.
        tempogram: The kind of tempogram: local autocorrelation, or cyclic.
        lags: Frames of the window of the autocorrelation, which has as many bins.
        tempi: Bins per tempo octave of the cyclic tempogram, which has as many bins. Not printed.
        chroma: Bins of the chromagram, at least 12. Those above 12 are 0.

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> settings = InputSettings()
        >>> settings.frames, [settings.bins(name) for name in settings.names]
        (259, [128, 384, 16])
    """

    names: tuple[str, ...] = CONCEPT_INPUTS
    rate: int = 22050
    window: int = 512
    hop: int = 256
    seconds: float = 3.0
    bands: int = 128
    tempogram: TempogramKind = "autocorrelation"
    lags: int = 384
    tempi: int = 60  # not printed
    chroma: int = 16

    def __post_init__(self) -> None:
        if not self.names or list(self.names) != [name for name in CONCEPT_INPUTS if name in self.names]:
            raise UsageError(
                f"inputs are {', '.join(self.names) or 'missing'}; expected some of {', '.join(CONCEPT_INPUTS)}, "
                "each once and in this order"
            )
        if self.tempogram not in ("autocorrelation", "cyclic"):
            raise UsageError(f"the tempogram is {self.tempogram}; expected autocorrelation or cyclic")
        for name, least in (("rate", 1), ("bands", 1), ("lags", 2), ("tempi", 2), ("chroma", 12)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least {least}")
        if self.window < 2 or self.window % 2 or not 1 <= self.hop <= self.window:
            raise UsageError(
                f"the window has {self.window} samples and the hop {self.hop}; expected an even window and a hop of "
                "at least 1 and at most the window"
            )
        if "chroma" in self.names and (self.rate < LOWEST_RATE or self.hop % 64):
            raise UsageError(
                f"the rate is {self.rate} Hz and the hop {self.hop}; expected at least {LOWEST_RATE} Hz and a multiple "
                "of 64 samples for the chromagram, or leave chroma out"
            )
        if not self.window / self.rate <= self.seconds < math.inf:
            raise UsageError(f"a segment has {self.seconds:g} s; expected at least a window")

    @property
    def samples(self) -> int:
        """Samples of a segment."""
        return round(self.seconds * self.rate)

    @property
    def frames(self) -> int:
        """Frames of a segment. Frames are centred, so that a segment of no length has one."""
        return 1 + self.samples // self.hop

    def bins(self, name: str) -> int:
        """Return how many bins an input has."""
        tempogram = self.lags if self.tempogram == "autocorrelation" else self.tempi
        return {"mel": self.bands, "tempogram": tempogram, "chroma": self.chroma}[name]


@dataclass(frozen=True, slots=True)
class ConceptGraph:
    """What a file with a concept network says about itself.

    The graph takes one input per name in `inputs.names`, (n, bins, frames) float32, and gives `embedding` (n, D).

    Attributes:
        concepts: The names of the concepts, in the order of their slices.
        dim: Dims of a slice. The slice of concept i has the dims i `dim` to (i + 1) `dim`, and D is all of them.
        licence: Licence of the weights, an SPDX expression.
        inputs: The inputs.

    Example:
        >>> graph = ConceptGraph(("tempo", "key"), 64, "CC0-1.0")
        >>> graph.slices["key"]
        slice(64, 128, None)
    """

    concepts: tuple[str, ...]
    dim: int
    licence: str
    inputs: InputSettings = field(default_factory=InputSettings)

    @property
    def slices(self) -> dict[str, slice]:
        """The slice of each concept."""
        return {name: slice(i * self.dim, (i + 1) * self.dim) for i, name in enumerate(self.concepts)}

    def to_json(self) -> str:
        """Return the text in the metadata of a file."""
        return json.dumps({"format": _FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> ConceptGraph:
        """Read the text in the metadata of a file.

        Raises:
            ValueError: It has another format, or a value is missing or out of range.

        Example:
            >>> ConceptGraph.from_json(graph.to_json()) == graph
            True
        """
        return read_settings(text, _FORMAT, cls._checked)

    @classmethod
    def _checked(cls, table: Mapping[str, Any]) -> ConceptGraph:
        concepts, dim = tuple(table["concepts"]), int(table["dim"])
        for one in concepts:
            check_name("concept", one)
        check_unique("concept", concepts)
        if not concepts or dim < 1:
            raise ValueError(f"it has {len(concepts)} concepts of {dim} dims")
        inputs = InputSettings(**(table["inputs"] | {"names": tuple(table["inputs"]["names"])}))
        return cls(concepts, dim, str(table["licence"]), inputs)
