"""`soundalike train`: models from audio, and what a trained head listens to."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli import show
from soundalike.cli.main import INTERRUPTED
from soundalike.cli.parser import whole_number
from soundalike.core.errors import UsageError, one_line
from soundalike.evaluate import reports
from soundalike.train.data import NEGATIVES, SAMPLINGS
from soundalike.train.heads import LOSSES, HeadSettings

if TYPE_CHECKING:
    # A name that argparse keeps to itself, though add_subparsers returns one.
    from argparse import _SubParsersAction

    from soundalike.train.common import Epoch

__all__ = [
    "add_models",
    "curves_json",
    "failed_json",
    "print_accuracies",
    "run_attribution",
    "run_dsp",
    "run_embed",
    "run_heads",
    "run_merge",
    "tell_epoch",
]

_HEADS = """\
Train projection heads on triplet folders (DIR/<factor>/triplets_N/triplet/..., as `soundalike render` writes them, or
your own): one space a factor, on the features of a backbone. Clips are embedded once into a cache. An interrupted run
goes on where it was. Needs torch: pip install 'soundalike[train]'.

  soundalike train heads --triplets triplets --out mine
  soundalike train heads --triplets triplets --out joint --joint --negatives both --patience 20
  soundalike evaluate probes PROBES --model mine
"""
_EMBED = """\
Embed the clips of triplet folders into a cache, which `train heads --cache` then finds ready. Several machines may
share the work: each takes a shard of the clips, by their content, and `train merge` puts their caches together.

  soundalike train embed --triplets triplets --cache first --shard 1/2        on one machine
  soundalike train embed --triplets triplets --cache second --shard 2/2       on another
  soundalike train merge first second -o cache
"""
_LINES = 10  # epochs that are told of a run, besides its last


def add_models(
    subparsers: _SubParsersAction[argparse.ArgumentParser], common: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add `dsp`, `heads`, `embed`, `merge` and `attribution`. `common` adds what all commands share: `--json`."""
    summary = "standardisation, projection and calibration of the fixed descriptors"
    fit = subparsers.add_parser("dsp", help=summary, description=summary)
    common(fit)
    fit.add_argument("--renders", type=Path, required=True, metavar="DIR", help="output of tools/render_fit.py")
    fit.add_argument("--recordings", type=Path, required=True, metavar="DIR", help="folder with an index.csv")
    fit.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write the model")
    fit.add_argument("--seed", type=int, default=0, help="of the split and of the random pairs (default: 0)")
    fit.add_argument("--plain", action="store_true", help="leave the projections out: the baseline of fitting them")
    fit.set_defaults(run=run_dsp)

    heads = subparsers.add_parser(
        "heads",
        help="projection heads for factors, from triplet folders",
        description=_HEADS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common(heads)
    _add_heads(heads)
    heads.set_defaults(run=run_heads)

    embed = subparsers.add_parser(
        "embed",
        help="embeddings of triplet folders, as a shard of several machines' work",
        description=_EMBED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common(embed)
    embed.add_argument("--triplets", type=Path, required=True, metavar="DIR", help="the triplet folders")
    embed.add_argument("--cache", type=Path, required=True, metavar="DIR", help="where to keep the embeddings")
    embed.add_argument("--backbone", default="dsp", metavar="NAME", help="whose features (default: dsp)")
    embed.add_argument("--shard", type=_shard, metavar="I/N", help="only this part of the clips, such as 2/4")
    embed.add_argument("--jobs", type=whole_number, metavar="N", help="processes to use (default: one a core)")
    embed.set_defaults(run=run_embed)

    summary = "put embeddings that several machines made into one cache"
    merged = subparsers.add_parser("merge", help=summary, description=summary)
    common(merged)
    merged.add_argument("caches", type=Path, nargs="+", metavar="CACHE", help="folders that `train embed` wrote")
    merged.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the cache that gets them all")
    merged.set_defaults(run=run_merge)

    summary = "which parts of a backbone's features the heads of a model listen to, by their first layer's weights"
    told = subparsers.add_parser("attribution", help=summary, description=summary)
    common(told)
    told.add_argument("attributed", metavar="MODEL", help="a model's name or folder")
    told.add_argument("--plot", type=Path, metavar="FILE", help="draw it: .png, .svg or .pdf (needs matplotlib)")
    told.add_argument("--save", type=Path, metavar="DIR", help="keep the report in DIR")
    told.set_defaults(run=run_attribution)


def _add_heads(parser: argparse.ArgumentParser) -> None:
    usual = HeadSettings()
    add = parser.add_argument
    add(
        "--triplets",
        type=Path,
        required=True,
        metavar="DIR",
        help="the triplet folders, with split.json if there is one",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where to write the model")
    add("--cache", type=Path, metavar="DIR", help="where embeddings are kept (default: OUT/cache)")
    add("--backbone", default="dsp", metavar="NAME", help="whose features (default: dsp)")
    add("--name", default="heads", help="the model's name (default: heads)")
    add("--factors", default="", metavar="F,...", help="some of the factors (default: all that there are)")
    add("--folders", type=whole_number, metavar="N", help="use so many training folders of each factor (default: all)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--joint", action="store_true", help="one transformer for all factors, in place of a head each")
    kind.add_argument("--linear", action="store_true", help="projections in closed form, in place of heads; no torch")
    add("--features", default="", metavar="F=A+B,...", help="what the head of a factor hears (default: all there is)")
    add("--loss", choices=LOSSES, default=usual.loss, help=f"default: {usual.loss}")
    add("--negatives", choices=NEGATIVES, default=usual.negatives, help=f"default: {usual.negatives}")
    add("--sampling", choices=SAMPLINGS, default=usual.sampling, help=f"batches of: (default: {usual.sampling})")
    add("--batch", type=whole_number, default=usual.batch, metavar="N", help=f"triplets (default: {usual.batch})")
    add("--epochs", type=whole_number, default=usual.epochs, metavar="N", help=f"default: {usual.epochs}")
    add("--patience", type=whole_number, metavar="N", help="end after N epochs without a better validation loss")
    add("--lr", type=float, default=usual.lr, help=f"learning rate at the start (default: {usual.lr:g})")
    add("--hidden", type=whole_number, default=usual.hidden, metavar="N", help=f"default: {usual.hidden}")
    add("--dropout", type=float, default=usual.dropout, help=f"before the last layer (default: {usual.dropout:g})")
    add("--device", default=usual.device, help="cpu, or cuda where there is a GPU (default: cpu)")
    add("--bf16", action="store_true", help="multiply in bfloat16, where the device is quicker at it")
    add("--seed", type=partial(whole_number, lowest=0), default=0, metavar="N", help="default: 0")
    add("--jobs", type=whole_number, metavar="N", help="processes to embed with (default: one a core)")


def run_dsp(args: argparse.Namespace) -> int:
    """Fit the `dsp` model and print how well folders that were held out are told apart."""
    from soundalike.train.jobs import fit

    accuracies = fit(args.renders, args.recordings, args.out, args.seed, plain=args.plain)
    if args.json:
        show.print_json({"out": str(args.out), "seed": args.seed, "held_out_triplet_accuracy": accuracies})
        return 0
    print("held-out folders, triplet accuracy in % (chance 50): a row a space, a column a factor")
    show.print_matrix(accuracies)
    print(f"model written: {one_line(args.out)}")
    return 0


def run_heads(args: argparse.Namespace) -> int:
    """Train heads; 1 if some clips could not be heard. Raises UsageError."""
    from soundalike.train.jobs import HeadsJob, train_heads

    settings = HeadSettings(
        loss=args.loss,
        negatives=args.negatives,
        sampling=args.sampling,
        hidden=args.hidden,
        dropout=args.dropout,
        lr=args.lr,
        batch=args.batch,
        epochs=args.epochs,
        patience=args.patience,
        seed=args.seed,
        device=args.device,
        bf16=args.bf16,
    )
    job = HeadsJob(
        triplets=args.triplets,
        out=args.out,
        cache=args.cache,
        backbone=args.backbone,
        name=args.name,
        factors=tuple(name for name in args.factors.split(",") if name),
        folders=args.folders,
        kind="joint" if args.joint else "linear" if args.linear else "mlp",
        features=_features(args.features),
    )
    clips = show.Progress("clip", enabled=not args.json)
    ended = False

    def tell(name: str, epoch: Epoch) -> None:
        nonlocal ended
        if not ended:
            clips.end()
            ended = True
        if epoch.number == 1 or epoch.number % max(1, settings.epochs // _LINES) == 0:
            tell_epoch(name, epoch)

    try:
        report = train_heads(job, settings, jobs=args.jobs, embedding=clips, progress=None if args.json else tell)
    except KeyboardInterrupt:
        show.message("interrupted: what is done is kept; run it again to go on")
        return INTERRUPTED
    for path, why in report.failed:
        show.message(f"{one_line(path)}: {why}", "failed")
    if args.json:
        show.print_json(
            {
                "out": str(args.out),
                "folders": report.counts,
                "best_epoch": report.best,
                "floors": report.floors,
                "test_triplet_accuracy": report.accuracy,
                "curves": curves_json(report.curves),
                "failed": failed_json(report.failed),
            }
        )
    else:
        print_accuracies(report.accuracy)
        floors = {f"{name} ({part})": floor for name, parts in report.floors.items() for part, floor in parts.items()}
        told = floors or report.best
        print(("floors: " if floors else "best epochs: ") + ", ".join(f"{name} {one:g}" for name, one in told.items()))
        print(f"model written: {one_line(args.out)}; try it with --model {one_line(args.out)}")
    return 1 if report.failed else 0


def tell_epoch(name: str, epoch: Epoch) -> None:
    """Say how far the training of `name` is."""
    show.message(
        f"{name}, epoch {epoch.number}: loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}, "
        f"right {100 * epoch.validation_accuracy:.1f} %",
        "training",
    )


def curves_json(curves: Mapping[str, Sequence[Epoch]]) -> dict[str, list[list[float]]]:
    """Learning curves as `--json` has them: training loss, validation loss, validation accuracy of every epoch."""
    return {
        name: [[e.train_loss, e.validation_loss, e.validation_accuracy] for e in epochs]
        for name, epochs in curves.items()
    }


def failed_json(failed: Sequence[tuple[Path, str]]) -> list[dict[str, str]]:
    """What could not be read, as `--json` has it."""
    return [{"path": str(path), "error": why} for path, why in failed]


def print_accuracies(accuracies: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """The tables of test folders, {kind of negatives: {space: {factor: 0..1}}}."""
    for kind, matrix in accuracies.items():
        print(f"test folders, {kind} negatives, triplet accuracy in %: a row a space, a column a factor")
        show.print_matrix(matrix)


def _features(text: str) -> dict[str, str]:
    """ "melody=line+melody,timbre=timbre" as a table. Raises UsageError."""
    table = {}
    for part in filter(None, text.split(",")):
        factor, equals, feature = part.partition("=")
        if not (factor and equals and feature):
            raise UsageError(f"--features: found {part!r}, expected FACTOR=FEATURE, such as melody=line+melody")
        table[factor] = feature
    return table


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 2/4; found {text!r}")
    return int(found[1]), int(found[2])


def run_embed(args: argparse.Namespace) -> int:
    """Fill a cache, or a shard of it; 1 if some clips could not be heard. Raises UsageError."""
    from soundalike.core import plugins
    from soundalike.train.data import EmbeddingCache, embed, read_folders

    clips = {
        clip
        for parts in read_folders(args.triplets, 0).values()
        for folders in parts.values()
        for folder in folders
        for clip in folder.clips
    }
    told = show.Progress("clip", enabled=not args.json)
    with EmbeddingCache.open(args.cache, plugins.load("backbones", args.backbone)) as cache:
        done = embed(cache, sorted(clips), jobs=args.jobs, shard=args.shard, progress=told)
        held = len(cache)
    told.end()
    for path, why in done.failed:
        show.message(f"{one_line(path)}: {why}", "failed")
    if args.json:
        failed = [{"path": str(path), "error": why} for path, why in done.failed]
        show.print_json({"cache": str(args.cache), "new": done.done, "held": held, "failed": failed})
    else:
        print(f"{done.done:,} clips embedded, {done.kept:,} were there; {one_line(args.cache)} holds {held:,}")
    if done.interrupted:
        show.message("interrupted: what is done is kept; run it again to go on")
        return INTERRUPTED
    return 1 if done.failed else 0


def run_merge(args: argparse.Namespace) -> int:
    """Merge caches. Raises UsageError."""
    from soundalike.train.data import merge

    held = merge(args.caches, args.output)
    if args.json:
        show.print_json({"cache": str(args.output), "held": held})
    else:
        print(f"{one_line(args.output)} holds {held:,} clips")
    return 0


def run_attribution(args: argparse.Namespace) -> int:
    """Print which blocks of features each head listens to, and draw it where asked. Raises UsageError, ModelError."""
    from soundalike.cli.evaluate import print_report
    from soundalike.evaluate import attribute_model, draw_attribution

    if args.plot:
        reports.check_plot(args.plot)
    report = attribute_model(args.attributed)
    if args.plot:
        draw_attribution(report, args.plot)
    if args.save:
        reports.save_reports([report], args.save)
    if args.json:
        show.print_json(reports.to_json(report))
    else:
        print_report(report)
    return 0
