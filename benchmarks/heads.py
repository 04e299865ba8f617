"""What training heads on rendered folders brings: accuracy by loss and number of folders, on rendered and real sound.

    python benchmarks/heads.py TRIPLETS --probes PROBES --work DIR [--sizes 500,2000,8000] [--backbone dsp] [--save DIR]

TRIPLETS come from `soundalike render`; a size is a number of rendered folders, of all factors together, of which eight
tenths are trained on. Every way to train is trained at every size on the features of a backbone, and judged on the test
folders and on the real probes beside the `dsp` model itself. DIR keeps the embeddings and every trained model: a second
run trains only what is missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.core import plugins
from soundalike.core.types import Report, Triplet
from soundalike.evaluate import reports
from soundalike.evaluate.base import EncodedClips, encode_clips, margins, model_report, triplet_outcome
from soundalike.evaluate.protocols.probes import read_probes
from soundalike.evaluate.protocols.triplets import read_split, read_triplets
from soundalike.evaluate.reports import Estimate, bootstrap, paired
from soundalike.models.model import Model, load_space_head
from soundalike.train.data.embeddings import EmbeddingCache, embed
from soundalike.train.heads.settings import HeadSettings
from soundalike.train.jobs.compact import DIMS, FEATURES
from soundalike.train.jobs.heads import HeadKind, HeadsJob, train_heads

FACTORS = ("melody", "rhythm", "timbre", "harmony")
PATIENCE = 20
OWN = {factor: factor for factor in FACTORS}
BOTH = HeadSettings(negatives="both", patience=PATIENCE)
WAYS: dict[str, tuple[HeadSettings, HeadKind, Mapping[str, str]]] = {
    "published": (HeadSettings(patience=PATIENCE), "mlp", {}),
    "circle-merit": (BOTH, "mlp", {}),
    "circle-sun": (HeadSettings(loss="circle-sun", negatives="both", patience=PATIENCE), "mlp", {}),
    "triplet-margin": (HeadSettings(loss="triplet-margin", negatives="both", patience=PATIENCE), "mlp", {}),
    "contrastive": (HeadSettings(loss="supervised-contrastive", negatives="both", patience=PATIENCE), "mlp", {}),
    "dropout": (HeadSettings(negatives="both", patience=PATIENCE, dropout=0.5), "mlp", {}),
    "own-feature": (BOTH, "mlp", OWN),
    "joint": (BOTH, "joint", {}),
    "linear": (BOTH, "linear", OWN),
}
"""By name: the settings, the kind of heads, and what each hears; "published" is MERIT's recipe: neutral negatives."""
PLAYED = {factor: feature.split("+")[1] for factor, feature in FEATURES.items()}
COMPACT_WAYS: dict[str, tuple[HeadSettings, HeadKind, Mapping[str, str]]] = {
    "fixed": (BOTH, "linear", OWN),
    "played": (BOTH, "linear", PLAYED),
    "parts": (BOTH, "linear", FEATURES),
    "wide": (replace(BOTH, out=DIMS), "linear", FEATURES),
    "mlp": (BOTH, "mlp", FEATURES),
    "mlp-played": (BOTH, "mlp", PLAYED),
    "joint": (BOTH, "joint", {}),
}
"""Those of the backbone `compact`: on the sound itself, on what is played, on both; "wide" is the shipped model's."""
NOTES = (
    "published: MERIT's loss, neutral negatives; the others have both kinds of negatives; circle-merit, dropout (0.5 "
    "before the last layer), own-feature and joint have MERIT's loss.",
    "Heads 1,525 -> 512 -> 128 on all features of dsp side by side, own-feature on that of their factor alone; at most "
    f"200 epochs, ended {PATIENCE} after the best. linear: projections in closed form, of that feature too.",
    "The number after the name: rendered folders, all factors together. Eight tenths of them are trained on; the test "
    "folders are those of the whole set.",
)
COMPACT_NOTES = (
    "Projections in closed form: fixed, of the sound itself; played, of what the networks hear; parts, of both, 64 "
    f"dims each; wide, {DIMS // 2} each, as shipped. mlp, mlp-played: heads of two layers with MERIT's loss and both "
    f"kinds of negatives, ended {PATIENCE} after the best; joint: one transformer over all features.",
    NOTES[-1],
)


def train_all(triplets: Path, work: Path, sizes: Sequence[int], backbone: str) -> list[tuple[str, Path, float]]:
    """Train what is missing: (name, folder, minutes) of every model; the minutes are NaN for those that were there."""
    models = []
    for size in sizes:
        for way, (settings, kind, features) in (COMPACT_WAYS if backbone == "compact" else WAYS).items():
            name = f"{way}-{size}"
            out, began = work / name, time.monotonic()
            made = not (out / "recipe.json").exists()
            if made:
                job = HeadsJob(
                    triplets,
                    out,
                    work / "cache",
                    name=name,
                    folders=size * 8 // 10 // len(FACTORS),
                    backbone=backbone,
                    kind=kind,
                    features=features,
                    factors=FACTORS,
                )
                report = train_heads(job, settings)
                chosen, took = report.best or report.floors, (time.monotonic() - began) / 60
                print(f"{name}: best epochs or floors {dict(chosen)}, {took:.1f} min", flush=True)
            models.append((name, out, (time.monotonic() - began) / 60 if made else np.nan))
    return models


def hear(model: Model, cache: EmbeddingCache, triplets: Sequence[Triplet]) -> EncodedClips:
    """`protocols.listen` from cached features: the same for clips of one window, which rendered ones are."""
    from safetensors.numpy import load_file

    clips = sorted({clip for one in triplets for clip in (one.anchor, one.positive, one.negative)})
    found = embed(cache, [Path(clip.track) for clip in clips])
    if found.failed or found.interrupted:
        raise SystemExit(f"{len(found.failed)} clips could not be heard, such as {found.failed[:1]}")
    positions = np.array([found.positions[Path(clip.track)] for clip in clips])
    tensors = load_file(model.recipe.weights)
    rows = {}
    for space in model.spaces:
        head = load_space_head(space, plugins.load("backbones", space.backbone), tensors)
        rows[space.name] = head(*cache.joined(space.feature, positions))
    return EncodedClips(
        model.name, model.recipe.digest, model.spaces, {clip: row for row, clip in enumerate(clips)}, rows
    )


def right_in(heard: EncodedClips, triplets: Sequence[Triplet], columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Right or not (m, spaces) of the triplets of each column, a mask."""
    right = triplet_outcome(margins(heard, triplets))
    return {name: right[mask] for name, mask in columns.items()}


def groups_of(triplets: Sequence[Triplet], columns: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """What the intervals of each column resample."""
    return {
        name: [one.group for one, keep in zip(triplets, mask, strict=True) if keep] for name, mask in columns.items()
    }


def own(estimates: dict[str, Estimate], heard: EncodedClips) -> Estimate:
    """A row of the short table: of every column, the space that it asks for."""
    spaces = [space.name for space in heard.spaces]
    places = [spaces.index(name.split(",")[0]) for name in estimates]
    cells = [
        [getattr(one, part)[place] for one, place in zip(estimates.values(), places, strict=True)]
        for part in ("value", "low", "high", "n")
    ]
    return Estimate(*map(np.array, cells))


def short_table(
    title: str,
    rows: dict[str, Estimate],
    columns: Sequence[str],
    command: str,
    chance: float,
    notes: Sequence[str],
    backbone: str,
) -> Report:
    """A row a model, a column a question, each answered by its own space."""
    return report_of(
        "bench-heads", title, command, rows=list(rows), columns=columns,
        values=[100 * one.value for one in rows.values()], low=[100 * one.low for one in rows.values()],
        high=[100 * one.high for one in rows.values()], n=[one.n for one in rows.values()],
        chance=[chance] * len(columns), unit="%", model=f"heads on {backbone}", notes=notes,
    )  # fmt: skip


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triplets", type=Path, metavar="TRIPLETS")
    parser.add_argument("--probes", type=Path, required=True, metavar="PROBES")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sizes", default="500,2000,8000", metavar="N,...")
    parser.add_argument("--backbone", default="dsp", choices=["dsp", "compact"])
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the reports for `soundalike evaluate summary`")
    args = parser.parse_args()
    args.seed = 0
    models = train_all(args.triplets, args.work, [int(size) for size in args.sizes.split(",")], args.backbone)
    rendered = read_triplets(args.triplets, [read_split(str(args.triplets / "split.json"), "test")])
    probes = read_probes(args.probes)
    asked = [one.space if one.kind == "neutral" else f"{one.space}, adversarial" for one in rendered]
    kinds = {
        name: np.array([one == name for one in asked])
        for name in (f"{factor}{kind}" for kind in ("", ", adversarial") for factor in FACTORS)
    }
    probed = {factor: np.array([one.space == factor for one in probes]) for factor in FACTORS}
    groups, songs = groups_of(rendered, kinds), groups_of(probes, probed)
    clips = {clip for one in probes for clip in (one.anchor, one.positive, one.negative)}
    title = f"{len(rendered):,} rendered triplets in {len({one.group for one in rendered}):,} test folders"
    real_title = f"{len(probes):,} real triplets of {len(clips):,} clips"
    command = f"python benchmarks/heads.py TRIPLETS --probes PROBES --work DIR --sizes {args.sizes}"
    if args.backbone != "dsp":
        command += f" --backbone {args.backbone}"
    tables: tuple[dict[str, Estimate], ...] = ({}, {}, {}, {})
    baseline: tuple[dict[str, np.ndarray], ...] = ()
    with EmbeddingCache.open(args.work / "cache", plugins.load("backbones", args.backbone)) as cache:
        for name in ("dsp", *(str(folder) for _, folder, _ in models)):
            model = Model.load(name)
            heard = hear(model, cache, rendered)
            real = encode_clips(clips, name)
            found = right_in(heard, rendered, kinds), right_in(real, probes, probed)
            baseline = baseline or found
            here = {kind: bootstrap(right, groups[kind], 0) for kind, right in found[0].items()}
            there = {probe: bootstrap(right, songs[probe], 0) for probe, right in found[1].items()}
            tables[0][model.name], tables[1][model.name] = own(here, heard), own(there, real)
            if name != "dsp":
                more = {kind: paired(found[0][kind], baseline[0][kind], groups[kind], 0) for kind in kinds}
                tables[2][model.name] = own(more, heard)
                more = {probe: paired(found[1][probe], baseline[1][probe], songs[probe], 0) for probe in probed}
                tables[3][model.name] = own(more, real)
            matrix = [
                model_report(
                    heard, args, estimates, f"Heads, every space on every factor: {data}",
                    protocol="heads", options="", chance=50.0, notes=[f"Intervals: bootstrap over {over}."],
                )
                for estimates, data, over in ((here, title, "folders"), (there, real_title, "songs"))
            ]  # fmt: skip
            if args.save:
                reports.save_reports([replace(report, command=command) for report in matrix], args.save)
    notes = ["Each factor by its own space.", *(COMPACT_NOTES if args.backbone == "compact" else NOTES)]
    what = f"Heads on {args.backbone}"
    short = [
        short_table(f"{what}, {title}", tables[0], list(kinds), command, 50.0, notes, args.backbone),
        short_table(f"{what} minus dsp, {title}", tables[2], list(kinds), command, 0.0,
                    ["Percentage points, paired bootstrap over folders."], args.backbone),
        short_table(f"{what}, {real_title}", tables[1], FACTORS, command, 50.0, notes, args.backbone),
        short_table(f"{what} minus dsp, {real_title}", tables[3], FACTORS, command, 0.0,
                    ["Percentage points, paired bootstrap over songs."], args.backbone),
    ]  # fmt: skip
    for report in short:
        show_and_save(report, None)
    if args.save:
        print(f"saved: {reports.save_reports(short, args.save)}")


if __name__ == "__main__":
    main()
