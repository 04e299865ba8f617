"""What the transcriber's networks learn: for each its input, its targets, its loss, and how right it is.

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
    """What a network learns: its input, its targets, its loss, and how right it is."""

    name: str
    batch: int
    """Clips."""

    def order(self, clips: Sequence[ClipMaterial], random: np.random.Generator) -> IntArray:
        """The clips of an epoch in a random order, from which batches are cut."""
        ...

    def network(self) -> nn.Module:
        """A new network."""
        ...

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Root spectra (B, t, m) and targets of clips."""
        ...

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """The mean loss."""
        ...

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """How right the outputs are, 0 to 1."""
        ...


class _InAnyOrder:
    """Every clip for itself."""

    batch = 16

    def order(self, clips: Sequence[ClipMaterial], random: np.random.Generator) -> IntArray:
        """All of them."""
        return random.permutation(len(clips))


class PitchTask(_InAnyOrder):
    """The lead, all notes, and the chord. Accuracy: frames with the right lead, among those that have one."""

    name = "pitch"

    def network(self) -> nn.Module:
        """A pitch network."""
        return PitchNetwork()

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spectra (B, g, 252); lead (B, g), notes (B, g, n), tones (B, h, 12), root (B, h)."""
        roots = torch.from_numpy(stack_frames([clip.pitch for clip in clips]).astype(np.float32))
        found = [pitch_targets(clip.notes, clip.chords, roots.shape[1]) for clip in clips]
        parts = [np.stack([getattr(one, part) for one in found]) for part in ("lead", "notes", "tones", "root")]
        return roots, tuple(torch.from_numpy(part) for part in parts)

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropies of lead and root, binary ones of notes and tones; each about 1 at first."""
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


class StrokeTask(_InAnyOrder):
    """Where drums and notes begin. Accuracy: the mean F-measure over strokes of peaks above 1/2, two frames' grace."""

    name = "strokes"

    def network(self) -> nn.Module:
        """A stroke network."""
        return StrokeNetwork()

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spectra (B, f, 32) and strokes (B, f, s)."""
        roots = torch.from_numpy(stack_frames([clip.fast for clip in clips]).astype(np.float32))
        return roots, (torch.from_numpy(np.stack([stroke_targets(clip.notes, roots.shape[1]) for clip in clips])),)

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Binary cross-entropy; a frame beside a stroke is a third of one, for no ear is exact to 12 ms."""
        assert isinstance(outputs, Tensor)
        struck = targets[0]
        beside = torch.maximum(pad(struck, (0, 0, 1, 0))[:, :-1], pad(struck, (0, 0, 0, 1))[:, 1:])
        soft = torch.maximum(struck, beside / 3)
        return binary_cross_entropy_with_logits(outputs.float(), soft, pos_weight=torch.tensor(4.0))

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Mean F-measure."""
        assert isinstance(outputs, Tensor)
        said, struck = outputs.float().transpose(1, 2), targets[0].transpose(1, 2)
        peaks = ((said > 0) & (said >= _near(said))).float()
        precise = (peaks * _near(struck)).sum(dim=(0, 2)) / peaks.sum(dim=(0, 2)).clamp_min(1)
        found = (_near(peaks) * struck).sum(dim=(0, 2)) / struck.sum(dim=(0, 2)).clamp_min(1)
        return (2 * precise * found / (precise + found).clamp_min(1e-9)).mean()


class ColourOutputs(NamedTuple):
    """`rows` (B, 128) unit, and logits `instruments` (B, k)."""

    rows: Tensor
    instruments: Tensor


class ColourTrainer(nn.Module):
    """A colour network, and what it is taught by: rows for contrast, and which instruments a clip's frames hold."""

    def __init__(self, instruments: int) -> None:
        super().__init__()
        self.ears = ColourNetwork()
        self.project = nn.Linear(2 * COLOURS, 128)
        self.name = nn.Linear(2 * COLOURS, instruments)
        nn.init.constant_(self.name.bias, -5.0)  # most instruments do not play

    def forward(self, roots: Tensor) -> ColourOutputs:
        """Listen, and pool as `playing.colour` does."""
        with torch.autocast(roots.device.type, enabled=False):
            loud = roots.float().square().square().mean(dim=2, keepdim=True)
            heard = (loud >= QUIET * loud.amax(dim=1, keepdim=True)).float()
        frames = self.ears(roots).float()
        count = heard.sum(dim=1)
        mean = (frames * heard).sum(dim=1) / count
        spread = ((frames - mean[:, None]).square() * heard).sum(dim=1) / count
        pooled = torch.cat([mean, torch.sqrt(spread + 1e-6)], dim=1)
        return ColourOutputs(normalize(self.project(pooled), dim=1), self.name(pooled))


class ColourTask:
    """Which instruments sound, and which clips sound of the same: contrast among bands, and their members by name.

    `clips` are those that are trained on; their instruments are what is named. Accuracy: clips whose most similar clip
    of the batch is of the same band, among those that are not alone.
    """

    name = "colour"
    batch = 64

    def __init__(self, clips: Sequence[ClipMaterial]) -> None:
        self._bands = {band: number for number, band in enumerate(sorted({clip.band for clip in clips}))}
        names = sorted({name for band in self._bands for name in json.loads(band).values()})
        self._instruments = {name: number for number, name in enumerate(names)}

    def order(self, clips: Sequence[ClipMaterial], random: np.random.Generator) -> IntArray:
        """Clips of one band and folder stay together; those that are alone with theirs are left out."""
        groups: dict[tuple[str, str], list[int]] = {}
        for place, clip in enumerate(clips):
            groups.setdefault((clip.folder, clip.band), []).append(place)
        pairs = [group for group in groups.values() if len(group) > 1]
        return np.concatenate([pairs[place] for place in random.permutation(len(pairs))])

    def network(self) -> nn.Module:
        """A colour network with what teaches it."""
        return ColourTrainer(len(self._instruments))

    def examples(self, clips: Sequence[ClipMaterial]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spectra (B, g, 64); band (B,), instruments (B, k); a band that was not trained on has a number of its own."""
        roots = torch.from_numpy(stack_frames([clip.colour[::2] for clip in clips]).astype(np.float32))
        strange: dict[str, int] = {}
        bands = torch.tensor(
            [self._bands.get(clip.band, -1 - strange.setdefault(clip.band, len(strange))) for clip in clips]
        )
        plays = torch.zeros(len(clips), len(self._instruments))
        for row, clip in zip(plays, clips, strict=True):
            for name in json.loads(clip.band).values():
                if name in self._instruments:
                    row[self._instruments[name]] = 1.0
        return roots, (bands, plays)

    def loss(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Supervised contrast of bands, and the binary cross-entropy of instruments, summed over them."""
        rows, instruments = (part.float() for part in outputs)
        named = binary_cross_entropy_with_logits(instruments, targets[1], reduction="sum") / len(rows)
        return supervised_contrastive(rows, targets[0]) + 0.2 * named

    def accuracy(self, outputs: Tensor | tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
        """Nearest neighbours of the same band."""
        rows, band = outputs[0].float(), targets[0]
        same = (band[:, None] == band).fill_diagonal_(False)
        nearest = (rows @ rows.T).fill_diagonal_(-2.0).argmax(dim=1)
        asked = same.any(dim=1)
        return (band[nearest] == band)[asked].float().mean()


def _near(values: Tensor) -> Tensor:
    """The maximum within two frames, along the last axis."""
    return max_pool1d(values, 5, stride=1, padding=2)
