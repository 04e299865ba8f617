"""Accuracy of heads that are trained on rendered folders, by loss and number of folders, on rendered and real audio.

    python benchmarks/heads.py TRIPLETS --probes PROBES --work DIR [--sizes 500,2000,8000] [--backbone dsp] [--save DIR]

TRIPLETS come from `soundalike render`. A size is the number of rendered folders of all factors together, of which eight
tenths are used for training. Every variant is trained at every size on the features of a backbone, and evaluated on the
test folders and on the real probes together with the `dsp` model. DIR stores the embeddings and all trained models, so
that a second run trains only the missing ones.
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
from soundalike.evaluate.estimates import Estimate, bootstrap, paired
from soundalike.evaluate.protocols.probes import read_probes
from soundalike.evaluate.protocols.triplets import read_split, read_triplets
from soundalike.models.model import Model, load_space_head
from soundalike.train.data.embeddings import EmbeddingCache, embed
from soundalike.train.heads.settings import HeadSettings
from soundalike.train.jobs.compact import DIMS, FEATURES
from soundalike.train.jobs.heads import HeadKind, HeadsJob, train_heads

FACTORS = ("melody", "rhythm", "timbre", "harmony")
PATIENCE = 20
OWN = {factor: factor for factor in FACTORS}
BOTH = HeadSettings(negatives="both", patience=PATIENCE)
VARIANTS: dict[str, tuple[HeadSettings, HeadKind, Mapping[str, str]]] = {
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
"""Settings, kind of head and features per factor, by name. "published" is MERIT's recipe, with neutral negatives."""
TRANSCRIBED = {factor: feature.split("+")[1] for factor, feature in FEATURES.items()}
COMPACT_VARIANTS: dict[str, tuple[HeadSettings, HeadKind, Mapping[str, str]]] = {
    "fixed": (BOTH, "linear", OWN),
    "played": (BOTH, "linear", TRANSCRIBED),
    "parts": (BOTH, "linear", FEATURES),
    "wide": (replace(BOTH, out=DIMS), "linear", FEATURES),
    "mlp": (BOTH, "mlp", FEATURES),
    "mlp-played": (BOTH, "mlp", TRANSCRIBED),
    "joint": (BOTH, "joint", {}),
}
"""Variants for the backbone `compact`: features of the audio, of the transcription, or both. "wide" is bundled."""
NOTES = (
    "published: MERIT's loss with neutral negatives; the other variants use both kinds of negatives. circle-merit, "
    "dropout (0.5 before the last layer), own-feature and joint use MERIT's loss.",
    "Heads 1,525 -> 512 -> 128 on all features of dsp together; own-feature uses only the feature of the factor. At "
    f"most 200 epochs, stopped {PATIENCE} after the best. linear: closed-form projections of that feature.",
    "The number after the name is the number of rendered folders of all factors together. Eight tenths of them are "
    "used for training. The test folders are those of the complete set.",
)
COMPACT_NOTES = (
    "Closed-form projections: fixed, of the audio features; played, of the features of the transcription networks; "
    f"parts, of both, 64 dimensions each; wide, {DIMS // 2} each, as bundled. mlp, mlp-played: heads of two layers "
    f"with MERIT's loss and both kinds of negatives, stopped {PATIENCE} after the best; joint: one transformer over "
    "all features.",
    NOTES[-1],
)


def train_all(triplets: Path, work: Path, sizes: Sequence[int], backbone: str) -> list[tuple[str, Path, float]]:
    """Train the missing models. Returns (name, folder, minutes) of every model; NaN minutes for existing ones."""
    models = []
    for size in sizes:
        for variant, (settings, kind, features) in (COMPACT_VARIANTS if backbone == "compact" else VARIANTS).items():
            name = f"{variant}-{size}"
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


def encode_cached(model: Model, cache: EmbeddingCache, triplets: Sequence[Triplet]) -> EncodedClips:
    """Encode clips from cached features. Equal to `encode_clips` for clips of one window, such as rendered ones."""
    from safetensors.numpy import load_file

    clips = sorted({clip for one in triplets for clip in (one.anchor, one.positive, one.negative)})
    found = embed(cache, [Path(clip.track) for clip in clips])
    if found.failed or found.interrupted:
        raise SystemExit(f"{len(found.failed)} clips could not be encoded, such as {found.failed[:1]}")
    positions = np.array([found.positions[Path(clip.track)] for clip in clips])
    tensors = load_file(model.recipe.weights)
    rows = {}
    for space in model.spaces:
        head = load_space_head(space, plugins.load("backbones", space.backbone), tensors)
        rows[space.name] = head(*cache.joined(space.feature, positions))
    return EncodedClips(
        model.name, model.recipe.digest, model.spaces, {clip: row for row, clip in enumerate(clips)}, rows
    )


def outcomes_by_column(
    encoded: EncodedClips, triplets: Sequence[Triplet], columns: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the outcomes (m, spaces) of the triplets of each column, which is a mask."""
    outcomes = triplet_outcome(margins(encoded, triplets))
    return {name: outcomes[mask] for name, mask in columns.items()}


def groups_of(triplets: Sequence[Triplet], columns: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """Return the groups of the triplets of each column, for the bootstrap."""
    return {
        name: [triplet.group for triplet, use in zip(triplets, mask, strict=True) if use]
        for name, mask in columns.items()
    }


def own_spaces(estimates: dict[str, Estimate], encoded: EncodedClips) -> Estimate:
    """Return one row of the short table: for every column, the estimate of the space of its factor."""
    spaces = [space.name for space in encoded.spaces]
    positions = [spaces.index(name.split(",")[0]) for name in estimates]
    cells = [
        [getattr(estimate, field)[position] for estimate, position in zip(estimates.values(), positions, strict=True)]
        for field in ("value", "low", "high", "n")
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
    """Build a table with one row per model and one column per factor, each measured in its own space."""
    return report_of(
        "bench-heads", title, command, rows=list(rows), columns=columns,
        values=[100 * row.value for row in rows.values()], low=[100 * row.low for row in rows.values()],
        high=[100 * row.high for row in rows.values()], n=[row.n for row in rows.values()],
        chance=[chance] * len(columns), unit="%", model=f"heads on {backbone}", notes=notes,
    )  # fmt: skip


def main() -> None:
    """Train, evaluate, and print reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triplets", type=Path, metavar="TRIPLETS")
    parser.add_argument("--probes", type=Path, required=True, metavar="PROBES")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sizes", default="500,2000,8000", metavar="N,...")
    parser.add_argument("--backbone", default="dsp", choices=["dsp", "compact"])
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the reports for `soundalike evaluate summary`")
    args = parser.parse_args()
    args.seed = 0
    models = train_all(args.triplets, args.work, [int(size) for size in args.sizes.split(",")], args.backbone)
    rendered = read_triplets(args.triplets, [read_split(str(args.triplets / "split.json"), "test")])
    probes = read_probes(args.probes)
    column_of = [
        triplet.space if triplet.kind == "neutral" else f"{triplet.space}, adversarial" for triplet in rendered
    ]
    kinds = {
        name: np.array([column == name for column in column_of])
        for name in (f"{factor}{kind}" for kind in ("", ", adversarial") for factor in FACTORS)
    }
    probed = {factor: np.array([probe.space == factor for probe in probes]) for factor in FACTORS}
    groups, songs = groups_of(rendered, kinds), groups_of(probes, probed)
    clips = {clip for probe in probes for clip in (probe.anchor, probe.positive, probe.negative)}
    title = f"{len(rendered):,} rendered triplets in {len({triplet.group for triplet in rendered}):,} test folders"
    real_title = f"{len(probes):,} real triplets of {len(clips):,} clips"
    command = f"python benchmarks/heads.py TRIPLETS --probes PROBES --work DIR --sizes {args.sizes}"
    if args.backbone != "dsp":
        command += f" --backbone {args.backbone}"
    tables: tuple[dict[str, Estimate], ...] = ({}, {}, {}, {})
    baseline: tuple[dict[str, np.ndarray], ...] = ()
    with EmbeddingCache.open(args.work / "cache", plugins.load("backbones", args.backbone)) as cache:
        for name in ("dsp", *(str(folder) for _, folder, _ in models)):
            model = Model.load(name)
            encoded = encode_cached(model, cache, rendered)
            real = encode_clips(clips, name)
            found = outcomes_by_column(encoded, rendered, kinds), outcomes_by_column(real, probes, probed)
            baseline = baseline or found
            on_rendered = {kind: bootstrap(right, groups[kind], 0) for kind, right in found[0].items()}
            on_real = {probe: bootstrap(right, songs[probe], 0) for probe, right in found[1].items()}
            tables[0][model.name], tables[1][model.name] = own_spaces(on_rendered, encoded), own_spaces(on_real, real)
            if name != "dsp":
                gain = {kind: paired(found[0][kind], baseline[0][kind], groups[kind], 0) for kind in kinds}
                tables[2][model.name] = own_spaces(gain, encoded)
                gain = {probe: paired(found[1][probe], baseline[1][probe], songs[probe], 0) for probe in probed}
                tables[3][model.name] = own_spaces(gain, real)
            matrix = [
                model_report(
                    encoded, args, estimates, f"Heads, every space on every factor: {data}",
                    protocol="heads", options="", chance=50.0, notes=[f"Intervals: bootstrap over {over}."],
                )
                for estimates, data, over in ((on_rendered, title, "folders"), (on_real, real_title, "songs"))
            ]  # fmt: skip
            if args.save:
                reports.save_reports([replace(report, command=command) for report in matrix], args.save)
    notes = ["Each factor in its own space.", *(COMPACT_NOTES if args.backbone == "compact" else NOTES)]
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
