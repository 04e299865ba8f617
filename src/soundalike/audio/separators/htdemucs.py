"""Hybrid Transformer Demucs, run by the PyPI package demucs in PyTorch.

Rouard, Massa and Défossez, "Hybrid transformers for music source separation", ICASSP 2023. The weights are a folder in
the layout of the Hugging Face hub: NAME.yaml names one SIGNATURE.safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from soundalike.audio.separators.base import StemBlock
from soundalike.audio.separators.installed import weights_folder
from soundalike.audio.stereo import StereoStream
from soundalike.core.errors import ModelError, one_line
from soundalike.core.tensors import tensors_version
from soundalike.core.types import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["HtDemucs", "installed_weights", "model_file"]

_CODE = 1  # raise this whenever other code gives other stems
_CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs")
_MODELS = re.compile(r"^models:(?:\s*\[\s*|\s*\n\s*-\s*)['\"]?([0-9A-Za-z]+)['\"]?\s*\]?\s*$", re.M)
_STRIDE = 0.75  # of a segment


def installed_weights(name: str, weights: Path | None) -> Path:
    """Return the folder of the weights of a separator: the given one, or the installed one.

    Raises:
        ModelError: The package demucs is not installed, or there are no weights.
    """
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("demucs") is None:
        raise ModelError(f"the separator {name} needs demucs; pip install 'soundalike[demucs]'")
    folder = weights or weights_folder(name)
    if not folder.is_dir():
        where = f"; {weights} is no folder" if weights else ""
        raise ModelError(
            f"the separator {name} needs its weights; install them with: soundalike separators install {name}{where}"
        )
    return folder


class HtDemucs:
    """Hybrid Transformer Demucs, as stereo at 44.1 kHz.

    Segments of the length that the network was trained on start every three quarters of their length, and are faded
    into each other linearly, as `demucs.apply.apply_model` does without shifts.

    Args:
        name: The name of the separator.
        stems: The stems that the weights must have.
        folder: The folder of the weights.

    Raises:
        ModelError: The weights are missing, damaged, or of another network.
    """

    rate: ClassVar[int] = 44_100
    licence: ClassVar[str] = "MIT"
    gate: ClassVar[float] = -30.0  # a choice, not a measurement: it leaks less than Spleeter

    def __init__(self, name: str, stems: Sequence[str], folder: Path) -> None:
        self.name = name
        self._network = _load(folder)
        self.stems: tuple[str, ...] = tuple(self._network.sources)
        if set(self.stems) != set(stems):
            found, expected = ", ".join(self.stems), ", ".join(stems)
            raise ModelError(f"{folder} holds a network for {found}; the separator {name} expects {expected}")
        if self._network.samplerate != self.rate or self._network.audio_channels != 2:
            raise ModelError(f"{folder} holds no network for stereo at {self.rate:,} Hz; install {name} again")
        state = self._network.state_dict()
        self.version = tensors_version(_CODE, {key: tensor.numpy() for key, tensor in state.items()})

    def files(self, path: Path) -> Sequence[Path]:
        """Return no files."""
        return ()

    def separate(self, path: Path, *, start: float = 0.0, end: float | None = None) -> Iterator[StemBlock]:
        """Yield the stems in blocks of three quarters of a segment."""
        return self.separate_blocks(StereoStream(path, self.rate, start=start, end=end))

    def separate_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[StemBlock]:
        """Yield the stems of stereo blocks (2, t) float32 at 44.1 kHz."""
        size = int(self._network.segment * self.rate)
        stride = int(_STRIDE * size)
        half = size // 2
        rising = np.concatenate([np.arange(1, half + 1), np.arange(size - half, 0, -1)])
        fade = (rising / rising.max()).astype(np.float32)
        sound = np.zeros((len(self.stems), 2, size), np.float32)  # from the start of the segment on
        weight = np.zeros(size, np.float32)
        for context, first, count in _segments(blocks, size, stride):
            stems = self._stems(context, first, count)
            sound[:, :, :count] += fade[:count] * stems
            weight[:count] += fade[:count]
            done = min(stride, count)
            yield dict(zip(self.stems, sound[:, :, :done] / weight[:done], strict=True))
            sound = np.concatenate([sound[:, :, stride:], np.zeros_like(sound[:, :, :stride])], axis=2)
            weight = np.concatenate([weight[stride:], np.zeros_like(weight[:stride])])

    def _stems(self, segment: FloatArray, first: int, count: int) -> FloatArray:
        """Return the stems (s, 2, `count`) of a segment (2, size) from the sample `first` on."""
        import torch

        if not segment.any():
            return np.zeros((len(self.stems), 2, count), np.float32)
        with torch.inference_mode():
            result = self._network(torch.from_numpy(segment)[None])[0]
        stems: FloatArray = result[:, :, first : first + count].numpy()
        return stems


def _segments(blocks: Iterable[FloatArray], size: int, stride: int) -> Iterator[tuple[FloatArray, int, int]]:
    """Yield segments (2, size), and where in them the samples that count begin, and how many there are.

    The last ones hold what comes before them, and silence after the end, as the package has it.
    """
    held = np.zeros((2, 0), np.float32)
    before = 0  # samples of `held` before the start of the next segment
    waiting: list[FloatArray] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += block.shape[1]
        while before + size <= held.shape[1] + count:
            held, waiting, count = np.concatenate([held, *waiting], axis=1), [], 0
            yield np.ascontiguousarray(held[:, before : before + size]), 0, size
            dropped = max(0, before + stride - size)
            held, before = held[:, dropped:], before + stride - dropped
    held = np.concatenate([held, *waiting], axis=1)
    while before < held.shape[1]:
        left = held.shape[1] - before
        first = (size - left) // 2
        segment = np.zeros((2, size), np.float32)
        start = before - first
        piece = held[:, max(0, start) : start + size]
        segment[:, max(0, -start) : max(0, -start) + piece.shape[1]] = piece
        yield segment, first, left
        before += stride


def model_file(list_file: Path) -> str:
    """Return the name of the file of weights that a list NAME.yaml names.

    Raises:
        ModelError: It cannot be read, or names no or several models.

    Example:
        >>> model_file(Path("htdemucs/htdemucs.yaml"))
        '955717e8.safetensors'
    """
    try:
        found = _MODELS.search(list_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{list_file} cannot be read ({error}); install the separator again") from error
    if found is None:
        raise ModelError(f"{list_file} does not name exactly one model; bags of several models are not supported")
    return f"{found[1]}.safetensors"


def _load(folder: Path) -> Any:
    """Return the network of a folder of weights.

    The metadata of the file name a class and its arguments, so only classes of networks are accepted.
    """
    from safetensors import safe_open

    lists = sorted(folder.glob("*.yaml"))
    if len(lists) != 1:
        raise ModelError(f"{folder} has {len(lists)} lists of models; expected one NAME.yaml beside its .safetensors")
    file = folder / model_file(lists[0])
    try:
        with safe_open(file, framework="np") as opened:
            metadata = opened.metadata() or {}
        if metadata.get("klass") not in _CLASSES or "structure" in metadata:
            raise ModelError(f"{file} holds a network of {metadata.get('klass')!r}; expected {' or '.join(_CLASSES)}")
        from demucs.hf import load_safetensors_model

        network: torch.nn.Module = load_safetensors_model(file)
    except ModelError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        why = one_line(f"{type(error).__name__}: {error}")[:200]
        raise ModelError(f"the weights in {folder} cannot be read ({why}); install the separator again") from error
    return network.eval()
