"""Measure what the inputs of concept networks cost on one core, beside librosa.

    OMP_NUM_THREADS=1 python benchmarks/concept_inputs.py [--seconds 240] [--save DIR]

Joins the bundled clips to one recording and computes each input of every segment of 3 s, `--runs` times. Core-seconds
are those of the fastest run, without decoding. The inputs of librosa are computed if it is installed, after one segment
for which it compiles.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.audio import MonoStream
from soundalike.backbones.analysis import InputSettings, concept_inputs
from soundalike.core.types import FloatArray
from soundalike.demo.clips import load_clips

SETTINGS = InputSettings()


def music(seconds: float) -> list[FloatArray]:
    """Return segments of the bundled clips, repeated to a length in seconds."""
    joined = np.concatenate([block for clip in load_clips() for block in MonoStream(clip.path, SETTINGS.rate)])
    count = round(seconds * SETTINGS.rate) // SETTINGS.samples
    return list(np.resize(joined, count * SETTINGS.samples).reshape(count, -1))


def by_librosa(samples: FloatArray) -> None:
    """Compute the three inputs with librosa, the mel spectrogram once."""
    import librosa

    rate, window, hop = SETTINGS.rate, SETTINGS.window, SETTINGS.hop
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=window, hop_length=hop, n_mels=SETTINGS.bands)
    np.log10(1 + 10 * power)
    onsets = librosa.onset.onset_strength(S=librosa.power_to_db(power), sr=rate, n_fft=window, hop_length=hop)
    librosa.feature.tempogram(onset_envelope=onsets, sr=rate, hop_length=hop, win_length=SETTINGS.lags)
    librosa.feature.chroma_cens(y=samples, sr=rate, hop_length=hop)


def fastest(compute: Callable[[FloatArray], object], segments: Sequence[FloatArray], runs: int) -> float:
    """Return the core-seconds of the fastest run over all segments."""
    compute(segments[0])
    spent = []
    for _ in range(runs):
        started = time.process_time()
        for samples in segments:
            compute(samples)
        spent.append(time.process_time() - started)
    return min(spent)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    segments = music(args.seconds)
    variants = {
        "mel": replace(SETTINGS, names=("mel",)),
        "tempogram, autocorrelation": replace(SETTINGS, names=("tempogram",)),
        "tempogram, cyclic": replace(SETTINGS, names=("tempogram",), tempogram="cyclic"),
        "chroma": replace(SETTINGS, names=("chroma",)),
        "all three": SETTINGS,
    }
    spent = {
        name: fastest(partial(concept_inputs, settings=settings), segments, args.runs)
        for name, settings in variants.items()
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spent["all three, by librosa"] = fastest(by_librosa, segments, args.runs)
    except ImportError:
        print("librosa is not installed")
    audio = len(segments) * SETTINGS.seconds
    report = report_of(
        "bench-concept-inputs",
        "Inputs of concept networks: cost on one core",
        f"OMP_NUM_THREADS=1 python benchmarks/concept_inputs.py --seconds {args.seconds:g}",
        rows=list(spent),
        columns=["core-seconds for 4 minutes", "x real time"],
        values=[[240 * seconds / audio, audio / seconds] for seconds in spent.values()],
        n=[[len(segments)] * 2 for _ in spent],
        model="concepts",
        notes=[
            f"n: segments of 3 s of music. The fastest of {args.runs} runs, on a core that other work shared, without "
            "decoding."
        ],
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
