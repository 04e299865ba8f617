"""Compare the loudness of recordings with pyloudnorm, an independent implementation of ITU-R BS.1770-4.

    python benchmarks/loudness.py FOLDER [--files 200] [--seed 1]

The files are drawn at random. pyloudnorm has no channel layout, so files of more than two channels are left out. Needs
the extra `dev`.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import pyloudnorm

from soundalike.audio import AUDIO_SUFFIXES, LoudnessMeter, load
from soundalike.core.errors import AudioError


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    random.Random(options.seed).shuffle(paths)
    differences: list[float] = []
    for path in paths:
        if len(differences) == options.files:
            break
        try:
            audio = load(path)
        except AudioError:
            continue
        if len(audio.samples) > 2 or audio.duration < 0.4:
            continue
        meter = LoudnessMeter(audio.rate, len(audio.samples))
        for start in range(0, audio.samples.shape[1], 2 * audio.rate):
            meter.add(audio.samples[:, start : start + 2 * audio.rate])
        ours = meter.loudness()
        theirs = pyloudnorm.Meter(audio.rate, filter_class="DeMan").integrated_loudness(audio.samples.T)
        if ours is None or not np.isfinite(theirs):
            if (ours is None) != (not np.isfinite(theirs)):
                print(f"only one of them measures {path.name}: {ours}, {theirs}")
            continue
        differences.append(abs(ours - theirs))
        if len(differences) % 50 == 0:
            print(f"{len(differences)} files", flush=True)
    found = np.array(differences)
    print(
        f"n = {len(found)}: median difference {np.median(found):.4f} LU, 95 % below {np.percentile(found, 95):.4f} LU, "
        f"largest {found.max():.4f} LU"
    )


if __name__ == "__main__":
    main()
