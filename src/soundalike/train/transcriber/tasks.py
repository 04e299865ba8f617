"""The training tasks of the transcriber's networks: input, targets, loss and accuracy of each.

B clips, f fast and g pitch frames, h = ceil(g / 2), n cells, e dims of colour, k instruments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, max_pool1d, normalize, pad

from soundalike.backbones.analysis import CELLS, COLOURS, QUIET
from soundalike.core.types import IntArray
from soundalike.train.common.losses import supervised_contrastive
from soundalike.train.transcriber.material import ClipMaterial, stack_frames
from soundalike.train.transcriber.nets import ColourNetwork, PitchNetwork, StrokeNetwork
from soundalike.train.transcriber.targets import NO_CHORD, pitch_targets, stroke_targets

__all__ = ["ColourTask", "PitchTask", "StrokeTask", "Task"]


class Task(Protocol):
    """What a network learns: its input, targets, loss and accuracy."""

    name: str
    batch: int
    """Clips per batch."""

    def order(self, clips: Sequence[ClipMaterial], random: np.random.Generator) -> IntArray:
        """The clips of an epoch in random order; consecutive ones form batches."""
        ...

    def network(self) -> nn.Module:
        """Create a network."""
        ...

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Root spectra (B, t, m) and targets of clips."""
        ...

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """The mean loss."""
        ...

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """The accuracy of the outputs, 0 to 1."""
        ...


class _ShuffledClips:
    """Clips in random order, independent of each other."""

    batch = 16

    def order(self, clips: Sequence[ClipMaterial], random: np.random.Generator) -> IntArray:
        """All clips."""
        return random.permutation(len(clips))


class PitchTask(_ShuffledClips):
    """Lead, notes and chord. The accuracy is the share of correct lead frames among those with a lead."""

    name = "pitch"

    def network(self) -> nn.Module:
        """Create a pitch network."""
        return PitchNetwork()

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spectra (B, g, 252); lead (B, g), notes (B, g, n), tones (B, h, 12), root (B, h)."""
        roots = torch.from_numpy(stack_frames([clip.pitch for clip in clips]).astype(np.float32))
        found = [pitch_targets(clip.notes, clip.chords, roots.shape[1]) for clip in clips]
        parts = [np.stack([getattr(one, part) for one in found]) for part in ("lead", "notes", "tones", "root")]
        return roots, tuple(torch.from_numpy(part) for part in parts)

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of lead and root, and binary cross-entropy of notes and tones; each starts near 1."""
        lead, notes, tones, root = (part.float() for part in outputs)
        which = cross_entropy(lead.flatten(0, 1), targets[0].flatten())
        sounding = binary_cross_entropy_with_logits(notes, targets[1], pos_weight=torch.tensor(4.0))
        chord = binary_cross_entropy_with_logits(tones, targets[2])
        base = cross_entropy(root.flatten(0, 1), targets[3].flatten(), ignore_index=NO_CHORD)
        return which / math.log(CELLS) + 3 * sounding + chord + base / math.log(12)

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Raw pitch accuracy of the lead."""
        led = targets[0] < CELLS
        return (outputs[0][..., :CELLS].argmax(dim=2)[led] == targets[0][led]).float().mean()


class StrokeTask(_ShuffledClips):
    """Onsets of drums and notes. The accuracy is the mean F-measure of peaks above 1/2, within two frames."""

    name = "strokes"

    def network(self) -> nn.Module:
        """Create a stroke network."""
        return StrokeNetwork()

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spectra (B, f, 32) and strokes (B, f, s)."""
        roots = torch.from_numpy(stack_frames([clip.fast for clip in clips]).astype(np.float32))
        return roots, (torch.from_numpy(np.stack([stroke_targets(clip.notes, roots.shape[1]) for clip in clips])),)

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Binary cross-entropy. A frame next to an onset counts a third, because 12 ms of error do not matter."""
        assert isinstance(outputs, Tensor)
        struck = targets[0]
        beside = torch.maximum(pad(struck, (0, 0, 1, 0))[:, :-1], pad(struck, (0, 0, 0, 1))[:, 1:])
        soft = torch.maximum(struck, beside / 3)
        return binary_cross_entropy_with_logits(outputs.float(), soft, pos_weight=torch.tensor(4.0))

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """The mean F-measure."""
        assert isinstance(outputs, Tensor)
        logits, struck = outputs.float().transpose(1, 2), targets[0].transpose(1, 2)
        peaks = ((logits > 0) & (logits >= _near(logits))).float()
        precise = (peaks * _near(struck)).sum(dim=(0, 2)) / peaks.sum(dim=(0, 2)).clamp_min(1)
        found = (_near(peaks) * struck).sum(dim=(0, 2)) / struck.sum(dim=(0, 2)).clamp_min(1)
        return (2 * precise * found / (precise + found).clamp_min(1e-9)).mean()


class ColourOutputs(NamedTuple):
    """`rows` (B, 128) unit, and logits `instruments` (B, k)."""

    rows: Tensor
    instruments: Tensor


class ColourTrainer(nn.Module):
    """A colour network with its training outputs: rows for a contrastive loss, and the instruments of a clip."""

    def __init__(self, instruments: int) -> None:
        super().__init__()
        self.ears = ColourNetwork()
        self.project = nn.Linear(2 * COLOURS, 128)
        self.name = nn.Linear(2 * COLOURS, instruments)
        nn.init.constant_(self.name.bias, -5.0)  # most instruments do not play

    def forward(self, roots: Tensor) -> ColourOutputs:
        """Compute the outputs, pooled over time as in `played_descriptors.colour`."""
        with torch.autocast(roots.device.type, enabled=False):
            loud = roots.float().square().square().mean(dim=2, keepdim=True)
            audible = (loud >= QUIET * loud.amax(dim=1, keepdim=True)).float()
        frames = self.ears(roots).float()
        count = audible.sum(dim=1)
        mean = (frames * audible).sum(dim=1) / count
        variance = ((frames - mean[:, None]).square() * audible).sum(dim=1) / count
        pooled = torch.cat([mean, torch.sqrt(variance + 1e-6)], dim=1)
        return ColourOutputs(normalize(self.project(pooled), dim=1), self.name(pooled))


class ColourTask:
    """Timbre: a contrastive loss between bands, and the instruments of each clip.

    `clips` are the training clips; their instruments are the classes. The accuracy is the share of clips whose most
    similar clip in the batch has the same band, among clips that share theirs.
    """

    name = "colour"
    batch = 64

    def __init__(self, clips: Sequence[ClipMaterial]) -> None:
        self._bands = {band: number for number, band in enumerate(sorted({clip.band for clip in clips}))}
        names = sorted({name for band in self._bands for name in json.loads(band).values()})
        self._instruments = {name: number for number, name in enumerate(names)}

    def order(self, clips: Sequence[ClipMaterial], random: np.random.Generator) -> IntArray:
        """Clips with the same band and folder stay together; clips that share theirs with none are left out."""
        groups: dict[tuple[str, str], list[int]] = {}
        for place, clip in enumerate(clips):
            groups.setdefault((clip.folder, clip.band), []).append(place)
        pairs = [group for group in groups.values() if len(group) > 1]
        return np.concatenate([pairs[place] for place in random.permutation(len(pairs))])

    def network(self) -> nn.Module:
        """Create a colour network with its training outputs."""
        return ColourTrainer(len(self._instruments))

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spectra (B, g, 64); band (B,), instruments (B, k). A band outside the training set gets its own number."""
        roots = torch.from_numpy(stack_frames([clip.colour[::2] for clip in clips]).astype(np.float32))
        unknown: dict[str, int] = {}
        bands = torch.tensor(
            [self._bands.get(clip.band, -1 - unknown.setdefault(clip.band, len(unknown))) for clip in clips]
        )
        plays = torch.zeros(len(clips), len(self._instruments))
        for row, clip in zip(plays, clips, strict=True):
            for name in json.loads(clip.band).values():
                if name in self._instruments:
                    row[self._instruments[name]] = 1.0
        return roots, (bands, plays)

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Supervised contrastive loss of bands, and binary cross-entropy of instruments, summed over them."""
        rows, instruments = (part.float() for part in outputs)
        named = binary_cross_entropy_with_logits(instruments, targets[1], reduction="sum") / len(rows)
        return supervised_contrastive(rows, targets[0]) + 0.2 * named

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """The share of nearest neighbours with the same band."""
        rows, band = outputs[0].float(), targets[0]
        same = (band[:, None] == band).fill_diagonal_(False)
        nearest = (rows @ rows.T).fill_diagonal_(-2.0).argmax(dim=1)
        shared = same.any(dim=1)
        return (band[nearest] == band)[shared].float().mean()


def _near(values: Tensor) -> Tensor:
    """The maximum within two frames, along the last axis."""
    return max_pool1d(values, 5, stride=1, padding=2)
