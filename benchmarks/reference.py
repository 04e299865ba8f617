"""Standard errors of mu and sigma of random pairs, by a bootstrap over recordings.

    python benchmarks/reference.py FOLDER [--model dsp]

The recordings are encoded whole. A resample draws as many recordings with replacement, and takes the mean and standard
deviation of the similarities of all its pairs of different recordings. The errors are relative to sigma, and scaled by
sqrt(n / 4,096) to the number of recordings that `library/snapshot_arrays.py` draws from a large library.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from soundalike.audio import AUDIO_SUFFIXES
from soundalike.core.errors import AudioError
from soundalike.models import Model, presence

DRAWN = 4096
RESAMPLES = 1000


def main() -> None:
    """Print the errors of every space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="dsp")
    args = parser.parse_args()
    model = Model.load(args.model)
    encoded = []
    for path in sorted(args.folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            try:
                encoded.append(model.encode(path).track.rows)
            except AudioError as error:
                print(f"{path.name}: {error}")
    for space in model.spaces:
        rows = np.concatenate([found[space.name] for found in encoded])
        rows = rows[presence(rows)]
        similarity, n = rows @ rows.T, len(rows)
        sigma = similarity[~np.eye(n, dtype=bool)].std()
        random = np.random.default_rng(0)
        found = []
        for _ in range(RESAMPLES):
            drawn = random.integers(n, size=n)
            pairs = similarity[np.ix_(drawn, drawn)][drawn[:, None] != drawn]
            found.append((pairs.mean(), pairs.std()))
        mean, deviation = 100 * np.std(found, axis=0) / sigma * np.sqrt(n / DRAWN)
        print(f"{space.name:10} n = {n}: mu {mean:.2f} %, sigma {deviation:.2f} % of sigma")


if __name__ == "__main__":
    main()
