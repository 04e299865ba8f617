"""Speed of indexing, compared with bliss-audio, with decoding alone, and with a large neural network.

    python benchmarks/index.py [--tracks 16] [--seconds 240] [--models compact dsp] [--save DIR]

Makes MP3 files of the length of a song from the demo clips and processes all of them with one process per core:

- `soundalike index` with each model (the complete command: four spaces, all passages, stored on disk)
- bliss-audio from PyPI (23 features per song)
- decoding and resampling alone, the lower limit for any method that analyses all of the audio
- the audio tower of CLAP (ClapAudioModelWithProjection of transformers at its real size, random weights, 10 s windows
  every 10 s), if torch and transformers are installed

Core-seconds are the user and system time of all processes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from common import report_of, show_and_save
from soundalike.core.executors.cores import usable_cores
from soundalike.demo.clips import load_clips

RATE = 44_100

DECODE = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from soundalike.audio import MonoStream

def process(path):
    return sum(len(block) for block in MonoStream(Path(path), 22050))

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        assert all(pool.map(process, sys.argv[1:]))
"""

BLISS = """
import sys
from concurrent.futures import ProcessPoolExecutor

def process(path):
    import bliss_audio
    return len(bliss_audio.Song(path).analysis)

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        assert all(pool.map(process, sys.argv[1:]))
"""

CLAP = """
import sys
from pathlib import Path
import numpy as np
import torch
from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapFeatureExtractor
from soundalike.audio import MonoStream

model = ClapAudioModelWithProjection(ClapAudioConfig()).eval()
extract = ClapFeatureExtractor(sampling_rate=48000, max_length_s=10, truncation="rand_trunc", padding="repeatpad")
for path in sys.argv[1:]:
    samples = np.concatenate(list(MonoStream(Path(path), 48000)))
    windows = [samples[start : start + 480000] for start in range(0, len(samples), 480000)]
    inputs = extract(windows, sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        for start in range(0, len(windows), 8):
            model(input_features=inputs["input_features"][start : start + 8])
"""


def make_songs(folder: Path, count: int, seconds: float) -> list[Path]:
    """Make stereo MP3 files of `seconds`, each a different sequence of the demo clips."""
    random = np.random.default_rng(0)
    sounds = []
    for clip in load_clips():
        samples, rate = sf.read(clip.path, dtype="float32")
        sounds.append(soxr.resample(samples, rate, RATE))
    songs = []
    for number in range(count):
        order = random.permutation(len(sounds))
        mono = np.concatenate([sounds[n] for n in np.resize(order, int(seconds / 7) + 1)])[: round(seconds * RATE)]
        stereo = np.stack([mono, 0.8 * np.roll(mono, 500)], axis=1)
        songs.append(folder / f"{number:03}.mp3")
        sf.write(songs[-1], stereo, RATE, format="MP3")
    return songs


def script(folder: Path, text: str) -> str:
    """Write a script to a file, from which its worker processes can import."""
    path = folder / f"script{len(list(folder.glob('*.py')))}.py"
    path.write_text(text)
    return str(path)


# A small intermediate process: on Linux, the peak memory of a child starts at that of its parent.
LAUNCH = """
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(sys.argv[1:], capture_output=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": done.returncode, "errors": done.stderr.decode()[-2000:], "wall": time.monotonic() - began,
                  "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}))
"""


def measure(name: str, command: list[str], tracks: int) -> dict[str, float | str]:
    """Measure a command: tracks per minute, core-seconds per track, and MB of memory of its largest process."""
    done = subprocess.run([sys.executable, "-c", LAUNCH, *command], capture_output=True, check=True)
    measured = json.loads(done.stdout)
    if measured["code"]:
        raise SystemExit(f"{name} failed:\n{measured['errors']}")
    return {
        "name": name,
        "tracks": tracks,
        "tracks_per_minute": 60 * tracks / measured["wall"],
        "core_seconds_per_track": measured["cpu"] / tracks,
        "peak_mb": measured["peak_mb"],
    }


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--models", nargs="+", default=["compact", "dsp"])
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = [str(song) for song in make_songs(folder, args.tracks, args.seconds)]
        decode = [sys.executable, script(folder, DECODE), *songs]
        rows.append(measure("decoding and resampling alone", decode, len(songs)))
        for model in args.models:
            library = str(folder / f"library-{model}")
            index = [sys.executable, "-m", "soundalike", "index", name, "--model", model, "--library", library]
            rows.append(measure(f"soundalike index ({model})", index, len(songs)))
        if importlib.util.find_spec("bliss_audio"):
            rows.append(measure("bliss-audio", [sys.executable, script(folder, BLISS), *songs], len(songs)))
        if importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
            rows.append(measure("CLAP audio tower", [sys.executable, script(folder, CLAP), *songs[:2]], 2))
    columns = {
        "tracks per minute": "tracks_per_minute",
        "core-seconds per track": "core_seconds_per_track",
        "peak MB": "peak_mb",
    }
    report = report_of(
        "bench-index",
        f"Indexing {args.tracks} MP3s of {args.seconds:.0f} s on {usable_cores()} cores",
        f"python benchmarks/index.py --tracks {args.tracks} --seconds {args.seconds:.0f}",
        rows=[str(row["name"]) for row in rows],
        columns=list(columns),
        values=[[float(row[key]) for key in columns.values()] for row in rows],
        n=[[int(row["tracks"])] * len(columns) for row in rows],
        notes=(
            "Core-seconds: user and system time of all processes, including their start. Peak MB: the largest process.",
            "Decoding alone is the limit for any method that analyses every sample. bliss-audio stores 23 numbers per "
            "song; soundalike stores four rows per 10 s passage, a fingerprint, tempo, key and loudness.",
            "CLAP: the audio tower of transformers at its real size with random weights, 10 s windows every 10 s.",
        ),
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
