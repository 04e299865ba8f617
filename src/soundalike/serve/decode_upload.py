"""Decode an upload in a process of its own, which may crash or run out of memory without harm to the server.

    python -m soundalike.serve.decode_upload SOURCE TARGET SECONDS

writes the recording to TARGET as FLAC of 24 bits, with at most two channels and at most 48 kHz, and prints its tags as
JSON. A recording that cannot be decoded, or that lasts longer than SECONDS, is one line on standard error and exit code
2.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

__all__ = ["main"]

_MEMORY = 2 * 1024**3
_CPU_SECONDS = 120
_HIGHEST_RATE = 48_000


def main(source: Path, target: Path, seconds: float) -> int:
    """Decode one upload; see the module."""
    _limit()
    import numpy as np
    import soundfile
    import soxr

    from soundalike.audio import read_tags
    from soundalike.audio.stream import AudioStream
    from soundalike.core.errors import AudioError

    try:
        with AudioStream(source) as stream:
            channels, rate = min(stream.channels, 2), min(stream.rate, _HIGHEST_RATE)
            resampler = soxr.ResampleStream(stream.rate, rate, channels, "float32") if rate != stream.rate else None
            frames = 0
            with soundfile.SoundFile(target, "w", rate, channels, "PCM_24", format="FLAC") as file:
                for block in stream:
                    frames += block.shape[1]
                    if frames > seconds * stream.rate:
                        raise AudioError(f"it lasts longer than {_minutes(seconds)}; upload a part of it")
                    piece = block if stream.channels <= 2 else np.tile(block.mean(axis=0), (2, 1))
                    samples = np.clip(piece.T, -1.0, 1.0)
                    file.write(resampler.resample_chunk(samples) if resampler else samples)
                if resampler:
                    file.write(resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True))
    except AudioError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"warning": stream.warning, "tags": asdict(read_tags(source))}))
    return 0


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 and math.isfinite(seconds) else f"{seconds:g} s"


def _limit() -> None:
    """Bound the memory and the processor time of this process, where the system can."""
    with suppress(ImportError, ValueError, OSError):
        resource = importlib.import_module("resource")  # only on Unix
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
