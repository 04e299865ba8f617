"""Cover retrieval: other settings of the same tune, rendered with random bands, among a thousand clips (mAP).

    python benchmarks/covers.py [--tunes TUNES] [--works 250] [--model dsp --model MODEL] [--work DIR] [--save DIR]

Clips come from the test part of the split (unseen tunes, progressions and soundfonts). Every work has four settings, by
different transcribers, each with its own band, groove, chords, key, and tempo within 15 %. Every clip is a query for
the other clips of its work, by the melody space alone. TUNES is as for `soundalike render`. WORK stores the clips for
the next run.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile

from common import report_of, show_and_save
from soundalike.evaluate.estimates import bootstrap
from soundalike.evaluate.ranking import chance_scores, scores
from soundalike.models.model import Model, load_once
from soundalike.render.folders.settings import orchestra_of, sources_of
from soundalike.render.folders.stock import Stock
from soundalike.render.score.music import ROLES, Melody, Scene
from soundalike.render.sound.effects import draw_effects
from soundalike.render.sound.studio import DraftError, play

SETTINGS, SECONDS, RATE = 4, 10.0, 32000
LAYOUTS = (("lead",), ("lead", "comp"), ("lead", "comp", "bass"), ROLES, ROLES)
ATTEMPTS = 8


@dataclass(frozen=True)
class Task:
    """One clip to render: setting `number` of the `drawn`-th work.

    All settings of a work have the same chords if `same_chords`, and their own otherwise. A `single` work may have only
    one setting.
    """

    tunes: str | None
    drawn: int
    number: int
    path: Path
    same_chords: bool = False
    single: bool = False


@cache
def stock(tunes: str | None) -> Stock:
    """Return the material of the test part."""
    return Stock(sources_of(tunes, None), orchestra_of(()), "test")


def melody(tunes: str | None, drawn: int, single: bool = False) -> Melody:
    """Draw the `drawn`-th melody, which has several settings unless `single`."""
    rng = np.random.default_rng([1, drawn])
    while True:
        meter_and_mode = stock(tunes).meter_and_mode(rng)
        found = stock(tunes).melody(rng, *meter_and_mode, sparse=False)
        if single or stock(tunes).has_settings(found):
            return found


def different(tunes: str | None, works: int) -> list[int]:
    """Return the numbers of the first draws that give different works."""
    seen: dict[str, int] = {}
    for drawn in range(20 * works):
        seen.setdefault(melody(tunes, drawn).name, drawn)
        if len(seen) == works:
            return list(seen.values())
    raise SystemExit(f"found only {len(seen)} works with several settings; give more --tunes or fewer --works")


def make(task: Task) -> None:
    """Write the clip of a task, unless it exists."""
    if task.path.exists():
        return
    tune, material = melody(task.tunes, task.drawn, task.single), stock(task.tunes)
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([2, task.drawn, task.number, attempt])
        chord_rng = np.random.default_rng([3, task.drawn]) if task.same_chords else rng
        scene = Scene(
            material.setting(rng, tune) if task.number else tune,
            material.progression(chord_rng, tune.meter, tune.mode),
            material.rhythm(rng, tune.meter),
            material.band(rng, LAYOUTS[rng.integers(len(LAYOUTS))]),
            key=int(rng.integers(12)),
            tempo=float(110 * np.exp(rng.uniform(-0.14, 0.14))),
            offset=float(rng.uniform(0, tune.beats)),
            octave=int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15])),
            level=float(rng.uniform(-24, -9)),
            effects=draw_effects(rng),
            seed=int(rng.integers(2**31)),
        )
        try:
            clip = play(scene, material.orchestra, SECONDS, RATE)
        except DraftError:
            continue  # a part was silent: draw again
        partly = task.path.with_suffix(".partial")
        soundfile.write(partly, clip.samples, RATE, "PCM_16", format="FLAC")
        partly.rename(task.path)
        return
    raise SystemExit(f"{task.path.name}: all {ATTEMPTS} attempts had a silent part")


def encode(model: str, path: Path) -> np.ndarray:
    """Return the melody row of a clip."""
    return load_once(model).encode(path).track.rows["melody"][0]


def precisions(rows: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the average precision of every clip as a query, in per cent."""
    return 100 * scores(rows @ rows.T, ~np.eye(len(rows), dtype=bool), right)[:, 0]


def main() -> None:
    """Render the missing clips, evaluate every model, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tunes")
    parser.add_argument("--works", type=int, default=250)
    parser.add_argument("--model", action="append")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    models = args.model or ["dsp", "compact"]
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(args.jobs) as pool:
        place = args.work or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        tasks = [
            Task(args.tunes, drawn, number, place / f"{drawn}-{number}.flac")
            for drawn in different(args.tunes, args.works)
            for number in range(SETTINGS)
        ]
        list(pool.map(make, tasks, chunksize=SETTINGS))
        works = np.array([str(task.drawn) for task in tasks])
        clips = [task.path for task in tasks]
        right = np.equal.outer(works, works) & ~np.eye(len(works), dtype=bool)
        found = {}
        for model in models:
            rows = np.stack(list(pool.map(partial(encode, model), clips, chunksize=8)))
            found[Model.load(model).name] = precisions(rows, right)
    chance = 100 * chance_scores(~np.eye(len(tasks), dtype=bool), right)[0]
    names = list(found)
    estimate = bootstrap(np.stack([found[name] for name in names], axis=1), works, 0)
    gain = bootstrap(np.stack([found[name] - found[names[0]] for name in names], axis=1), works, 0)
    show_and_save(
        report_of(
            "bench-covers",
            f"Settings of a tune by random bands: {len(tasks)} clips, {args.works} works",
            f"python benchmarks/covers.py --tunes TUNES --works {args.works}",
            rows=names,
            columns=["mean average precision (%)", f"minus {names[0]}"],
            values=np.stack([estimate.value, gain.value], axis=1).tolist(),
            low=np.stack([estimate.low, gain.low], axis=1).tolist(),
            high=np.stack([estimate.high, gain.high], axis=1).tolist(),
            n=[[len(tasks)] * 2] * len(names),
            chance=[float(chance), 0.0],
            notes=["By the melody space alone. Intervals: bootstrap over works. Chance: a random ranking."],
            model=", ".join(names),
        ),
        args.save,
    )


if __name__ == "__main__":
    main()
