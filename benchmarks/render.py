"""Measure the speed of rendering triplets, and compare it with the `fluidsynth` command on the same notes.

    python benchmarks/render.py [--folders 10] [--save DIR]

The benchmark renders folders of every factor with one process into a temporary folder. It reports the speed, as a
multiple of real time per core, of synthesis alone and of the whole chain (drawing, synthesis, mixing, effects, codecs,
files and ground truth). It then renders the MIDI files of the ground truth with `fluidsynth -F` and FluidR3, using one
process per file. The time to start and to load the soundfont is measured on a file without notes and subtracted.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mido

from common import report_of, show_and_save
from soundalike.render.folders.factory import render
from soundalike.render.folders.settings import Settings
from soundalike.render.sound.soundfonts import find_soundfonts

_PEER_FILES = 64


def fluidsynth_seconds(soundfont: Path, files: list[Path]) -> float:
    """Return the CPU seconds that the `fluidsynth` command takes to render these MIDI files at 44.1 kHz."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for file in files:
        command = ["fluidsynth", "-n", "-i", "-q", "-r", "44100", "-R", "0", "-C", "0", "-T", "raw", "-F", "/dev/null"]
        subprocess.run([*command, str(soundfont), str(file)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print the report, and save it if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folders", type=int, default=10, metavar="N", help="number of folders per factor (default: 10)"
    )
    parser.add_argument("--save", type=Path, metavar="DIR", help="folder to save the report to")
    args = parser.parse_args()
    soundfont = next((font.path for font in find_soundfonts() if font.bank == "fluidr3"), None)
    if soundfont is None or shutil.which("fluidsynth") is None:
        sys.exit("this needs the Debian packages fluidsynth and fluid-soundfont-gm")
    with tempfile.TemporaryDirectory(prefix="soundalike-render-") as folder:
        out = Path(folder) / "out"
        began = time.monotonic()
        report = render(out, args.folders, Settings(seed=7), jobs=1)
        wall = time.monotonic() - began
        files = sorted(out.glob("*/triplets_*/truth/*.mid"))[:: max(1, report.clips // _PEER_FILES)]
        empty = Path(folder) / "empty.mid"
        mido.MidiFile(tracks=[mido.MidiTrack()]).save(empty)
        start = fluidsynth_seconds(soundfont, [empty] * 8) / 8
        seconds = sum(mido.MidiFile(file).length for file in files)
        peer = fluidsynth_seconds(soundfont, files) - start * len(files)
    values = [
        [report.audio_seconds / report.synthesis_seconds],
        [report.audio_seconds / report.core_seconds],
        [report.audio_seconds / wall],
        [seconds / peer],
    ]
    table = report_of(
        "bench-render",
        "Rendering triplets: × real time per core",
        f"python benchmarks/render.py --folders {args.folders}",
        rows=[
            "synthesis of the parts",
            "whole chain",
            "whole chain, including loading of soundfonts and sources (wall-clock time)",
            "fluidsynth command, same notes with FluidR3",
        ],
        columns=["× real time"],
        values=values,
        n=[[report.clips], [report.clips], [report.clips], [len(files)]],
        notes=[
            "Clips of 10 s, one process. Synthesis plays each part separately, with all soundfonts, kits and "
            "synthesised voices. The fluidsynth command plays all parts at once, and its loading time is subtracted.",
        ],
        model="render",
    )
    show_and_save(table, args.save)


if __name__ == "__main__":
    main()
