"""Make the model: a head that centres the features, and how similar random pairs of recordings are.

    python -m soundalike_example.fit MUSIC OUT

MUSIC is a folder of at least 20 recordings; OUT is the folder of the model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from soundalike.audio import AUDIO_SUFFIXES, MonoStream, windows
from soundalike.core.errors import UsageError
from soundalike.core.types import Calibration, FloatArray, IntArray, Level
from soundalike.models import calibrate, unit_rows
from soundalike.train.common.recipe import space_entry, write_model
from soundalike_example.backbone import create

__all__ = ["fit", "main"]


def fit(music: Path, out: Path) -> None:
    """Write a model with the space `pulse` to `out`, calibrated on the recordings in `music`.

    Raises:
        UsageError: There are fewer than 20 recordings.
        AudioError: A recording cannot be decoded.
    """
    files = [file for file in sorted(music.rglob("*")) if file.suffix.lower() in AUDIO_SUFFIXES]
    if len(files) < 20:
        raise UsageError(f"{music} holds {len(files)} recordings; expected at least 20")
    backbone = create()
    features = [backbone.features(MonoStream(file, backbone.rate), windows) for file in files]
    rows = [feature.rows["pulse"][feature.audible["pulse"]] for feature in features]
    passages = np.concatenate(rows)
    mean = passages.mean(axis=0)
    unit = unit_rows(passages - mean)
    recording = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    tracks = unit_rows(np.stack([unit[recording == n].sum(axis=0) for n in np.unique(recording)]))
    calibration: dict[Level, Calibration] = {
        "passage": calibrate(_pairs(unit, recording)),
        "track": calibrate(_pairs(tracks, np.arange(len(tracks)))),
    }
    size = len(mean)
    write_model(
        out,
        name="pulse",
        summary="The example plug-in: how regularly a recording gets louder.",
        licence="Apache-2.0",
        spaces=[space_entry("pulse", backbone, "pulse", "linear", size, calibration)],
        tensors={"pulse.mean": mean.astype(np.float32), "pulse.weight": np.eye(size, dtype=np.float32)},
        trained_on=[{"name": "the clips of `soundalike demo`", "licence": "Apache-2.0", "n": len(files)}],
        seed=0,
    )


def _pairs(rows: FloatArray, recording: IntArray) -> FloatArray:
    """Return the cosines of all pairs of unit rows from different recordings."""
    first, second = np.nonzero(recording[:, None] < recording)
    return np.asarray(np.einsum("nd,nd->n", rows[first], rows[second]))


def main() -> None:
    """Read the two folders from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("music", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    fit(args.music, args.out)


if __name__ == "__main__":
    main()
