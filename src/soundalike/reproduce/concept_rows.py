"""Embeddings of segments and of whole songs by networks for concepts, kept by what they depend on.

The embedding of a song is the mean over its non-overlapping segments of 3 s, as in section 4.1 of the paper.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from soundalike.audio import MonoStream
from soundalike.backbones.analysis import InputSettings, concept_inputs, fit_segment
from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder, write_atomic
from soundalike.core.types import FloatArray, IntArray
from soundalike.train.common.network_files import digest_network
from soundalike.train.concepts.material import ConceptMaterial

__all__ = ["ConceptEncoder", "Network"]

Network: TypeAlias = tuple[Path, Callable[[], nn.Module]]
"""The file of a network, and what loads it."""
_BATCH = 32
_BLOCK = 64
"""Songs of which embeddings are kept together: what a killed run computes again."""


@dataclass(frozen=True, slots=True)
class ConceptEncoder:
    """Computes embeddings.

    Attributes:
        folder: Where they are kept.
        inputs: All inputs that a network may have.
        device: A torch device.
        jobs: Worker processes that read songs; None is one per core.
        progress: Called after every song with songs done, songs in all, and seconds of audio.
    """

    folder: Path
    inputs: InputSettings
    device: str = "cpu"
    jobs: int | None = None
    progress: Callable[[int, int, float], None] | None = None

    def segments(self, network: Network, material: ConceptMaterial, rows: IntArray) -> FloatArray:
        """Return the embeddings of segments, (len(rows), D).

        Args:
            network: The network.
            material: The segments.
            rows: Their numbers.

        Example:
            >>> encoder.segments((path, load), material, material.rows["test"]).shape
            (800, 384)
        """
        weights, load = network
        path = self._path(["segments", digest_network(weights), material.digest, rows.tolist()])
        if not path.exists():
            module = load().eval().to(self.device)
            names = self.inputs.names
            found = [
                self._embed(module, {name: material.inputs(name, rows[at : at + _BATCH]) for name in names})
                for at in range(0, len(rows), _BATCH)
            ]
            self._keep(path, np.concatenate(found))
        kept: FloatArray = np.load(path, allow_pickle=False)
        return kept

    def songs(self, networks: Sequence[Network], files: Sequence[Path]) -> list[FloatArray]:
        """Return the embeddings of songs by several networks, (songs, D) each. Every song is read once.

        Args:
            networks: The networks.
            files: The songs.

        Raises:
            AudioError: A song cannot be read; the message names it.

        Example:
            >>> (rows,) = encoder.songs([(path, load)], files)
        """
        done: list[list[FloatArray]] = [[] for _ in networks]
        digests = [digest_network(weights) for weights, _ in networks]
        for first in range(0, len(files), _BLOCK):
            block = files[first : first + _BLOCK]
            about = [[str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns] for file in block]
            settings = asdict(self.inputs)
            paths = [self._path(["songs", digest, about, settings]) for digest in digests]
            lacking = [at for at, path in enumerate(paths) if not path.exists()]
            if lacking:
                modules = [networks[at][1]().eval().to(self.device) for at in lacking]
                rows = list(self._read(modules, block, first, len(files)))
                for at, own in zip(lacking, zip(*rows, strict=True), strict=True):
                    self._keep(paths[at], np.stack(own))
            for at, path in enumerate(paths):
                done[at].append(np.load(path, allow_pickle=False))
        return [np.concatenate(one) for one in done]

    def _read(
        self, modules: Sequence[nn.Module], files: Sequence[Path], first: int, total: int
    ) -> Iterator[list[FloatArray]]:
        """The mean embeddings of songs, by each network."""
        outcomes = run_tasks(_read_sections, [(file, self.inputs) for file in files], self.jobs)
        seconds = 0.0
        try:
            for done, (task, outcome) in enumerate(outcomes, start=1):
                if isinstance(outcome, SoundalikeError):
                    raise AudioError(f"{task[0]}: {outcome}")
                count = len(next(iter(outcome.values())))
                found: list[FloatArray] = []
                for module in modules:
                    parts = [
                        self._embed(module, {name: own[at : at + _BATCH] for name, own in outcome.items()})
                        for at in range(0, count, _BATCH)
                    ]
                    found.append(np.concatenate(parts).mean(axis=0))
                seconds += count * self.inputs.seconds
                if self.progress:
                    self.progress(first + done, total, seconds)
                yield found
        finally:
            outcomes.close()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _embed(self, module: nn.Module, inputs: Mapping[str, FloatArray]) -> FloatArray:
        tensors = {name: torch.from_numpy(own.astype(np.float32)).to(self.device) for name, own in inputs.items()}
        rows: FloatArray = module(tensors).cpu().numpy()
        return rows

    def _path(self, identity: object) -> Path:
        digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
        return self.folder / f"{digest}.npy"

    def _keep(self, path: Path, rows: FloatArray) -> None:
        make_folder(self.folder, "--work")
        write_atomic(path, lambda file: np.save(file, rows))


def _read_sections(task: tuple[Path, InputSettings]) -> dict[str, FloatArray]:
    """Run in a worker: the inputs of the sections of a song, (k, bins, frames) float16 each.

    Raises AudioError.
    """
    path, settings = task
    samples = MonoStream(path, settings.rate).read(_concatenate)
    count = max(1, len(samples) // settings.samples)
    sections = [samples[at * settings.samples : (at + 1) * settings.samples] for at in range(count)]
    each = [concept_inputs(fit_segment(section, settings), settings) for section in sections]
    return {name: np.stack([one[name] for one in each]).astype(np.float16) for name in settings.names}


def _concatenate(blocks: Iterator[FloatArray]) -> FloatArray:
    return np.concatenate([np.zeros(0, np.float32), *blocks])
