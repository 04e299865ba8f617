"""`soundalike train heads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.cli.arguments import (
    GIVEN_PATH,
    NUMBER,
    WholeNumber,
    jobs_option,
    json_option,
    option,
    ray_option,
    seed_option,
)
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.output import Progress, print_interrupted, print_json
from soundalike.cli.train.progress import (
    Accuracies,
    Curves,
    curves,
    model_argument,
    print_accuracies,
    print_epoch,
    report_failed,
)
from soundalike.core.errors import one_line
from soundalike.train.data import NEGATIVES, SAMPLINGS
from soundalike.train.heads import LOSSES, SCALINGS, HeadSettings

if TYPE_CHECKING:
    from soundalike.train.common import Epoch
    from soundalike.train.jobs.heads import HeadsReport

__all__ = ["heads"]

_PRINTED = 10
"""Epochs of a run that are printed, besides the first."""
_USUAL = HeadSettings()


@dataclass(frozen=True, slots=True)
class HeadsRecord:
    """A trained model; `folders` counts the training folders per factor."""

    out: str
    folders: Mapping[str, int]
    best_epoch: Mapping[str, int]
    floors: Mapping[str, Mapping[str, float]]
    test_triplet_accuracy: Accuracies
    curves: Curves
    failed: Sequence[FailureRecord]


def _read_features(ctx: click.Context, param: click.Parameter, text: str) -> dict[str, str]:
    """ "melody=line+melody,timbre=timbre" as a table."""
    table = {}
    for part in filter(None, () if ctx.resilient_parsing else text.split(",")):
        factor, equals, feature = part.partition("=")
        if not (factor and equals and feature):
            raise click.BadParameter(f"found {part!r}, expected FACTOR=FEATURE, such as melody=line+melody", ctx, param)
        table[factor] = feature
    return table


@command("heads")
@option("--triplets", type=GIVEN_PATH, required=True, metavar="DIR", help="Triplet folders, with split.json if any.")
@option("--out", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to write the model.")
@option("--cache", type=GIVEN_PATH, metavar="DIR", help="Where features are cached (default: OUT/cache).")
@option("--backbone", metavar="NAME", help="Backbone that extracts the features (default: that of the default model).")
@option("--name", default="heads", metavar="NAME", help="Name of the model: letters, digits, . _ - (default: heads).")
@option("--factors", default="", metavar="F,...", help="Some of the factors (default: all in DIR).")
@option("--folders", type=WholeNumber(), metavar="N", help="Number of training folders per factor (default: all).")
@option("--joint", is_flag=True, help="Train one transformer for all factors instead of one head each.")
@option("--linear", is_flag=True, help="Fit projections in closed form instead of heads; needs no torch.")
@option(
    "--features",
    default="",
    callback=_read_features,
    metavar="F=A+B,...",
    help="Features that the head of a factor uses (default: all of the backbone).",
)
@option("--loss", type=click.Choice(LOSSES), default=_USUAL.loss, help=f"Loss (default: {_USUAL.loss}).")
@option(
    "--negatives",
    type=click.Choice(NEGATIVES),
    default=_USUAL.negatives,
    help=f"Negatives to train on (default: {_USUAL.negatives}).",
)
@option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default=_USUAL.sampling,
    help=f"What batches are drawn from (default: {_USUAL.sampling}).",
)
@option(
    "--scaling",
    type=click.Choice(SCALINGS),
    default=_USUAL.scaling,
    help=f"How features are scaled before a head (default: {_USUAL.scaling}).",
)
@option(
    "--batch",
    type=WholeNumber(),
    default=_USUAL.batch,
    metavar="N",
    help=f"Triplets per batch (default: {_USUAL.batch}).",
)
@option("--epochs", type=WholeNumber(), default=_USUAL.epochs, metavar="N", help=f"Epochs (default: {_USUAL.epochs}).")
@option("--patience", type=WholeNumber(), metavar="N", help="Stop after N epochs without a better validation loss.")
@option("--lr", type=NUMBER, default=_USUAL.lr, metavar="X", help=f"Initial learning rate (default: {_USUAL.lr:g}).")
@option(
    "--hidden", type=WholeNumber(), default=_USUAL.hidden, metavar="N", help=f"Hidden units (default: {_USUAL.hidden})."
)
@option(
    "--dropout",
    type=NUMBER,
    default=_USUAL.dropout,
    metavar="P",
    help=f"Dropout before the last layer (default: {_USUAL.dropout:g}).",
)
@option(
    "--device", default=_USUAL.device, metavar="NAME", help="Device: cpu, or cuda if there is a GPU (default: cpu)."
)
@option("--bf16", is_flag=True, help="Multiply in bfloat16, on devices that are faster at it.")
@seed_option()
@jobs_option("Number of processes that extract features (default: one per core).")
@ray_option()
@json_option()
def heads(
    triplets: Path,
    out: Path,
    cache: Path | None,
    backbone: str | None,
    name: str,
    factors: str,
    folders: int | None,
    joint: bool,
    linear: bool,
    features: Mapping[str, str],
    jobs: int | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Train projection heads on triplet folders: one space per factor, on the features of a backbone.

    The folders are those of `soundalike render`, or your own: DIR/<factor>/triplets_N/triplet/... The features of every
    clip are computed once and cached. An interrupted run continues where it stopped. OUT/split.json lists the folders
    of training, validation and test; `evaluate triplets` uses it, and says if a model was trained on what it is tested
    on. Needs soundalike[train], except with --linear.

    With --sampling merit --scaling none --seed 42, a head is trained as MERIT's code does: on the same features, its
    weights are equal.

    \b
      soundalike train heads --triplets triplets --out mine
      soundalike train heads --triplets triplets --out joint --joint \\
          --negatives both --patience 20
      soundalike evaluate triplets triplets --split mine/split.json --model mine
    """
    from soundalike.train.jobs import HeadsJob, train_heads

    if joint and linear:
        raise click.UsageError("--joint and --linear exclude each other", click.get_current_context())
    chosen = HeadSettings(**settings)
    job = HeadsJob(
        triplets=triplets,
        out=out,
        cache=cache,
        backbone=backbone,
        name=name,
        factors=tuple(factor for factor in factors.split(",") if factor),
        folders=folders,
        kind="joint" if joint else "linear" if linear else "mlp",
        features=features,
    )
    with Progress("clip", enabled=not as_json) as clips:

        def show_epoch(head: str, epoch: Epoch) -> None:
            clips.end()
            if epoch.number == 1 or epoch.number % max(1, chosen.epochs // _PRINTED) == 0:
                print_epoch(head, epoch)

        try:
            report = train_heads(job, chosen, jobs=jobs, embedding=clips, progress=None if as_json else show_epoch)
        except KeyboardInterrupt:
            clips.end()
            print_interrupted()
            return INTERRUPTED
    report_failed(report.failed)
    if as_json:
        print_json(_record(out, report))
    else:
        _print_report(out, report)
    return 1 if report.failed else 0


def _record(out: Path, report: HeadsReport) -> HeadsRecord:
    return HeadsRecord(
        out=str(out),
        folders=report.counts,
        best_epoch=report.best,
        floors=report.floors,
        test_triplet_accuracy=report.accuracy,
        curves=curves(report.curves),
        failed=failure_records(report.failed),
    )


def _print_report(out: Path, report: HeadsReport) -> None:
    print_accuracies(report.accuracy)
    floors = {f"{name} ({part})": floor for name, parts in report.floors.items() for part, floor in parts.items()}
    chosen: Mapping[str, float] = floors or report.best
    print(("floors: " if floors else "best epochs: ") + ", ".join(f"{name} {one:g}" for name, one in chosen.items()))
    print(f"model written: {one_line(out)}; try it with --model {model_argument(out)}")
