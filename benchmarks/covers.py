"""Other people's settings of a tune, played by random bands, among a thousand: mean average precision.

    python benchmarks/covers.py [--tunes TUNES] [--works 250] [--model dsp --model MODEL] [--work DIR] [--save DIR]

From the test part of the split (unseen tunes, progressions and soundfonts): of each work four settings, as different
people wrote them down, each with its own band, groove, chords, key and tempo within 15 %. Every clip asks for the
others of its work by the melody space alone. TUNES as for `soundalike render`; WORK keeps the clips for the next run.
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
from soundalike.evaluate.protocols.retrieval import chance_scores, scores
from soundalike.evaluate.reports import bootstrap
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
    """One clip to make: setting `number` of the `drawn`-th work, over its own chords or the same as all its settings.

    `single` works may be such as nobody else has set down.
    """

    tunes: str | None
    drawn: int
    number: int
    path: Path
    same_chords: bool = False
    single: bool = False


@cache
def stock(tunes: str | None) -> Stock:
    """What the test part has."""
    return Stock(sources_of(tunes, None), orchestra_of(()), "test")


def melody(tunes: str | None, drawn: int, single: bool = False) -> Melody:
    """The `drawn`-th melody; of which there is more than one setting, unless a `single` one will do."""
    rng = np.random.default_rng([1, drawn])
    while True:
        place = stock(tunes).meter_and_mode(rng)
        one = stock(tunes).melody(rng, *place, sparse=False)
        if single or stock(tunes).has_settings(one):
            return one


def different(tunes: str | None, works: int) -> list[int]:
    """The numbers of the first draws that are of different works."""
    seen: dict[str, int] = {}
    for drawn in range(20 * works):
        seen.setdefault(melody(tunes, drawn).name, drawn)
        if len(seen) == works:
            return list(seen.values())
    raise SystemExit(f"only {len(seen)} works with more than one setting; give more --tunes, or fewer --works")


def make(task: Task) -> None:
    """Write the clip of a task, unless it is there."""
    if task.path.exists():
        return
    one, have = melody(task.tunes, task.drawn, task.single), stock(task.tunes)
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([2, task.drawn, task.number, attempt])
        scene = Scene(
            have.setting(rng, one) if task.number else one,
            have.progression(np.random.default_rng([3, task.drawn]) if task.same_chords else rng, one.meter, one.mode),
            have.rhythm(rng, one.meter),
            have.band(rng, LAYOUTS[rng.integers(len(LAYOUTS))]),
            key=int(rng.integers(12)),
            tempo=float(110 * np.exp(rng.uniform(-0.14, 0.14))),
            offset=float(rng.uniform(0, one.beats)),
            octave=int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15])),
            level=float(rng.uniform(-24, -9)),
            effects=draw_effects(rng),
            seed=int(rng.integers(2**31)),
        )
        try:
            clip = play(scene, have.orchestra, SECONDS, RATE)
        except DraftError:
            continue  # a part was mute: draw again
        partly = task.path.with_suffix(".partial")
        soundfile.write(partly, clip.samples, RATE, "PCM_16", format="FLAC")
        partly.rename(task.path)
        return
    raise SystemExit(f"{task.path.name}: no draft in {ATTEMPTS} came out")


def encode(model: str, path: Path) -> np.ndarray:
    """The melody row of a clip."""
    return load_once(model).encode(path).track.rows["melody"][0]


def precisions(rows: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The average precision of every clip's question, in %."""
    return 100 * scores(rows @ rows.T, ~np.eye(len(rows), dtype=bool), right)[:, 0]


def main() -> None:
    """Render what is missing, ask every model, print a table."""
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
            notes=["By the melody space alone. Intervals: bootstrap over works. Chance: a random order."],
            model=", ".join(names),
        ),
        args.save,
    )


if __name__ == "__main__":
    main()
